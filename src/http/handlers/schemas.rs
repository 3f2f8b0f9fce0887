//! `/v1/schemas`: registry of JSON Schemas by name: list, get, put, delete.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;

use super::super::content_negotiation::{self, RequestFormat};
use super::super::openapi;
use super::super::problem::ApiError;
use super::super::query::{PageQuery, no_query, parse_query};
use super::super::state::{AppState, State};
use super::super::{json_body, request_body};
use crate::contract::rfc3339_of;
use crate::schema::{Entry, Schema, Source};
use crate::types::{Code, Error, FieldError, truncate_for_display};
use throttle::CallerId;

/// `Retry-After` while the data folder cannot be written to.
const STORE_RETRY_AFTER: Duration = Duration::from_secs(10);

/// A registered schema, without its text.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct SchemaEntry {
    name: String,
    /// SHA-256 of the compact JSON text, in hexadecimal.
    hash: String,
    /// Time of the last change, in RFC 3339, UTC.
    #[schema(format = DateTime)]
    updated_at: String,
    source: Source,
}

impl SchemaEntry {
    fn new(name: String, entry: Entry) -> Self {
        Self {
            name,
            hash: entry.hash,
            updated_at: rfc3339_of(entry.updated_at),
            source: entry.source,
        }
    }
}

/// Reply to storing a schema.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct StoredSchema {
    #[serde(flatten)]
    entry: SchemaEntry,
    /// Likely mistakes in the schema, each with a JSON Pointer into it.
    warnings: Vec<FieldError>,
}

/// A page of registered schemas.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct SchemaList {
    data: Vec<SchemaEntry>,
    has_more: bool,
    /// Cursor of the next page, for `after`.
    next: Option<String>,
}

/// Version of a registered schema, without its text.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct SchemaVersion {
    /// SHA-256 of the compact JSON text, in hexadecimal: `version` of a request for it.
    hash: String,
    /// Time when this version was stored, in RFC 3339, UTC.
    #[schema(format = DateTime)]
    stored_at: String,
    /// True for the version that requests use.
    is_current: bool,
}

/// Versions of a registered schema.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct SchemaVersions {
    /// Versions, the current one first, then the newest.
    data: Vec<SchemaVersion>,
}

/// List schemas
///
/// Returns the registered schemas, ordered by name.
#[utoipa::path(get, path = "/v1/schemas", operation_id = "list_schemas", tag = "schemas",
    params(("limit" = Option<usize>, Query, minimum = 1, maximum = 1000, description = "Maximum number of entries. Default 100"),
        ("after" = Option<String>, Query, description = "Cursor: `next` of the previous page")),
    responses((status = 200, description = "A page of schemas", body = SchemaList)))]
pub async fn list(
    state: State,
    Extension(caller): Extension<CallerId>,
    uri: Uri,
) -> Result<Json<SchemaList>, ApiError> {
    let page = PageQuery::parse(uri.query())?;
    let owner = state.extractor.schema_owner(caller);
    let registry = state.extractor.registry();
    let listed = registry.list(caller, &owner, page.after.as_deref(), page.limit);
    let (entries, has_more) = listed.await?;
    let next = if has_more {
        entries.last().map(|(name, _)| name.clone())
    } else {
        None
    };
    let data = entries
        .into_iter()
        .map(|(name, entry)| SchemaEntry::new(name, entry));
    Ok(Json(SchemaList {
        data: data.collect(),
        has_more,
        next,
    }))
}

/// Get a schema
///
/// Returns the JSON Schema as it was registered; with `version` an earlier one.
#[utoipa::path(get, path = "/v1/schemas/{name}", operation_id = "get_schema", tag = "schemas", params(("name" = String, Path, pattern = "^[a-z0-9][a-z0-9_-]{0,63}$", description = "Name of the schema", example = "person"),
        ("version" = Option<String>, Query, description = "Hash of a version, from `/v1/schemas/{name}/versions`. Default: the current one")),
    responses((status = 200, description = "The JSON Schema", body = openapi::JsonSchema, content_type = "application/schema+json")))]
pub async fn get(
    state: State,
    Extension(caller): Extension<CallerId>,
    Path(name): Path<String>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let mut version = None;
    parse_query(uri.query(), &["version"], |parameter, value| {
        if parameter == "version" {
            version = Some(value.to_owned());
        }
        Ok(parameter == "version")
    })?;
    let owner = state.extractor.schema_owner(caller);
    let registry = state.extractor.registry();
    let text = match version {
        None => registry.text(caller, &owner, &name).await?,
        Some(hash) => {
            let text = registry.version(caller, &owner, &name, &hash).await?;
            if text.is_none() && registry.entry(caller, &owner, &name).await?.is_some() {
                return Err(unknown_version(&name, &hash).into());
            }
            text
        }
    };
    let text = text.ok_or_else(|| unknown(&state, caller, &name))?;
    Ok(([(CONTENT_TYPE, "application/schema+json")], text).into_response())
}

