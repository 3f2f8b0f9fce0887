//! The parts of the simulated provider that decide by arithmetic, on their own: what a limit lets through, what was used of it,
//! which texts were asked again.

#![allow(
    clippy::disallowed_methods,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what is wrong by panicking"
)]

use std::time::{Duration, Instant};

use serde_json::json;

use upstream_sim::account::Account;
use upstream_sim::behaviour::{Behaviour, Fate};
use upstream_sim::limiter::{ExceededLimit, Limit, Limiter, Limits, RemainingQuota, Shape};
use upstream_sim::texts::{self, Texts};
use upstream_sim::tokens;

#[test]
fn faults_come_in_their_shares_and_latencies_in_their_range() {
    let behaviour = Behaviour {
        latency_ms: 2.0,
        slow_ms: 1_000.0,
        jitter: 3.0,
        resets: 0.02,
        stalls: 0.02,
        invalid: 0.05,
        errors_500: 0.01,
        seed: 7,
    };
    let of = |fate| {
        (0..100_000)
            .filter(|number| behaviour.fate(*number) == fate)
            .count()
    };
    let expected = [
        (Fate::Reset, 2_000),
        (Fate::Stall, 2_000),
        (Fate::Invalid, 5_000),
        (Fate::Error500, 1_000),
        (Fate::Answer, 90_000),
    ];
    for (fate, calls) in expected {
        assert!(
            of(fate).abs_diff(calls) < 300,
            "{fate:?}: {} instead of about {calls}",
            of(fate)
        );
    }
    let latencies: Vec<_> = (0..1_000)
        .map(|number| behaviour.latency(number, false).as_secs_f64() * 1000.0)
        .collect();
    assert!(
        latencies.iter().all(|ms| (2.0..=5.0).contains(ms)),
        "{latencies:?}"
    );
    assert!(latencies.iter().any(|ms| *ms > 4.5), "{latencies:?}");
    assert!(behaviour.latency(1, true).as_secs_f64() > 1.0);
}

#[test]
fn equal_texts_have_as_many_and_others_some_more_or_less() {
    let counts: Vec<_> = (0..1_000)
        .map(|number| tokens::count(420, format!("text {number}").as_bytes()))
        .collect();
    assert_eq!(tokens::count(420, b"text 7"), counts[7]);
    let mean = counts.iter().sum::<u64>() as f64 / 1_000.0;
    assert!((99.0..102.0).contains(&mean), "{mean}");
    assert!(
        counts.iter().all(|count| (90..=110).contains(count)),
        "{counts:?}"
    );
    assert_eq!(tokens::count(0, b""), 0);
}

