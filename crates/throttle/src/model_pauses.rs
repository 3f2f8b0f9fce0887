//! Pauses of a model with each key: for all callers, or for the one whose own fields may be the reason.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::caller_id::CallerId;
use crate::pause::PauseState;
use crate::types::Pause;

/// Time for which a rejection of one caller's call supports that of another.
const REJECTION_AGE: Duration = Duration::from_secs(60);

/// Pauses of a model, by the key's index.
#[derive(Debug, Default)]
pub struct ModelPauses {
    all: BTreeMap<usize, PauseState>,
    /// Pauses for single callers.
    own: BTreeMap<(usize, CallerId), PauseState>,
    /// Times of the latest rejections of calls with fields of their callers' own.
    rejected: BTreeMap<CallerId, Instant>,
    /// Times of the latest successes of callers since the first of these rejections.
    accepted: BTreeMap<CallerId, Instant>,
}

impl ModelPauses {
    /// Records that a call with fields of its caller's own was rejected. Returns true if those of other callers were, too, and of more
    /// callers than have had calls that succeeded since, and none that was rejected: then the fields are probably not the reason.
    pub fn record_own_rejection(&mut self, caller: CallerId, now: Instant) -> bool {
        let is_recent = |at: &Instant| now.saturating_duration_since(*at) < REJECTION_AGE;
        self.rejected.retain(|_, at| is_recent(at));
        self.rejected.insert(caller, now);
        (self.accepted).retain(|other, at| is_recent(at) && !self.rejected.contains_key(other));
        self.rejected.len() > self.accepted.len().max(1)
    }

    /// Begins or changes a pause, for all callers or for `caller` alone, as the answer to a call that began at `began` asked. Returns
    /// its end.
    pub fn begin(
        &mut self,
        key: usize,
        caller: Option<CallerId>,
        pause: Pause,
        began: Instant,
        now: Instant,
    ) -> Instant {
        let state = match caller {
            None => self.all.entry(key).or_default(),
            Some(caller) => {
                let id = (key, caller);
                (self.own).retain(|other, state| *other == id || state.lasts(now));
                self.own.entry(id).or_default()
            }
        };
        state.begin(pause, began, now)
    }

    /// Returns the pauses that hold for a caller with a key.
    fn holding_for(&self, key: usize, caller: CallerId) -> impl Iterator<Item = &PauseState> {
        let own = self.own.get(&(key, caller));
        self.all.get(&key).into_iter().chain(own)
    }

    /// Returns the pauses that hold for a caller with a key, to be changed.
    fn holding_for_mut(
        &mut self,
        key: usize,
        caller: CallerId,
    ) -> impl Iterator<Item = &mut PauseState> {
        let own = self.own.get_mut(&(key, caller));
        self.all.get_mut(&key).into_iter().chain(own)
    }

    /// Returns the end of the pause for a caller, if it lasts and no probe is due.
    pub fn blocked_until(&self, key: usize, caller: CallerId, now: Instant) -> Option<Instant> {
        let pauses = self.holding_for(key, caller);
        pauses.filter_map(|pause| pause.blocked_until(now)).max()
    }

    /// Returns when a call of a caller can go out: the end of the pause, or its next probe. `None`: now.
    pub fn available_at(&self, key: usize, caller: CallerId, now: Instant) -> Option<Instant> {
        let pauses = self.holding_for(key, caller);
        pauses.filter_map(|pause| pause.available_at(now)).max()
    }

    /// Returns true if a pause lasts, even if a probe is due.
    pub fn does_any_last(&self, now: Instant) -> bool {
        let mut pauses = self.all.values().chain(self.own.values());
        pauses.any(|pause| pause.lasts(now))
    }

    /// Records a call that goes out. During a pause it is a probe.
    pub fn record_call(&mut self, key: usize, caller: CallerId, now: Instant) {
        for pause in self.holding_for_mut(key, caller) {
            pause.record_call(now);
        }
    }

