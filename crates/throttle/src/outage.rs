//! Outages: what fails for every call alike (a refused key, an unknown model, an exhausted quota) is called no more, except
//! for a probe from time to time. Time is an argument.
//!
//! A failure may be due to what its caller sends, so an outage holds for the caller whose calls have failed. Once it is proven for two callers,
//! and for more than those of which calls succeed, it holds for all. The caller of the latest probe leaves the next one to others for a while.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::caller_id::CallerId;

/// Time from the beginning of an outage to its first probe. It doubles after each probe.
const FIRST_PROBE: Duration = Duration::from_secs(1);
/// Longest time between two probes.
const MAX_PROBE_INTERVAL: Duration = Duration::from_secs(30);
/// The same for a doubtful reason.
const MAX_DOUBTFUL_PROBE_INTERVAL: Duration = Duration::from_secs(10);
/// Number of different inputs whose calls have to fail in a row to prove an outage, if each may have failed for its own sake.
const DOUBTFUL_PROOFS: usize = 3;
/// Time for which the caller of the latest probe leaves the next one to other callers, if the outage holds for all: its calls may fail by
/// what it sends.
const OTHERS_FIRST: Duration = Duration::from_secs(5);
/// Time for which the failures of a caller count for others.
const FAILURE_AGE: Duration = Duration::from_secs(60);
/// Time after which an outage of a single caller that does not probe it is not shown any more: the caller seems to call no more.
const UNPROBED_AGE: Duration = Duration::from_secs(3_600);
/// Maximum number of callers whose failures are remembered.
const MAX_CALLERS: usize = 1_000;

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

/// Outage of a key, or of a key with one model, for one caller or for all.
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
    /// Time of the latest failure that proves that the calls of others fail, too.
    failed_for_others_at: Option<Instant>,
    /// Caller of the latest probe of an outage that holds for all.
    prober: Option<CallerId>,
}

impl Outage {
    fn new(report: &OutageReport, now: Instant) -> Self {
        Self {
            report: report.clone(),
            since: now,
            next_probe: now + FIRST_PROBE,
            interval: FIRST_PROBE * 2,
            is_proven: false,
            inputs: Vec::new(),
            failed_for_others_at: None,
            prober: None,
        }
    }

    /// Returns true if no call of the caller may go out: the outage is proven, and no probe is due.
    pub fn blocks(&self, caller: CallerId, now: Instant) -> bool {
        self.is_proven && self.next_probe_of(caller) > now
    }

    /// Returns the time from which one call of the caller may go out.
    pub fn next_probe_of(&self, caller: CallerId) -> Instant {
        if self.prober == Some(caller) {
            self.next_probe + OTHERS_FIRST
        } else {
            self.next_probe
        }
    }

    /// Returns true if enough calls failed in a row.
    pub const fn is_proven(&self) -> bool {
        self.is_proven
    }

    /// Adds a failed call. Returns true if it proves the outage; of others, not if the failure may be due to its caller's own fields.
    fn add(&mut self, report: &OutageReport, is_callers_own: bool, now: Instant) -> bool {
        self.report = report.clone();
        let has_enough = self.inputs.len() >= DOUBTFUL_PROOFS;
        if !has_enough && !self.inputs.contains(&report.input) {
            self.inputs.push(report.input);
        }
        let is_proof = !report.is_doubtful || self.inputs.len() >= DOUBTFUL_PROOFS;
        if is_proof && !is_callers_own {
            self.failed_for_others_at = Some(now);
        }
        let is_new = is_proof && !self.is_proven;
        self.is_proven |= is_proof;
        is_new
    }

    /// Returns true if it shows that the calls of others fail, too.
    fn concerns_others(&self, now: Instant) -> bool {
        let is_recent = |at| now.saturating_duration_since(at) < FAILURE_AGE;
        self.failed_for_others_at.is_some_and(is_recent)
    }

    /// Returns true if its probe has been due for long. It keeps nobody from calling.
    fn is_stale(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.next_probe) >= UNPROBED_AGE
    }

    /// Postpones the next probe if a probe that was slower than the time to it has failed.
    fn postpone(&mut self, began: Instant, now: Instant) {
        if began >= self.since && self.next_probe <= now {
            self.take_probe(now);
        }
    }

    fn take_probe(&mut self, now: Instant) {
        self.next_probe = now + self.interval;
        self.interval = (self.interval * 2).min(self.report.max_probe_interval());
    }

    /// Returns true if the success of a call that began at `began` ends it. One that began before a proven outage says nothing.
    fn is_ended_by(&self, began: Instant) -> bool {
        !self.is_proven || began >= self.since
    }
}

