//! Several keys of one provider: each has its own limits, and what happens to one is no business of the others; none is ever
//! told (reliability.md, which upstream outcomes are retried; limits).

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::support::client::{LIMIT, eventually, within};
use crate::support::fixture::{self, batch, model, one_provider, person, provider, single, with};
use crate::support::server::Server;
use crate::upstream::{Call, Gate, Log, Reply, Upstream};

/// Sooner than any backoff or pause that these tests let happen.
const AT_ONCE: Duration = Duration::from_millis(300);

/// Returns `api_keys` with so many keys: `sk-key-a`, `sk-key-b`, …
fn keys(count: u8) -> String {
    let keys: Vec<_> = (b'a'..b'a' + count)
        .map(|letter| format!("\"sk-key-{}\"", char::from(letter)))
        .collect();
    format!("api_keys = [{}]", keys.join(", "))
}

/// Returns the letter of the key that a call came with.
fn key(call: &Call) -> char {
    let bearer = call.header("authorization").expect("it comes with a key");
    bearer
        .strip_prefix("Bearer sk-key-")
        .and_then(|key| key.chars().next())
        .unwrap_or_else(|| panic!("one of ours: {bearer}"))
}

fn with_key(log: &Log, letter: char) -> Vec<&Call> {
    log.calls
        .iter()
        .filter(|call| key(call) == letter)
        .collect()
}

async fn asking(upstream: &Upstream, more: &str) -> Server {
    Server::configured(&one_provider(&upstream.url(), more))
        .start()
        .await
}

/// Returns a request with an explicit mode, so that a rejection does not count as an unsupported mode.
fn ask(number: usize) -> Value {
    with(single(person(number)), json!({"mode": "tools"}))
}

fn exhausted(status: u16) -> Reply {
    let error = json!({"message": "You exceeded your current quota", "type": "insufficient_quota", "code": "insufficient_quota"});
    Reply::Status(status, vec![], json!({"error": error}).to_string())
}

#[tokio::test]
async fn calls_are_spread_over_the_keys() {
    let upstream = Upstream::playing();
    let server = asking(&upstream, &keys(4)).await;
    assert_eq!(
        server.batch(&batch(80)).await.ok()["summary"]["succeeded"],
        80
    );
    let log = upstream.log();
    for letter in 'a'..='d' {
        let calls = with_key(&log, letter).len();
        assert!(
            (10..=30).contains(&calls),
            "{calls} of 80 calls with the key {letter}"
        );
    }
}

#[tokio::test]
async fn two_keys_have_twice_the_rate_of_one_and_each_keeps_to_its_own() {
    const COUNT: usize = 100;
    let upstream = Upstream::playing();
    // Ten at once and 20 a second with each.
    let server = asking(
        &upstream,
        &format!(
            "{}\nrequests_per_minute = 1200\nrequest_burst = 10",
            keys(2)
        ),
    )
    .await;
    assert_eq!(
        server.batch(&batch(COUNT)).await.ok()["summary"]["succeeded"],
        COUNT
    );
    let log = upstream.log();
    let arrivals = log.arrivals();
    let took = arrivals[COUNT - 1] - arrivals[0];
    // Two seconds with both keys, four and a half with one.
    assert!(took < Duration::from_secs(3), "{took:?}");
    for letter in ['a', 'b'] {
        let arrivals: Vec<_> = with_key(&log, letter)
            .iter()
            .map(|call| call.arrived)
            .collect();
        crate::rate::check_every_window(&arrivals, 1_200, 10);
    }
}

#[tokio::test]
async fn each_key_has_its_own_rows_of_limits() {
    let upstream = Upstream::playing();
    let limits = format!(
        "{}\nrequests_per_minute = 1200\ntokens_per_minute = 50000",
        keys(2)
    );
    let server = asking(&upstream, &limits).await;
    let answer = server.get("/v1/limits").await;
    let rows = answer.ok()["limits"].as_array().unwrap().clone();
    for (kind, limit) in [
        ("requests_per_minute", 1_200),
        ("tokens_per_minute", 50_000),
    ] {
        let of_kind: Vec<_> = rows.iter().filter(|row| row["kind"] == kind).collect();
        assert_eq!(of_kind.len(), 2, "{of_kind:?}");
        assert!(
            of_kind.iter().all(|row| row["limit"] == limit),
            "{of_kind:?}"
        );
        assert_ne!(of_kind[0]["scope"], of_kind[1]["scope"]);
    }
    assert!(!answer.text().contains("sk-key"), "{}", answer.text());
}

