//! Shares of callers in the slots of one limit.

mod load;

use super::*;

const SLOTS: usize = 64;
const LIMIT: CallLimit = CallLimit::Process;

/// Callers that share the slots, and the calls that they hold.
struct Callers {
    calls: Vec<CallerCalls>,
    held: Vec<Vec<CallerCallGuard>>,
    slots: usize,
    uses: LimitUses,
    now: Instant,
}

impl Callers {
    fn new(count: usize, slots: usize) -> Self {
        let calls = || CallerCalls {
            leaves_slots: true,
            ..CallerCalls::default()
        };
        Self {
            calls: (0..count).map(|_| calls()).collect(),
            held: (0..count).map(|_| Vec::new()).collect(),
            slots,
            uses: LimitUses::default(),
            now: Instant::now(),
        }
    }

    fn available(&self, caller: usize) -> usize {
        let free = self.slots - self.held.iter().map(Vec::len).sum::<usize>();
        self.calls[caller].available(LIMIT, self.slots, free, &self.uses)
    }

    /// Lets a caller take as many slots as it may, at most so many. Returns how many it has then.
    fn take(&mut self, caller: usize, most: usize) -> usize {
        let start = self.held[caller].len();
        while self.held[caller].len() - start < most && self.available(caller) > 0 {
            let call = self.calls[caller].guard(PoolId(0), None, self.now);
            self.held[caller].push(call);
        }
        self.held[caller].len()
    }

    /// Ends all calls of a caller after this time.
    fn end(&mut self, caller: usize, time: Duration) {
        let now = self.now + time;
        for call in self.held[caller].drain(..) {
            self.calls[caller].record_end(PoolId(0), None, self.now, true, now);
            drop(call);
        }
    }

    fn count(&mut self) {
        self.uses = LimitUses::count(self.calls.iter_mut(), self.now);
    }

    /// Lets each of the callers make calls of this time, one after the other.
    fn make_calls(&mut self, callers: std::ops::Range<usize>, count: usize, time: Duration) {
        for caller in callers {
            for _ in 0..count {
                assert_eq!(self.take(caller, 1), 1);
                self.end(caller, time);
            }
        }
        self.now += time;
        self.count();
    }
}

const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(20);

#[test]
fn a_caller_alone_takes_three_eighths_until_a_call_has_ended_and_then_leaves_an_eighth() {
    let expected = [
        (1, 1, 1),
        (2, 1, 1),
        (3, 2, 2),
        (4, 2, 3),
        (8, 3, 7),
        (9, 4, 7),
        (64, 24, 56),
    ];
    for (slots, at_first, most) in expected {
        let mut callers = Callers::new(2, slots);
        assert_eq!(callers.available(0), at_first, "of {slots}");
        assert_eq!(callers.take(0, usize::MAX), at_first, "of {slots}");
        callers.end(0, LONG);
        callers.count();
        assert_eq!(callers.take(0, usize::MAX), most, "of {slots}");
        let free = slots - most;
        assert_eq!(callers.available(1), free.min(1), "without calls");
        callers.calls[0].leaves_slots = false;
        assert_eq!(callers.available(0), free);
    }
}

#[test]
fn callers_with_long_calls_have_their_fair_share_and_what_leaves_five_eighths_free() {
    let mut callers = Callers::new(14, SLOTS);
    callers.make_calls(0..2, 1, LONG);
    callers.make_calls(2..14, 8, SHORT);
    let most = [0, 1].map(|caller| callers.take(caller, usize::MAX));
    assert_eq!(most, [24, 4], "seven eighths of the slots are 56");
    assert_eq!(callers.take(2, usize::MAX), 12, "and as many as have ended");
    assert_eq!(callers.take(3, usize::MAX), 12);
    assert_eq!(callers.take(4, usize::MAX), 4, "an eighth is left");
    assert_eq!(callers.take(5, usize::MAX), 4, "of its fair share");
    let more = [6, 7, 8, 9, 10].map(|caller| callers.take(caller, usize::MAX));
    assert_eq!(more, [1, 1, 1, 1, 0], "without calls");
}