    /// Records the success of a call that began at `began`: ends the run of pauses, and a pause that the call has probed. Returns true
    /// if a pause has ended.
    pub fn record_success(
        &mut self,
        key: usize,
        caller: CallerId,
        began: Instant,
        now: Instant,
    ) -> bool {
        if !self.rejected.is_empty() {
            self.accepted.insert(caller, now);
        }
        let mut has_ended = false;
        for pause in self.holding_for_mut(key, caller) {
            has_ended |= pause.record_success(began, now);
        }
        has_ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: CallerId = CallerId(1);
    const BOB: CallerId = CallerId(2);

    #[test]
    fn a_pause_of_one_caller_holds_for_that_one_and_the_longer_one_counts() {
        let now = Instant::now();
        let after = |seconds| now + Duration::from_secs(seconds);
        let mut pauses = ModelPauses::default();
        let own = Pause::Until(after(9));
        assert_eq!(pauses.begin(0, Some(ALICE), own, now, now), after(9));
        let blocked = |pauses: &ModelPauses, now| {
            [(0, ALICE), (0, BOB), (1, ALICE)]
                .map(|(key, caller)| pauses.blocked_until(key, caller, now))
        };
        assert_eq!(blocked(&pauses, now), [Some(after(9)), None, None]);
        assert!(pauses.does_any_last(now) && !pauses.does_any_last(after(9)));
        pauses.begin(0, None, Pause::Until(after(5)), now, now);
        let both = [Some(after(9)), Some(after(5)), None];
        assert_eq!(blocked(&pauses, now), both);
        assert_eq!(pauses.available_at(0, ALICE, now), Some(after(9)));
        assert_eq!(pauses.available_at(0, BOB, after(5)), None);
        let later = after(1);
        assert!(pauses.record_success(0, BOB, later, later));
        assert_eq!(blocked(&pauses, later), [Some(after(9)), None, None]);
        assert!(!pauses.record_success(0, BOB, later, later));
        assert!(pauses.record_success(0, ALICE, later, later));
        assert_eq!(blocked(&pauses, later), [None; 3]);
    }

    #[test]
    fn pauses_of_callers_are_forgotten_and_probed() {
        let now = Instant::now();
        let hour = now + Duration::from_secs(3_600);
        let mut pauses = ModelPauses::default();
        for caller in 0..100 {
            let end = now + Duration::from_secs(caller);
            pauses.begin(0, Some(CallerId(caller)), Pause::Until(end), now, now);
        }
        pauses.begin(0, Some(ALICE), Pause::Until(hour), now, now);
        let probe = now + Duration::from_secs(60);
        assert_eq!(pauses.available_at(0, ALICE, now), Some(probe));
        pauses.record_call(0, ALICE, probe);
        assert!(pauses.available_at(0, ALICE, probe) > Some(probe));
        let end = now + Duration::from_secs(100);
        pauses.begin(0, Some(BOB), Pause::Until(hour), end, end);
        assert_eq!(pauses.own.len(), 2);
    }

    #[test]
    fn rejections_of_two_callers_within_a_minute_are_not_due_to_their_fields() {
        let now = Instant::now();
        let after = |seconds| now + Duration::from_secs(seconds);
        let mut pauses = ModelPauses::default();
        assert!(!pauses.record_own_rejection(ALICE, now));
        assert!(!pauses.record_own_rejection(ALICE, after(1)));
        assert!(!pauses.record_own_rejection(BOB, after(61)));
        assert!(pauses.record_own_rejection(ALICE, after(120)));
        // Those of others succeed.
        for (caller, others, is_of_most) in [
            (BOB, &[1, 2, 3][..], true),
            (BOB, &[3, 4], false),
            (CallerId(3), &[4], true),
        ] {
            for other in others {
                pauses.record_success(0, CallerId(*other), after(120), after(120));
            }
            assert_eq!(pauses.record_own_rejection(caller, after(120)), is_of_most);
        }
        // A success counts for a minute, too.
        let mut pauses = ModelPauses::default();
        pauses.record_success(0, CallerId(3), now, now);
        pauses.record_own_rejection(ALICE, now);
        pauses.record_success(0, CallerId(4), now, now);
        pauses.record_success(0, CallerId(5), now, now);
        assert!(!pauses.record_own_rejection(BOB, after(59)));
        assert!(pauses.record_own_rejection(ALICE, after(60)));
    }
}
