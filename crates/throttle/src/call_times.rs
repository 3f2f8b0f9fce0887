//! Times that a caller's calls under a limit hold its slots, over about the last minute.

use std::time::{Duration, Instant};

use crate::adaptive::as_float;

/// Time after which a call that has ended counts for about a third of what it counted at its end.
const MEMORY: Duration = Duration::from_secs(60);
/// Number of usual times after which an ended call counts for about a third among the recent ones. With more than one, the number of recent
/// ones is above that of the calls in flight while that is steady, so a caller in steady use keeps its slots.
const RECENT_TIMES: f64 = 2.0;
/// Part of what has ended that is left after any time: how long the calls of a caller take is known when it comes back.
const LEAST_PART: f64 = 1e-9;
/// Time up to which a call without an answer is not counted: it was rejected or cancelled, and is not typical of answers.
const MIN_TIME_WITHOUT_ANSWER: Duration = Duration::from_secs(1);

/// Sums of the times, in seconds, of calls in flight and of calls that have ended. The latter fade with time.
#[derive(Debug)]
pub struct CallTimes {
    /// Time up to which the sums are kept.
    at: Instant,
    /// Time at which a call last began or ended.
    used_at: Instant,
    in_flight: TimeSums,
    ended: TimeSums,
    ended_count: f64,
    /// Number of calls that have ended in about their last two usual times.
    recent_count: f64,
}

/// Sum of times, and of their squares.
#[derive(Debug, Default)]
struct TimeSums {
    times: f64,
    squares: f64,
}

impl CallTimes {
    pub fn new(now: Instant) -> Self {
        Self {
            at: now,
            used_at: now,
            in_flight: TimeSums::default(),
            ended: TimeSums::default(),
            ended_count: 0.0,
            recent_count: 0.0,
        }
    }

    /// Updates the sums to now. `in_flight` is the number of calls in flight since the last update.
    pub fn update(&mut self, in_flight: usize, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        let count = as_float(in_flight);
        let ages = &mut self.in_flight;
        ages.squares += passed * (2.0 * ages.times + count * passed);
        ages.times += count * passed;
        if in_flight == 0 {
            // Nothing is left of rounding errors.
            *ages = TimeSums::default();
        }
        let part = (-passed / MEMORY.as_secs_f64()).exp().max(LEAST_PART);
        self.ended.times *= part;
        self.ended.squares *= part;
        self.ended_count *= part;
        let recent_time = RECENT_TIMES * self.usual_time();
        self.recent_count *= if recent_time > 0.0 {
            (-passed / recent_time).exp()
        } else {
            0.0
        };
    }

    /// Records the beginning of a call. `in_flight` does not include it.
    pub fn record_start(&mut self, in_flight: usize, now: Instant) {
        self.update(in_flight, now);
        self.used_at = now;
    }

    /// Records the end of a call. `in_flight` includes it.
    pub fn record_end(
        &mut self,
        in_flight: usize,
        began: Instant,
        is_answered: bool,
        now: Instant,
    ) {
        self.update(in_flight, now);
        self.used_at = now;
        let taken = now.saturating_duration_since(began);
        let time = taken.as_secs_f64();
        let ages = &mut self.in_flight;
        ages.times = (ages.times - time).max(0.0);
        ages.squares = (ages.squares - time * time).max(0.0);
        if !is_answered && taken < MIN_TIME_WITHOUT_ANSWER {
            return;
        }
        self.ended.times += time;
        self.ended.squares += time * time;
        self.ended_count += 1.0;
        self.recent_count += 1.0;
    }