#[tokio::test]
async fn a_429_pauses_its_key_alone_and_until_its_time() {
    let pause = Duration::from_secs(1);
    let upstream = Upstream::start(|call| match call.index {
        0 => Reply::error(429, "slow down").with_header("retry-after", 1),
        _ => Reply::Played,
    });
    let server = asking(&upstream, &keys(2)).await;
    server.extract(&ask(0)).await.ok();
    let log = upstream.log();
    let (paused, refused_at) = (key(&log.calls[0]), log.calls[0].ended_at());
    let other = log.calls[1].arrived - refused_at;
    assert!(
        log.calls.len() == 2 && key(&log.calls[1]) != paused,
        "the other key is used"
    );
    assert!(other < AT_ONCE, "at once: {other:?}");
    let again = async {
        for number in 1.. {
            server.extract(&ask(number)).await.ok();
            if upstream.seen(|log| with_key(log, paused).len()) > 1 {
                return;
            }
            // The time is what is tested here.
            sleep(Duration::from_millis(10)).await;
        }
    };
    within(LIMIT, "the paused key is used again", again).await;
    let log = upstream.log();
    let after = with_key(&log, paused)[1].arrived - refused_at;
    assert!(after >= pause, "used again after {after:?}");
    assert!(after <= pause * 3, "used again only after {after:?}");
}

#[tokio::test]
async fn with_every_key_paused_the_first_to_resume_is_used() {
    let upstream = Upstream::start(|call| match (call.index, key(call)) {
        (0 | 1, 'a') => Reply::error(429, "slow down").with_header("retry-after", 30),
        (0 | 1, _) => Reply::error(429, "slow down").with_header("retry-after-ms", 400),
        _ => Reply::Played,
    });
    let server = asking(&upstream, &keys(2)).await;
    server.extract(&ask(0)).await.ok();
    let log = upstream.log();
    assert_eq!(log.calls.len(), 3);
    assert_eq!(key(&log.calls[2]), 'b');
    let refused = with_key(&log, 'b')[0].ended_at();
    assert!(
        log.calls[2].arrived - refused >= Duration::from_millis(400),
        "not before its time"
    );
}

#[tokio::test]
async fn a_refused_key_is_replaced_without_waiting_and_passed_over_afterwards() {
    for status in [401, 403] {
        let upstream = Upstream::start(move |call| match key(call) {
            'b' => Reply::error(status, "Incorrect API key provided"),
            _ => Reply::Played,
        });
        let server = asking(&upstream, &keys(3)).await;
        for number in 0..12 {
            server.extract(&ask(number)).await.ok();
        }
        let log = upstream.log();
        assert_eq!(log.calls.len(), 13, "{status}: one call in vain");
        let refused = log
            .calls
            .iter()
            .position(|call| key(call) == 'b')
            .expect("its turn came");
        let next = &log.calls[refused + 1];
        assert_eq!(next.item(), log.calls[refused].item(), "{status}");
        let waited = next.arrived - log.calls[refused].ended_at();
        assert!(waited < AT_ONCE, "{status}: without waiting: {waited:?}");
    }
}

#[tokio::test]
async fn an_exhausted_key_is_replaced_without_waiting_and_passed_over_afterwards() {
    for status in [402, 429] {
        let upstream = Upstream::start(move |call| {
            if key(call) == 'b' {
                exhausted(status)
            } else {
                Reply::Played
            }
        });
        let server = asking(&upstream, &keys(2)).await;
        for number in 0..10 {
            server.extract(&ask(number)).await.ok();
        }
        assert_eq!(upstream.calls(), 11, "{status}: one call in vain");
    }
}

#[tokio::test]
async fn a_402_is_an_exhausted_quota_whatever_its_body() {
    let error = json!({"error": {"message": "Insufficient Balance", "type": "unknown_error", "code": "invalid_request_error"}});
    let upstream = Upstream::start(move |call| match key(call) {
        'a' => Reply::Status(402, vec![], error.to_string()),
        _ => Reply::Played,
    });
    let server = asking(&upstream, &keys(2)).await;
    for number in 0..6 {
        server.extract(&ask(number)).await.ok();
    }
    assert_eq!(upstream.calls(), 7);
}

