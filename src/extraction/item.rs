//! One item, from its input to its outcome: the cache, then single flight, then the attempts.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::cache::CachedSuccess;
use super::cache_key::CacheKey;
use super::extractor::Extractor;
use super::item_spans::ItemSpans;
use super::item_spans::SINGLE_FLIGHT;
use super::prepared_request::PreparedRequest;
use super::request_class::RequestClass;
use super::result_memory::{
    SharedResultMemory, UNRESERVED_RESULT_BYTES, hold_result, reserve_result,
};
use super::routing::RouteCursor;
use super::tracer::Tracer;
use crate::long_work::{LONG_TEXT_BYTES, Piece, run_long, run_off_worker};
use crate::provider::{CallMemory, Trial};
use crate::telemetry::{ActiveSpan, Attribute, SpanRole, SpanStart};
use crate::types::{
    AttemptInfo, CacheUse, Code, Error, Input, Invalid, ItemOutcome, ModelUsage, OnFailure,
    Outcome, Success, Timing, Usage, clock, written_size,
};
use throttle::{
    Admission, MemoryPool, MemoryReservation, MemoryUse, PendingPermit, Permit, Priority,
};

/// Interval at which an item that shares another's result checks if its targets are available.
const OUTAGE_CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// Number of letters at the beginning of a text that are looked at first.
const FIRST_CHARS: usize = 64;

/// Error message of a text without content.
pub const BLANK: &str = "this text is blank: there is nothing to extract from";

/// Returns true if a text has nothing but whitespace. Most texts show it by their first letters; a long one that does not is searched
/// off the worker.
#[must_use]
pub fn is_blank(text: &str) -> bool {
    let is_space = |letter: char| letter.is_whitespace();
    let begins_blank = text.chars().take(FIRST_CHARS).all(is_space);
    begins_blank && run_off_worker(text.len() >= LONG_TEXT_BYTES, || text.chars().all(is_space))
}

impl Extractor {
    /// Extracts from one input.
    ///
    /// # Cancel safety
    /// Dropping the future releases its permit or leaves the queue, and cancels the call.
    pub(super) async fn extract_item(
        &self,
        request: &Arc<PreparedRequest>,
        admission: &Admission,
        results: &MemoryPool,
        pending: Option<PendingPermit>,
        input: Input,
    ) -> Outcome {
        let (started, started_at) = (Instant::now(), clock::now());
        let mut item = ItemRun::new(
            self,
            request,
            RouteCursor::new(admission, &self.limits, request, pending),
            self.limits
                .memory()
                .empty(admission.caller(), MemoryUse::Responses),
            results,
        );
        let spans = ItemSpans::begin(self.item_span(request, input.index, started_at));
        item.tracer = Tracer::start((started, started_at), request.trace, spans);
        let result = match &input.content {
            Err(error) => Err(error.clone()),
            Ok(text) if request.chat.is_some() => item.pass_through(text).await,
            Ok(text) if is_blank(text) => {
                Err(Error::invalid(format!("/inputs/{}", input.index), BLANK))
            }
            Ok(text) => item.extract_or_share(text).await,
        };
        let mut ending = result.map_or_else(
            |error| failed_outcome(error, request.on_failure),
            ItemOutcome::Succeeded,
        );
        let memory = match item.reserve_shared(&ending).await {
            Ok(memory) => memory,
            Err(error) => {
                ending = ItemOutcome::Failed(error);
                None
            }
        };
        let text = input.content.as_deref().unwrap_or_default();
        let evidence = match request.grounder(text) {
            Some(grounder) => grounder.ground(&mut ending, admission.caller()).await,
            None => None,
        };
        item.timing.total = started.elapsed();
        item.timing.ended_at = Some(clock::now());
        let tracer = item.tracer.take();
        let mut outcome = Outcome {
            index: input.index,
            id: input.id,
            metadata: input.metadata,
            ending,
            attempts: item.attempts,
            usage: item.usage,
            spent: item.usage_by_model,
            timing: item.timing,
            trace: None,
            evidence,
            memory: None,
        };
        outcome.trace = tracer.and_then(|tracer| tracer.finish(&outcome));
        let bytes = outcome.bytes_beside_data();
        outcome.memory = match memory {
            Some(memory) => Some(memory.hold(results, bytes)),
            None => hold_result(results, bytes),
        };
        self.meters.ended(&outcome);
        outcome
    }

    /// Starts the span of an item; nothing if traces are off.
    fn item_span(&self, request: &PreparedRequest, index: usize, at: SystemTime) -> ActiveSpan {
        self.traces.span(request.trace_context.as_ref(), || {
            let index = i64::try_from(index).unwrap_or(i64::MAX);
            let mut attributes = vec![
                Attribute::new("extractd.item.index", index),
                Attribute::new("extractd.request.class", request.class.as_str()),
            ];
            if let Some(job) = &request.job {
                attributes.push(Attribute::new("extractd.job.id", Arc::clone(job)));
            }
            SpanStart {
                name: "item".into(),
                role: SpanRole::Internal,
                at: Some(at),
                attributes,
            }
        })
    }

