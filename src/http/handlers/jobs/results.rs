//! `GET /v1/jobs/{id}/results`: recorded results, as pages of JSON or all of them as NDJSON.

use axum::Extension;
use axum::body::Body;
use axum::extract::Path;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use super::super::super::content_negotiation::{ResponseFormat, response_format};
use super::super::super::problem::ApiError;
use super::super::super::query::{OFFSET_UNIT, PageQuery, parse_offset_unit};
use super::super::super::request_memory::no_response_memory;
use super::super::super::response_memory::{
    PAGE_TIMEOUT, StreamMemory, page_room, reserve_page, resize_if_possible, waiting_memory,
};
use super::super::super::state::State;
use super::super::super::upload_monitor::MEMORY_TIMEOUT;
use crate::contract::ItemResult;
use crate::extraction::WaitingMemory;
use crate::jobs::Jobs;
use crate::jobs::store::{Event, ItemStatus, Job, JobKey, PageSize, ResultOrder};
use crate::types::{Error, OffsetUnit};
use throttle::CallerId;

// `ResultQuery::page` writes this object piece by piece; the type exists for the OpenAPI document.
/// A page of a job's results.
#[derive(serde::Serialize, utoipa::ToSchema)]
pub struct ResultList<'a> {
    data: Vec<ItemResult<'a>>,
    has_more: bool,
    /// Cursor of the next page, for `after`. Present while the job runs, even if no more results are recorded yet.
    next: Option<String>,
}

/// Get the results of a job
///
/// Returns the results recorded so far. In input order, while the job runs, the list ends before the first input without a
/// result. With `Accept: application/x-ndjson`, returns all results, one per line.
#[utoipa::path(get, path = "/v1/jobs/{id}/results", operation_id = "list_job_results", tag = "jobs",
    params(("id" = String, Path, description = "ID of the job"),
        ("order" = Option<String>, Query, pattern = "^(input|completion)$", description = "Order of the results: `input` or `completion`. Default `input`"),
        ("status" = Option<String>, Query, pattern = "^(succeeded|failed|invalid|cancelled)$", description = "Return only results with this status"),
        ("offset_unit" = Option<String>, Query, pattern = "^(code_point|utf16|byte)$", description = "Unit of the offsets in `evidence`: `code_point` (default), `utf16` or `byte`"),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 1000, description = "Maximum number of entries. Default 100"),
        ("after" = Option<String>, Query, description = "Cursor: `next` of the previous page")),
    responses((status = 200, description = "The results recorded so far", content((ResultList = "application/json"), (String = "application/x-ndjson")))))]
