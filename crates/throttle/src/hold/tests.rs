//! Tests of what a history of holds says about a span of time.

use super::*;

fn reasons(history: &HoldHistory, from: Instant, to: Instant) -> Vec<(Option<HoldReason>, u128)> {
    let holds = history.between(from, to);
    assert_eq!((holds[0].from, holds[holds.len() - 1].to), (from, to));
    assert!(holds.windows(2).all(|pair| pair[0].to == pair[1].from));
    holds
        .iter()
        .map(|hold| (hold.reason, (hold.to - hold.from).as_millis()))
        .collect()
}

#[test]
fn a_span_is_divided_by_the_changes_in_it() {
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let mut history = HoldHistory::default();
    history.record(HoldReason::Requests, Some(at(50)), at(10));
    history.record(HoldReason::Requests, Some(at(90)), at(40));
    history.record(HoldReason::Pause, Some(at(400)), at(100));
    let (requests, pause) = (Some(HoldReason::Requests), Some(HoldReason::Pause));
    assert_eq!(
        reasons(&history, at(20), at(150)),
        [(requests, 80), (pause, 50)]
    );
    assert_eq!(reasons(&history, at(110), at(150)), [(pause, 40)]);
    assert_eq!(reasons(&history, at(10), at(30)), [(requests, 20)]);
    assert_eq!(
        reasons(&history, at(0), at(110)),
        [(None, 10), (requests, 90), (pause, 10)]
    );
}

#[test]
fn a_reason_that_ended_before_a_span_says_nothing_about_it() {
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let mut history = HoldHistory::default();
    assert_eq!(reasons(&history, at(0), at(5)), [(None, 5)]);
    let tokens = Some(HoldReason::Tokens);
    history.record(HoldReason::Tokens, Some(at(20)), at(10));
    assert_eq!(reasons(&history, at(19), at(40)), [(tokens, 21)]);
    assert_eq!(reasons(&history, at(20), at(40)), [(None, 20)]);
    history.record(HoldReason::Concurrency, None, at(50));
    assert_eq!(reasons(&history, at(60), at(70)), [(None, 10)]);
}

#[test]
fn a_reason_that_another_one_has_replaced_is_over() {
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let mut history = HoldHistory::default();
    history.record(HoldReason::Tokens, Some(at(400)), at(10));
    history.record(HoldReason::Pause, Some(at(400)), at(100));
    let (tokens, pause) = (Some(HoldReason::Tokens), Some(HoldReason::Pause));
    assert_eq!(reasons(&history, at(110), at(150)), [(pause, 40)]);
    assert_eq!(reasons(&history, at(20), at(90)), [(tokens, 70)]);
}

#[test]
fn the_history_is_bounded() {
    let start = Instant::now();
    let mut history = HoldHistory::default();
    for number in 0..1000_u64 {
        let reason = if number % 2 == 0 {
            HoldReason::Tokens
        } else {
            HoldReason::Requests
        };
        history.record(reason, None, start + Duration::from_millis(number));
    }
    assert_eq!(history.0.len(), MAX_CHANGES);
    assert_eq!(history.latest(), Some((HoldReason::Requests, None)));
}

#[test]
fn names_are_those_of_the_limits() {
    let names = [
        (HoldReason::Concurrency, "concurrency"),
        (HoldReason::Requests, "sim/requests_per_minute"),
        (HoldReason::Breaker, "sim/some/model/breaker"),
        (HoldReason::CallerShare, "caller/concurrency_share"),
    ];
    for (reason, name) in names {
        assert_eq!(reason.limit_name("sim/some/model"), name);
    }
}
