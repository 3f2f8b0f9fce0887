//! `/v1/jobs`: create, list, show, cancel, retry and delete durable jobs.

mod create;
pub mod events;
pub mod results;
pub mod view;

use axum::extract::{Path, Request};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};

use view::{JobList, JobView};

use super::super::event_links;
use super::super::middleware::RequestId;
use super::super::open_connections::OpenRequest;
use super::super::openapi::request_schemas;
use super::super::problem::ApiError;
use super::super::query::{PageQuery, no_query, parse_query};
use super::super::response_memory;
use super::super::state::{AppState, State};
use crate::contract::{JobStatus, to_json};
use crate::jobs::store::{ItemStatus, Job, JobFilter, Status};
use throttle::CallerId;

/// Maximum number of conditions on the metadata in one request.
const MAX_METADATA_CONDITIONS: usize = 16;

const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Create a job
///
/// Creates a durable job. When the response is sent, all inputs are on disk, and are processed even if the server restarts.
///
/// The body is a batch's, without `stream` and with an optional `webhook`. An NDJSON body is written to disk as it arrives, so
/// its length is not limited. An interrupted upload, or an invalid line, creates no job.
#[utoipa::path(
    post, path = "/v1/jobs", tag = "jobs",
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, description = "Key of at most 255 characters, remembered for 24 hours. A repeated request with the same key returns the job created by the first one")),
    request_body(content(
        (request_schemas::JobRequest = "application/json", example = json!({
            "inputs": ["John Smith is a 30-year-old software engineer", "Sarah Johnson is a 25-year-old data scientist"],
            "schema": {
            "title": "Person", "type": "object",
            "properties": {"name": {"type": "string"}, "age": {"type": "integer"}, "occupation": {"type": "string"}},
            "required": ["name", "age", "occupation"], "additionalProperties": false
        }
        })),
        (String = "application/x-ndjson"),
    )),
    responses((status = 202, description = "The job was created, or existed for this idempotency key", body = JobView)),
)]
pub async fn create_job(
    state: State,
    Extension(caller): Extension<CallerId>,
    Extension(RequestId(request_id)): Extension<RequestId>,
    request: Request,
) -> Result<Response, ApiError> {
    let _work = state.lifecycle.work.token();
    let (created, warnings) = create::create(&state, caller, &request_id, request).await?;
    let mut view = view(&state, &created.job);
    view.warnings = warnings;
    let mut response = (
        StatusCode::ACCEPTED,
        [(LOCATION, view.links.itself.clone())],
        Json(view),
    )
        .into_response();
    if created.is_replay {
        response
            .headers_mut()
            .insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// List jobs
///
/// Returns the caller's jobs, newest first. `status` and `metadata.KEY` select those that meet all conditions.
#[utoipa::path(get, path = "/v1/jobs", tag = "jobs",
    params(("limit" = Option<usize>, Query, minimum = 1, maximum = 1000, description = "Maximum number of entries. Default 100"),
        ("after" = Option<String>, Query, description = "Cursor: `next` of the previous page"),
        ("status" = Option<String>, Query, pattern = "^(queued|running|completed|stopped|cancelling|cancelled|failed)(,(queued|running|completed|stopped|cancelling|cancelled|failed))*$", example = "queued,running", description = "Only jobs with this status; several are separated by commas"),
        ("metadata.KEY" = Option<String>, Query, description = "Only jobs whose metadata has this value under the name that stands for KEY; may be given for several names")),
    responses((status = 200, description = "A page of jobs", body = JobList)))]
pub async fn list_jobs(
    state: State,
    Extension(caller): Extension<CallerId>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let mut filter = JobFilter::default();
    let page = PageQuery::parse_with(uri.query(), &["status", "metadata.KEY"], |name, value| {
        match name.strip_prefix("metadata.") {
            Some(key) => filter.metadata.push((key.to_owned(), value.to_owned())),
            None if name == "status" => filter.statuses = statuses(value)?,
            None => return Ok(false),
        }
        if filter.metadata.len() > MAX_METADATA_CONDITIONS {
            return Err("at most 16 conditions on the metadata are possible");
        }
        Ok(true)
    })?;
    let limit = u32::try_from(page.limit).unwrap_or(u32::MAX);
    let _memory = response_memory::reserve_page(&state, caller).await?;
    let (jobs, next) = state
        .jobs
        .list(caller, filter, page.after.as_deref(), limit)
        .await?;
    let data = jobs.into_iter().map(|job| view(&state, &job)).collect();
    let page = JobList {
        data,
        has_more: next.is_some(),
        next,
    };
    let mut page = to_json(&page);
    page.shrink_to_fit();
    Ok(([(CONTENT_TYPE, "application/json")], page).into_response())
}