fn limits(shape: Shape, requests: Option<(u32, u32)>, tokens: Option<(u32, u32)>) -> Limits {
    let limit = |(per_minute, burst)| Limit { per_minute, burst };
    Limits {
        shape,
        requests: requests.map(limit),
        tokens: tokens.map(limit),
    }
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[test]
fn a_bucket_lets_its_burst_through_and_then_keeps_to_the_rate() {
    let start = Instant::now();
    let mut limiter = Limiter::new(limits(Shape::Bucket, Some((600, 2)), None), start);
    assert!(limiter.admit(start, 5).is_ok() && limiter.admit(start, 5).is_ok());
    assert_eq!(
        limiter.admit(start, 5),
        Err((ExceededLimit::Requests, ms(100)))
    );
    assert_eq!(
        limiter.admit(start + ms(99), 5),
        Err((ExceededLimit::Requests, ms(1))),
        "a refusal takes nothing"
    );
    assert!(limiter.admit(start + ms(100), 5).is_ok());
    let left = limiter.remaining(start + ms(150))[0].unwrap();
    assert_eq!(
        left,
        RemainingQuota {
            per_minute: 600,
            remaining: 0,
            reset: ms(150)
        }
    );
}

#[test]
fn a_call_over_either_limit_takes_from_neither() {
    let start = Instant::now();
    let mut limiter = Limiter::new(
        limits(Shape::Bucket, Some((600, 5)), Some((60_000, 1_000))),
        start,
    );
    assert!(limiter.admit(start, 900).is_ok());
    assert_eq!(
        limiter.admit(start, 200),
        Err((ExceededLimit::Tokens, ms(100)))
    );
    let [requests, tokens] = limiter.remaining(start).map(Option::unwrap);
    assert_eq!((requests.remaining, tokens.remaining), (4, 100));
    assert!(limiter.admit(start, 100).is_ok());
}

#[test]
fn what_is_settled_is_given_back_or_paid_before_the_next() {
    let start = Instant::now();
    for shape in [Shape::Bucket, Shape::Window] {
        let mut limiter = Limiter::new(limits(shape, None, Some((60_000, 60_000))), start);
        let large = limiter.admit(start, 50_000).unwrap();
        limiter.settle(start, large, 10_000);
        assert_eq!(
            limiter.remaining(start)[1].unwrap().remaining,
            50_000,
            "{shape:?}"
        );
        let small = limiter.admit(start, 40_000).unwrap();
        limiter.settle(start, small, 55_000);
        assert_eq!(
            limiter.remaining(start)[1].unwrap().remaining,
            0,
            "{shape:?}"
        );
        assert!(
            limiter.admit(start + ms(5_000), 1).is_err(),
            "{shape:?}: 5,000 too many were used"
        );
    }
    let mut limiter = Limiter::new(limits(Shape::Bucket, None, Some((60_000, 1_000))), start);
    let call = limiter.admit(start, 1_000).unwrap();
    limiter.settle(start, call, 1_500);
    assert_eq!(
        limiter.admit(start, 100),
        Err((ExceededLimit::Tokens, ms(600)))
    );
}

#[test]
fn a_call_larger_than_a_bucket_waits_for_a_full_one() {
    let start = Instant::now();
    let mut limiter = Limiter::new(limits(Shape::Bucket, None, Some((60_000, 1_000))), start);
    assert!(limiter.admit(start, 3_000).is_ok());
    assert_eq!(
        limiter.admit(start, 1_000),
        Err((ExceededLimit::Tokens, ms(3_000)))
    );
    let mut limiter = Limiter::new(limits(Shape::Window, None, Some((60_000, 1_000))), start);
    assert_eq!(
        limiter.admit(start, 60_001),
        Err((ExceededLimit::Tokens, ms(60_000)))
    );
}

#[test]
fn no_window_of_a_minute_holds_more_than_the_limit() {
    let (start, minute) = (Instant::now(), ms(60_000));
    let mut limiter = Limiter::new(
        limits(Shape::Window, Some((100, 1)), Some((10_000, 1))),
        start,
    );
    let (mut now, mut admitted) = (start, Vec::new());
    while now < start + 5 * minute {
        let tokens = 50 + admitted.len() as u64 % 101;
        match limiter.admit(now, tokens) {
            Ok(_) => admitted.push((now, tokens)),
            Err((_, wait)) => now += wait,
        }
        now += ms(137);
    }
    for (at, _) in &admitted {
        let within = admitted
            .iter()
            .filter(|(other, _)| at <= other && *other < *at + minute);
        let (calls, tokens) = within.fold((0, 0), |(calls, sum), (_, tokens)| {
            (calls + 1, sum + tokens)
        });
        assert!(
            calls <= 100 && tokens <= 10_000,
            "{calls} calls, {tokens} tokens"
        );
    }
    assert!(
        admitted.len() >= 490,
        "only {} calls in five minutes",
        admitted.len()
    );
}

const LIMITS: Limits = Limits {
    shape: Shape::Bucket,
    requests: Some(Limit {
        per_minute: 600,
        burst: 1,
    }),
    tokens: Some(Limit {
        per_minute: 60_000,
        burst: 500,
    }),
};

#[test]
fn the_share_used_is_told_with_pauses_and_without() {
    let mut account = Account::default();
    // One call each 100 ms for a second, then a second's pause, then the same again: 20 of 30 steps are used.
    for second in [0_u64, 2] {
        for tenth in 0..10 {
            account.arrived();
            account.admitted(second * 1_000_000 + tenth * 100_000, 50, true);
        }
        account.arrived();
        account.refused(
            second * 1_000_000 + 1_000_000,
            Some(second * 1_000_000 + 1_500_000),
        );
        account.refused(
            second * 1_000_000 + 1_100_000,
            Some(second * 1_000_000 + 2_000_000),
        );
        account.refused(
            second * 1_000_000 + 1_200_000,
            Some(second * 1_000_000 + 1_300_000),
        );
    }
    account.settled(3, 7);
    let report = account.report(LIMITS, true);
    assert_eq!(
        (&report["calls"], &report["refused"], &report["tokens"]),
        (&json!(22), &json!(6), &json!(1_007))
    );
    assert_eq!(report["paused_us"], 1_000_000);
    let share = |field: &str, kind: &str| report[field][kind].as_f64().unwrap();
    assert!(
        (share("used", "requests") - 19.0 / 29.0).abs() < 1e-9,
        "{report}"
    );
    // After the pause one call is there at once, and of the tokens as many as come together in it.
    assert!(
        (share("used_without_pauses", "requests") - 19.0 / 20.0).abs() < 1e-9,
        "{report}"
    );
    assert!(
        (share("used_without_pauses", "tokens") - 957.0 / 2_400.0).abs() < 1e-9,
        "{report}"
    );
    assert_eq!(report["admitted_at_us"][3], json!([300_000, 57]));
    assert_eq!(
        report["pauses_us"],
        json!([[1_000_000, 2_000_000], [3_000_000, 4_000_000]])
    );
}

#[test]
fn the_text_of_a_question_is_the_fenced_one() {
    let subject = |texts: &[&str]| texts::subject(texts.iter().map(|text| (*text).to_owned()));
    assert_eq!(
        subject(&[
            "That is not valid",
            "<text>\nB\n</text>",
            "<text>\nA\n</text>"
        ])
        .unwrap(),
        "<text>\nB\n</text>"
    );
    assert_eq!(subject(&["B", "A"]).unwrap(), "B");
    assert_eq!(subject(&[]), None);
}

#[test]
fn only_a_text_whose_answer_had_arrived_counts_as_asked_again() {
    let start = Instant::now();
    let mut texts = Texts::new(start);
    let second = Duration::from_secs(1);
    let [once, again, broken, left, later] =
        ["once", "again", "broken", "left", "later"].map(|text| texts.asked(text));
    texts.answered(once, start);
    texts.answered(again, start);
    let broken = texts.answered(broken, start);
    let left = texts.answered(left, start);
    let later = texts.answered(later, start);
    for text in ["again", "broken", "left", "later", "new", "new"] {
        texts.asked(text);
    }
    texts.closed(broken, true, start + 5 * second);
    texts.closed(left, false, start + second / 2);
    texts.closed(later, false, start + 5 * second);
    let report = texts.report();
    assert_eq!(
        (
            &report["asked"],
            &report["answered"],
            &report["asked_again"]
        ),
        (&json!(6), &json!(5), &json!(2))
    );
    let mut which: Vec<_> = report["which"]
        .as_array()
        .unwrap()
        .iter()
        .map(|again| again["text"].as_str().unwrap())
        .collect();
    which.sort_unstable();
    assert_eq!(which, ["again", "later"]);
}
