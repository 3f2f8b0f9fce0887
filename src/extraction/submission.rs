//! Submission: the only way of a prepared request into the queue, for singles, batches and jobs alike.
//!
//! [`Extractor::prepare`] compiles a spec, [`Extractor::submit`] admits it unless the server drains, and
//! [`AdmittedRequest::run`] extracts. Knows nothing of the transport that inputs come from and outcomes go to.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::batch::{self, Inputs, Outcomes};
use super::checked_versions::CheckedVersions;
use super::extractor::Extractor;
use super::partial_stream::PartialStream;
use super::prepared_request::PreparedRequest;
use super::request_class::RequestClass;
use super::routing::budget_exhausted;
use super::waiting_memory::WaitingMemory;
use crate::types::{Code, Error, Input, OnError, Outcome};
use throttle::{Admission, AdmissionRequest, CallerId, Class, MemoryUse, RETRY_SOON, Refused};

/// Terms under which a prepared request asks for admission.
#[derive(Debug)]
pub struct Submission<'a> {
    pub caller: CallerId,
    /// Number of items; `None`: not known yet.
    pub items: Option<usize>,
    /// Maximum number of items in flight at a time; `None`: as many as the limits allow.
    pub concurrency: Option<usize>,
    /// Token that is cancelled once the server accepts no more work.
    pub draining: &'a CancellationToken,
}

/// A request that was admitted and has not started yet. Dropping it releases its admission.
#[derive(Debug)]
pub struct AdmittedRequest {
    extractor: Arc<Extractor>,
    request: Arc<PreparedRequest>,
    admission: Admission,
}

impl Extractor {
    /// Admits a prepared request.
    ///
    /// # Errors
    /// - `shutting_down` while the server drains;
    /// - `overloaded` if the waiting room is full;
    /// - `quota_exceeded` if the caller's share of it is full, or the caller's budget is used up;
    /// - `forbidden` if the caller has a budget and a model of the request has no price.
    pub fn submit(
        self: &Arc<Self>,
        request: impl Into<Arc<PreparedRequest>>,
        submission: &Submission<'_>,
    ) -> Result<AdmittedRequest, Error> {
        if submission.draining.is_cancelled() {
            return Err(shutting_down());
        }
        let request = request.into();
        let demand = self.admission_request(&request, submission);
        let admission = self
            .limits
            .admit(submission.caller, &demand)
            .map_err(|refused| admission_error(&refused))?;
        Ok(AdmittedRequest {
            extractor: Arc::clone(self),
            request,
            admission,
        })
    }

    fn admission_request(
        &self,
        request: &PreparedRequest,
        submission: &Submission<'_>,
    ) -> AdmissionRequest {
        // Twice the maximum in flight, so that a free slot always finds a waiting item.
        let window = self.limits.max_concurrency().saturating_mul(2);
        let window = window
            .min(submission.concurrency.unwrap_or(usize::MAX))
            .min(submission.items.unwrap_or(usize::MAX));
        let is_job = request.class == RequestClass::Job;
        AdmissionRequest {
            class: if is_job { Class::Job } else { Class::Direct },
            pool: request.endpoint().limits.pool(),
            window: window.max(1),
            is_single: submission.items == Some(1) && !is_job,
            has_price: request.has_price(),
        }
    }
}

impl AdmittedRequest {
    /// Returns the maximum number of items that are started and whose outcomes have not been taken yet.
    #[must_use]
    pub fn window(&self) -> usize {
        self.admission.window()
    }

    /// Returns the memory of a reader of the request's inputs, which waits up to `max_wait` for room.
    #[must_use]
    pub fn input_memory(&self, max_wait: Duration) -> WaitingMemory {
        let ledger = self.extractor.limits.memory();
        let reservation = ledger.empty(self.admission.caller(), MemoryUse::Inputs);
        WaitingMemory::new(reservation, max_wait)
    }

    /// Returns the partial results of the request's only item. Call it before the item starts.
    ///
    /// # Errors
    /// `overloaded` or `payload_too_large` if there is no memory for the schema of the elements that are streamed.
    pub async fn stream_partials(&self) -> Result<PartialStream, Error> {
        let memory = self.extractor.schema_memory(self.admission.caller());
        self.request.stream_partials(memory).await
    }

    /// Returns the versions of the only item's answer that are valid as far as they go. Call it before the item starts.
    #[must_use]
    pub fn stream_versions(&self) -> CheckedVersions {
        let partials = self.request.stream_versions();
        let schema = Arc::clone(&self.request.schema);
        let caller = self.admission.caller();
        CheckedVersions::new(partials, schema, caller)
    }

    /// Extracts from all inputs while the returned stream is polled.
    pub fn run<S: Inputs>(self, on_error: OnError, inputs: S) -> Outcomes<S> {
        Outcomes::new(
            self.extractor,
            self.request,
            self.admission,
            on_error,
            inputs,
        )
    }

    /// Extracts from one input within the current task: a batch of one without the cost of spawning.
    pub async fn run_single(&self, input: Input) -> Outcome {
        batch::extract_in_place(&self.extractor, &self.request, &self.admission, input).await
    }
}

/// Returns the error of a request that arrives, or of an item that is unfinished, when the server shuts down.
#[must_use]
pub fn shutting_down() -> Error {
    Error::new(
        Code::ShuttingDown,
        "the server is shutting down; retry in a moment, or at another instance",
    )
    .retry_after(RETRY_SOON)
}

fn admission_error(refused: &Refused) -> Error {
    match *refused {
        Refused::Overloaded { retry_after, .. } => {
            let detail = format!(
                "the waiting room is full: {refused}; retry later, or send fewer items at a time"
            );
            Error::new(Code::Overloaded, detail).retry_after(retry_after)
        }
        Refused::ShareUsedUp { retry_after, .. } => {
            let detail = format!(
                "the waiting room is nearly full: {refused}; retry later, or send fewer items at a time"
            );
            Error::new(Code::QuotaExceeded, detail).retry_after(retry_after)
        }
        Refused::QuotaUsedUp { retry_after } => {
            let detail = "this caller's quota is used up, and its waiting room is full; retry later, or send fewer items at a time";
            Error::new(Code::QuotaExceeded, detail).retry_after(retry_after)
        }
        Refused::NoPrice => {
            let detail = "this caller has a budget, and the model has no configured price; name a configured model with a price";
            Error::new(Code::Forbidden, detail)
        }
        Refused::BudgetExhausted { retry_after } => budget_exhausted(retry_after),
    }
}
