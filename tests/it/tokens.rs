//! Tokens per minute: the whole rate is used and never more, whatever the calls turn out to take; what a failed call did not
//! use comes back (reliability.md, limits).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::client::{LIMIT, eventually, within};
use crate::support::fixture::{self, batch, completion, found, one_provider, person, single, with};
use crate::support::server::Server;
use crate::upstream::{Call, Reply, Upstream};

/// Starts a server with a token limit for one key at `url`.
async fn limited(url: &str, per_minute: u32) -> Server {
    let key = format!("api_key = \"sk-one\"\ntokens_per_minute = {per_minute}");
    Server::configured(&one_provider(url, &key)).start().await
}

/// Returns the valid answer to a numbered item, with its usage.
fn used(call: &Call, usage: (u64, u64)) -> Reply {
    Reply::Used(
        found(call.item().expect("the call is for a numbered item")).to_string(),
        usage.0,
        usage.1,
    )
}

/// Returns the answer with the provider's remaining quota of tokens.
fn saying_left(call: &Call, usage: (u64, u64), limit: i64, remaining: i64) -> Reply {
    let body = completion(
        &found(call.item().expect("the call is for a numbered item")),
        usage,
    );
    Reply::Status(200, Vec::new(), body)
        .with_header("x-ratelimit-limit-tokens", limit)
        .with_header("x-ratelimit-remaining-tokens", remaining)
}

/// Tokens that could go out now.
async fn available(server: &Server) -> u64 {
    let row = server
        .limit("tokens_per_minute")
        .await
        .expect("a row for the tokens");
    row["available"]
        .as_u64()
        .unwrap_or_else(|| panic!("a number: {row}"))
}

// The rate.

const PER_MINUTE: u32 = 600_000;
const PER_SECOND: f64 = PER_MINUTE as f64 / 60.0;

/// A call and the tokens that it took.
type Took = (Instant, u64);

/// Runs so many items at 600,000 a minute, each call taking what `usage` makes of its bytes, with an output limit far above
/// what is used.
async fn run(items: usize, usage: impl Fn(u64) -> u64 + Send + Sync + 'static) -> Vec<Took> {
    let taken: Arc<Mutex<Vec<Took>>> = Arc::default();
    let seen = Arc::clone(&taken);
    let upstream = Upstream::start(move |call| {
        let input = usage(call.size_bytes() as u64);
        seen.lock().unwrap().push((call.arrived, input + 20));
        used(call, (input, 20)).after(Duration::from_millis(30))
    });
    let server = limited(&upstream.url(), PER_MINUTE).await;
    let reply = server
        .batch(&with(batch(items), json!({"max_output_tokens": 8_000})))
        .await
        .ok();
    assert_eq!(reply["summary"]["succeeded"], items, "{}", reply["summary"]);
    taken.lock().unwrap().clone()
}

/// Fails the test unless in any time t at most what t allows, and a second's more, and the call that the last of it went to.
#[track_caller]
fn check_kept(taken: &[Took]) {
    let most = taken.iter().map(|(_, tokens)| *tokens).max().unwrap() as f64;
    for (number, (start, _)) in taken.iter().enumerate() {
        let mut used = 0;
        for (at, tokens) in &taken[number..] {
            used += tokens;
            let allowed = PER_SECOND * ((*at - *start).as_secs_f64() + 1.0) + most;
            assert!(
                used as f64 <= allowed,
                "{used} tokens within {:?}, where {allowed} are allowed",
                *at - *start
            );
        }
    }
}

/// Returns the calls after the initial burst.
fn steady(taken: &[Took]) -> &[Took] {
    let burst = taken
        .iter()
        .take_while(|(at, _)| *at < taken[0].0 + Duration::from_secs(1))
        .count();
    &taken[burst..]
}

/// Fails the test unless 95 % of the rate were used.
#[track_caller]
fn check_used(taken: &[Took]) {
    let (last, counted) = taken.split_last().unwrap();
    let took = last.0 - counted[0].0;
    let used = counted.iter().map(|(_, tokens)| tokens).sum::<u64>() as f64
        / took.as_secs_f64()
        / PER_SECOND;
    assert!(
        used >= 0.95,
        "only {:.1} % of the rate used, over {took:?}",
        used * 100.0
    );
}

