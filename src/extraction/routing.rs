//! The models that an item may ask, in their order, and its place in line for the one that it asks now.

use std::time::{Duration, Instant};

use super::PreparedRequest;
use super::prepared_request::Target;
use crate::provider::Failure;
use crate::types::{Code, Error};
use throttle::{
    Admission, Denied, KeySet, PendingPermit, Permit, PermitRequest, Priority, WaitBudget,
};

/// How one of the models fares for this item.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    was_called: bool,
    /// Tries that failed.
    failed: u32,
    /// It is not tried again.
    is_over: bool,
    /// It cannot be had before.
    not_before: Option<Instant>,
    /// The keys that it has refused.
    refused: KeySet,
}

#[derive(Debug)]
pub struct RouteCursor<'a> {
    lane: &'a Admission,
    plan: &'a PreparedRequest,
    /// Where the item stands already.
    pending: Option<PendingPermit>,
    /// Which it asks now: 0 is the first, and the others are its fallbacks.
    at: usize,
    first: Progress,
    fallback: Vec<Progress>,
    patience: WaitBudget,
    /// Whether it waits where it is, and does not turn elsewhere.
    is_patient: bool,
    /// Its last call was answered with a pause.
    was_paused: bool,
    /// How the last call failed, and what that would be called if nothing is left to try.
    last: Option<(Code, Failure)>,
}

impl<'a> RouteCursor<'a> {
    pub fn new(
        lane: &'a Admission,
        plan: &'a PreparedRequest,
        pending: Option<PendingPermit>,
    ) -> Self {
        Self {
            lane,
            plan,
            pending,
            at: 0,
            first: Progress::default(),
            fallback: vec![Progress::default(); plan.fallback.len()],
            patience: plan.patience,
            is_patient: plan.fallback.is_empty(),
            was_paused: false,
            last: None,
        }
    }

