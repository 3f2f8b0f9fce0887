//! Loading of a stored job: its spec is parsed, its schema compiled, and the request prepared for extraction.

use std::sync::Arc;
use std::time::Duration;

use super::context::JobContext;
use super::job_spec::JobSpec;
use super::store::{Job, JobKey, StoreError};
use crate::extraction::{PreparedRequest, RequestClass};
use crate::types::{Batch, Code, Error, OnError, TraceContext, plain_message};

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

impl From<JobSpec> for RecordSpec {
    fn from(spec: JobSpec) -> Self {
        Self {
            request_id: spec.request_id,
            has_webhook: spec.webhook.is_some(),
        }
    }
}

/// Request of a job's items.
pub struct LoadedRequest {
    pub prepared: Arc<PreparedRequest>,
    /// Maximum number of items in flight, if the caller gave one.
    pub concurrency: Option<usize>,
    /// Effect of a failed item on the job.
    pub on_error: OnError,
    /// Memory of the values that the request keeps, in bytes.
    pub kept_bytes: usize,
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
    loop {
        let loaded = load_job(context, job).await?;
        let Some(wait) = loaded.retry_after() else {
            return Ok(loaded);
        };
        if tokio::time::timeout(wait, &mut stopped).await.is_ok() {
            return Ok(loaded);
        }
    }
}

/// Loads a job.
///
/// # Errors
/// The store's error. An invalid spec is no error of this function: it is in [`LoadedJob::request`].
pub async fn load_job(context: &JobContext, job: &Job) -> Result<LoadedJob, StoreError> {
    let json = context.store.spec(job.key).await?.unwrap_or_default();
    let (batch, spec) = match parse(&json) {
        Ok(parsed) => parsed,
        Err(error) => return Ok(LoadedJob::unreadable(&error)),
    };
    drop(json);
    let trace_context = spec.trace_context();
    Ok(LoadedJob {
        record: spec.into(),
        request: prepare(context, job, batch, trace_context).await,
    })
}

/// Loads the parts of a job's spec that its records need: enough to end a job that runs no item, without the memory of its request.
/// A spec that this version cannot read has none of them.
///
/// # Errors
/// The store's error.
pub async fn load_record_spec(context: &JobContext, job: JobKey) -> Result<RecordSpec, StoreError> {
    let json = context.store.spec(job).await?.unwrap_or_default();
    let spec = serde_json::from_str::<JobSpec>(&json);
    Ok(spec.map(RecordSpec::from).unwrap_or_default())
}

async fn prepare(
    context: &JobContext,
    job: &Job,
    mut batch: Batch,
    trace_context: Option<TraceContext>,
) -> Result<LoadedRequest, Error> {
    let kept_bytes = batch.kept_bytes();
    let prepared = context
        .extractor
        .prepare(
            context.caller_id(&job.caller),
            std::mem::take(&mut batch.spec),
            RequestClass::Job,
            trace_context,
        )
        .await?;
    Ok(LoadedRequest {
        prepared: Arc::new(prepared.of_job(&job.id)),
        concurrency: batch.concurrency(),
        on_error: batch.on_error,
        kept_bytes,
    })
}

fn parse(json: &str) -> Result<(Batch, JobSpec), serde_json::Error> {
    let spec: JobSpec = serde_json::from_str(json)?;
    Ok((serde_json::from_str(spec.batch.get())?, spec))
}

impl LoadedJob {
    /// Returns the wait before the job is loaded again; `None` if it is ready, or can never run.
    pub fn retry_after(&self) -> Option<Duration> {
        self.request.as_ref().err()?.retry_after
    }

    fn unreadable(error: &serde_json::Error) -> Self {
        let detail = format!(
            "this version of the server cannot read the stored spec of the job: {}; create the job again",
            plain_message(error)
        );
        Self {
            record: RecordSpec::default(),
            request: Err(Error::new(Code::Internal, detail)),
        }
    }
}