#[tokio::test]
async fn the_rate_is_used_and_kept_where_calls_take_three_times_what_their_bytes_say() {
    let taken = run(60, |bytes| bytes / 4 * 3).await;
    check_kept(&taken);
    check_used(steady(&taken));
}

#[tokio::test]
async fn the_rate_is_used_and_kept_where_calls_take_a_fifth_of_what_their_bytes_say() {
    let taken = run(600, |bytes| bytes / 4 / 5).await;
    check_kept(&taken);
    check_used(steady(&taken));
}

#[tokio::test]
async fn the_rate_is_used_and_kept_where_some_calls_take_ten_times_what_others_do() {
    // One that took little may be the first that is known of: what it misleads to is made up for.
    let calls = AtomicU64::new(0);
    let taken = run(130, move |_| {
        if calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
            50
        } else {
            500
        }
    })
    .await;
    check_kept(steady(&taken));
    check_used(steady(&taken));
}

// What a call that failed has taken. A call may write 4,000 tokens here, and what a second allows is 100: if they are not
// given back, nothing goes out for more than half a minute.

const SLOW: u32 = 6_000;
/// Far less than that, far more than a backoff.
const SOON: Duration = Duration::from_secs(10);

fn ask() -> Value {
    with(
        single(person(1)),
        json!({"max_output_tokens": 4_000, "mode": "tools"}),
    )
}

async fn given_back(what: &str, failure: Reply) {
    let upstream = Upstream::saying([failure]);
    let server = limited(&upstream.url(), SLOW).await;
    let begun = Instant::now();
    server.extract(&ask()).await.ok();
    assert!(
        begun.elapsed() < SOON,
        "{what}: the second call waited for the first one's tokens: {:?}",
        begun.elapsed()
    );
    assert_eq!(upstream.calls(), 2, "{what}");
}

#[tokio::test]
async fn a_call_that_fails_without_usage_returns_its_tokens() {
    given_back("500", Reply::error(500, "oops")).await;
    given_back("503", Reply::error(503, "busy")).await;
    given_back(
        "429",
        Reply::error(429, "slow down").with_header("retry-after-ms", 20),
    )
    .await;
}

