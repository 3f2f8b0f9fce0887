//! Loading of a stored job: its spec is parsed, its schema compiled, and the request prepared for extraction.
//!
//! The memory of the spec is reserved before it is read. A job that waits for memory holds none: several jobs of a caller, each with a
//! part of what it needs, would wait for one another for ever.

use std::sync::Arc;
use std::time::Duration;

use throttle::{MemoryReservation, MemoryUse, NoMemory};

use super::context::JobContext;
use super::job_spec::{EndFields, JobSpec};
use super::store::{Job, JobKey, MAX_PAGE_BYTES, StoreError};
use crate::extraction::{PreparedRequest, RequestClass, WaitingMemory};
use crate::long_work::{Piece, spawn_if_long};
use crate::types::{
    Batch, Code, Error, OnError, TraceContext, is_long_to_parse, parsed_size, plain_message,
};

/// Copies of a spec's text while it is read: SQLite's, and the one that it returns.
const READ_COPIES: usize = 2;
/// Memory that is free beside that of a spec when it is reserved, in bytes: that of a page of inputs while it is decoded. A job with all
/// that its caller may hold in its values could never read an input.
const INPUT_ROOM: usize = 2 * MAX_PAGE_BYTES;
/// Maximum wait before a job without memory for its schema is loaded again, which jitter may double. The first wait is a second.
const MAX_RETRY_WAIT: Duration = Duration::from_secs(8);
/// Maximum wait for the memory of a spec before the spec is loaded again: its caller may hold less by then, too little for it.
const MAX_ROOM_WAIT: Duration = Duration::from_secs(60);

/// Job that is ready to run.
pub struct LoadedJob {
    /// Parts of its spec that its records need.
    pub record: RecordSpec,
    /// Request of its items, or the error because of which the job cannot run.
    pub request: Result<LoadedRequest, Error>,
}

/// Parts of a job's spec that the records of its results and of its end need.
#[derive(Debug, Default)]
pub struct RecordSpec {
    /// ID of the request that created the job.
    pub request_id: String,
    /// True if the job's end is delivered to a webhook.
    pub has_webhook: bool,
}

impl RecordSpec {
    /// Parses the parts of a stored spec. One that this version cannot read has none of them.
    fn parse(json: &str) -> Self {
        let fields = EndFields::parse(json).map(|fields| Self {
            request_id: fields.request_id,
            has_webhook: fields.webhook.is_some(),
        });
        fields.unwrap_or_default()
    }
}

/// Request of a job's items.
pub struct LoadedRequest {
    pub prepared: Arc<PreparedRequest>,
    /// Maximum number of items in flight, if the caller gave one.
    pub concurrency: Option<usize>,
    /// Effect of a failed item on the job.
    pub on_error: OnError,
    /// Memory of the texts and values that the request keeps.
    _memory: MemoryReservation,
}

/// Loads a job as [`load_job`] does, and again while it cannot be prepared for a reason that passes, such as a lack of memory.
/// Gives up once `stopped` is ready: the error in [`LoadedJob::request`] then has a `retry_after`.
///
/// # Errors
/// The store's error.
pub async fn load_when_possible(
    context: &JobContext,
    job: &Job,
    stopped: impl Future<Output = ()>,
) -> Result<LoadedJob, StoreError> {
    tokio::pin!(stopped);
    let mut memory = WaitingMemory::new(no_memory_yet(context, job), MAX_ROOM_WAIT);
    let mut wait = Duration::ZERO;
    loop {
        let reserved = memory.split(usize::MAX);
        let (loaded, needed_bytes) = load_within(context, job, reserved).await?;
        let Some(retry_after) = loaded.retry_after() else {
            return Ok(loaded);
        };
        wait = retry_after.max(MAX_RETRY_WAIT.min(wait * 2));
        let until_possible = async {
            // Jobs that took the memory from one another do not try again at the same time.
            tokio::time::sleep(wait.mul_f64(1.0 + fastrand::f64())).await;
            // Without memory, the next load returns the reason.
            let _ = memory.reserve(needed_bytes).await;
        };
        tokio::select! {
            biased;
            () = &mut stopped => {
                let record = load_record_spec(context, job).await?;
                return Ok(LoadedJob { record, ..loaded });
            }
            () = until_possible => {}
        }
    }
}