    /// The model that is asked now.
    pub fn current(&self) -> &'a Target {
        self.plan.target(self.at)
    }

    fn progress_of(&mut self, at: usize) -> &mut Progress {
        at.checked_sub(1)
            .and_then(|at| self.fallback.get_mut(at))
            .unwrap_or(&mut self.first)
    }

    /// Those that are worth trying, in their order.
    fn usable_targets(&self) -> impl Iterator<Item = (usize, &Progress)> {
        let all = std::iter::once(&self.first)
            .chain(&self.fallback)
            .enumerate();
        all.filter(|(_, progress)| !progress.is_over)
    }

    /// Another one that can be had now.
    fn fallback(&self) -> Option<usize> {
        let now = Instant::now();
        let mut open = self.usable_targets().filter(|(at, progress)| {
            *at != self.at && progress.not_before.is_none_or(|at| at <= now)
        });
        open.next().map(|(at, _)| at)
    }

    /// Whether there is another model to ask.
    pub fn has_fallback(&self) -> bool {
        self.fallback().is_some()
    }

    /// Enters the line of the model that is asked now.
    pub fn enqueue(&self, text: &str, room: Option<u32>, turn: Priority) -> PendingPermit {
        let patience = if self.is_patient {
            self.patience
        } else {
            WaitBudget::NONE
        };
        let progress = self
            .at
            .checked_sub(1)
            .and_then(|at| self.fallback.get(at))
            .unwrap_or(&self.first);
        let guessed = if self.lane.counts_tokens() {
            self.plan.estimated_tokens(text)
        } else {
            0
        };
        self.lane.enter(&PermitRequest {
            model: &self.current().route.limits,
            priority: turn,
            wait_budget: patience,
            text_tokens: guessed,
            max_output: room,
            refused: progress.refused,
            is_first_call: !progress.was_called,
        })
    }

    /// Waits for the permit of a call to the first target that can be called, in the order of the route. Adds the time to
    /// `queued`. Returns `None` if `cancelled` resolves first.
    ///
    /// # Errors
    /// When the item will not wait as long as it would have to, or no target is left.
    pub async fn acquire(
        &mut self,
        text: &str,
        max_output: Option<u32>,
        priority: Priority,
        queued: &mut Duration,
        cancelled: impl Future<Output = ()>,
    ) -> Result<Option<Permit>, Error> {
        let mut cancelled = std::pin::pin!(cancelled);
        loop {
            let pending = match self.pending.take() {
                Some(pending) => pending,
                None => self.enqueue(text, max_output, priority),
            };
            let started = Instant::now();
            // The permit first: an item whose turn has come is not cancelled.
            let granted = tokio::select! {
                biased;
                granted = pending => Some(granted),
                () = &mut cancelled => None,
            };
            let waited = started.elapsed();
            *queued += waited;
            if std::mem::take(&mut self.was_paused) {
                self.patience.consume(waited);
            }
            match granted {
                None => return Ok(None),
                Some(Ok(permit)) => {
                    let at = self.at;
                    self.progress_of(at).was_called = true;
                    self.is_patient = self.fallback.is_empty();
                    return Ok(Some(permit));
                }
                Some(Err(denied)) => self.switch_after_denial(denied)?,
            }
        }
    }

    /// Turns to another model; when none can be had now, to the one that can be had first, and waits there.
    fn switch_after_denial(&mut self, denied: Denied) -> Result<(), Error> {
        let at = self.at;
        match denied {
            Denied::BudgetExhausted { .. } | Denied::Cancelled => {
                return Err(self.denial_error(denied));
            }
            Denied::NoUsableKey | Denied::TooLarge { .. } => self.progress_of(at).is_over = true,
            Denied::Paused { until } | Denied::CircuitOpen { until } => {
                self.progress_of(at).not_before = Some(until)
            }
        }
        if let Some(next) = self.fallback() {
            self.at = next;
            return Ok(());
        }
        let first = self
            .usable_targets()
            .min_by_key(|(_, progress)| progress.not_before)
            .map(|(at, _)| at);
        match first {
            Some(first) if !self.is_patient => {
                (self.at, self.is_patient) = (first, true);
                Ok(())
            }
            _ => Err(self.denial_error(denied)),
        }
    }

    /// The call failed in a way that another key may not.
    pub fn refuse_key(&mut self, key: usize, code: Code, failure: Failure) {
        let at = self.at;
        self.progress_of(at).refused.insert(key);
        self.last = Some((code, failure));
    }

    /// The call was answered with a pause.
    pub fn pause(&mut self, failure: Failure) {
        self.was_paused = true;
        self.last = Some((Code::UpstreamRateLimited, failure));
    }

    /// The call was answered.
    pub fn record_success(&mut self) {
        let at = self.at;
        self.progress_of(at).failed = 0;
    }

    /// Whether a failure of the next call would be the last.
    pub fn is_last_try(&self, max_tries: u32) -> bool {
        let (at, failed) = (
            self.at,
            self.usable_targets()
                .find(|(at, _)| *at == self.at)
                .map_or(0, |(_, progress)| progress.failed),
        );
        failed + 1 >= max_tries && self.usable_targets().all(|(other, _)| other == at)
    }

    /// Whether the item will wait so long until it may be tried again: for its turn, as for a key that is paused.
    pub fn consume_wait_budget(&mut self, wait: Duration) -> bool {
        let now = Instant::now();
        let will_wait = self.patience.covers_pause(now, now + wait);
        self.patience.consume(wait);
        will_wait
    }

    /// Turns to another model, rather than wait until then for the one that is asked now. False: there is none.
    pub fn switch_to_fallback(&mut self, until: Instant) -> bool {
        let (at, next) = (self.at, self.fallback());
        let Some(next) = next else { return false };
        self.progress_of(at).not_before = Some(until);
        self.at = next;
        true
    }

    /// The call failed. `Some`: it is worth a backoff and another try, after so many failures. `None`: the next model is asked.
    ///
    /// # Errors
    /// When that was the last try of the last model.
    pub fn record_failure(
        &mut self,
        failure: Failure,
        is_slow: bool,
        max_tries: u32,
    ) -> Result<Option<u32>, Error> {
        let (at, next) = (self.at, self.fallback());
        let progress = self.progress_of(at);
        progress.failed += 1;
        let failed = progress.failed;
        // Who has not answered in time will hardly do so now, and the time is short.
        if failed < max_tries && !(is_slow && next.is_some()) {
            self.last = Some((Code::UpstreamError, failure));
            return Ok(Some(failed));
        }
        progress.is_over = true;
        let Some(next) = next.or_else(|| self.usable_targets().next().map(|(at, _)| at)) else {
            let times = if failed == 1 {
                "once".to_owned()
            } else {
                format!("{failed} times in a row")
            };
            let detail = format!("the provider failed {times}; the last time: {failure}");
            return Err(upstream_error(Code::UpstreamError, detail, &failure));
        };
        self.at = next;
        self.last = Some((Code::UpstreamError, failure));
        Ok(None)
    }

    /// Why the item gets no permit, and nowhere.
    fn denial_error(&self, denied: Denied) -> Error {
        let last = self.last.as_ref();
        let said = |detail: String| match last {
            Some((_, failure)) => format!("{detail}; the last call failed: {failure}"),
            None => detail,
        };
        let wait = |until: Instant| until.saturating_duration_since(Instant::now());
        let seconds = |until: Instant| format!("{:.1} s", wait(until).as_secs_f64());
        let error = match denied {
            Denied::Paused { until } => {
                let detail = format!(
                    "the provider's rate limit is used up for another {}, which is longer than an item may wait",
                    seconds(until)
                );
                Error::new(Code::UpstreamRateLimited, said(detail)).retry_after(wait(until))
            }
            Denied::CircuitOpen { until } => {
                let detail = format!(
                    "the provider fails all the time and is left alone for another {}",
                    seconds(until)
                );
                Error::new(Code::UpstreamError, said(detail)).retry_after(wait(until))
            }
            Denied::BudgetExhausted { until } => {
                let detail =
                    "this caller's budget for today is used up; it begins anew at midnight UTC";
                return Error::new(Code::QuotaExceeded, detail).retry_after(wait(until));
            }
            Denied::Cancelled => {
                return Error::new(
                    Code::ShuttingDown,
                    "the server is shutting down, and this item was not called",
                );
            }
            Denied::TooLarge { needed, allowed } => {
                let detail = format!(
                    "a call with this text takes about {needed} tokens, and the provider's limit is {allowed} a minute; split \
                     the text, ask for less with `max_output_tokens`, or raise `tokens_per_minute`"
                );
                return Error::new(Code::PayloadTooLarge, detail);
            }
            Denied::NoUsableKey => match last {
                Some((code, failure)) => {
                    upstream_error(*code, failure_detail(*code, failure), failure)
                }
                None => Error::new(
                    Code::UpstreamUnauthorized,
                    "the provider has refused every key",
                ),
            },
        };
        Error {
            upstream_status: last.and_then(|(_, failure)| failure.status()),
            ..error
        }
    }
}

pub fn upstream_error(code: Code, detail: String, failure: &Failure) -> Error {
    Error {
        upstream_status: failure.status(),
        retry_after: failure.retry_after,
        ..Error::new(code, detail)
    }
}

pub fn failure_detail(code: Code, failure: &Failure) -> String {
    match code {
        Code::UpstreamUnauthorized => {
            format!("the provider does not accept the configured key: {failure}")
        }
        Code::UpstreamRateLimited => {
            format!("the quota of the configured key is used up: {failure}")
        }
        _ => format!("the provider refused the call: {failure}"),
    }
}
