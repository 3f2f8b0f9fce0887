//! What a job was made with, made ready to run.

use std::sync::Arc;

use super::Shared;
use super::job_spec::JobSpec;
use super::store::{JobKey, StoreError};
use crate::extraction::{PreparedRequest, RequestClass};
use crate::types::{Batch, Code, Error, OnError};

/// A plan for a job's items, and what else it was made with.
pub struct LoadedJob {
    /// Or why it cannot run.
    pub plan: Result<Arc<PreparedRequest>, Error>,
    pub concurrency: Option<usize>,
    pub on_error: OnError,
    pub request_id: String,
    pub has_webhook: bool,
}

/// Makes a job's spec ready.
///
/// # Errors
/// The store's.
pub async fn load_job(shared: &Shared, job: JobKey) -> Result<LoadedJob, StoreError> {
    let spec = shared.store.spec(job).await?.unwrap_or_default();
    let read = |text: &str| {
        let record: JobSpec = serde_json::from_str(text)?;
        Ok((serde_json::from_str::<Batch>(record.batch.get())?, record))
    };
    let (mut batch, record) = match read(&spec) {
        Ok(read) => read,
        Err(error) => return Ok(LoadedJob::unreadable(&error)),
    };
    let plan = shared
        .extractor
        .prepare(
            std::mem::take(&mut batch.spec),
            RequestClass::Job,
            record.traceparent,
        )
        .await;
    Ok(LoadedJob {
        plan: plan.map(Arc::new),
        concurrency: batch.concurrency(),
        on_error: batch.on_error,
        request_id: record.request_id,
        has_webhook: record.webhook.is_some(),
    })
}

impl LoadedJob {
    fn unreadable(error: &serde_json::Error) -> Self {
        let detail = format!(
            "what the job was made with cannot be read by this version of the server: {error}"
        );
        let plan = Err(Error::new(Code::Internal, detail));
        Self {
            plan,
            concurrency: None,
            on_error: OnError::Continue,
            request_id: String::new(),
            has_webhook: false,
        }
    }
}
