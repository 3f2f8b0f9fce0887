//! `GET /v1/jobs/{id}/results`: what is recorded, a page at a time or all of it as NDJSON.

use axum::Extension;
use axum::body::Body;
use axum::extract::Path;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream;

use super::super::State;
use super::super::content_negotiation::{ResponseFormat, wanted};
use super::super::problem::ApiError;
use super::super::query::PageQuery;
use crate::contract::{ItemResult, Problem};
use crate::jobs::Jobs;
use crate::jobs::store::{Event, ItemStatus, Job, ResultOrder};
use crate::types::Error;
use throttle::CallerId;

/// Results that are read at a time for NDJSON.
const PAGE: u32 = 1_000;

/// A page of a job's results; here only for the reference, for it is written piece by piece.
#[derive(serde::Serialize, utoipa::ToSchema)]
pub struct ResultList<'a> {
    data: Vec<ItemResult<'a>>,
    has_more: bool,
    /// The cursor of the next page, for `after`. While the job runs it is there even if there is no more yet.
    next: Option<String>,
}

/// The results that are recorded so far.
///
/// In the order of the inputs they end, while the job runs, before the first input that has none yet. With
/// `Accept: application/x-ndjson` all of them come, a line each.
#[utoipa::path(get, path = "/v1/jobs/{id}/results", tag = "jobs",
    params(("id" = String, Path),
        ("order" = Option<String>, Query, pattern = "^(input|completion)$", description = "`input`, if not said, or `completion`"),
        ("status" = Option<String>, Query, pattern = "^(succeeded|failed|invalid|cancelled)$", description = "Only these"),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 1000, description = "Entries of a page, 100 if not said"),
        ("after" = Option<String>, Query, description = "The `next` of the page before")),
    responses((status = 200, content((ResultList = "application/json"), (String = "application/x-ndjson"))),
        (status = "default", body = Problem, content_type = "application/problem+json")))]
pub async fn job_results(
    state: State,
    Extension(caller): Extension<CallerId>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, ApiError> {
    let (mut order, mut only) = (ResultOrder::Input, None);
    let page = PageQuery::read_with(uri.query(), |name, value| {
        match name {
            "order" => {
                order = match value {
                    "input" => ResultOrder::Input,
                    "completion" => ResultOrder::Completion,
                    _ => return Err("expected `input` or `completion`"),
                }
            }
            "status" => {
                only = Some(match value {
                    "succeeded" => ItemStatus::Succeeded,
                    "failed" => ItemStatus::Failed,
                    "invalid" => ItemStatus::Invalid,
                    "cancelled" => ItemStatus::Cancelled,
                    _ => return Err("expected `succeeded`, `failed`, `invalid` or `cancelled`"),
                });
            }
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let after = page
        .after
        .as_deref()
        .map(|after| after.parse::<u32>().map_err(|_| bad_cursor()))
        .transpose()?;
    let job = state.jobs.get(caller, &id).await?;
    let wants = Wants {
        jobs: state.jobs.clone(),
        job,
        order,
        only,
    };
    match wanted(&headers, false) {
        ResponseFormat::Ndjson => {
            Ok(([(CONTENT_TYPE, "application/x-ndjson")], wants.all(after)).into_response())
        }
        ResponseFormat::Json | ResponseFormat::Sse => {
            let limit = u32::try_from(page.limit).unwrap_or(u32::MAX);
            Ok((
                [(CONTENT_TYPE, "application/json")],
                wants.page(after, limit).await?,
            )
                .into_response())
        }
    }
}

struct Wants {
    jobs: Jobs,
    job: Job,
    order: ResultOrder,
    only: Option<ItemStatus>,
}

impl Wants {
    async fn read(&self, after: Option<u32>, limit: u32) -> Result<Vec<Event>, Error> {
        self.jobs
            .results(&self.job, self.order, self.only, after, limit)
            .await
    }

    /// The cursor behind a result.
    fn cursor(&self, event: &Event) -> u32 {
        match self.order {
            ResultOrder::Input => event.item.map_or(0, |(index, _)| index),
            ResultOrder::Completion => event.number,
        }
    }

    async fn page(&self, after: Option<u32>, limit: u32) -> Result<Bytes, Error> {
        let mut results = self.read(after, limit.saturating_add(1)).await?;
        // A page of long results is shorter than was asked for.
        let mut has_more = results.len() > limit as usize;
        results.truncate(limit as usize);
        if !has_more && let Some(last) = results.last() {
            has_more = !self.read(Some(self.cursor(last)), 1).await?.is_empty();
        }
        let last = results.last().map(|last| self.cursor(last)).or(after);
        let next = last.filter(|_| has_more || !self.job.status.is_ended());
        let mut out = BytesMut::from(&b"{\"data\":["[..]);
        for (at, event) in results.iter().enumerate() {
            if at > 0 {
                out.put_u8(b',');
            }
            out.put_slice(&event.body);
        }
        let next = next.map_or_else(|| "null".to_owned(), |next| format!("\"{next}\""));
        out.put_slice(format!("],\"has_more\":{has_more},\"next\":{next}}}").as_bytes());
        Ok(out.freeze())
    }

    fn all(self, after: Option<u32>) -> Body {
        let pages = stream::try_unfold((self, after), |(wants, after)| async move {
            let results = wants.read(after, PAGE).await?;
            let Some(last) = results.last().map(|last| wants.cursor(last)) else {
                return Ok(None);
            };
            let mut out = BytesMut::new();
            for event in &results {
                out.put_slice(&event.body);
                out.put_u8(b'\n');
            }
            // Cut off in the middle, a reply is known to be broken by its missing last chunk.
            Ok::<_, Error>(Some((out.freeze(), (wants, Some(last)))))
        });
        Body::from_stream(pages)
    }
}

fn bad_cursor() -> Error {
    Error::invalid("/after", "expected the `next` of the page before")
}