pub async fn job_results(
    state: State,
    Extension(caller): Extension<CallerId>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, ApiError> {
    let (mut order, mut only) = (ResultOrder::Input, None);
    let mut unit = OffsetUnit::default();
    let known = ["order", "status", OFFSET_UNIT];
    let page = PageQuery::parse_with(uri.query(), &known, |name, value| {
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
            OFFSET_UNIT => unit = parse_offset_unit(value)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let after = page
        .after
        .as_deref()
        .map(|after| after.parse::<u32>().map_err(|_| bad_cursor()))
        .transpose()?;
    // Its metadata is not kept while there is no memory, or the results are sent.
    let Job { key, status, .. } = state.jobs.get(caller, &id).await?;
    let results = |max_wait| ResultQuery {
        jobs: state.jobs.clone(),
        caller,
        job: key,
        has_ended: status.is_ended(),
        order,
        only,
        unit,
        input_memory: waiting_memory(&state, caller, max_wait),
    };
    match response_format(&headers, false) {
        ResponseFormat::Ndjson => {
            let memory = StreamMemory::reserve(&state, caller)?;
            let pages = waiting_memory(&state, caller, MEMORY_TIMEOUT);
            let content_type = [(CONTENT_TYPE, "application/x-ndjson")];
            let body = results(MEMORY_TIMEOUT).ndjson(after, pages);
            Ok(memory.hold((content_type, body).into_response()))
        }
        ResponseFormat::Json | ResponseFormat::Sse => {
            let limit = u32::try_from(page.limit).unwrap_or(u32::MAX);
            let memory = reserve_page(&state, caller).await?;
            let page = results(PAGE_TIMEOUT).page(after, limit, memory).await?;
            Ok(([(CONTENT_TYPE, "application/json")], page).into_response())
        }
    }
}

/// Selection of a job's results.
struct ResultQuery {
    jobs: Jobs,
    /// Caller that owns the job.
    caller: CallerId,
    job: JobKey,
    /// True if no further result follows.
    has_ended: bool,
    order: ResultOrder,
    only: Option<ItemStatus>,
    unit: OffsetUnit,
    /// Memory of the input whose result is converted.
    input_memory: WaitingMemory,
}

impl ResultQuery {
    /// Converts the offsets of evidence to the unit that was asked for.
    async fn convert(&mut self, results: &mut [Event]) -> Result<(), Error> {
        let memory = &mut self.input_memory;
        self.jobs
            .convert_offsets(self.job, results, self.unit, memory)
            .await
    }

    /// Returns the cursor after a result.
    fn cursor(&self, event: &Event) -> u32 {
        match self.order {
            ResultOrder::Input => event.item.map_or(0, |(index, _)| index),
            ResultOrder::Completion => event.number,
        }
    }

    /// Returns the JSON of a page. `memory` has room for a usual one.
    async fn page(
        mut self,
        after: Option<u32>,
        limit: u32,
        mut memory: WaitingMemory,
    ) -> Result<Vec<u8>, Error> {
        let size = PageSize::of_rows(limit.saturating_add(1));
        let mut results = self.load_within(&mut memory, after, size).await?;
        // One read returns fewer results than requested if they are long, or if it looks at many others.
        let mut has_more = results.len() > limit as usize;
        results.truncate(limit as usize);
        if !has_more && let Some(last) = results.last() {
            let after = Some(self.cursor(last));
            has_more = self
                .jobs
                .has_results(self.caller, self.job, self.order, self.only, after)
                .await?;
        }
        let last = results.last().map(|last| self.cursor(last)).or(after);
        let next = last.filter(|_| has_more || !self.has_ended);
        self.convert(&mut results).await?;
        let next = next.map_or_else(|| "null".to_owned(), |next| format!("\"{next}\""));
        let end = format!("],\"has_more\":{has_more},\"next\":{next}}}");
        Ok(joined(b"{\"data\":[", &results, b",", end.as_bytes()))
    }

    /// Loads a page, and reserves its memory beyond what is reserved already. Waits if there is no memory.
    async fn load_within(
        &self,
        memory: &mut WaitingMemory,
        after: Option<u32>,
        page: PageSize,
    ) -> Result<Vec<Event>, Error> {
        let least = memory.reservation_mut().bytes();
        loop {
            let results = self
                .jobs
                .results(self.caller, self.job, self.order, self.only, after, page)
                .await?;
            let room = page_room(results.iter().map(|event| event.body.len()).sum());
            let room = room.max(least);
            if resize_if_possible(memory.reservation_mut(), room).is_ok() {
                return Ok(results);
            }
            // Read again later, so that nothing is held meanwhile: others that wait need it.
            drop(results);
            memory.shrink(0);
            let reserved = memory.reserve(room).await;
            reserved.map_err(|refused| no_response_memory(&refused))?;
        }
    }

    /// Returns the body of all results. `memory` is that of its pages.
    fn ndjson(self, after: Option<u32>, memory: WaitingMemory) -> Body {
        let pages = stream::try_unfold(
            (self, after, memory),
            |(mut query, after, mut memory)| async move {
                let page = PageSize::STREAM;
                let mut results = query.load_within(&mut memory, after, page).await?;
                query.convert(&mut results).await?;
                let Some(last) = results.last().map(|last| query.cursor(last)) else {
                    return Ok(None);
                };
                let lines = joined(b"", &results, b"\n", b"\n");
                drop(results);
                // The part is counted from here on.
                let _smaller = memory.reservation_mut().resize(0);
                // An error ends the response without its last chunk, so that the client sees it as incomplete.
                Ok::<_, Error>(Some((lines, (query, Some(last), memory))))
            },
        );
        Body::from_stream(pages)
    }
}

/// Returns the bodies of results, in a buffer without spare room.
fn joined(start: &[u8], results: &[Event], separator: &[u8], end: &[u8]) -> Vec<u8> {
    let bodies: usize = results.iter().map(|event| event.body.len()).sum();
    let separators = separator.len() * results.len().saturating_sub(1);
    let mut out = Vec::with_capacity(start.len() + bodies + separators + end.len());
    out.extend_from_slice(start);
    for (position, event) in results.iter().enumerate() {
        if position > 0 {
            out.extend_from_slice(separator);
        }
        out.extend_from_slice(&event.body);
    }
    out.extend_from_slice(end);
    out
}

fn bad_cursor() -> Error {
    Error::invalid("/after", "expected the `next` of the previous page")
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::time::Duration;

    use serde_json::Value;
    use throttle::{MemoryLedger, MemoryUse};

    use super::*;
    use crate::jobs::store::FinishedItem;
    use crate::jobs::test_context::{TestContext, store_queued};
    use crate::types::Usage;

    const CALLER: CallerId = CallerId(8);
    /// Size of a result: more than a page has room for.
    const LARGE: usize = 4 << 20;
    const ROOM: usize = 3 << 20;
    /// Longer than a page takes.
    const LIMIT: Duration = Duration::from_secs(30);

    /// Returns a query of two large results.
    async fn large_results(test: &TestContext, ledger: &MemoryLedger) -> ResultQuery {
        let store = test.context.store.as_ref();
        let job = store_queued(store, "job_1", 2).await;
        for index in 0..2 {
            let result = FinishedItem {
                index,
                status: ItemStatus::Succeeded,
                body: format!("\"{}\"", "x".repeat(LARGE)).into_bytes(),
                usage: Usage::default(),
                grounding: None,
            };
            store.record_results(job, vec![result]).await.unwrap();
        }
        ResultQuery {
            jobs: test.jobs(),
            caller: CALLER,
            job,
            has_ended: true,
            order: ResultOrder::Input,
            only: None,
            unit: OffsetUnit::default(),
            input_memory: memory_of(ledger, 0),
        }
    }

    fn memory_of(ledger: &MemoryLedger, bytes: usize) -> WaitingMemory {
        let reserved = ledger.reserve(CALLER, MemoryUse::Responses, bytes);
        WaitingMemory::new(reserved.unwrap(), LIMIT)
    }

    #[tokio::test]
    async fn a_page_with_a_large_result_waits_for_its_memory_and_holds_none() {
        let test = TestContext::new("large-page");
        let ledger = MemoryLedger::new(4 * LARGE, 4 * LARGE);
        let query = large_results(&test, &ledger).await;
        let other = ledger.reserve(CALLER, MemoryUse::Inputs, 3 * LARGE);
        let others = ledger.snapshot().held;
        let mut page = pin!(query.page(None, 1, memory_of(&ledger, ROOM)));
        let holds_none = async {
            while ledger.snapshot().held > others {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            biased;
            page = page.as_mut() => panic!("it is made without memory: {}", page.is_ok()),
            () = holds_none => {}
        }
        drop(other);
        let page = tokio::time::timeout(LIMIT, page).await.unwrap().unwrap();
        let page: Value = serde_json::from_slice(&page).unwrap();
        assert_eq!(page["data"].as_array().map(Vec::len), Some(1));
        assert_eq!(
            (&page["has_more"], &page["next"]),
            (&true.into(), &"0".into())
        );
    }

    #[tokio::test]
    async fn the_last_page_has_no_next_one() {
        let test = TestContext::new("last-large-page");
        let ledger = MemoryLedger::new(4 * LARGE, 4 * LARGE);
        let query = large_results(&test, &ledger).await;
        let page = query.page(Some(0), 1, memory_of(&ledger, ROOM)).await;
        let page: Value = serde_json::from_slice(&page.unwrap()).unwrap();
        assert_eq!(page["data"].as_array().map(Vec::len), Some(1));
        assert_eq!(
            (&page["has_more"], &page["next"]),
            (&false.into(), &Value::Null)
        );
        assert_eq!(ledger.snapshot().held, 0);
    }
}
