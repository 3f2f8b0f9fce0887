//! One item, from its text to its outcome.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::routing::RouteCursor;
use super::single_flight::Key;
use super::validate_answer::{self, ValidationInput, Verdict};
use super::{Extractor, PreparedRequest, RequestClass};
use crate::limits::{Admission, PendingPermit, Priority};
use crate::provider::{Answer, ValidationFeedback};
use crate::types::{
    AttemptInfo, CacheUse, Code, Error, FieldError, Input, Invalid, ItemOutcome, ModelUsage,
    OnFailure, Outcome, Success, Timing, Usage,
};

/// The longest answer that is passed on as `raw`, in bytes.
const MAX_RAW_BYTES: usize = 64 * 1024;
/// Room for an answer that was cut off by a provider which does not say how long it was, in tokens.
const UNKNOWN_ROOM: u32 = 2048;

impl Extractor {
    /// Extracts from one input.
    ///
    /// # Cancel safety
    /// Dropping the future gives back its permit and its place in the queue, and stops the call.
    pub(super) async fn extract_item(
        &self,
        plan: &PreparedRequest,
        lane: &Admission,
        place: Option<PendingPermit>,
        input: Input,
    ) -> Outcome {
        let started = Instant::now();
        let mut item = ItemRun {
            extractor: self,
            plan,
            ways: RouteCursor::new(lane, plan, place),
            left: plan.timeout,
            room: plan.max_output_tokens,
            attempts: 0,
            stalls: 0,
            usage: Usage::default(),
            spent: Vec::new(),
            timing: Timing::default(),
        };
        let ended = match &input.content {
            Err(error) => Err(error.clone()),
            Ok(text) if is_blank(text) => {
                Err(Error::invalid(format!("/inputs/{}", input.index), BLANK))
            }
            Ok(text) => item.extract_or_share(text).await,
        };
        item.timing.total = started.elapsed();
        let outcome = Outcome {
            index: input.index,
            id: input.id,
            metadata: input.metadata,
            ending: ended.map_or_else(
                |error| failed(error, plan.on_failure),
                ItemOutcome::Succeeded,
            ),
            attempts: item.attempts,
            usage: item.usage,
            spent: item.spent,
            timing: item.timing,
        };
        self.meters.ended(&outcome);
        outcome
    }
}

impl Extractor {
    /// A place in line for the first call of an item; `None` for one that will not call. What takes no place takes nothing of
    /// any quota either.
    pub(super) fn enter(
        &self,
        plan: &PreparedRequest,
        lane: &Admission,
        input: &Input,
    ) -> Option<PendingPermit> {
        let text = input.content.as_ref().ok().filter(|text| !is_blank(text))?;
        if let Some(cache) = self.cache.as_ref().filter(|_| plan.cache == CacheUse::Use)
            && plan.cache_key(text).is_some_and(|key| cache.contains(&key))
        {
            return None;
        }
        Some(RouteCursor::new(lane, plan, None).enqueue(
            text,
            plan.max_output_tokens,
            Priority::First,
        ))
    }
}

/// Said of a text without content.
pub const BLANK: &str = "this text is blank: there is nothing to extract from";

#[must_use]
pub fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

/// How an item ends that has no valid answer. Made of the error, so that equal items share it whatever each wants.
fn failed(mut error: Error, on_failure: OnFailure) -> ItemOutcome {
    let wants_nearest = on_failure == OnFailure::Best && error.code == Code::ExtractionFailed;
    match error.attempted.as_deref_mut().filter(|_| wants_nearest) {
        Some(AttemptInfo {
            candidate: Some(candidate),
            model,
            ..
        }) => {
            let candidate = std::mem::take(candidate);
            ItemOutcome::Invalid(Invalid {
                candidate,
                errors: std::mem::take(&mut error.errors),
                model: model.take(),
            })
        }
        _ => ItemOutcome::Failed(error),
    }
}

/// What one item has used up so far.
pub(super) struct ItemRun<'a> {
    pub extractor: &'a Extractor,
    pub plan: &'a PreparedRequest,
    /// Which model it asks, and its place in line.
    pub ways: RouteCursor<'a>,
    /// What is left of `timeout_ms`.
    pub left: Duration,
    /// The output limit of the next call.
    pub room: Option<u32>,
    pub attempts: u32,
    /// Calls that were given up because they took too long.
    pub stalls: u32,
    pub usage: Usage,
    /// The same by model, where there is more than one.
    pub spent: Vec<ModelUsage>,
    pub timing: Timing,
}

