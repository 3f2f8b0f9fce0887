//! `/v1/jobs`: durable jobs.

mod body;
pub mod events;
pub mod results;
mod view;

use std::time::SystemTime;

use axum::extract::{Path, Request};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};

pub use view::{JobList, JobView};

use super::guard::{self, RequestId, no_query};
use super::problem::ApiError;
use super::query::PageQuery;
use super::response_stream::shutting_down;
use super::{Shared, State};
use crate::contract::Problem;
use crate::jobs::signed_link;
use crate::jobs::store::Job;
use crate::types::{Code, Error};
use throttle::CallerId;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// The longest idempotency key, in characters.
const MAX_KEY_CHARS: usize = 255;

/// Makes a job: the inputs are on the disk when the reply comes, and are worked off whatever happens.
///
/// The body is a batch's, without `stream` and with a `webhook` if wanted; as NDJSON it is written to the disk as it arrives, and
/// its length is not limited. A body that breaks off, or has a line that is no input, leaves nothing behind.
#[utoipa::path(
    post, path = "/v1/jobs", tag = "jobs",
    params(("Idempotency-Key" = Option<String>, Header, description = "Two requests with the same key (at most 255 characters, known for 24 hours) make one job")),
    request_body(content(
        (super::openapi::JobRequest = "application/json", example = json!({
            "inputs": ["John Smith is a 30-year-old software engineer", "Sarah Johnson is a 25-year-old data scientist"],
            "schema": {
            "title": "Person", "type": "object",
            "properties": {"name": {"type": "string"}, "age": {"type": "integer"}, "occupation": {"type": "string"}},
            "required": ["name", "age", "occupation"], "additionalProperties": false
        }
        })),
        (String = "application/x-ndjson"),
    )),
    responses((status = 202, description = "The job, which is on the disk", body = JobView),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json")),
)]
pub async fn create_job(
    state: State,
    Extension(caller): Extension<CallerId>,
    Extension(RequestId(request_id)): Extension<RequestId>,
    request: Request,
) -> Result<Response, ApiError> {
    let _work = state.lifecycle.work.token();
    let created = body::create(&state, caller, &request_id, request).await?;
    let view = view(&state, &created.job);
    let mut response = (
        StatusCode::ACCEPTED,
        [(LOCATION, view.links.itself.clone())],
        Json(view),
    )
        .into_response();
    if created.is_replay {
        response
            .headers_mut()
            .insert(REPLAYED, axum::http::HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// Lists the caller's jobs, newest first.
#[utoipa::path(get, path = "/v1/jobs", tag = "jobs",
    params(("limit" = Option<usize>, Query, minimum = 1, maximum = 1000, description = "Entries of a page, 100 if not said"),
        ("after" = Option<String>, Query, description = "The `next` of the page before")),
    responses((status = 200, body = JobList), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn list_jobs(
    state: State,
    Extension(caller): Extension<CallerId>,
    uri: Uri,
) -> Result<Json<JobList>, ApiError> {
    let page = PageQuery::read(uri.query())?;
    let limit = u32::try_from(page.limit).unwrap_or(u32::MAX);
    let (jobs, next) = state
        .jobs
        .list(caller, page.after.as_deref(), limit)
        .await?;
    let data = jobs.iter().map(|job| view(&state, job)).collect();
    Ok(Json(JobList {
        data,
        has_more: next.is_some(),
        next,
    }))
}

/// A job as it stands.
#[utoipa::path(get, path = "/v1/jobs/{id}", tag = "jobs", params(("id" = String, Path)),
    responses((status = 200, body = JobView), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn show_job(
    state: State,
    Extension(caller): Extension<CallerId>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Json<JobView>, ApiError> {
    no_query(&uri)?;
    Ok(Json(view(&state, &state.jobs.get(caller, &id).await?)))
}

/// Stops what is not done; finished results stay. 200 when there was nothing to stop.
#[utoipa::path(post, path = "/v1/jobs/{id}/cancel", tag = "jobs", params(("id" = String, Path)),
    responses((status = 202, description = "It is being cancelled", body = JobView),
        (status = 200, description = "It was, or has ended, before", body = JobView),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn cancel_job(
    state: State,
    Extension(caller): Extension<CallerId>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, ApiError> {
    no_query(&uri)?;
    let (job, is_new) = state.jobs.cancel(caller, &id).await?;
    let status = if is_new {
        StatusCode::ACCEPTED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(view(&state, &job))).into_response())
}

/// Lets the items that failed, are invalid or were cancelled run again. Their new results replace the old ones; the events go on.
#[utoipa::path(post, path = "/v1/jobs/{id}/retry", tag = "jobs", params(("id" = String, Path)),
    responses((status = 202, description = "They run again", body = JobView),
        (status = 200, description = "All have succeeded", body = JobView),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn retry_job(
    state: State,
    Extension(caller): Extension<CallerId>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, ApiError> {
    no_query(&uri)?;
    not_draining(&state)?;
    let (job, is_new) = state.jobs.retry(caller, &id).await?;
    let status = if is_new {
        StatusCode::ACCEPTED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(view(&state, &job))).into_response())
}

/// Removes a job that has ended, with its inputs and results.
#[utoipa::path(delete, path = "/v1/jobs/{id}", tag = "jobs", params(("id" = String, Path)),
    responses((status = 204, description = "Removed"), (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn delete_job(
    state: State,
    Extension(caller): Extension<CallerId>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<StatusCode, ApiError> {
    no_query(&uri)?;
    state.jobs.delete(caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn view(shared: &Shared, job: &Job) -> JobView {
    let expires = now_seconds().saturating_add(shared.link_ttl.as_secs());
    let signature = signed_link::sign(&shared.link_secret, &job.id, expires);
    JobView::new(job, shared.jobs.pace(job), &signature)
}

fn now_seconds() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

fn not_draining(shared: &Shared) -> Result<(), Error> {
    if shared.lifecycle.draining.is_cancelled() {
        Err(shutting_down())
    } else {
        Ok(())
    }
}

/// The `Idempotency-Key`, if one was sent.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Error> {
    let Some(header) = headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    let key = std::str::from_utf8(header.as_bytes())
        .ok()
        .map(str::trim)
        .filter(|key| !key.is_empty());
    let key = key.filter(|key| key.chars().nth(MAX_KEY_CHARS).is_none()).ok_or_else(|| {
        let detail = format!("`Idempotency-Key` has to be 1 to {MAX_KEY_CHARS} characters in UTF-8, such as a UUID");
        Error::new(Code::InvalidRequest, detail)
    })?;
    Ok(Some(key.to_owned()))
}

/// Whose events may be followed, where the query has a signature instead of a key. `None`: there is none.
pub fn signed_by_link(shared: &Shared, path: &str, query: &str) -> Option<Result<(), Error>> {
    let id = path.strip_prefix("/v1/jobs/")?.strip_suffix("/events")?;
    let signature = super::query::pairs(query)
        .filter_map(Result::ok)
        .find(|(name, _)| name == "signature")?
        .1;
    let verified = signed_link::verify(&shared.link_secret, id, &signature, now_seconds());
    Some(verified.map_err(|error| Error::new(Code::Forbidden, error.to_string())))
}

/// A request that has a signature in place of a key.
#[derive(Debug, Clone, Copy)]
pub struct SignedLink;

/// The id of a new job.
fn new_id() -> String {
    guard::new_id("job")
}