async fn every_key_once(
    reply: impl Fn() -> Reply + Send + Sync + 'static,
    status: u16,
    code: &str,
) {
    let upstream = Upstream::start(move |_| reply());
    let server = asking(&upstream, &keys(3)).await;
    let begun = Instant::now();
    let problem = server.extract(&ask(0)).await.problem(status, code);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "without waiting: {:?}",
        begun.elapsed()
    );
    let mut used: Vec<_> = upstream.log().calls.iter().map(key).collect();
    used.sort_unstable();
    assert_eq!(used, ['a', 'b', 'c'], "{problem}");
}

#[tokio::test]
async fn when_no_key_is_accepted_each_was_tried_once() {
    every_key_once(
        || Reply::error(401, "Incorrect API key provided"),
        502,
        "upstream_unauthorized",
    )
    .await;
    every_key_once(
        || Reply::error(403, "Country not supported"),
        502,
        "upstream_unauthorized",
    )
    .await;
}

#[tokio::test]
async fn when_every_quota_is_exhausted_each_key_was_tried_once() {
    every_key_once(|| exhausted(429), 503, "upstream_rate_limited").await;
    every_key_once(|| exhausted(402), 503, "upstream_rate_limited").await;
}

#[tokio::test]
async fn a_provider_whose_keys_were_all_refused_is_asked_again_after_a_while() {
    let upstream =
        Upstream::saying((0..2).map(|_| Reply::error(401, "Incorrect API key provided")));
    let server = asking(&upstream, &keys(2)).await;
    for number in 0..5 {
        let refused = server.extract(&ask(number)).await;
        refused.problem(502, "upstream_unauthorized");
    }
    assert_eq!(upstream.calls(), 2, "each key once");
    eventually(LIMIT, "it is asked again", async || {
        (server.extract(&ask(5)).await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_item_that_waits_for_a_paused_key_does_not_block_items_that_can_use_another() {
    let (refusal, answer) = (Gate::closed(), Gate::closed());
    let (first, second) = (refusal.clone(), answer.clone());
    // The key a does not take the item 0, and all is well with it otherwise; the key b is paused for long.
    let upstream = Upstream::start(move |call| match (key(call), call.item()) {
        ('b', _) => Reply::error(429, "slow down").with_header("retry-after", 30),
        ('a', Some(0)) => Reply::error(403, "not this one").behind(&first),
        ('a', Some(1)) => Reply::Played.behind(&second),
        _ => Reply::Played,
    });
    let server = asking(
        &upstream,
        &format!("{}\nadaptive_concurrency = false", keys(2)),
    )
    .await;
    let start = |number| {
        let client = server.clone();
        tokio::spawn(async move { client.extract(&ask(number)).await })
    };
    let with_a = |log: &Log, number| {
        with_key(log, 'a')
            .iter()
            .any(|call| call.item() == Some(number))
    };
    let held_up = start(0);
    upstream
        .wait_for("the item 0 is called with a", LIMIT, |log| with_a(log, 0))
        .await;
    let beside = start(1);
    upstream
        .wait_for("the item 1 is called with a", LIMIT, |log| {
            with_a(log, 1) && !with_key(log, 'b').is_empty()
        })
        .await;
    refusal.open();
    // Told before the other answer is.
    let waits = async || (server.limit_of("queue", "all").await?["waiting"] == 1).then_some(());
    eventually(LIMIT, "the item 0 waits for b", waits).await;
    answer.open();
    beside.await.unwrap().ok();
    // So a is well.
    let others = async {
        for number in 2..6 {
            server.extract(&ask(number)).await.ok();
        }
    };
    within(
        Duration::from_secs(10),
        "the key a serves the others while the item 0 waits for b",
        others,
    )
    .await;
    held_up.abort();
}

/// Returns the provider's replies to the items 0 to 8, which contain the key of the call.
fn telling(call: &Call) -> Reply {
    let secret = call
        .header("authorization")
        .unwrap()
        .trim_start_matches("Bearer ")
        .to_owned();
    let said = format!("Incorrect API key provided: {secret}. You can find your key at {secret}");
    let plain = |status, text: String| {
        Reply::Status(status, vec![("x-echo".to_owned(), secret.clone())], text)
    };
    let reply = match call.item().unwrap() {
        0 => Reply::error(413, &said),
        1 => Reply::error(500, &said),
        2 => Reply::error(429, &said),
        3 => Reply::error(401, &said),
        4 => plain(500, said),
        // Where a long text is cut off, in the middle of the key.
        5 => plain(400, format!("{}{secret}", "x".repeat(480))),
        6 => plain(
            422,
            json!({"detail": [{"msg": said, "input": secret}]}).to_string(),
        ),
        7 => plain(200, json!({"choices": said}).to_string()),
        _ => plain(200, format!("\"{secret}\"")),
    };
    reply.with_header("x-should-retry", false)
}

#[tokio::test]
async fn no_key_appears_in_an_error_a_result_a_view_or_the_log() {
    const KEYS: [&str; 2] = [
        "sk-key-a-0123456789-very-secret",
        "sk-key-b-9876543210-very-secret",
    ];
    let upstream = Upstream::start(telling);
    let config = one_provider(&upstream.url(), &format!("api_keys = {KEYS:?}"));
    let server = Server::configured(&config)
        .env("EXTRACTD_LOG", "trace")
        .start()
        .await;
    let mut told = server
        .batch(&with(batch(9), json!({"mode": "tools"})))
        .await
        .text()
        .to_owned();
    told.push_str(server.extract(&ask(0)).await.text());
    for view in ["/v1/limits", "/v1/models", "/metrics", "/readyz"] {
        told.push_str(server.request(Method::GET, view).answer().await.text());
    }
    told.push_str(&server.output());
    assert!(
        told.contains("Incorrect API key provided"),
        "what the provider said is passed on: {told}"
    );
    for secret in KEYS {
        // A part of it is as bad.
        let part = &secret[..10];
        let leaks: Vec<_> = told
            .match_indices(part)
            .map(|(at, _)| &told[at.saturating_sub(200)..at + part.len()])
            .collect();
        assert!(leaks.is_empty(), "{part} in {leaks:#?}");
    }
}

#[tokio::test]
async fn a_model_at_another_provider_is_not_held_up_by_paused_keys() {
    let paused = Upstream::start(|_| Reply::error(429, "slow down").with_header("retry-after", 30));
    let well = Upstream::playing();
    let config = [
        "model = \"main\"\n".to_owned(),
        provider("first", &paused.url(), &keys(2)),
        provider("second", &well.url(), ""),
        model("main", "first", ""),
        model("other", "second", ""),
    ];
    let server = Server::configured(&config.concat()).start().await;
    let waiting = server
        .open("/v1/extract/batch", "text/event-stream", &batch(200))
        .await
        .expect(200);
    paused
        .wait_for("both keys are paused", LIMIT, |log| log.answered >= 2)
        .await;
    let body = with(batch(20), json!({"model": "other"}));
    let reply = within(
        Duration::from_secs(10),
        "the other model answers",
        server.batch(&body),
    )
    .await
    .ok();
    assert_eq!(reply["summary"]["succeeded"], 20);
    drop(waiting);
    assert_eq!(fixture::found(1), reply["results"][1]["data"]);
}

#[tokio::test]
async fn no_key_appears_in_an_answer_that_repeats_it() {
    const KEY: &str = "sk-key-a-0123456789-very-secret";
    let upstream = Upstream::start(|call| {
        let key = call.header("authorization").unwrap_or_default();
        let key = key.trim_start_matches("Bearer ").to_owned();
        if call.body()["stream"] == true {
            let answer = format!(r#"{{"name": "{key}", "age": 3, "occupation": "none"}}"#);
            let pieces = answer.as_bytes().chunks(5);
            let pieces = pieces.map(|piece| String::from_utf8_lossy(piece).into_owned());
            let gate = crate::upstream::Gate::open_from_the_start();
            Reply::Streamed(pieces.collect(), gate, true)
        } else {
            Reply::Text(format!("the key is {key}, and this is not JSON"))
        }
    });
    let config = one_provider(&upstream.url(), &format!("api_keys = [{KEY:?}]"));
    let server = Server::configured(&config).start().await;
    let failed = server.extract(&ask(0)).await;
    assert!(
        failed.text().contains("the key is ****"),
        "{}",
        failed.text()
    );
    let events = server
        .open(
            "/v1/extract",
            "text/event-stream",
            &with(ask(1), json!({"stream": true})),
        )
        .await
        .events()
        .await;
    let told: String = events.iter().map(|event| event.data.to_string()).collect();
    assert!(told.contains("****"), "{told}");
    for part in [&KEY[..10], &KEY[15..]] {
        assert!(!failed.text().contains(part), "{}", failed.text());
        assert!(!told.contains(part), "{told}");
    }
}
