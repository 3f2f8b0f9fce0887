//! Load of many callers over minutes, of which some have long calls.

use std::collections::VecDeque;

use super::*;
use crate::tests::simulation::Random;

/// Ten callers always have more calls, all or part of which are long. Forty others have one call or five at a time, for which the
/// slots suffice more than twice.
#[test]
fn batches_beside_callers_with_long_calls_are_hardly_slower() {
    let four_times = Duration::from_millis(390);
    for (long, long_calls) in [(LONG, 1), (LONG, 2), (LONG, 20), (four_times, 1)] {
        let waits = Load::new(long, long_calls).run(Duration::from_secs(200));
        let late = waits.iter().filter(|wait| **wait > SHORT).count();
        assert!(waits.len() > 20_000, "{}", waits.len());
        assert!(
            late * 100 < waits.len(),
            "one call of {long_calls} takes {long:?}: {late} of {} calls of others wait",
            waits.len()
        );
    }
}

/// A call that has been made, or that waits.
#[derive(Clone, Copy)]
struct LoadCall {
    caller: usize,
    since: Duration,
    ends: Duration,
}

/// The callers with their waiting calls.
struct Load {
    callers: Callers,
    waiting: Vec<VecDeque<LoadCall>>,
    random: Random,
    long: Duration,
    /// One of so many calls of the attackers is long.
    long_calls: usize,
}

/// Number of callers with long calls.
const ATTACKERS: usize = 10;
const STEP: Duration = Duration::from_millis(5);

impl Load {
    fn new(long: Duration, long_calls: usize) -> Self {
        let callers = Callers::new(50, SLOTS);
        Self {
            waiting: vec![VecDeque::new(); callers.calls.len()],
            callers,
            random: Random(1),
            long,
            long_calls,
        }
    }

    /// Returns the times that calls of others than the attackers have waited.
    fn run(mut self, time: Duration) -> Vec<Duration> {
        let start = self.callers.now;
        let (mut waits, mut in_flight, mut passed) = (Vec::new(), Vec::new(), Duration::ZERO);
        let mut turn = 0;
        while passed < time {
            passed += STEP;
            self.callers.now = start + passed;
            in_flight.retain(|call: &LoadCall| {
                if call.ends > passed {
                    return true;
                }
                let own = &mut self.callers.calls[call.caller];
                own.record_end(PoolId(0), None, start + call.since, true, start + passed);
                self.callers.held[call.caller].pop();
                false
            });
            if passed.as_millis().is_multiple_of(100) {
                self.callers.count();
            }
            for caller in 0..self.waiting.len() {
                let count = match self.random.below(1_000) {
                    _ if caller < ATTACKERS => 20 - self.waiting[caller].len().min(20),
                    0..3 => 5,
                    3..13 => 1,
                    _ => 0,
                };
                let call = LoadCall {
                    caller,
                    since: passed,
                    ends: passed,
                };
                self.waiting[caller].extend((0..count).map(|_| call));
            }
            let mut refused = 0;
            while refused < self.waiting.len() {
                turn = (turn + 1) % self.waiting.len();
                refused += 1;
                if self.waiting[turn].is_empty() || self.callers.available(turn) == 0 {
                    continue;
                }
                refused = 0;
                let call = self.waiting[turn].pop_front().expect("it is not empty");
                let is_attacker = turn < ATTACKERS;
                if !is_attacker && passed > time / 10 {
                    waits.push(passed.saturating_sub(call.since));
                }
                self.callers.take(turn, 1);
                let is_long = is_attacker && self.random.below(20) < 20 / self.long_calls;
                let short = SHORT / 2 + SHORT / 10 * u32::try_from(self.random.below(10)).unwrap();
                let ends = passed + if is_long { self.long } else { short };
                in_flight.push(LoadCall {
                    since: passed,
                    ends,
                    ..call
                });
            }
        }
        waits
    }
}
