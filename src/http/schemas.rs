//! `/v1/schemas`: schemas by name.

use axum::body::Body;
use axum::extract::{Path, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;

use super::content_negotiation::{self, RequestFormat};
use super::guard::no_query;
use super::problem::ApiError;
use super::query::PageQuery;
use super::{State, request_body};
use crate::contract::Problem;
use crate::schema::Source;
use crate::types::{Code, Error};
use throttle::CallerId;

/// A registered schema, without its text.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct SchemaEntry {
    name: String,
    /// The SHA-256 of its compact text, in hexadecimal.
    hash: String,
    /// RFC 3339, UTC.
    updated_at: String,
    source: Source,
}

/// A page of a list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct SchemaList {
    data: Vec<SchemaEntry>,
    has_more: bool,
    /// The cursor of the next page, for `after`.
    next: Option<String>,
}

/// Lists the registered schemas by name.
#[utoipa::path(get, path = "/v1/schemas", tag = "schemas",
    params(("limit" = Option<usize>, Query, minimum = 1, maximum = 1000, description = "Entries of a page, 100 if not said"),
        ("after" = Option<String>, Query, description = "The `next` of the page before")),
    responses((status = 200, body = SchemaList), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn list(state: State, uri: Uri) -> Result<Json<SchemaList>, ApiError> {
    let page = PageQuery::read(uri.query())?;
    let (entries, has_more) = state
        .extractor
        .registry()
        .list(page.after.as_deref(), page.limit);
    let next = if has_more {
        entries.last().map(|(name, _)| name.clone())
    } else {
        None
    };
    let data = entries.into_iter().map(|(name, entry)| SchemaEntry {
        name,
        hash: entry.hash,
        updated_at: humantime::format_rfc3339_millis(entry.updated_at).to_string(),
        source: entry.source,
    });
    Ok(Json(SchemaList {
        data: data.collect(),
        has_more,
        next,
    }))
}

/// The schema itself.
#[utoipa::path(get, path = "/v1/schemas/{name}", tag = "schemas", params(("name" = String, Path)),
    responses((status = 200, description = "The JSON Schema", body = serde_json::Value),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn get(state: State, Path(name): Path<String>, uri: Uri) -> Result<Response, ApiError> {
    no_query(&uri)?;
    let entry = state
        .extractor
        .registry()
        .get(&name)
        .ok_or_else(|| unknown(&name))?;
    Ok((
        [(CONTENT_TYPE, "application/schema+json")],
        entry.schema.raw().get().to_owned(),
    )
        .into_response())
}

/// Registers a schema under a name; the body is the bare JSON Schema.
#[utoipa::path(put, path = "/v1/schemas/{name}", tag = "schemas", params(("name" = String, Path)), request_body = serde_json::Value,
    responses((status = 200, description = "Replaced", body = serde_json::Value), (status = 201, description = "New", body = serde_json::Value),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn put(
    state: State,
    Path(name): Path<String>,
    _: Extension<CallerId>,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    if content_negotiation::request_format(&head.headers)? != RequestFormat::Json {
        return Err(Error::new(
            Code::UnsupportedMediaType,
            "a schema is sent as `application/json`",
        )
        .into());
    }
    let whole = request_body::read(&state, &head.headers, body, state.max_body_bytes).await?;
    serde_json::from_slice::<serde::de::IgnoredAny>(&whole.bytes)
        .map_err(|error| Error::new(Code::InvalidJson, format!("the body is not JSON: {error}")))?;
    let text = std::str::from_utf8(&whole.bytes).map_err(|error| {
        Error::new(Code::InvalidJson, format!("the body is not UTF-8: {error}"))
    })?;
    no_query(&head.uri)?;
    let is_new = state.extractor.registry().put(&name, text).await?;
    let status = if is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let stored = state
        .extractor
        .registry()
        .get(&name)
        .map(|entry| entry.schema.raw().get().to_owned())
        .unwrap_or_default();
    Ok((status, [(CONTENT_TYPE, "application/schema+json")], stored).into_response())
}

/// Removes a schema.
#[utoipa::path(delete, path = "/v1/schemas/{name}", tag = "schemas", params(("name" = String, Path)),
    responses((status = 204, description = "Removed"), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn delete(
    state: State,
    Path(name): Path<String>,
    uri: Uri,
) -> Result<StatusCode, ApiError> {
    no_query(&uri)?;
    if state.extractor.registry().delete(&name).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(unknown(&name).into())
    }
}

fn unknown(name: &str) -> Error {
    Error::new(
        Code::NotFound,
        format!("no schema is registered under the name \"{name}\""),
    )
}