/// List the versions of a schema
///
/// Returns the current version and the earlier ones that are kept: up to 20, 256 KiB together.
#[utoipa::path(get, path = "/v1/schemas/{name}/versions", operation_id = "list_schema_versions", tag = "schemas", params(("name" = String, Path, pattern = "^[a-z0-9][a-z0-9_-]{0,63}$", description = "Name of the schema", example = "person")),
    responses((status = 200, description = "Versions of the schema", body = SchemaVersions)))]
pub async fn versions(
    state: State,
    Extension(caller): Extension<CallerId>,
    Path(name): Path<String>,
    uri: Uri,
) -> Result<Json<SchemaVersions>, ApiError> {
    no_query(&uri)?;
    let owner = state.extractor.schema_owner(caller);
    let registry = state.extractor.registry();
    let versions = registry.versions(caller, &owner, &name).await?;
    let versions = versions.ok_or_else(|| unknown(&state, caller, &name))?;
    let data = versions
        .into_iter()
        .enumerate()
        .map(|(number, version)| SchemaVersion {
            hash: version.hash,
            stored_at: rfc3339_of(version.stored_at),
            is_current: number == 0,
        });
    Ok(Json(SchemaVersions {
        data: data.collect(),
    }))
}

/// Register a schema
///
/// Stores a JSON Schema under a name, for use as `schema` in requests. A schema that it replaces is kept as a version. The body is the JSON Schema itself.
#[utoipa::path(put, path = "/v1/schemas/{name}", operation_id = "put_schema", tag = "schemas", params(("name" = String, Path, pattern = "^[a-z0-9][a-z0-9_-]{0,63}$", description = "Name of the schema", example = "person")), request_body(content = openapi::JsonSchema, content_type = "application/json"),
    responses((status = 200, description = "The schema was replaced", body = StoredSchema), (status = 201, description = "The schema was created", body = StoredSchema)))]
pub async fn put(
    state: State,
    Path(name): Path<String>,
    Extension(caller): Extension<CallerId>,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    if content_negotiation::request_format(&head.headers)? != RequestFormat::Json {
        return Err(Error::new(
            Code::UnsupportedMediaType,
            "a schema must be sent with `Content-Type: application/json`",
        )
        .into());
    }
    let complete = request_body::read_body(&state, caller, &head.headers, body).await?;
    request_body::work_on(complete.bytes.clone(), caller, |bytes| {
        serde_json::from_slice::<serde::de::IgnoredAny>(bytes)
            .map_err(|error| json_body::not_json(bytes, &error))
    })
    .await??;
    no_query(&head.uri)?;
    check_writable(&state, Change::Store)?;
    // A body may be much longer than a schema, and takes long to check as UTF-8.
    Schema::check_length(complete.bytes.len())?;
    let text = std::str::from_utf8(&complete.bytes).map_err(|_| {
        Error::new(
            Code::InvalidJson,
            "the body is not UTF-8; convert the text to UTF-8 first",
        )
    })?;
    let schema = state.extractor.compile_schema(caller, text).await?;
    let owner = state.extractor.schema_owner(caller);
    let registry = state.extractor.registry();
    let (entry, is_new) = registry.put(caller, &owner, &name, &schema).await?;
    let status = if is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let warnings = schema.warnings();
    let entry = SchemaEntry::new(name, entry);
    Ok((status, Json(StoredSchema { entry, warnings })).into_response())
}

/// Delete a schema
///
/// Removes a registered schema and its earlier versions. Jobs created with it keep their copy.
#[utoipa::path(delete, path = "/v1/schemas/{name}", operation_id = "delete_schema", tag = "schemas", params(("name" = String, Path, pattern = "^[a-z0-9][a-z0-9_-]{0,63}$", description = "Name of the schema", example = "person")),
    responses((status = 204, description = "The schema was deleted")))]
pub async fn delete(
    state: State,
    Extension(caller): Extension<CallerId>,
    Path(name): Path<String>,
    uri: Uri,
) -> Result<StatusCode, ApiError> {
    no_query(&uri)?;
    check_writable(&state, Change::Delete)?;
    let owner = state.extractor.schema_owner(caller);
    let registry = state.extractor.registry();
    if registry.delete(caller, &owner, &name).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(unknown(&state, caller, &name).into())
    }
}

/// Change of the stored schemas.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Store,
    Delete,
}

/// Checks that the data folder can be written to: what the job store knows of it holds for the schemas. A deletion needs no room.
fn check_writable(state: &AppState, change: Change) -> Result<(), Error> {
    match state.jobs.not_ready_reason() {
        None => Ok(()),
        Some(_) if change == Change::Delete && state.jobs.is_disk_full() => Ok(()),
        Some(reason) => {
            let detail = format!("schemas cannot be changed now: {reason}");
            Err(Error::new(Code::Overloaded, detail).retry_after(STORE_RETRY_AFTER))
        }
    }
}

fn unknown(state: &AppState, caller: CallerId, name: &str) -> Error {
    let owner = state.extractor.schema_owner(caller);
    let detail = state.extractor.registry().missing(&owner, name);
    Error::new(Code::NotFound, detail)
}

fn unknown_version(name: &str, hash: &str) -> Error {
    let detail = format!(
        "the schema \"{name}\" has no version \"{}\"; see /v1/schemas/{name}/versions",
        truncate_for_display(hash)
    );
    Error::new(Code::NotFound, detail)
}