    /// Returns true if a call began or ended within this time.
    pub fn was_used_within(&self, time: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.used_at) < time
    }

    /// Returns the number of calls that have ended, of which those of a minute ago count for about a third. It is 0 if none has ever ended.
    pub const fn ended(&self) -> f64 {
        self.ended_count
    }

    /// Returns the number of calls that have ended in about twice their usual time.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and the conversion saturates"
    )]
    pub const fn recently_ended(&self) -> usize {
        self.recent_count as usize
    }

    /// Returns the time, in seconds, of the call that holds a slot, on average over the time in which slots are held: a call of 20 s
    /// counts as much as 200 calls of 100 ms. Calls in flight count by their time so far.
    pub fn usual_time(&self) -> f64 {
        let times = self.ended.times + self.in_flight.times;
        let squares = self.ended.squares + self.in_flight.squares;
        if times > 0.0 { squares / times } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-6, "{found}");
    }

    #[test]
    fn the_usual_time_is_that_of_the_calls_that_hold_slots_longest() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let mut times = CallTimes::new(start);
        assert_near(times.usual_time(), 0.0);
        times.record_start(0, start);
        times.record_start(1, start);
        times.update(2, after(500));
        assert_near(times.usual_time(), 0.5);
        assert_near(times.ended(), 0.0);
        times.record_end(2, start, true, after(1_000));
        assert_near(times.ended(), 1.0);
        assert_near(times.usual_time(), 1.0);
        // The other is in flight for ten seconds by now.
        let faded = (-0.15_f64).exp();
        times.update(1, after(10_000));
        assert_near(times.usual_time(), (100.0 + faded) / (10.0 + faded));
        times.record_end(1, start, true, after(10_000));
        assert_near(times.usual_time(), (100.0 + faded) / (10.0 + faded));
    }

    #[test]
    fn one_long_call_counts_as_much_as_the_many_short_ones_of_its_time() {
        let start = Instant::now();
        let mut times = CallTimes::new(start);
        let mut now = start;
        for _ in 0..100 {
            times.record_start(0, now);
            times.record_end(1, now, true, now + Duration::from_millis(100));
            now += Duration::from_millis(100);
        }
        assert_near(times.usual_time(), 0.1);
        times.record_start(0, now);
        times.update(1, now + Duration::from_secs(1));
        assert!(times.usual_time() < 0.25);
        times.update(1, now + Duration::from_secs(100));
        assert!(times.usual_time() > 90.0);
    }

    #[test]
    fn the_calls_that_have_ended_recently_are_as_many_as_are_in_flight_and_soon_forgotten() {
        let start = Instant::now();
        let time = Duration::from_millis(100);
        let mut times = CallTimes::new(start);
        let mut now = start;
        // Ten calls are in flight, and every 10 ms one ends and another begins.
        for in_flight in 0..10 {
            times.record_start(in_flight, now);
        }
        for _ in 0..500 {
            now += time / 10;
            times.record_end(10, now.checked_sub(time).unwrap(), true, now);
            times.record_start(9, now);
        }
        assert!((15..=25).contains(&times.recently_ended()));
        times.update(0, now + 10 * time);
        assert_eq!(times.recently_ended(), 0);
    }

    #[test]
    fn short_calls_without_an_answer_do_not_count() {
        let start = Instant::now();
        let mut times = CallTimes::new(start);
        for (ms, ended) in [(999, 0.0), (1_000, 1.0)] {
            times.record_start(0, start);
            times.record_end(1, start, false, start + Duration::from_millis(ms));
            assert_near(times.ended(), ended);
        }
        assert_near(times.usual_time(), 1.0);
    }

    #[test]
    fn the_number_of_calls_fades_within_minutes_and_their_usual_time_stays_known() {
        let start = Instant::now();
        let mut times = CallTimes::new(start);
        let end = start + Duration::from_secs(7);
        for in_flight in 0..100 {
            times.record_start(in_flight, start);
        }
        for ended in 0..100 {
            times.record_end(100 - ended, start, true, end);
        }
        for (minutes, ended) in [
            (1, 36.0..37.0),
            (2, 13.0..14.0),
            (10, 0.0..0.1),
            (100_000, 0.0..0.1),
        ] {
            let time = Duration::from_secs(minutes * 60);
            times.update(0, end + time);
            let left = times.ended();
            assert!(left > 0.0 && ended.contains(&left), "{left}");
            assert_near(times.usual_time(), 7.0);
            assert!(!times.was_used_within(time, end + time));
            assert!(times.was_used_within(time + Duration::from_secs(1), end + time));
        }
    }

    #[test]
    fn the_sums_do_not_drift_over_days() {
        let start = Instant::now();
        let mut times = CallTimes::new(start);
        let mut began = Vec::new();
        for step in 0..500_000_u64 {
            let now = start + Duration::from_millis(step * 400);
            if began.len() < 50 {
                times.record_start(began.len(), now);
                began.push(now);
            } else {
                let index = usize::try_from(step * 7 % 50).expect("it is small");
                times.record_end(50, began.swap_remove(index), true, now);
            }
        }
        let now = times.at;
        let ages = began.iter().map(|at| (now - *at).as_secs_f64());
        let (sum, squares) = ages.fold((0.0, 0.0), |(sum, squares), age| {
            (sum + age, squares + age * age)
        });
        let TimeSums { times, squares: of } = times.in_flight;
        assert!((times - sum).abs() < 1e-3 * sum, "{times} and {sum}");
        assert!((of - squares).abs() < 1e-3 * squares, "{of} and {squares}");
    }
}
