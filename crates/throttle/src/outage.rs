//! Outages: what fails for every call alike (a refused key, an unknown model, an exhausted quota) is called no more, except
//! for a probe from time to time. Time is an argument.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::caller_id::CallerId;

/// Time from the beginning of an outage to its first probe. It doubles after each probe.
const FIRST_PROBE: Duration = Duration::from_secs(1);
/// Longest time between two probes.
const MAX_PROBE_INTERVAL: Duration = Duration::from_secs(30);
/// The same for a doubtful reason.
const MAX_DOUBTFUL_PROBE_INTERVAL: Duration = Duration::from_secs(10);
/// Number of different inputs whose calls have to fail in a row to prove an outage, if each may have failed for its own sake. If calls of
/// several callers were answered of late, they have to be of two callers at least: one may have many such inputs.
const DOUBTFUL_PROOFS: usize = 3;

/// Reason of an outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OutageReason {
    /// The provider does not accept the key. Holds for all models of the provider.
    KeyRefused,
    /// The provider denies access to the model with the key.
    AccessDenied,
    /// The quota or the balance of the key is used up, and waiting does not help.
    QuotaExhausted,
    /// The provider does not know the model.
    UnknownModel,
    /// The server does not know the address.
    NotFound,
}

impl OutageReason {
    /// All reasons.
    pub const ALL: [Self; 5] = [
        Self::KeyRefused,
        Self::AccessDenied,
        Self::QuotaExhausted,
        Self::UnknownModel,
        Self::NotFound,
    ];

    /// Returns the reason's name in JSON and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::KeyRefused => "key_refused",
            Self::AccessDenied => "access_denied",
            Self::QuotaExhausted => "quota_exhausted",
            Self::UnknownModel => "unknown_model",
            Self::NotFound => "not_found",
        }
    }

    /// Returns true if the outage holds for the key with every model, not only for the model that was called.
    #[must_use]
    pub const fn is_of_key(self) -> bool {
        matches!(self, Self::KeyRefused)
    }

    /// Returns true if the reason is always doubtful, since it may be one input alone: a firewall in front of a provider denies access to single texts as
    /// well.
    #[must_use]
    pub const fn is_doubtful(self) -> bool {
        matches!(self, Self::AccessDenied | Self::NotFound)
    }
}

/// Report of a call that failed for a reason that holds for other calls too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutageReport {
    /// Reason of the failure.
    pub reason: OutageReason,
    /// Message of the provider, without secrets.
    pub detail: Arc<str>,
    /// Hash of the input of the call.
    pub input: u64,
    /// True if the reason may be this input, or this call, alone.
    pub is_doubtful: bool,
}

impl OutageReport {
    const fn max_probe_interval(&self) -> Duration {
        if self.is_doubtful {
            MAX_DOUBTFUL_PROBE_INTERVAL
        } else {
            MAX_PROBE_INTERVAL
        }
    }
}

/// Outage of a key, or of a key with one model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// Reason and message of the latest failure.
    pub report: OutageReport,
    /// Time of the first failure.
    pub since: Instant,
    /// Time from which one call may go out.
    pub next_probe: Instant,
    /// Time from the next probe to the one after it.
    interval: Duration,
    is_proven: bool,
    /// Hashes of inputs of failed calls, as many as prove the outage.
    inputs: Vec<u64>,
    /// Caller of the first failed call.
    first_caller: CallerId,
    /// True if calls of another caller have failed too.
    is_of_several_callers: bool,
}

impl Outage {
    /// Returns true if no call may go out: the outage is proven, and no probe is due.
    pub fn blocks(&self, now: Instant) -> bool {
        self.is_proven() && self.next_probe > now
    }

    /// Returns true if enough calls failed in a row.
    pub const fn is_proven(&self) -> bool {
        self.is_proven
    }

    /// Adds a failed call. Returns true if it proves the outage.
    fn add(&mut self, report: &OutageReport, by: FailedCaller) -> bool {
        self.report = report.clone();
        if self.is_proven {
            return false;
        }
        let has_enough = self.inputs.len() >= DOUBTFUL_PROOFS;
        if !has_enough && !self.inputs.contains(&report.input) {
            self.inputs.push(report.input);
        }
        self.is_of_several_callers |= by.caller != self.first_caller;
        let is_by_enough = self.is_of_several_callers || by.is_alone;
        self.is_proven =
            !report.is_doubtful || (is_by_enough && self.inputs.len() >= DOUBTFUL_PROOFS);
        self.is_proven
    }
}

/// Caller of a call that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailedCaller {
    pub caller: CallerId,
    /// True if no call of another caller was answered of late.
    pub is_alone: bool,
}

/// Availability of a key, or of a key with one model.
#[derive(Debug, Clone, Default)]
pub struct Availability(Option<Outage>);

/// Effect of a call on the availability of a key or model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutageChange {
    /// An outage is proven by this call.
    Began,
    /// A call succeeded, and the outage is over.
    Ended,
}

impl Availability {
    /// Returns the current outage, proven or suspected.
    pub const fn outage(&self) -> Option<&Outage> {
        self.0.as_ref()
    }

    /// Records the failure of a call that began at `began`.
    pub fn record_failure(
        &mut self,
        report: &OutageReport,
        by: FailedCaller,
        began: Instant,
        now: Instant,
    ) -> Option<OutageChange> {
        let outage = self.0.get_or_insert_with(|| Outage {
            report: report.clone(),
            since: now,
            next_probe: now + FIRST_PROBE,
            interval: FIRST_PROBE * 2,
            is_proven: false,
            inputs: Vec::new(),
            first_caller: by.caller,
            is_of_several_callers: false,
        });
        let is_new = outage.add(report, by);
        // A probe that was slower than the time to the next one has failed only now.
        if began >= outage.since && outage.next_probe <= now {
            outage.take_probe(now);
        }
        is_new.then_some(OutageChange::Began)
    }