/// Availability of a key, or of a key with one model.
#[derive(Debug, Clone, Default)]
pub struct Availability {
    /// Outage that holds for all callers.
    all: Option<Outage>,
    /// Outages of single callers, proven or suspected.
    by_caller: BTreeMap<CallerId, Outage>,
    /// Beginnings of the latest calls of callers that have succeeded while there was an outage of a single caller.
    succeeded: BTreeMap<CallerId, Instant>,
}

/// Effect of a call on the availability of a key or model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutageChange {
    /// An outage is proven by this call.
    Began,
    /// A call succeeded, and the outage is over.
    Ended,
}

impl Availability {
    /// Returns the outage that holds for the caller, proven or suspected.
    pub fn outage(&self, caller: CallerId) -> Option<&Outage> {
        self.all.as_ref().or_else(|| self.by_caller.get(&caller))
    }

    /// Returns true if the outage holds for all callers.
    #[cfg(test)]
    pub const fn holds_for_all(&self) -> bool {
        self.all.is_some()
    }

    /// Returns true if no call of any caller may go out.
    pub fn blocks_all(&self, now: Instant) -> bool {
        self.all.as_ref().is_some_and(|all| all.next_probe > now)
    }

    /// Returns the proven outages: that of all callers, or those of single ones. With `viewer`, that which holds for it.
    pub fn proven(&self, viewer: Option<CallerId>, now: Instant) -> impl Iterator<Item = &Outage> {
        let single = self.by_caller.iter().filter(move |(caller, own)| {
            let is_shown = self.all.is_none() && !own.is_stale(now);
            is_shown && viewer.is_none_or(|viewer| viewer == **caller)
        });
        let all = self.all.iter().chain(single.map(|(_, outage)| outage));
        all.filter(|outage| outage.is_proven)
    }

    /// Records the failure of a caller's call that began at `began`. `is_callers_own`: it may be due to the caller's own fields in the
    /// call, and says nothing about the calls of others.
    pub fn record_failure(
        &mut self,
        report: &OutageReport,
        is_callers_own: bool,
        caller: CallerId,
        began: Instant,
        now: Instant,
    ) -> Option<OutageChange> {
        if self.by_caller.len() >= MAX_CALLERS && !self.by_caller.contains_key(&caller) {
            let oldest = self.by_caller.iter().min_by_key(|(_, own)| own.next_probe);
            let oldest = oldest.map(|(caller, _)| *caller);
            oldest.and_then(|caller| self.by_caller.remove(&caller));
        }
        let own = self.by_caller.entry(caller);
        let own = own.or_insert_with(|| Outage::new(report, now));
        let is_new = own.add(report, is_callers_own, now);
        own.postpone(began, now);
        if let Some(all) = &mut self.all {
            all.postpone(began, now);
            if !is_callers_own {
                all.report = report.clone();
            }
            return None;
        }
        let single = self.by_caller.iter();
        let proofs = single.filter(|(_, own)| own.concerns_others(now));
        let first = proofs.clone().map(|(_, own)| own.since).min();
        let accepted = self.succeeded.iter().filter(|(other, began)| {
            let own = self.by_caller.get(other);
            let is_counted = first.is_some_and(|first| **began >= first)
                && now.saturating_duration_since(**began) < FAILURE_AGE;
            is_counted && !own.is_some_and(|own| own.concerns_others(now))
        });
        if proofs.clone().count() > accepted.count().max(1) {
            self.all = Some(Outage {
                since: first.unwrap_or(now),
                is_proven: true,
                prober: Some(caller),
                ..Outage::new(report, now)
            });
            return Some(OutageChange::Began);
        }
        is_new.then_some(OutageChange::Began)
    }

    /// Records the success of a caller's call that began at `began`. It ends an outage of all, or that of the caller.
    pub fn record_success(&mut self, caller: CallerId, began: Instant) -> Option<OutageChange> {
        let ended = if let Some(all) = &self.all {
            all.is_ended_by(began).then(|| std::mem::take(self))?.all
        } else {
            if self.by_caller.is_empty() {
                self.succeeded.clear();
            } else if self.succeeded.len() < MAX_CALLERS || self.succeeded.contains_key(&caller) {
                self.succeeded.insert(caller, began);
            }
            let own = self.by_caller.get(&caller)?;
            own.is_ended_by(began)
                .then(|| self.by_caller.remove(&caller))?
        };
        ended?.is_proven.then_some(OutageChange::Ended)
    }

    /// Lets the next call be a probe, whose result nothing is known of yet: the key was replaced.
    pub fn probe_now(&mut self, now: Instant) {
        for outage in self.all.iter_mut().chain(self.by_caller.values_mut()) {
            (outage.next_probe, outage.interval, outage.prober) = (now, FIRST_PROBE, None);
        }
    }