#[tokio::test]
async fn a_call_that_cannot_connect_returns_its_tokens() {
    let nobody = fixture::Nobody::new();
    let server = limited(&nobody.url(), SLOW).await;
    let begun = Instant::now();
    server.extract(&ask()).await.problem(502, "upstream_error");
    assert!(
        begun.elapsed() < SOON,
        "a try waited for the last one's tokens: {:?}",
        begun.elapsed()
    );
    eventually(SOON, "tokens are there again", async || {
        (available(&server).await > 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_call_that_breaks_after_it_was_sent_keeps_its_tokens() {
    for broken in [|| Reply::Reset, || Reply::CutBody] {
        let upstream = Upstream::saying([broken()]);
        let server = limited(&upstream.url(), SLOW).await;
        let client = server.clone();
        let request = tokio::spawn(async move { client.extract(&ask()).await });
        // Its next try waits for them: 4,000 come back at 100 a second.
        eventually(SOON, "the next try waits for tokens", async || {
            let row = server.limit("tokens_per_minute").await.unwrap();
            (row["waiting"] == 1 && row["available"] == 0).then_some(())
        })
        .await;
        assert_eq!(upstream.calls(), 1);
        request.abort();
        server.wait_until_idle(SOON).await;
    }
}

#[tokio::test]
async fn an_answer_returns_the_unused_tokens() {
    let upstream = Upstream::start(|call| used(call, (20, 5)));
    let server = limited(&upstream.url(), SLOW).await;
    let begun = Instant::now();
    for number in 0..3 {
        server
            .extract(&with(
                single(person(number)),
                json!({"max_output_tokens": 4_000}),
            ))
            .await
            .ok();
    }
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

// What never fits.

#[tokio::test]
async fn a_text_larger_than_a_minutes_token_limit_is_rejected_with_the_numbers() {
    let upstream = Upstream::playing();
    let server = limited(&upstream.url(), 2_000).await;
    let text = "These are the words of a text that is much too long. ".repeat(400);
    let refused = within(
        Duration::from_secs(5),
        "it is refused at once",
        server.extract(&single(text.as_str())),
    )
    .await;
    let problem = refused.problem(413, "payload_too_large");
    let detail = problem["detail"].as_str().unwrap();
    let numbers: Vec<u64> = detail
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect();
    assert!(
        numbers.contains(&2_000) && numbers.iter().any(|number| *number > 2_000),
        "what it takes and the limit: {detail}"
    );
    assert_eq!(upstream.calls(), 0);

    let inputs = json!({"inputs": [person(0), text, person(2)], "schema": fixture::schema()});
    let reply = server.batch(&inputs).await.ok();
    crate::support::client::check_problem(&reply["results"][1]["error"], 413, "payload_too_large");
    assert_eq!(
        reply["summary"]["succeeded"], 2,
        "the others are not affected: {reply}"
    );
}

// What the provider's headers say.

#[tokio::test]
async fn rate_limit_headers_with_nothing_remaining_slow_the_calls() {
    // A thousand a second, and five calls of a hundred at once.
    let upstream = Upstream::start(|call| saying_left(call, (60, 40), 60_000, 0));
    let server = limited(&upstream.url(), 60_000).await;
    for number in 0..6 {
        server.extract(&single(person(number))).await.ok();
    }
    let arrivals = upstream.log().arrivals();
    let took = arrivals[5] - arrivals[0];
    assert!(
        took >= Duration::from_millis(450),
        "five times a hundred tokens had to come back first: {took:?}"
    );
}

#[tokio::test]
async fn rate_limit_headers_with_much_remaining_do_not_speed_up_the_calls() {
    let upstream = Upstream::start(|call| saying_left(call, (60, 40), 10_000_000, 9_999_999));
    let server = limited(&upstream.url(), 120_000).await;
    assert_eq!(
        server.batch(&batch(50)).await.ok()["summary"]["succeeded"],
        50
    );
    let arrivals = upstream.log().arrivals();
    // 5,000 tokens at 2,000 a second, of which a second's were there, and the last call.
    let took = arrivals[49] - arrivals[0];
    assert!(took >= Duration::from_millis(1_400), "{took:?}");
}

#[tokio::test]
async fn rate_limit_headers_of_0_and_minus_1_are_ignored() {
    for limit in [0, -1] {
        let upstream = Upstream::start(move |call| saying_left(call, (60, 40), limit, limit));
        let server = limited(&upstream.url(), 60_000).await;
        server.extract(&single(person(1))).await.ok();
        let left = available(&server).await;
        assert!(
            left >= 300,
            "of 500 that may go out at once 100 were used, but {left} are left after a limit of {limit}"
        );
    }
}

// What is shown.

#[tokio::test]
async fn the_limit_of_tokens_is_shown() {
    let upstream = Upstream::playing();
    let server = limited(&upstream.url(), PER_MINUTE).await;
    let row = server
        .limit("tokens_per_minute")
        .await
        .expect("a row for it");
    assert_eq!(
        (&row["limit"], &row["in_use"], &row["waiting"]),
        (&json!(PER_MINUTE), &json!(0), &json!(0)),
        "{row}"
    );
    assert!(
        row["scope"].as_str().unwrap().contains("first"),
        "it belongs to the provider: {row}"
    );

    let by_variable = Server::asking(&upstream)
        .env("EXTRACTD_TOKENS_PER_MINUTE", 12_345)
        .start()
        .await;
    assert_eq!(
        by_variable
            .limit("tokens_per_minute")
            .await
            .expect("a row for it")["limit"],
        12_345
    );
    let unlimited = Server::with(&upstream)
        .await
        .request(Method::GET, "/v1/limits")
        .answer()
        .await
        .ok();
    let limits = unlimited["limits"].as_array().unwrap();
    let rows = limits
        .iter()
        .filter(|row| row["kind"] == "tokens_per_minute");
    assert!(
        rows.clone().all(|row| row["limit"].is_null()),
        "unlimited is null: {:?}",
        rows.collect::<Vec<_>>()
    );
    server.wait_until_idle(LIMIT).await;
}