impl ItemRun<'_> {
    /// Takes the result of an equal item, from the cache or from one that is being called right now; else calls.
    async fn extract_or_share(&mut self, text: &str) -> Result<Success, Error> {
        let Some(key) = self.plan.cache_key(text) else {
            return self.extract(text).await;
        };
        if self.plan.cache == CacheUse::Use
            && let Some(found) = self.extractor.cached(&key)
        {
            return Ok(found);
        }
        let seat = self.extractor.flights.join(key);
        loop {
            let mut place = self.ways.place(text, self.room, Priority::First);
            let waiting = Instant::now();
            // Its turn first: then the wait for the others is never begun.
            let told = tokio::select! {
                biased;
                told = &mut place => Some(told),
                () = seat.led() => None,
            };
            self.timing.queued += waiting.elapsed();
            if let Some(told) = told
                && let Some(flying) = seat.lead()
            {
                self.ways.set_pending(place.resolved(told));
                let ended = self.extract(text).await;
                self.cache_success(key, &ended);
                flying.complete(&ended, self.is_shareable(&ended));
                return ended;
            }
            drop(place);
            let waiting = Instant::now();
            let landed = seat.outcome().await;
            self.timing.queued += waiting.elapsed();
            if let Some(landed) = landed {
                self.extractor.meters.singleflight_hit();
                return Result::clone(&landed).map(|success| Success {
                    cached: true,
                    ..success
                });
            }
        }
    }

    /// Whether an end is one of the text and the model, and not of the caller, of this process, or of a single's shorter patience.
    fn is_shareable(&self, ended: &Result<Success, Error>) -> bool {
        let Err(error) = ended else { return true };
        let gave_up = self.plan.kind == RequestClass::Single && error.retry_after.is_some();
        !gave_up
            && !matches!(
                error.code,
                Code::QuotaExceeded | Code::ShuttingDown | Code::Internal
            )
    }

    fn cache_success(&self, key: Key, ended: &Result<Success, Error>) {
        if let (Some(cache), Ok(success)) = (&self.extractor.cache, ended) {
            cache.put(key, success);
        }
    }

    /// Asks until an answer is valid or the attempts are used up.
    async fn extract(&mut self, text: &str) -> Result<Success, Error> {
        let (mut complaint, mut cut) = (None, None);
        let mut nearest: Option<Invalid> = None;
        loop {
            self.attempts += 1;
            let answer = match self.call(text, complaint.as_ref()).await {
                // More room than the model has is a bad request to it; what it wrote was cut off all the same.
                Err(Error {
                    upstream_status: Some(400 | 422),
                    ..
                }) if cut.is_some() => {
                    return Err(self.truncated(cut.unwrap_or_default()));
                }
                called => called?,
            };
            let is_last = self.attempts >= self.plan.max_attempts;
            let lowered = self.ways.current().lowered.get(&answer.mode);
            let (schema, rules, coerce) = (&self.plan.schema, &self.plan.rules, self.plan.coerce);
            let held = ValidationInput {
                schema,
                rules,
                lowered,
                coerce,
                is_last,
                input: text,
            };
            let (answer, verdict) = validate_answer::validate(held, answer).await;
            match verdict {
                Verdict::Accepted { data, repairs } => {
                    return Ok(Success {
                        data,
                        model: Arc::clone(&self.ways.current().label),
                        repairs,
                        cached: false,
                    });
                }
                Verdict::Refusal(words) => {
                    let detail = format!("the model declined: {words}");
                    return Err(self.failed(Code::ModelRefused, detail, answer.text));
                }
                Verdict::Truncated if is_last || self.plan.max_output_tokens.is_some() => {
                    return Err(self.truncated(answer.text));
                }
                Verdict::Truncated => {
                    self.double_output_limit(&answer);
                    cut = Some(answer.text);
                }
                Verdict::Invalid { faults, candidate } => {
                    let is_nearer = nearest
                        .as_ref()
                        .is_none_or(|nearest| faults.len() <= nearest.errors.len());
                    if let Some(candidate) = candidate.filter(|_| is_nearer) {
                        let model = Some(Arc::clone(&self.ways.current().label));
                        nearest = Some(Invalid {
                            candidate,
                            errors: faults.clone(),
                            model,
                        });
                    }
                    if is_last {
                        return Err(self.extraction_failed(faults, nearest, answer.text));
                    }
                    (complaint, cut) = (
                        Some(ValidationFeedback {
                            answer: answer.text,
                            faults,
                        }),
                        None,
                    );
                }
            }
            self.extractor.meters.validation_retry();
        }
    }

    /// Twice the room that was too small.
    fn double_output_limit(&mut self, answer: &Answer) {
        let used = answer
            .usage
            .and_then(|usage| u32::try_from(usage.output_tokens).ok())
            .filter(|used| *used > 0);
        self.room = Some(
            self.room
                .or(used)
                .map_or(UNKNOWN_ROOM, |room| room.saturating_mul(2)),
        );
    }

    fn truncated(&self, raw: String) -> Error {
        let detail = match self.plan.max_output_tokens {
            Some(limit) => format!("the answer did not fit into `max_output_tokens` ({limit}); allow more"),
            None => "the answer ran into the model's output limit, even with more room; split the text or narrow the schema"
                .to_owned(),
        };
        self.failed(Code::OutputTruncated, detail, raw)
    }

    /// No attempt's answer was valid: what was wrong with the nearest, or, if there was no object at all, with the last.
    fn extraction_failed(
        &self,
        last: Vec<FieldError>,
        nearest: Option<Invalid>,
        raw: String,
    ) -> Error {
        let attempts = if self.attempts == 1 {
            "attempt"
        } else {
            "attempts"
        };
        let of = if nearest.is_some() {
            "candidate, which came nearest"
        } else {
            "last"
        };
        let detail = format!(
            "no answer was valid in {} {attempts}; `errors` says what was wrong with the {of}",
            self.attempts
        );
        let mut error = self
            .failed(Code::ExtractionFailed, detail, raw)
            .with_errors(last);
        if let (Some(attempted), Some(nearest)) = (&mut error.attempted, nearest) {
            error.errors = nearest.errors;
            attempted.candidate = Some(nearest.candidate);
            attempted.model = nearest.model;
        }
        error
    }

    fn failed(&self, code: Code, detail: String, mut raw: String) -> Error {
        raw.truncate(raw.floor_char_boundary(MAX_RAW_BYTES));
        let attempted = AttemptInfo {
            attempts: self.attempts,
            raw: Some(raw),
            ..AttemptInfo::default()
        };
        Error {
            attempted: Some(Box::new(attempted)),
            ..Error::new(code, detail)
        }
    }
}