/// Loads a job, if there is memory for it now. Without memory to read its spec, the job has no record yet.
///
/// # Errors
/// The store's error. An invalid spec is no error of this function: it is in [`LoadedJob::request`].
pub async fn load_job(context: &JobContext, job: &Job) -> Result<LoadedJob, StoreError> {
    let (loaded, _) = load_within(context, job, no_memory_yet(context, job)).await?;
    Ok(loaded)
}

/// Loads a job. Reserves what `memory` lacks for it, and returns the bytes that it needs as well.
async fn load_within(
    context: &JobContext,
    job: &Job,
    mut memory: MemoryReservation,
) -> Result<(LoadedJob, usize), StoreError> {
    let size = context.store.spec_size(job.key).await?.unwrap_or_default();
    let read_bytes = size.saturating_mul(READ_COPIES);
    if let Err(refused) = memory.resize(memory.bytes().max(read_bytes)) {
        drop(memory);
        let error = no_memory(&refused);
        // One that waits is loaded again before it is recorded.
        let record = match error.retry_after {
            Some(_) => RecordSpec::default(),
            None => load_record_spec(context, job).await?,
        };
        let request = Err(error);
        return Ok((LoadedJob { record, request }, read_bytes));
    }
    let json = context.store.spec(job.key).await?.unwrap_or_default();
    let piece = is_long_to_parse(json.as_bytes()).then(|| Piece {
        caller: memory.caller(),
        bytes: json.len(),
    });
    let parse = move || ParsedSpec::parse(json, memory);
    let parsed = spawn_if_long(piece, parse).await.map_err(|_| {
        StoreError::Other("the read of a job's spec panicked; this is a bug".to_owned())
    })?;
    let request = match parsed.request {
        Ok(request) => request.prepare(context, job).await,
        Err(error) => Err(error),
    };
    let loaded = LoadedJob {
        record: parsed.record,
        request,
    };
    Ok((loaded, parsed.needed_bytes))
}

/// Loads the parts of a job's spec that its records need: enough to end a job that runs no item, without the memory of its request.
/// A spec that this version cannot read has none of them.
///
/// # Errors
/// The store's error.
pub async fn load_record_spec(context: &JobContext, job: &Job) -> Result<RecordSpec, StoreError> {
    load_for_end(context, job.key, &job.caller, RecordSpec::parse).await
}

/// Reads the spec of a caller's job, empty if it was removed, and parses it. The end of a job and its delivery must not wait for memory,
/// so that of the text is recorded, and few are read at a time.
///
/// # Errors
/// The store's error.
pub async fn load_for_end<T>(
    context: &JobContext,
    job: JobKey,
    caller: &str,
    parse: impl FnOnce(&str) -> T,
) -> Result<T, StoreError> {
    let caller = context.caller_id(caller);
    let size = context.store.spec_size(job).await?.unwrap_or_default();
    let _turn = context.spec_turn(caller, size).await;
    let _memory = context.record_inputs(caller, size.saturating_mul(READ_COPIES));
    let json = context.store.spec(job).await?.unwrap_or_default();
    Ok(parse(&json))
}

/// Returns an empty reservation for a job.
fn no_memory_yet(context: &JobContext, job: &Job) -> MemoryReservation {
    let ledger = context.extractor.limits().memory();
    ledger.empty(context.caller_id(&job.caller), MemoryUse::Inputs)
}

/// Spec of a job, parsed if there was memory for it.
struct ParsedSpec {
    record: RecordSpec,
    request: Result<ParsedRequest, Error>,
    /// Memory without which it is not parsed, in bytes.
    needed_bytes: usize,
}

