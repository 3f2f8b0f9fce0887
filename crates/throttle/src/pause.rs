//! Pause after HTTP 429: of one provider key with one model, or with all.

use std::time::{Duration, Instant};

use crate::backoff;
use crate::types::Pause;

/// Time from the beginning of a pause to its first probe, for a limit that is lifted early or a header that is wrong. It doubles
/// after each probe.
const FIRST_PROBE: Duration = Duration::from_secs(60);
/// Longest time between two probes.
const MAX_PROBE_INTERVAL: Duration = Duration::from_secs(600);
/// Shortest pause of a key that was paused before and has not succeeded since.
const MIN_PAUSE: Duration = Duration::from_millis(500);

/// Pause of a key, with one model or with all.
#[derive(Debug, Default)]
pub struct PauseState {
    until: Option<Instant>,
    /// Time of the answer that has set `until`.
    set_at: Option<Instant>,
    /// Number of consecutive pauses, and the time at which the last began.
    count: u32,
    began_at: Option<Instant>,
    /// Time from which a call may go out although the pause lasts; `None`: the pause is short.
    next_probe: Option<Instant>,
    probe_interval: Option<Duration>,
}

impl PauseState {
    /// Begins or changes the pause, as the answer to a call that began at `began` asked. Returns its end.
    pub fn begin(&mut self, pause: Pause, began: Instant, now: Instant) -> Instant {
        self.begin_with_probe(pause, FIRST_PROBE, began, now)
    }

    /// As [`PauseState::begin`], with another time to the first probe.
    pub fn begin_with_probe(
        &mut self,
        pause: Pause,
        first_probe: Duration,
        began: Instant,
        now: Instant,
    ) -> Instant {
        // Calls that began before the last pause report the same overload.
        if self.began_at.is_none_or(|at| at < began) {
            self.count += 1;
            self.began_at = Some(now);
        }
        let until = match pause {
            // A provider that keeps naming very short pauses gets longer ones.
            Pause::Until(until) if self.count > 1 => until.max(now + MIN_PAUSE),
            Pause::Until(until) => until,
            Pause::Unspecified => now + backoff::pause(self.count),
        };
        if self.end(now).is_none() {
            (self.next_probe, self.probe_interval) = (None, Some(first_probe));
        }
        // The answer to a call that began later is newer than what has set the end.
        let is_newer = self.set_at.is_none_or(|at| at < began);
        if is_newer || self.until < Some(until) {
            (self.until, self.set_at) = (Some(until), Some(now));
        }
        if self.next_probe.is_none() && until > now + first_probe {
            self.schedule_probe(now);
        }
        until
    }

    fn schedule_probe(&mut self, now: Instant) {
        let interval = self.probe_interval.unwrap_or(FIRST_PROBE);
        self.next_probe = Some(now + interval);
        self.probe_interval = Some((interval * 2).min(MAX_PROBE_INTERVAL));
    }

