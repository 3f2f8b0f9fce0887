//! One item, from its text to its outcome.

use std::time::{Duration, Instant};

use super::judge::{self, Verdict};
use super::retry::{self, Action};
use super::{Extractor, Plan};
use crate::limits::{InLine, Lane, Patience, Permit, Turn, backoff};
use crate::model::{Attempted, Code, Ending, Error, Input, Outcome, Success, Timing, Usage};
use crate::provider::{Answer, Complaint, Failure, Request, Schema};

/// The longest answer that is passed on as `raw`, in bytes.
const MAX_RAW_BYTES: usize = 64 * 1024;
/// Room for an answer that was cut off by a provider which does not say how long it was, in tokens.
const UNKNOWN_ROOM: u32 = 2048;

impl Extractor {
    /// Extracts from one input.
    ///
    /// # Cancel safety
    /// Dropping the future gives back its permit and its place in the queue, and stops the call.
    pub(super) async fn one(&self, plan: &Plan, lane: &Lane, place: Option<InLine>, input: Input) -> Outcome {
        let started = Instant::now();
        let mut item = Item {
            extractor: self,
            plan,
            lane,
            place,
            patience: plan.patience,
            left: plan.timeout,
            room: plan.max_output_tokens,
            attempts: 0,
            usage: Usage::default(),
            timing: Timing::default(),
        };
        let ended = match &input.content {
            Err(error) => Err(error.clone()),
            Ok(text) if is_blank(text) => Err(Error::invalid(format!("/inputs/{}", input.index), BLANK)),
            Ok(text) => item.extract(text).await,
        };
        item.timing.total = started.elapsed();
        let outcome = Outcome {
            index: input.index,
            id: input.id,
            metadata: input.metadata,
            ending: ended.map_or_else(Ending::Failed, Ending::Succeeded),
            attempts: item.attempts,
            usage: item.usage,
            timing: item.timing,
        };
        self.meters.ended(&outcome);
        outcome
    }
}

impl Plan {
    /// A place in line for the first call of an item; `None` for one that will not call.
    pub(super) fn enter(&self, lane: &Lane, input: &Input) -> Option<InLine> {
        let calls = input.content.as_ref().is_ok_and(|text| !is_blank(text));
        calls.then(|| lane.enter(self.route().pool, Turn::New, self.patience))
    }
}

/// Said of a text without content.
pub const BLANK: &str = "this text is blank: there is nothing to extract from";

#[must_use]
pub fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

/// What one item has used up so far.
struct Item<'a> {
    extractor: &'a Extractor,
    plan: &'a Plan,
    lane: &'a Lane,
    /// The line that the item stands in for its first call.
    place: Option<InLine>,
    patience: Patience,
    /// What is left of `timeout_ms`.
    left: Duration,
    /// The output limit of the next call.
    room: Option<u32>,
    attempts: u32,
    usage: Usage,
    timing: Timing,
}