    /// Enters the queue for the first call of an item. Returns `None` for an item that needs no call, which therefore uses no
    /// quota.
    pub(super) fn enter(
        &self,
        request: &PreparedRequest,
        admission: &Admission,
        input: &Input,
    ) -> Option<PendingPermit> {
        let text = input.content.as_ref().ok().filter(|text| !is_blank(text))?;
        if let Some(cache) = self
            .cache
            .as_ref()
            .filter(|_| request.cache == CacheUse::Use)
            && request
                .cache_key(text)
                .is_some_and(|key| cache.contains(&key, Instant::now()))
        {
            return None;
        }
        let route = RouteCursor::new(admission, &self.limits, request, None);
        Some(route.enqueue(text, request.max_output_tokens, Priority::First))
    }
}

/// Returns the outcome of an item without a valid answer. Made from the error, so that equal items share the error although
/// their `on_failure` differs.
fn failed_outcome(mut error: Error, on_failure: OnFailure) -> ItemOutcome {
    let wants_best = on_failure == OnFailure::Best && error.code == Code::ExtractionFailed;
    match error.attempted.as_deref().filter(|_| wants_best) {
        Some(AttemptInfo {
            candidate: Some(candidate),
            model,
            ..
        }) => ItemOutcome::Invalid(Invalid {
            candidate: candidate.clone(),
            errors: std::mem::take(&mut error.errors),
            model: model.clone(),
        }),
        _ => ItemOutcome::Failed(error),
    }
}

/// Progress of one item, and the resources that it has used so far.
#[derive(Debug)]
pub(super) struct ItemRun<'a> {
    pub extractor: &'a Extractor,
    pub request: &'a Arc<PreparedRequest>,
    /// Current target, and the item's position in its queue.
    pub route: RouteCursor<'a>,
    /// Rest of `timeout_ms`.
    pub time_left: Duration,
    /// Maximum output of the next call, in tokens; `None`: the provider's default.
    pub output_limit: Option<u32>,
    pub attempts: u32,
    /// Number of attempts before the current target was the first that may answer.
    pub earlier_attempts: u32,
    /// Number of calls that were cancelled because they took too long.
    pub stalls: u32,
    pub usage: Usage,
    /// Usage by model; empty if the request has only one target.
    pub usage_by_model: Vec<ModelUsage>,
    pub timing: Timing,
    /// Memory of the provider's answer.
    pub memory: Arc<CallMemory>,
    /// Memory of the request's results.
    pub results: &'a MemoryPool,
    /// Adaptations to the provider that the item tries.
    pub trial: Arc<Trial>,
    /// Recorder of the phases; `None` unless the request asked for a trace, or traces are exported.
    pub tracer: Option<Tracer>,
}

impl<'a> ItemRun<'a> {
    fn new(
        extractor: &'a Extractor,
        request: &'a Arc<PreparedRequest>,
        route: RouteCursor<'a>,
        memory: MemoryReservation,
        results: &'a MemoryPool,
    ) -> Self {
        Self {
            extractor,
            request,
            route,
            time_left: request.timeout,
            output_limit: request.max_output_tokens,
            attempts: 0,
            earlier_attempts: 0,
            stalls: 0,
            usage: Usage::default(),
            usage_by_model: Vec::new(),
            timing: Timing::default(),
            memory: Arc::new(CallMemory::new(memory)),
            results,
            trial: Arc::default(),
            tracer: None,
        }
    }

    /// Waits for the permit of one call, and accounts the time as queued.
    pub async fn acquire(&mut self, text: &str, priority: Priority) -> Result<Permit, Error> {
        let waiting_since = Instant::now();
        let permit = self.route.acquire(text, self.output_limit, priority).await;
        self.record_wait(waiting_since);
        permit
    }

    /// Accounts the time since then as waiting for a permit of the current target.
    fn record_wait(&mut self, since: Instant) {
        self.timing.queued += since.elapsed();
        if let Some(tracer) = &mut self.tracer {
            let target = self.route.current();
            tracer.waited(
                &target.endpoint.limits,
                &target.label,
                since,
                self.attempts.max(1),
            );
        }
    }

    /// Returns the cached result of an equal item, or shares the result of one that is in flight; else extracts.
    async fn extract_or_share(&mut self, text: &str) -> Result<Success, Error> {
        let Some(key) = self.request.cache_key(text) else {
            return self.extract(text, None).await;
        };
        if self.request.cache == CacheUse::Use
            && let Some(cached) = self.extractor.cached(&key)
        {
            // It may wait for memory, and needs no permit meanwhile.
            self.route.leave_queue();
            if let Some(success) = self.read_cached(&cached).await? {
                return Ok(success);
            }
        }
        self.share(text, key).await
    }