    fn end(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| *until > now)
    }

    /// Returns true if the pause lasts, even if a probe is due.
    pub fn lasts(&self, now: Instant) -> bool {
        self.end(now).is_some()
    }

    /// Returns the end of the pause, if it lasts and no probe is due.
    pub fn blocked_until(&self, now: Instant) -> Option<Instant> {
        self.end(now)
            .filter(|_| self.next_probe.is_none_or(|probe| probe > now))
    }

    /// Returns when a call can go out: the end of the pause, or its next probe. `None`: now.
    pub fn available_at(&self, now: Instant) -> Option<Instant> {
        let until = self.blocked_until(now)?;
        Some(self.next_probe.map_or(until, |probe| probe.min(until)))
    }

    /// Records a call that goes out. During the pause it is a probe.
    pub fn record_call(&mut self, now: Instant) {
        if self.end(now).is_some() {
            self.schedule_probe(now);
        }
    }

    /// Records the success of a call that began at `began`: ends the run of pauses, and a pause that the call has probed. Returns
    /// true if a pause has ended.
    pub fn record_success(&mut self, began: Instant, now: Instant) -> bool {
        self.count = 0;
        let is_probe = self.set_at.is_some_and(|set_at| began > set_at);
        let has_ended = is_probe && self.end(now).is_some();
        if has_ended {
            self.until = None;
        }
        has_ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_of_unspecified_length_grow_until_a_call_succeeds() {
        let start = Instant::now();
        let mut pause = PauseState::default();
        let mut now = start;
        let mut storm = |pause: &mut PauseState| {
            let (began, refused) = (now, now + Duration::from_millis(1));
            for _ in 0..20 {
                pause.begin(Pause::Unspecified, began, refused);
            }
            // One that went out with another key at this moment.
            pause.begin(Pause::Unspecified, refused, refused);
            now = pause.blocked_until(refused).unwrap();
            now - refused
        };
        let lengths: Vec<_> = (0..6).map(|_| storm(&mut pause).as_millis()).collect();
        assert_eq!(lengths, [500, 1_000, 2_000, 4_000, 8_000, 8_000]);
        pause.record_success(start, start);
        assert_eq!(storm(&mut pause).as_millis(), 500);
        let until = start + Duration::from_secs(3_600);
        pause.begin(Pause::Until(until), start, start);
        assert_eq!(pause.blocked_until(start), Some(until));
    }

    #[test]
    fn a_long_pause_is_probed_from_time_to_time_and_a_success_ends_it() {
        let start = Instant::now();
        let mut pause = PauseState::default();
        let until = start + Duration::from_secs(86_400);
        pause.begin(Pause::Until(until), start, start);
        let mut now = start;
        for seconds in [60, 120, 240, 480, 600, 600] {
            let next = now + Duration::from_secs(seconds);
            assert_eq!(pause.available_at(now), Some(next));
            assert_eq!(pause.blocked_until(now), Some(until));
            assert_eq!(pause.available_at(next), None);
            pause.record_call(next);
            pause.begin(Pause::Until(until), next, next);
            now = next;
        }
        let probe = now + Duration::from_secs(600);
        pause.record_call(probe);
        assert!(!pause.record_success(start, probe), "an earlier call");
        assert!(pause.blocked_until(probe).is_some());
        assert!(pause.record_success(probe, probe));
        assert_eq!(pause.available_at(probe), None);
    }

    #[test]
    fn a_short_pause_is_not_probed() {
        let start = Instant::now();
        let mut pause = PauseState::default();
        let until = start + Duration::from_secs(60);
        pause.begin(Pause::Until(until), start, start);
        assert_eq!(pause.available_at(start), Some(until));
        // It becomes a long one.
        let (now, until) = (start + FIRST_PROBE / 2, until + FIRST_PROBE);
        pause.begin(Pause::Until(until), now, now);
        assert_eq!(pause.available_at(now), Some(now + FIRST_PROBE));
    }

    #[test]
    fn an_older_answer_lengthens_a_pause_and_does_not_shorten_it() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut pause = PauseState::default();
        let mut named = |began, seconds| {
            pause.begin(Pause::Until(after(seconds)), after(began), after(5));
            pause.blocked_until(after(5))
        };
        assert_eq!(named(4, 20), Some(after(20)));
        assert_eq!(named(3, 10), Some(after(20)), "older and shorter");
        assert_eq!(named(3, 30), Some(after(30)), "older and longer");
        assert!(!pause.record_success(after(5), after(6)), "not a probe");
        assert!(pause.record_success(after(6), after(6)));
    }

    #[test]
    fn a_provider_that_keeps_naming_very_short_pauses_gets_longer_ones() {
        let mut now = Instant::now();
        let mut pause = PauseState::default();
        let mut brief = |pause: &mut PauseState| {
            now += Duration::from_secs(1);
            let until = now + Duration::from_millis(10);
            (pause.begin(Pause::Until(until), now, now) - now).as_millis()
        };
        assert_eq!([(); 3].map(|()| brief(&mut pause)), [10, 500, 500]);
        let answered = Instant::now();
        pause.record_success(answered, answered);
        assert_eq!(brief(&mut pause), 10);
    }

    #[test]
    fn a_call_that_began_before_a_pause_does_not_shorten_it() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pause = PauseState::default();
        pause.begin(Pause::Unspecified, start, at(1));
        // Two calls that were in flight: one names a long pause, the other was answered a moment later.
        pause.begin(Pause::Until(at(30)), start, at(5));
        pause.begin(Pause::Unspecified, at(5), at(6));
        assert_eq!(pause.blocked_until(at(6)), Some(at(30)));
        assert!(!pause.record_success(at(4), at(7)));
        // The same end again is nothing new.
        pause.begin(Pause::Until(at(30)), start, at(8));
        assert_eq!(pause.blocked_until(at(8)), Some(at(30)));
        // A newer call is newer word.
        pause.begin(Pause::Until(at(10)), at(7), at(9));
        assert_eq!(pause.blocked_until(at(9)), Some(at(10)));
    }
}