    /// Records that a call of the caller goes out: during an outage it is a probe, and the next one has to wait.
    pub fn record_call(&mut self, caller: CallerId, now: Instant) {
        if let Some(all) = &mut self.all {
            all.take_probe(now);
            all.prober = Some(caller);
        }
        if let Some(own) = self.by_caller.get_mut(&caller) {
            own.take_probe(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: CallerId = CallerId(1);
    const BOB: CallerId = CallerId(2);

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

    fn blocks_caller(availability: &Availability, caller: CallerId, now: Instant) -> bool {
        let outage = availability.outage(caller);
        outage.is_some_and(|outage| outage.blocks(caller, now))
    }

    fn blocks(availability: &Availability, now: Instant) -> bool {
        blocks_caller(availability, ALICE, now)
    }

    #[test]
    fn one_refusal_blocks_all_calls_but_probes_that_become_rarer() {
        let start = Instant::now();
        let mut key = Availability::default();
        let refused = report(OutageReason::KeyRefused);
        assert_eq!(
            key.record_failure(&refused, false, ALICE, start, start),
            Some(OutageChange::Began)
        );
        assert_eq!(
            key.record_failure(&refused, false, ALICE, start, start),
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
            key.record_call(ALICE, next);
            assert!(blocks(&key, next), "one probe at a time");
            assert_eq!(key.record_failure(&refused, false, ALICE, next, next), None);
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
            key.record_failure(&refused, false, ALICE, start, at(2));
            key.record_call(ALICE, at(3));
            assert!(blocks(&key, at(4)) && !blocks(&key, at(9)));
            key.record_failure(&refused, false, ALICE, at(began), at(9));
            assert_eq!(blocks(&key, at(9)), is_probe);
        }
    }

    #[test]
    fn a_successful_probe_ends_the_outage_and_an_earlier_call_does_not() {
        let start = Instant::now();
        let mut key = Availability::default();
        let later = start + Duration::from_secs(1);
        key.record_failure(
            &report(OutageReason::QuotaExhausted),
            false,
            ALICE,
            start,
            later,
        );
        assert_eq!(key.record_success(ALICE, start), None);
        assert!(blocks(&key, later));
        assert_eq!(key.record_success(ALICE, later), Some(OutageChange::Ended));
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
                    model.record_failure(&denied(input), false, ALICE, start, start),
                    None
                );
            }
            assert!(!blocks(&model, start));
            assert_eq!(model.record_success(ALICE, start), None, "of another text");
        }
        let changes = [1, 1, 2, 3, 4]
            .map(|input| model.record_failure(&denied(input), false, ALICE, start, start));
        assert_eq!(changes, [None, None, None, Some(OutageChange::Began), None]);
        assert!(blocks(&model, start));
    }

    #[test]
    fn an_outage_holds_for_the_caller_whose_calls_failed_until_it_is_proven_for_another() {
        let start = Instant::now();
        let refused = report(OutageReason::QuotaExhausted);
        let carol = CallerId(3);
        for (is_alices_own, is_bobs_own, holds_for_all) in [
            (false, false, true),
            (false, true, false),
            (true, false, false),
        ] {
            let mut model = Availability::default();
            model.record_failure(&refused, is_alices_own, ALICE, start, start);
            let blocked = |model: &Availability| {
                [ALICE, BOB, carol].map(|caller| blocks_caller(model, caller, start))
            };
            assert_eq!(blocked(&model), [true, false, false]);
            assert_eq!(model.record_success(BOB, start), None);
            assert_eq!(blocked(&model), [true, false, false], "Bob's are answered");
            let change = model.record_failure(&refused, is_bobs_own, BOB, start, start);
            assert_eq!(change, Some(OutageChange::Began));
            assert_eq!(blocked(&model), [true, true, holds_for_all]);
            assert_eq!(model.blocks_all(start), holds_for_all);
            assert!(!model.blocks_all(start + FIRST_PROBE), "a probe is due");
            assert_eq!(
                model.proven(None, start).count(),
                if holds_for_all { 1 } else { 2 }
            );
            let of_carol = model.proven(Some(carol), start).count();
            assert_eq!(of_carol, usize::from(holds_for_all));
            let ended = model.record_success(BOB, start);
            assert_eq!(ended, Some(OutageChange::Ended));
            assert_eq!(blocked(&model), [!holds_for_all, false, false]);
        }
    }