/// Request of a job's items that is not prepared yet.
struct ParsedRequest {
    batch: Batch,
    trace_context: Option<TraceContext>,
    /// Memory of its text and its values.
    memory: MemoryReservation,
}

impl ParsedSpec {
    fn parse(json: String, mut memory: MemoryReservation) -> Self {
        let record = RecordSpec::parse(&json);
        // A copy of the text is parsed.
        let spec_bytes = json.len() + parsed_size(json.as_bytes());
        let mut needed_bytes = spec_bytes + INPUT_ROOM;
        let mut reserved = memory.resize(needed_bytes);
        if matches!(reserved, Err(NoMemory::TooLarge { .. })) {
            needed_bytes = spec_bytes;
            reserved = memory.resize(needed_bytes);
        }
        let request = match reserved {
            Ok(()) => ParsedRequest::parse(json, memory).map_err(|error| unreadable(&error)),
            Err(refused) => Err(no_memory(&refused)),
        };
        Self {
            record,
            request,
            needed_bytes,
        }
    }
}

impl ParsedRequest {
    fn parse(json: String, mut memory: MemoryReservation) -> Result<Self, serde_json::Error> {
        let text_bytes = json.len();
        let spec: JobSpec = serde_json::from_str(&json)?;
        drop(json);
        let batch: Batch = serde_json::from_str(spec.batch.get())?;
        memory.shrink(text_bytes + batch.kept_bytes());
        Ok(Self {
            batch,
            trace_context: spec.trace_context(),
            memory,
        })
    }

    async fn prepare(self, context: &JobContext, job: &Job) -> Result<LoadedRequest, Error> {
        let (concurrency, on_error) = (self.batch.concurrency(), self.batch.on_error);
        let caller = || context.extractor.limits().caller_of(&job.caller);
        let id = caller().ok_or_else(removed_caller)?;
        let (spec, class) = (self.batch.spec, RequestClass::Job);
        let prepared = context
            .extractor
            .prepare(id, spec, class, self.trace_context);
        let prepared = prepared.await.map_err(|error| {
            // A caller that was removed meanwhile had no rights any more.
            caller().map_or_else(removed_caller, |_| error)
        })?;
        Ok(LoadedRequest {
            prepared: Arc::new(prepared.of_job(&job.id)),
            concurrency,
            on_error,
            _memory: self.memory,
        })
    }
}

impl LoadedJob {
    /// Returns the wait before the job is loaded again; `None` if it is ready, or can never run.
    pub fn retry_after(&self) -> Option<Duration> {
        self.request.as_ref().err()?.retry_after
    }
}

/// Returns the error of a job whose caller is not configured: it waits until the caller is, whose rights it has then.
fn removed_caller() -> Error {
    let detail = "the caller of the job is not configured any more";
    Error::new(Code::Overloaded, detail).retry_after(Duration::from_secs(1))
}

fn unreadable(error: &serde_json::Error) -> Error {
    let detail = format!(
        "this version of the server cannot read the stored spec of the job: {}; create the job again",
        plain_message(error)
    );
    Error::new(Code::Internal, detail)
}

/// Returns the error of a spec for which there is no memory. It passes unless the spec can never fit.
fn no_memory(refused: &NoMemory) -> Error {
    let problem = |code, advice| {
        let detail = format!(
            "there is no memory for the values of the job: {refused} (`limits.max_memory_bytes`); {advice}"
        );
        Error::new(code, detail)
    };
    match refused {
        NoMemory::TooLarge { .. } => problem(
            Code::PayloadTooLarge,
            "create the job again with fewer values in `examples` and `extra_body`, and without needless white space",
        ),
        // Its memory is waited for, not a time.
        NoMemory::Full | NoMemory::ShareUsedUp => {
            problem(Code::Overloaded, "the job waits for room").retry_after(Duration::ZERO)
        }
    }
}

#[cfg(test)]
mod tests;