/// Parses the statuses of a filter.
fn statuses(text: &str) -> Result<Vec<Status>, &'static str> {
    let status = |name: &str| {
        let mut visible = Status::ALL.into_iter().filter(|status| status.is_visible());
        visible.find(|status| JobStatus::from(*status).as_str() == name)
    };
    let parsed: Option<Vec<_>> = text.split(',').map(status).collect();
    parsed.ok_or(
        "expected `queued`, `running`, `completed`, `stopped`, `cancelling`, `cancelled` or `failed`, or several of them separated by commas",
    )
}

/// Get a job
///
/// Returns the current state of a job.
#[utoipa::path(get, path = "/v1/jobs/{id}", operation_id = "get_job", tag = "jobs", params(("id" = String, Path, description = "ID of the job")),
    responses((status = 200, description = "The job", body = JobView)))]
pub async fn show_job(
    state: State,
    Extension(caller): Extension<CallerId>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Json<JobView>, ApiError> {
    no_query(&uri)?;
    Ok(Json(view(&state, &state.jobs.get(caller, &id).await?)))
}

/// Cancel a job
///
/// Cancels the items that have not ended. Recorded results are kept.
#[utoipa::path(post, path = "/v1/jobs/{id}/cancel", tag = "jobs", params(("id" = String, Path, description = "ID of the job")),
    responses((status = 202, description = "The job is being cancelled", body = JobView),
        (status = 200, description = "The job had already ended, or was already being cancelled", body = JobView)))]
pub async fn cancel_job(
    state: State,
    Extension(caller): Extension<CallerId>,
    open: Option<Extension<OpenRequest>>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, ApiError> {
    no_query(&uri)?;
    let (job, is_new) = state.jobs.cancel(caller, &id, open).await?;
    Ok(accepted_or_ok(is_new, view(&state, &job)))
}

/// Retry the unsuccessful items of a job
///
/// Runs the failed, invalid and cancelled items again. New results replace the old ones; the numbering of events continues.
#[utoipa::path(post, path = "/v1/jobs/{id}/retry", operation_id = "retry_job", tag = "jobs",
    params(("id" = String, Path, description = "ID of the job"),
        ("status" = Option<String>, Query, pattern = "^(failed|invalid|cancelled)$", description = "Run only the items with this status again. Items without a result run in any case")),
    responses((status = 202, description = "The items run again", body = JobView),
        (status = 200, description = "The job has no such item; nothing to retry", body = JobView)))]
pub async fn retry_job(
    state: State,
    Extension(caller): Extension<CallerId>,
    open: Option<Extension<OpenRequest>>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let mut only = None;
    parse_query(uri.query(), &["status"], |name, value| {
        if name == "status" {
            only = Some(match value {
                "failed" => ItemStatus::Failed,
                "invalid" => ItemStatus::Invalid,
                "cancelled" => ItemStatus::Cancelled,
                _ => return Err("expected `failed`, `invalid` or `cancelled`"),
            });
        }
        Ok(name == "status")
    })?;
    state.reject_if_draining()?;
    let (job, is_new) = state.jobs.retry(caller, &id, only, open).await?;
    Ok(accepted_or_ok(is_new, view(&state, &job)))
}

/// Delete a job
///
/// Removes a job that has ended or is being cancelled, with its inputs and results.
#[utoipa::path(delete, path = "/v1/jobs/{id}", tag = "jobs", params(("id" = String, Path, description = "ID of the job")),
    responses((status = 204, description = "The job was deleted")))]
pub async fn delete_job(
    state: State,
    Extension(caller): Extension<CallerId>,
    open: Option<Extension<OpenRequest>>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<StatusCode, ApiError> {
    no_query(&uri)?;
    state.jobs.delete(caller, &id, open).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn view(state: &AppState, job: &Job) -> JobView {
    let signature = event_links::sign(state, &job.id);
    JobView::new(job, state.jobs.rate(job), &signature)
}

fn accepted_or_ok(is_accepted: bool, view: JobView) -> Response {
    let status = if is_accepted {
        StatusCode::ACCEPTED
    } else {
        StatusCode::OK
    };
    (status, Json(view)).into_response()
}