    /// Returns a cached result, whose values are shared with the outcomes that have them already. A large one waits for memory first.
    async fn read_cached(&self, cached: &CachedSuccess) -> Result<Option<Success>, Error> {
        if let Some(success) = cached.shared() {
            return Ok(Some(success));
        }
        let bytes = cached.parsed_bytes();
        let parse = || cached.parse(|| hold_result(self.results, bytes));
        if bytes <= UNRESERVED_RESULT_BYTES {
            return Ok(parse());
        }
        let (ledger, caller) = (self.extractor.limits.memory(), self.results.caller());
        let _memory = reserve_result(ledger, caller, self.request.class, bytes).await?;
        // Other items may have read it meanwhile.
        let read = || cached.shared().or_else(parse);
        let piece = Piece::if_long(caller, bytes);
        Ok(run_long(piece, read).await)
    }

    /// Reserves the memory of what is made of the result of another item; `None` for an item that was called, and for a small result.
    ///
    /// # Errors
    /// `overloaded` if there was no room in time.
    async fn reserve_shared(
        &mut self,
        ending: &ItemOutcome,
    ) -> Result<Option<SharedResultMemory>, Error> {
        if self.attempts > 0 {
            return Ok(None);
        }
        self.route.leave_queue();
        let (ledger, caller) = (self.extractor.limits.memory(), self.results.caller());
        SharedResultMemory::reserve(ledger, caller, self.request, ending).await
    }

    /// Shares the result of an equal item in flight: waits until that item completes, or until this one gets a permit first.
    async fn share(&mut self, text: &str, key: CacheKey) -> Result<Success, Error> {
        let mut ticket = self.extractor.flights.join(key);
        loop {
            let waiting_since = Instant::now();
            // Dropping `acquire` leaves the queue. The permit is polled first, so that an item that has its turn leads.
            let acquired = tokio::select! {
                biased;
                permit = self.route.acquire(text, self.output_limit, Priority::First) => Some(permit),
                () = ticket.led() => None,
            };
            self.record_wait(waiting_since);
            if let Some(permit) = acquired {
                // An item without a permit is an item whose first attempt failed, with single flight or without.
                let permit = permit.inspect_err(|_| self.attempts = 1)?;
                if let Some(leader) = ticket.lead() {
                    let result = self.extract(text, Some(permit)).await;
                    self.cache_success(key, &result);
                    leader.complete(&result, self.request.class, self.is_shareable(&result));
                    return result;
                }
            }
            let waiting_since = Instant::now();
            let shared = tokio::select! {
                shared = ticket.outcome() => shared,
                error = self.outage() => return Err(error),
            };
            self.timing.queued += waiting_since.elapsed();
            if let Some(tracer) = &mut self.tracer {
                tracer.waited_for(SINGLE_FLIGHT.to_owned(), waiting_since, 1);
            }
            if let Some(shared) = shared {
                if !shared.holds_for(self.request.class) {
                    ticket = self.extractor.flights.join(key);
                    continue;
                }
                self.extractor.meters.singleflight_hit();
                return shared.result.clone().map(|success| Success {
                    cached: true,
                    ..success
                });
            }
        }
    }

    /// Waits until outages keep all targets from being called; never ends for an item that waits for their end. The leader may
    /// be such an item.
    async fn outage(&self) -> Error {
        loop {
            if let Some(error) = self.route.outage_error() {
                return error;
            }
            tokio::time::sleep(OUTAGE_CHECK_INTERVAL).await;
        }
    }

    /// Returns true if the result depends only on the input and the model, so that equal items in flight may share it: not on
    /// the caller, this process or a single's shorter wait budget.
    fn is_shareable(&self, result: &Result<Success, Error>) -> bool {
        let Err(error) = result else { return true };
        let gave_up = self.request.class == RequestClass::Single && error.retry_after.is_some();
        !gave_up
            && !matches!(
                error.code,
                Code::QuotaExceeded | Code::Overloaded | Code::ShuttingDown | Code::Internal
            )
    }

    fn cache_success(&self, key: CacheKey, result: &Result<Success, Error>) {
        if let (Some(cache), Ok(success)) = (&self.extractor.cache, result) {
            // Without a turn: equal items wait for the result.
            let is_large = written_size(&*success.data, LONG_TEXT_BYTES).is_none();
            let caller = self.results.caller();
            run_off_worker(is_large, || cache.put(key, caller, success, Instant::now()));
        }
    }

    /// Returns the label of the current target, as results name it.
    pub fn model_label(&self) -> Arc<str> {
        Arc::clone(&self.route.current().label)
    }
}