impl Item<'_> {
    /// Asks until an answer is valid or the attempts are used up.
    async fn extract(&mut self, text: &str) -> Result<Success, Error> {
        let (mut complaint, mut cut) = (None, None);
        loop {
            self.attempts += 1;
            let answer = match self.call(text, complaint.as_ref()).await {
                // More room than the model has is a bad request to it; what it wrote was cut off all the same.
                Err(Error { upstream_status: Some(400 | 422), .. }) if cut.is_some() => {
                    return Err(self.truncated(cut.unwrap_or_default()));
                }
                called => called?,
            };
            let is_last = self.attempts >= self.plan.max_attempts;
            let (answer, verdict) = judge::judge(&self.plan.schema, answer).await;
            match verdict {
                Verdict::Accepted { data, repairs } => return Ok(Success { data, model: self.plan.label.clone(), repairs }),
                Verdict::Refused(words) => {
                    let detail = format!("the model declined: {words}");
                    return Err(self.failed(Code::ModelRefused, detail, answer.text));
                }
                Verdict::Truncated if is_last || self.plan.max_output_tokens.is_some() => return Err(self.truncated(answer.text)),
                Verdict::Truncated => {
                    self.make_room(&answer);
                    cut = Some(answer.text);
                }
                Verdict::Wrong { faults, candidate } if is_last => {
                    let detail = format!(
                        "no answer was valid in {} {}; `errors` says what was wrong with the last",
                        self.attempts,
                        if self.attempts == 1 { "attempt" } else { "attempts" },
                    );
                    let mut error = self.failed(Code::ExtractionFailed, detail, answer.text).with_errors(faults);
                    if let Some(attempted) = &mut error.attempted {
                        attempted.candidate = candidate;
                    }
                    return Err(error);
                }
                Verdict::Wrong { faults, .. } => (complaint, cut) = (Some(Complaint { answer: answer.text, faults }), None),
            }
            self.extractor.meters.asked_again();
        }
    }

    /// Twice the room that was too small.
    fn make_room(&mut self, answer: &Answer) {
        let used = answer.usage.and_then(|usage| u32::try_from(usage.output_tokens).ok()).filter(|used| *used > 0);
        self.room = Some(self.room.or(used).map_or(UNKNOWN_ROOM, |room| room.saturating_mul(2)));
    }

    /// Gets one answer: a permit, a call, and what the retry table says if that fails.
    async fn call(&mut self, text: &str, complaint: Option<&Complaint>) -> Result<Answer, Error> {
        let plan = self.plan;
        let request = Request {
            model: &plan.route().model,
            mode: plan.mode,
            schema: Schema {
                value: plan.schema.value(),
                raw: plan.schema.raw(),
                strict: plan.schema.is_strict(),
                examples: plan.schema.examples(),
            },
            instructions: plan.instructions.as_deref(),
            examples: &plan.examples,
            input: text,
            complaint,
            temperature: plan.temperature,
            max_output_tokens: self.room,
            seed: plan.seed,
            template: &plan.template,
            traceparent: plan.traceparent.as_deref(),
        };
        let (mut turn, mut failed, mut refused) = (Turn::New, 0, 0);
        loop {
            let permit = self.permit(turn).await?;
            let failure = match self.try_once(&request).await? {
                Ok(answer) => {
                    self.usage += answer.usage.unwrap_or_default();
                    return Ok(answer);
                }
                Err(failure) => failure,
            };
            turn = Turn::Again;
            let action = retry::action(&failure);
            self.extractor.meters.tried_in_vain(action.as_str());
            if let Action::Pause(asked) = action {
                refused += 1;
                // A wait of nothing, or a date that has passed, says no more than the status.
                let asked = asked.filter(|wait| !wait.is_zero());
                let until = Instant::now() + asked.unwrap_or_else(|| backoff::pause(refused));
                // Before the permit goes back, or the next in line would call at once.
                self.extractor.limits.pause(plan.route().pool, until);
                self.meet_pause(until, &failure)?;
            }
            // Never held during a backoff.
            drop(permit);
            match action {
                Action::Again | Action::Pause(_) => {}
                Action::Retry => {
                    failed += 1;
                    if failed >= self.extractor.config.max_tries {
                        let detail = format!("the provider failed {failed} times in a row; the last time: {failure}");
                        return Err(Self::upstream(Code::UpstreamError, detail, &failure));
                    }
                    self.back_off(backoff::delay(failed, failure.retry_after, fastrand::f64()), &failure).await?;
                }
                Action::Fail(code) => return Err(Self::upstream(code, explain(code, &failure), &failure)),
            }
        }
    }

    /// One call, within what is left of the time.
    async fn try_once(&mut self, request: &Request<'_>) -> Result<Result<Answer, Failure>, Error> {
        let begun = Instant::now();
        let called = tokio::time::timeout(self.left, self.plan.route().provider.call(request)).await;
        let took = begun.elapsed();
        self.timing.upstream += took;
        self.left = self.left.saturating_sub(took);
        called.map_err(|_| self.out_of_time(""))
    }

    async fn permit(&mut self, turn: Turn) -> Result<Permit, Error> {
        let waiting = Instant::now();
        let place = self.place.take().unwrap_or_else(|| self.lane.enter(self.plan.route().pool, turn, self.patience));
        let permit = place.await;
        if turn == Turn::Again {
            self.patience.waited(waiting.elapsed());
        }
        self.timing.queued += waiting.elapsed();
        permit.map_err(|denied| rate_limited(denied.until))
    }

    /// Whether the item will wait for the key to be open again.
    fn meet_pause(&mut self, until: Instant, failure: &Failure) -> Result<(), Error> {
        if self.patience.covers(Instant::now(), until) {
            return Ok(());
        }
        let error = rate_limited(until);
        let detail = format!("{}; it said: {failure}", error.detail);
        Err(Error { detail, upstream_status: failure.status(), ..error })
    }

    async fn back_off(&mut self, delay: Duration, failure: &Failure) -> Result<(), Error> {
        if delay >= self.left {
            return Err(self.out_of_time(&format!("; the last call failed: {failure}")));
        }
        self.left -= delay;
        tokio::time::sleep(delay).await;
        Ok(())
    }

    fn out_of_time(&self, more: &str) -> Error {
        let detail = format!(
            "`timeout_ms` ({}) ran out in attempt {}{more}; allow more time, or send less text at a time",
            self.plan.timeout.as_millis(),
            self.attempts,
        );
        Error::new(Code::Timeout, detail)
    }

    fn truncated(&self, raw: String) -> Error {
        let detail = match self.plan.max_output_tokens {
            Some(limit) => format!("the answer did not fit into `max_output_tokens` ({limit}); allow more"),
            None => "the answer ran into the model's output limit, even with more room; split the text or narrow the schema"
                .to_owned(),
        };
        self.failed(Code::OutputTruncated, detail, raw)
    }

    fn failed(&self, code: Code, detail: String, mut raw: String) -> Error {
        raw.truncate(raw.floor_char_boundary(MAX_RAW_BYTES));
        let attempted = Attempted { attempts: self.attempts, raw: Some(raw), candidate: None };
        Error { attempted: Some(Box::new(attempted)), ..Error::new(code, detail) }
    }

    fn upstream(code: Code, detail: String, failure: &Failure) -> Error {
        Error { upstream_status: failure.status(), retry_after: failure.retry_after, ..Error::new(code, detail) }
    }
}

fn rate_limited(until: Instant) -> Error {
    let wait = until.saturating_duration_since(Instant::now());
    let detail = format!(
        "the provider's rate limit is used up for another {:.1} s, which is longer than an item may wait",
        wait.as_secs_f64()
    );
    Error::new(Code::UpstreamRateLimited, detail).retry_after(wait)
}

fn explain(code: Code, failure: &Failure) -> String {
    match code {
        Code::UpstreamUnauthorized => format!("the provider does not accept the configured key: {failure}"),
        Code::UpstreamRateLimited => format!("the quota of the configured key is used up: {failure}"),
        _ => format!("the provider refused the call: {failure}"),
    }
}
