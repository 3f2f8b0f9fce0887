//! The retry budget: what keeps a provider's trouble from being multiplied, and loses no item needlessly; and what the provider
//! itself says of retries (reliability.md, which upstream outcomes are retried).

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::client::LIMIT;
use crate::support::fixture::{
    batch, check_each_once, model, one_provider, person, provider, single, with,
};
use crate::support::server::Server;
use crate::upstream::{Ending, Log, Reply, Upstream};

/// Retries that are always allowed, in ten seconds.
const FLOOR: usize = 30;
const SPAN: Duration = Duration::from_secs(10);
/// Sums are kept in steps of a second.
const STEP: Duration = Duration::from_secs(1);

/// Returns a request with an explicit mode, so that a rejection does not count as an unsupported mode.
fn ask() -> Value {
    with(single(person(1)), json!({"mode": "tools"}))
}

/// Returns the times of first calls and of repeated calls.
fn tries(log: &Log) -> (Vec<Instant>, Vec<Instant>) {
    let mut called = HashMap::new();
    let (mut first, mut again) = (Vec::new(), Vec::new());
    for call in &log.calls {
        let times = called.entry(call.item().unwrap()).or_insert(0);
        if *times == 0 { &mut first } else { &mut again }.push(call.arrived);
        *times += 1;
    }
    (first, again)
}

/// Fails the test unless in any ten seconds the retries were a fifth of the first tries and the floor at most.
#[track_caller]
fn check_budget(log: &Log) {
    let (first, again) = tries(log);
    for (number, at) in again.iter().enumerate() {
        let since =
            |start: Duration| move |other: &&Instant| **other <= *at && *at - **other < start;
        let retries = again[..=number].iter().filter(since(SPAN)).count();
        let first = first.iter().filter(since(SPAN + STEP)).count();
        // A call or two may have overtaken others on their way.
        assert!(
            retries <= first / 5 + FLOOR + 3,
            "{retries} retries beside {first} first tries, in ten seconds"
        );
    }
}

#[tokio::test]
async fn when_four_of_ten_calls_fail_retries_stay_a_fifth_of_the_first_tries_and_no_item_is_lost_needlessly()
 {
    const ITEMS: usize = 3_000;
    // Four of ten of the first 1,500 calls.
    let upstream = Upstream::start(|call| match call.index {
        index if index < 1_500 && matches!(index % 5, 1 | 3) => Reply::error(500, "oops"),
        _ => Reply::Played,
    });
    // Room for all that wait for their retry, and 360 a second.
    let config = format!(
        "[limits]\nmax_concurrency = 600\n{}",
        provider("first", &upstream.url(), "requests_per_minute = 21600")
    );
    let config = format!("model = \"main\"\n{config}{}", model("main", "first", ""));
    let server = Server::configured(&config).start().await;
    let reply = server.batch(&batch(ITEMS)).await.ok();
    let results = reply["results"].as_array().unwrap();
    check_each_once(results, ITEMS);
    let log = upstream.log();
    check_budget(&log);
    let (first, again) = tries(&log);
    assert_eq!(first.len(), ITEMS);
    assert!(
        again.len() > 450,
        "the budget was used: {} retries",
        again.len()
    );
    let mut calls: HashMap<usize, usize> = HashMap::new();
    log.calls
        .iter()
        .filter(|call| call.is(Ending::Answered))
        .for_each(|call| *calls.entry(call.item().unwrap()).or_default() += 1);
    for result in results
        .iter()
        .filter(|result| result["status"] != "succeeded")
    {
        let tries = calls[&(result["index"].as_u64().unwrap() as usize)];
        assert!(tries >= 3, "lost after {tries} tries: {result}");
    }
}

#[tokio::test]
async fn waiting_for_the_retry_budget_does_not_count_toward_the_timeout() {
    const ITEMS: usize = 200;
    // Ninety have to be tried again, and ten seconds allow seventy.
    let upstream = Upstream::start(|call| match call.index {
        index if index < ITEMS && index % 20 % 2 == 1 && index % 20 < 18 => {
            Reply::error(500, "oops")
        }
        _ => Reply::Played,
    });
    let config = one_provider(&upstream.url(), "") + "\n[limits]\nmax_concurrency = 200";
    let mut server = Server::configured(&config).start().await;
    server.rest();
    let reply = server
        .batch(&with(batch(ITEMS), json!({"timeout_ms": 3_000})))
        .await
        .ok();
    assert_eq!(reply["summary"]["succeeded"], ITEMS, "{}", reply["summary"]);
    check_budget(&upstream.log());
}

