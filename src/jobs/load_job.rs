//! Loading of a stored job: its spec is parsed, its schema compiled, and the request prepared for extraction.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::context::JobContext;
use super::job_spec::JobSpec;
use super::store::{Job, StoreError};
use crate::extraction::{PreparedRequest, RequestClass};
use crate::types::{Batch, Code, Error, OnError, plain_message};

/// Job that is ready to run.
pub struct LoadedJob {
    /// Prepared request, or the error because of which the job cannot run.
    pub request: Result<Arc<PreparedRequest>, Error>,
    /// Maximum number of items in flight, if the caller gave one.
    pub concurrency: Option<usize>,
    /// Effect of a failed item on the job.
    pub on_error: OnError,
    /// ID of the request that created the job.
    pub request_id: String,
    /// Memory of the values that its request keeps, in bytes.
    pub kept_bytes: usize,
    /// True if the job's end is delivered to a webhook.
    pub has_webhook: bool,
}

/// Loads a job as [`load_job`] does, and again while it cannot be prepared for a reason that passes, such as a lack of memory.
/// Gives up once `cancel` is cancelled or the server drains: the error in [`LoadedJob::request`] then has a `retry_after`.
///
/// # Errors
/// The store's error.
pub async fn load_when_possible(
    context: &JobContext,
    job: &Job,
    cancel: &CancellationToken,
) -> Result<LoadedJob, StoreError> {
    let stopped = async {
        tokio::select! {
            () = cancel.cancelled() => {}
            () = context.shutdown.draining.cancelled() => {}
        }
    };
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
    let (mut batch, spec) = match parse(&json) {
        Ok(parsed) => parsed,
        Err(error) => return Ok(LoadedJob::unreadable(&error)),
    };
    let kept_bytes = batch.kept_bytes();
    let caller = context.extractor.limits().caller_of(&job.caller);
    let request = context
        .extractor
        .prepare(
            caller.unwrap_or_default(),
            std::mem::take(&mut batch.spec),
            RequestClass::Job,
            spec.trace_context(),
        )
        .await;
    Ok(LoadedJob {
        request: request.map(|request| Arc::new(request.of_job(&job.id))),
        concurrency: batch.concurrency(),
        on_error: batch.on_error,
        request_id: spec.request_id,
        kept_bytes,
        has_webhook: spec.webhook.is_some(),
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
            request: Err(Error::new(Code::Internal, detail)),
            concurrency: None,
            on_error: OnError::Continue,
            request_id: String::new(),
            kept_bytes: 0,
            has_webhook: false,
        }
    }
}