    #[test]
    fn an_outage_of_two_callers_holds_for_all_unless_the_calls_of_as_many_others_succeed() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let refused = report(OutageReason::QuotaExhausted);
        for (succeeding, age, holds_for_all) in [
            (&[][..], 0, true),
            (&[1, 2, 3], 0, true),
            (&[3, 4], 0, false),
            (&[3, 4], 59, false),
            (&[3, 4], 60, true),
        ] {
            let mut model = Availability::default();
            model.record_success(CallerId(5), start);
            model.record_success(CallerId(6), start);
            model.record_failure(&refused, false, ALICE, start, start);
            for caller in succeeding {
                model.record_success(CallerId(*caller), start);
            }
            let now = at(age);
            model.record_failure(&refused, false, ALICE, now, now);
            model.record_failure(&refused, false, BOB, now, now);
            assert_eq!(model.holds_for_all(), holds_for_all, "{succeeding:?} {age}");
            assert!(blocks_caller(&model, BOB, now));
            model.record_failure(&refused, false, CallerId(3), now, now);
            assert!(model.holds_for_all(), "three of four");
        }
    }

    #[test]
    fn successes_before_an_outage_do_not_keep_it_from_holding_for_all() {
        let start = Instant::now();
        let refused = report(OutageReason::QuotaExhausted);
        let mut model = Availability::default();
        let later = start + Duration::from_secs(1);
        model.record_failure(&refused, false, CallerId(9), start, start);
        for caller in 3..8 {
            model.record_success(CallerId(caller), start);
        }
        model.record_success(CallerId(9), start);
        model.record_failure(&refused, false, ALICE, later, later);
        model.record_failure(&refused, false, BOB, later, later);
        assert!(model.holds_for_all());
    }

    #[test]
    fn failures_of_a_minute_ago_say_nothing_about_others() {
        let start = Instant::now();
        let refused = report(OutageReason::QuotaExhausted);
        for (seconds, holds_for_all) in [(59, true), (60, false)] {
            let now = start + Duration::from_secs(seconds);
            let mut model = Availability::default();
            model.record_failure(&refused, false, ALICE, start, start);
            model.record_failure(&refused, false, BOB, now, now);
            assert_eq!(model.blocks_all(now), holds_for_all);
        }
    }

    #[test]
    fn three_inputs_of_each_of_two_callers_prove_a_doubtful_outage_for_all() {
        let start = Instant::now();
        let denied = |input| OutageReport {
            input,
            ..report(OutageReason::AccessDenied)
        };
        let mut model = Availability::default();
        for input in 0..100 {
            model.record_failure(&denied(input), false, ALICE, start, start);
        }
        for input in 0..3 {
            assert!(!model.blocks_all(start) && !blocks_caller(&model, BOB, start));
            model.record_failure(&denied(input), false, BOB, start, start);
        }
        assert!(model.blocks_all(start));
    }

    #[test]
    fn the_caller_of_a_probe_leaves_the_next_one_to_others() {
        let start = Instant::now();
        let refused = report(OutageReason::QuotaExhausted);
        let mut model = Availability::default();
        for caller in [BOB, ALICE] {
            model.record_failure(&refused, false, caller, start, start);
        }
        let due = start + FIRST_PROBE;
        assert!(blocks_caller(&model, ALICE, due) && !blocks_caller(&model, BOB, due));
        assert!(!blocks_caller(&model, ALICE, due + OTHERS_FIRST));
        model.record_call(BOB, due);
        let due = due + FIRST_PROBE * 2;
        assert!(!blocks_caller(&model, ALICE, due) && blocks_caller(&model, BOB, due));
        model.probe_now(start);
        assert!(!blocks_caller(&model, BOB, start));
    }

    #[test]
    fn an_outage_that_its_caller_does_not_probe_is_shown_for_an_hour() {
        let start = Instant::now();
        let mut model = Availability::default();
        model.record_failure(
            &report(OutageReason::UnknownModel),
            false,
            ALICE,
            start,
            start,
        );
        let hour = start + FIRST_PROBE + UNPROBED_AGE;
        let is_shown = |now| model.proven(None, now).next().is_some();
        assert!(is_shown(hour.checked_sub(Duration::from_secs(1)).unwrap()) && !is_shown(hour));
    }

    #[test]
    fn an_outage_of_all_keeps_its_reason_if_a_call_fails_by_its_own_fields() {
        let start = Instant::now();
        let mut model = Availability::default();
        for (reason, is_own, caller) in [
            (OutageReason::QuotaExhausted, false, ALICE),
            (OutageReason::QuotaExhausted, false, BOB),
            (OutageReason::UnknownModel, true, BOB),
        ] {
            model.record_failure(&report(reason), is_own, caller, start, start);
            let shown = model.proven(Some(BOB), start).next();
            let shown = shown.map(|outage| outage.report.reason);
            assert!(shown.is_none_or(|reason| reason == OutageReason::QuotaExhausted));
        }
        assert!(model.holds_for_all());
    }

    #[test]
    fn the_callers_whose_failures_are_remembered_are_bounded() {
        let start = Instant::now();
        let mut model = Availability::default();
        let own = report(OutageReason::UnknownModel);
        for caller in 0..2_000 {
            model.record_failure(&own, true, CallerId(caller), start, start);
        }
        assert_eq!(model.by_caller.len(), MAX_CALLERS);
    }
}