    /// Records the success of a call that began at `began`. One that began before a proven outage says nothing.
    pub fn record_success(&mut self, began: Instant) -> Option<OutageChange> {
        let is_over = |outage: &mut Outage| !outage.is_proven() || began >= outage.since;
        let ended = self.0.take_if(is_over)?;
        ended.is_proven().then_some(OutageChange::Ended)
    }

    /// Lets the next call be a probe, whose result nothing is known of yet: the key was replaced.
    pub fn probe_now(&mut self, now: Instant) {
        if let Some(outage) = &mut self.0 {
            (outage.next_probe, outage.interval) = (now, FIRST_PROBE);
        }
    }

    /// Records that a call goes out: during an outage it is a probe, and the next one has to wait.
    pub fn record_call(&mut self, now: Instant) {
        if let Some(outage) = &mut self.0 {
            outage.take_probe(now);
        }
    }
}

impl Outage {
    fn take_probe(&mut self, now: Instant) {
        self.next_probe = now + self.interval;
        self.interval = (self.interval * 2).min(self.report.max_probe_interval());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALONE: FailedCaller = FailedCaller {
        caller: CallerId(1),
        is_alone: true,
    };

    fn report(reason: OutageReason) -> OutageReport {
        OutageReport {
            reason,
            detail: "no".into(),
            input: 1,
            is_doubtful: reason.is_doubtful(),
        }
    }

    #[test]
    fn reasons_have_the_names_that_clients_and_metrics_know() {
        let names = [
            "key_refused",
            "access_denied",
            "quota_exhausted",
            "unknown_model",
            "not_found",
        ];
        assert_eq!(OutageReason::ALL.map(OutageReason::as_str), names);
    }

    fn blocks(availability: &Availability, now: Instant) -> bool {
        availability
            .outage()
            .is_some_and(|outage| outage.blocks(now))
    }

    #[test]
    fn one_refusal_blocks_all_calls_but_probes_that_become_rarer() {
        let start = Instant::now();
        let mut key = Availability::default();
        let refused = report(OutageReason::KeyRefused);
        assert_eq!(
            key.record_failure(&refused, ALONE, start, start),
            Some(OutageChange::Began)
        );
        assert_eq!(
            key.record_failure(&refused, ALONE, start, start),
            None,
            "a call that was in flight already"
        );
        let mut now = start;
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            let next = now + Duration::from_secs(seconds);
            assert!(blocks(
                &key,
                next.checked_sub(Duration::from_millis(1)).unwrap()
            ));
            assert!(!blocks(&key, next), "{seconds}");
            key.record_call(next);
            assert!(blocks(&key, next), "one probe at a time");
            assert_eq!(key.record_failure(&refused, ALONE, next, next), None);
            now = next;
        }
    }

    #[test]
    fn a_probe_that_fails_late_postpones_the_next_one_and_an_earlier_call_does_not() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let refused = report(OutageReason::KeyRefused);
        for (began, is_probe) in [(1, false), (3, true)] {
            let mut key = Availability::default();
            key.record_failure(&refused, ALONE, start, at(2));
            key.record_call(at(3));
            assert!(blocks(&key, at(4)) && !blocks(&key, at(9)));
            key.record_failure(&refused, ALONE, at(began), at(9));
            assert_eq!(blocks(&key, at(9)), is_probe);
        }
    }

    #[test]
    fn a_successful_probe_ends_the_outage_and_an_earlier_call_does_not() {
        let start = Instant::now();
        let mut key = Availability::default();
        let later = start + Duration::from_secs(1);
        key.record_failure(&report(OutageReason::QuotaExhausted), ALONE, start, later);
        assert_eq!(key.record_success(start), None);
        assert!(blocks(&key, later));
        assert_eq!(key.record_success(later), Some(OutageChange::Ended));
        assert!(!blocks(&key, later));
    }

    #[test]
    fn denied_access_is_proven_by_three_inputs_in_a_row() {
        let start = Instant::now();
        let mut model = Availability::default();
        let denied = |input| OutageReport {
            input,
            ..report(OutageReason::AccessDenied)
        };
        for _ in 0..5 {
            for input in [1, 2, 1, 2] {
                assert_eq!(
                    model.record_failure(&denied(input), ALONE, start, start),
                    None
                );
            }
            assert!(!blocks(&model, start));
            assert_eq!(model.record_success(start), None, "of another text");
        }
        let changes =
            [1, 1, 2, 3, 4].map(|input| model.record_failure(&denied(input), ALONE, start, start));
        assert_eq!(changes, [None, None, None, Some(OutageChange::Began), None]);
        assert!(blocks(&model, start));
    }

    #[test]
    fn one_of_several_callers_does_not_prove_a_doubtful_outage() {
        let start = Instant::now();
        let by = |caller| FailedCaller {
            caller: CallerId(caller),
            is_alone: false,
        };
        let denied = |input| OutageReport {
            input,
            ..report(OutageReason::AccessDenied)
        };
        let mut model = Availability::default();
        for input in 0..100 {
            assert_eq!(
                model.record_failure(&denied(input), by(1), start, start),
                None
            );
        }
        assert!(!blocks(&model, start));
        assert_eq!(
            model.record_failure(&denied(7), by(2), start, start),
            Some(OutageChange::Began),
            "of another caller"
        );
        let mut key = Availability::default();
        let refused = report(OutageReason::KeyRefused);
        assert_eq!(
            key.record_failure(&refused, by(1), start, start),
            Some(OutageChange::Began),
            "beyond doubt"
        );
    }
}