#[test]
fn one_of_many_short_calls_that_is_long_makes_a_caller_slow_while_it_lasts_and_after_that() {
    let mut callers = Callers::new(8, SLOTS);
    callers.make_calls(0..8, 100, SHORT);
    assert_eq!(callers.take(0, 1), 1);
    let long = callers.held[0].pop();
    let began = callers.now;
    // With 50 free slots, a caller with short calls leaves an eighth of all, and one with long calls five eighths.
    let available = |callers: &Callers| {
        let (calls, uses) = (&callers.calls[0], &callers.uses);
        calls.available(LIMIT, SLOTS, 50, uses)
    };
    callers.make_calls(0..8, 100, SHORT);
    assert_eq!(available(&callers), 42);
    callers.now += Duration::from_secs(10);
    callers.make_calls(0..8, 100, SHORT);
    assert_eq!(available(&callers), 10, "while it lasts");
    callers.calls[0].record_end(PoolId(0), None, began, true, callers.now);
    drop(long);
    callers.make_calls(0..8, 100, SHORT);
    assert_eq!(available(&callers), 10, "after it has ended");
    callers.make_calls(0..8, 5_000, SHORT);
    assert_eq!(available(&callers), 42, "it hardly counts any longer");
}

#[test]
fn a_few_callers_with_very_short_or_long_calls_do_not_change_what_is_usual() {
    for time in [Duration::from_millis(1), LONG] {
        let mut callers = Callers::new(9, SLOTS);
        callers.make_calls(0..2, 100, time);
        callers.make_calls(2..9, 100, 3 * SHORT);
        assert_eq!(callers.take(8, usize::MAX), 56, "{time:?}");
    }
    let mut callers = Callers::new(2, SLOTS);
    callers.make_calls(0..1, 100, Duration::from_millis(1));
    callers.make_calls(1..2, 100, 2 * SHORT * 9 / 10);
    assert_eq!(callers.take(1, usize::MAX), 56, "it is short anyway");
}

#[test]
fn callers_that_have_not_used_a_limit_for_a_minute_have_no_share() {
    let mut callers = Callers::new(8, SLOTS);
    callers.make_calls(0..8, 1, LONG);
    let available = |callers: &mut Callers| {
        callers.count();
        callers.available(0)
    };
    callers.now += ACTIVE_TIME * 2 / 3;
    callers.make_calls(0..2, 1, LONG);
    assert_eq!(available(&mut callers), 28 + 4, "two have used it");
    callers.now += ACTIVE_TIME * 2 / 3;
    callers.make_calls(0..1, 1, LONG);
    assert_eq!(available(&mut callers), 56, "one has");
}

#[test]
fn a_caller_takes_as_many_slots_above_its_share_as_calls_have_just_ended() {
    let mut callers = Callers::new(14, SLOTS);
    callers.make_calls(0..14, 5, SHORT);
    callers.now += LONG;
    callers.count();
    assert_eq!(callers.take(1, usize::MAX), 24);
    assert_eq!(callers.take(0, usize::MAX), 4 + 4);
    for most in [12, 20, 32] {
        callers.end(0, SHORT);
        callers.now += SHORT;
        assert_eq!(callers.take(0, usize::MAX), most);
    }
}

#[test]
fn a_caller_whose_calls_take_minutes_leaves_more_than_half_even_if_it_is_the_only_one() {
    let mut callers = Callers::new(2, SLOTS);
    for (seconds, most) in [(50, 56), (70, 28)] {
        callers.make_calls(0..1, 100, Duration::from_secs(seconds));
        assert_eq!(callers.available(0), most, "{seconds} s");
    }
}

#[test]
fn a_new_caller_has_its_fair_share_once_its_call_is_known_to_be_long() {
    let mut callers = Callers::new(8, SLOTS);
    callers.make_calls(1..8, 40, SHORT);
    assert_eq!(callers.take(1, 39), 39);
    assert_eq!(callers.take(0, usize::MAX), 1);
    callers.now += 2 * SHORT;
    callers.count();
    assert_eq!(callers.take(0, usize::MAX), 1, "it may be short");
    callers.now += LONG;
    callers.count();
    assert_eq!(callers.take(0, usize::MAX), 7);
}

#[test]
fn a_caller_with_a_call_in_flight_has_a_share_however_long_that_lasts() {
    let mut callers = Callers::new(2, SLOTS);
    callers.make_calls(0..1, 1, SHORT);
    assert_eq!(callers.take(1, 1), 1);
    callers.now += 2 * ACTIVE_TIME;
    callers.make_calls(0..1, 1, SHORT);
    assert_eq!(callers.available(0), 28 + 4);
}

#[test]
fn while_few_calls_have_ended_those_of_all_callers_show_what_is_usual() {
    let mut callers = Callers::new(3, SLOTS);
    callers.make_calls(0..1, 1, LONG / 4);
    callers.make_calls(1..2, 1, LONG);
    // A call in flight does not show how long calls take.
    assert_eq!(callers.take(2, 1), 1);
    callers.now += SHORT;
    callers.count();
    assert_eq!(callers.take(2, 40), 24, "five eighths are left");
    assert_eq!(callers.available(0), 18 + 4, "above its fair share");
    assert_eq!(callers.available(1), 18, "more than three times as long");
}
