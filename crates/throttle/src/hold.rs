//! Holds: which limit keeps the waiting calls of a model, and since when. Recorded when a permit is refused, for display only.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Maximum number of changes that are remembered for a model.
const MAX_CHANGES: usize = 256;

/// Limit that keeps a call waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldReason {
    /// Calls in flight of the whole process.
    Concurrency,
    /// Calls in flight of the provider.
    ProviderConcurrency,
    /// Calls in flight of the model.
    ModelConcurrency,
    /// Requests per minute of the provider's keys.
    Requests,
    /// Tokens per minute of the provider's keys.
    Tokens,
    /// Pause of the provider's key, as after a 429 that is about all models.
    Pause,
    /// Pause of the model, as after a 429.
    ModelPause,
    /// Circuit breaker of the model.
    Breaker,
    /// Trial of the model, until the first of its calls is answered.
    Trial,
    /// Quota of the caller.
    CallerQuota,
    /// Share of the caller in the calls in flight: the free slots are left to other callers.
    CallerShare,
}

impl HoldReason {
    /// Returns the limit's name as in a snapshot: its scope and its kind. `model` is the label, `provider/model`.
    #[must_use]
    pub fn limit_name(self, model: &str) -> String {
        let provider = model.split('/').next().unwrap_or_default();
        match self {
            Self::Concurrency => "concurrency".to_owned(),
            Self::ProviderConcurrency => format!("{provider}/concurrency"),
            Self::ModelConcurrency => format!("{model}/concurrency"),
            Self::Requests => format!("{provider}/requests_per_minute"),
            Self::Tokens => format!("{provider}/tokens_per_minute"),
            Self::Pause => format!("{provider}/pause"),
            Self::ModelPause => format!("{model}/pause"),
            Self::Breaker => format!("{model}/breaker"),
            Self::Trial => format!("{model}/trial"),
            Self::CallerQuota => "caller/quota".to_owned(),
            Self::CallerShare => "caller/concurrency_share".to_owned(),
        }
    }
}

/// A time span in which one limit kept the calls of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// The limit; `None`: other calls had their turn, or the reason is not remembered.
    pub reason: Option<HoldReason>,
    pub from: Instant,
    pub to: Instant,
}

/// Hold of the calls that wait for a model now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldSnapshot {
    /// Label of the model, `provider/model`.
    pub model: String,
    /// True if the configuration names the model.
    pub is_configured: bool,
    /// Number of waiting calls.
    pub waiting: usize,
    pub reason: HoldReason,
    /// Time until the limit lets a call through, if time alone decides that.
    pub retry_in: Option<Duration>,
}

#[derive(Debug, Clone, Copy)]
struct Change {
    reason: HoldReason,
    since: Instant,
    /// Time of the latest refusal for this reason.
    latest: Instant,
    until: Option<Instant>,
}

impl Change {
    /// Returns true if the reason still held at this time.
    fn holds_at(&self, time: Instant) -> bool {
        self.latest >= time || self.until.is_some_and(|until| until > time)
    }
}

/// Latest changes of what holds a model's calls.
#[derive(Debug, Default)]
pub struct HoldHistory(VecDeque<Change>);

impl HoldHistory {
    /// Records a refusal.
    pub fn record(&mut self, reason: HoldReason, until: Option<Instant>, now: Instant) {
        if let Some(last) = self.0.back_mut()
            && last.reason == reason
        {
            (last.latest, last.until) = (now, until);
            return;
        }
        if self.0.len() == MAX_CHANGES {
            self.0.pop_front();
        }
        self.0.push_back(Change {
            reason,
            since: now,
            latest: now,
            until,
        });
    }

    /// Returns the latest reason and its end, if that is known.
    pub fn latest(&self) -> Option<(HoldReason, Option<Instant>)> {
        self.0.back().map(|last| (last.reason, last.until))
    }

    /// Returns what held calls between two times, in order and without gaps.
    pub fn between(&self, from: Instant, to: Instant) -> Vec<Hold> {
        let mut holds: Vec<Hold> = Vec::new();
        let ends = self.0.iter().skip(1).map(|next| next.since);
        for (change, next) in self.0.iter().zip(ends.map(Some).chain([None])) {
            let end = next.map_or(to, |next| next.min(to));
            if end <= from || change.since >= to || !change.holds_at(from) {
                continue;
            }
            let begin = holds.last().map_or(from, |last| last.to);
            if change.since > begin && holds.is_empty() {
                holds.push(Hold {
                    reason: None,
                    from,
                    to: change.since,
                });
            }
            holds.push(Hold {
                reason: Some(change.reason),
                from: change.since.max(from),
                to: end,
            });
        }
        if holds.is_empty() {
            holds.push(Hold {
                reason: None,
                from,
                to,
            });
        }
        holds
    }
}

#[cfg(test)]
mod tests;