#[tokio::test]
async fn without_retry_budget_an_item_falls_back() {
    // Four of ten fail, of more at a time than may be tried again within ten seconds.
    let first = Upstream::start(|call| {
        if matches!(call.index % 5, 1 | 3) {
            Reply::error(500, "oops")
        } else {
            Reply::Played
        }
    });
    let second = Upstream::playing();
    let config = [
        "model = \"main\"\n[limits]\nmax_concurrency = 400\n".to_owned(),
        provider("first", &first.url(), ""),
        provider("second", &second.url(), ""),
        model("main", "first", "fallback = [\"spare\"]"),
        model("spare", "second", ""),
    ];
    let server = Server::configured(&config.concat()).start().await;
    let begun = Instant::now();
    assert_eq!(
        server.batch(&batch(400)).await.ok()["summary"]["succeeded"],
        400
    );
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "nobody waits for the budget: {:?}",
        begun.elapsed()
    );
    check_budget(&first.log());
    assert!(second.calls() > 0);
}

// What the provider says.

/// Checks that the call after a failed one comes `least` after it, and soon after that.
async fn not_before(first: Reply, least: Duration) {
    let upstream = Upstream::saying([first]);
    let server = Server::configured(&one_provider(&upstream.url(), ""))
        .start()
        .await;
    server.extract(&ask()).await.ok();
    let log = upstream.log();
    let waited = log.calls[1].arrived - log.calls[0].ended_at();
    assert!(waited >= least, "tried again after {waited:?} of {least:?}");
    assert!(
        waited < least * 2 + Duration::from_millis(300),
        "tried again only after {waited:?} of {least:?}"
    );
}

#[tokio::test]
async fn retry_after_on_a_failure_is_the_minimum_wait() {
    let ms = Duration::from_millis;
    tokio::join!(
        not_before(
            Reply::error(500, "oops").with_header("retry-after", 1),
            ms(1_000)
        ),
        not_before(
            Reply::error(500, "oops").with_header("retry-after-ms", 700),
            ms(700)
        ),
        not_before(
            Reply::error(502, "oops").with_header("retry-after-ms", 700),
            ms(700)
        ),
        not_before(
            Reply::error(503, "busy").with_header("retry-after", 1),
            ms(1_000)
        ),
        not_before(
            Reply::error(503, "busy").with_header("retry-after-ms", 700),
            ms(700)
        ),
        not_before(
            Reply::error(529, "busy").with_header("retry-after-ms", 700),
            ms(700)
        ),
        not_before(
            Reply::error(408, "late").with_header("retry-after-ms", 700),
            ms(700)
        ),
    );
}

async fn calls(
    reply: impl Fn() -> Reply + Send + Sync + 'static,
    status: u16,
    code: &str,
) -> usize {
    let upstream = Upstream::start(move |_| reply());
    let server = Server::configured(&one_provider(&upstream.url(), ""))
        .start()
        .await;
    server
        .extract(&with(ask(), json!({"timeout_ms": 20_000})))
        .await
        .problem(status, code);
    upstream.calls()
}

#[tokio::test]
async fn x_should_retry_true_is_obeyed_within_the_maximum_of_calls() {
    let again = |status| move || Reply::error(status, "again").with_header("x-should-retry", true);
    let (bad, missing) = tokio::join!(
        calls(again(400), 502, "upstream_error"),
        calls(again(404), 502, "upstream_error")
    );
    assert_eq!((bad, missing), (3, 3));
}

#[tokio::test]
async fn x_should_retry_false_prevents_a_retry() {
    let never = |status| move || Reply::error(status, "never").with_header("x-should-retry", false);
    for status in [408, 409, 500, 503] {
        assert_eq!(
            calls(never(status), 502, "upstream_error").await,
            1,
            "{status}"
        );
    }
    assert_eq!(calls(never(429), 503, "upstream_rate_limited").await, 1);
    let word = || Reply::error(500, "?").with_header("x-should-retry", "perhaps");
    assert_eq!(
        calls(word, 502, "upstream_error").await,
        3,
        "another word says nothing"
    );
}

#[tokio::test]
async fn each_provider_has_its_own_retry_budget() {
    let failing = Upstream::start(|call| {
        if call.index < 100 {
            Reply::error(500, "oops")
        } else {
            Reply::Played
        }
    });
    let well = Upstream::saying((0..3).map(|_| Reply::error(500, "oops")));
    let config = [
        "model = \"main\"\n".to_owned(),
        provider("first", &failing.url(), ""),
        provider("second", &well.url(), ""),
        model("main", "first", ""),
        model("other", "second", ""),
    ];
    let server = Server::configured(&config.concat()).start().await;
    let trouble = server
        .open("/v1/extract/batch", "text/event-stream", &batch(100))
        .await
        .expect(200);
    failing
        .wait_for("there is trouble", LIMIT, |log| log.answered >= 50)
        .await;
    let begun = Instant::now();
    let reply = server
        .batch(&with(batch(10), json!({"model": "other"})))
        .await
        .ok();
    assert_eq!(reply["summary"]["succeeded"], 10);
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
    drop(trouble);
}
