//! Named callers: what each may use is its own. Quotas of a minute pace a caller's queue and refuse only when its own waiting room
//! is full; a budget that is used up fails what is left; and nobody else notices any of it.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::concurrency::most_at_once;
use crate::support::client::{Answer, Client, LIMIT, check_problem, eventually};
use crate::support::fixture::{self, batch, single, with};
use crate::support::server::Server;
use crate::upstream::{Call, Gate, Reply, Upstream};

/// Items from here on are of the other caller.
const OTHER: usize = 100_000;

/// A server with these slots and callers.
async fn serving(upstream: &Upstream, slots: usize, config: &str) -> Server {
    Server::asking(upstream)
        .env("EXTRACTD_MAX_CONCURRENCY", slots)
        .config(config)
        .start()
        .await
}

/// One whose caller `slow` has these quotas beside a caller `other` without any.
async fn with_slow(upstream: &Upstream, slots: usize, quotas: &str) -> (Server, Client, Client) {
    let config = format!(
        "[callers.slow]\nkey = \"key-slow\"\n{quotas}\n[callers.other]\nkey = \"key-other\"\n"
    );
    let server = serving(upstream, slots, &config).await;
    let (slow, other) = (server.with_key("key-slow"), server.with_key("key-other"));
    (server, slow, other)
}

/// A batch of `count` people from the number `first` on.
fn batch_from(first: usize, count: usize) -> Value {
    json!({"inputs": (first..first + count).map(fixture::person).collect::<Vec<_>>(), "schema": fixture::schema()})
}

fn is_others(call: &Call) -> bool {
    call.item().expect("the call is for a numbered item") >= OTHER
}

#[tokio::test]
async fn a_key_is_accepted_in_each_header() {
    let upstream = Upstream::playing();
    let server = Server::asking(&upstream).env("KEY_OF_B", "key-b");
    std::fs::write(server.folder().join("key-of-c"), "key-c\n").unwrap();
    let config = format!(
        "[callers.a]\nkey = \"key-a\"\n[callers.b]\nkey_env = \"KEY_OF_B\"\n[callers.c]\nkey_file = \"key-of-c\"\n[callers.d]\nkey_sha256 = \"{}\"\n",
        sha256_hex("key-d")
    );
    let server = server.config(&config).start().await;
    for key in ["key-a", "key-b", "key-c", "key-d"] {
        assert_eq!(
            server
                .with_key(key)
                .extract(&single(fixture::person(1)))
                .await
                .ok()["data"],
            fixture::found(1),
            "{key}"
        );
    }
}

fn sha256_hex(text: &str) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[tokio::test]
async fn a_wrong_key_or_none_is_unauthorized() {
    let upstream = Upstream::playing();
    let (server, ..) = with_slow(&upstream, 4, "requests_per_minute = 60").await;
    for client in [
        (*server).clone(),
        server.with_key("key-slo"),
        server.with_key("slow"),
        server.with_key(""),
    ] {
        client
            .extract(&single("Ada"))
            .await
            .problem(401, "unauthorized");
        client.batch(&batch(2)).await.problem(401, "unauthorized");
    }
    assert_eq!(upstream.calls(), 0);
}

/// Fails the test when a call went out sooner than `burst` at once and then `per_second` allow, counted from before the first
/// was sent: late calls are nobody's fault, early ones are.
#[track_caller]
fn check_paced(upstream: &Upstream, sent: Instant, burst: f64, per_second: f64) {
    let mut arrivals = upstream.log().arrivals();
    arrivals.sort();
    for (number, arrived) in (1_u32..).zip(arrivals) {
        let due = Duration::from_secs_f64(((f64::from(number) - burst) / per_second).max(0.0));
        let came = arrived - sent;
        assert!(
            came >= due,
            "call {number} came after {came:?}, and was due after {due:?}"
        );
    }
}

#[tokio::test]
async fn requests_per_minute_delay_a_callers_items_and_reject_none() {
    let upstream = Upstream::playing();
    let (_server, slow, _) = with_slow(&upstream, 16, "requests_per_minute = 1200").await;
    let sent = Instant::now();
    let reply = slow.batch(&batch(60)).await.ok();
    assert_eq!(reply["summary"]["succeeded"], 60, "{}", reply["summary"]);
    assert_eq!(upstream.calls(), 60);
    // At most a second's worth at once.
    check_paced(&upstream, sent, 20.0, 20.0);
    assert!(
        sent.elapsed() < Duration::from_secs(20),
        "the rate is used: {:?}",
        sent.elapsed()
    );
}

#[tokio::test]
async fn a_validation_retry_counts_toward_the_callers_rate() {
    let upstream = Upstream::start(|call| {
        if call.index % 5 == 1 {
            Reply::Json(fixture::wrong())
        } else {
            Reply::Played
        }
    });
    let (_server, slow, _) = with_slow(&upstream, 16, "requests_per_minute = 1200").await;
    let sent = Instant::now();
    let reply = slow
        .batch(&with(batch(30), json!({"max_attempts": 10})))
        .await
        .ok();
    assert_eq!(reply["summary"]["succeeded"], 30, "{}", reply["summary"]);
    assert!(upstream.calls() >= 36, "{} calls", upstream.calls());
    check_paced(&upstream, sent, 20.0, 20.0);
}

#[tokio::test]
async fn tokens_per_minute_delay_a_callers_items_and_reject_none() {
    // Each call takes 15 tokens.
    let upstream = Upstream::playing();
    let (_server, slow, _) = with_slow(&upstream, 16, "tokens_per_minute = 18000").await;
    let sent = Instant::now();
    let reply = slow.batch(&batch(60)).await.ok();
    assert_eq!(reply["summary"]["succeeded"], 60, "{}", reply["summary"]);
    check_paced(&upstream, sent, 20.0, 20.0);
    assert!(
        sent.elapsed() < Duration::from_secs(20),
        "the rate is used: {:?}",
        sent.elapsed()
    );
}

#[tokio::test]
async fn the_callers_rates_do_not_pace_another() {
    let upstream = Upstream::playing();
    let (_server, slow, other) = with_slow(
        &upstream,
        16,
        "requests_per_minute = 1\ntokens_per_minute = 1",
    )
    .await;
    let waiting = slow
        .open("/v1/extract/batch", "text/event-stream", &batch(30))
        .await
        .expect(200);
    upstream
        .wait_for("the only call that it may make", LIMIT, |log| {
            log.answered == 1
        })
        .await;
    assert_eq!(
        other.batch(&batch_from(OTHER, 300)).await.ok()["summary"]["succeeded"],
        300
    );
    assert_eq!(upstream.calls(), 301);
    drop(waiting);
}

/// The items of a list of strings with integer parameters (RFC 9651), which is all that these fields are made of.
#[track_caller]
fn parse_list(text: &str) -> Vec<(String, BTreeMap<String, u64>)> {
    let mut items = Vec::new();
    for member in text.split(',') {
        let member = member.trim_matches([' ', '\t']);
        let mut parts = member.split(';');
        let name = parts.next().unwrap();
        let inner = name
            .strip_prefix('"')
            .and_then(|name| name.strip_suffix('"'));
        let inner = inner.unwrap_or_else(|| panic!("{name} is a string in {text}"));
        assert!(
            inner
                .bytes()
                .all(|byte| (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\'),
            "{text}"
        );
        let parameters = parts.map(|parameter| {
            let (key, value) = parameter
                .trim_start_matches(' ')
                .split_once('=')
                .unwrap_or_else(|| panic!("{parameter}: {text}"));
            assert!(
                key.starts_with(|c: char| c.is_ascii_lowercase() || c == '*'),
                "{key} in {text}"
            );
            assert!(
                value.len() <= 15 && value.bytes().all(|byte| byte.is_ascii_digit()),
                "{value} is an integer: {text}"
            );
            (key.to_owned(), value.parse().unwrap())
        });
        items.push((inner.to_owned(), parameters.collect()));
    }
    items
}

/// How the caller stands, by the name of the policy: quota, window, what is left, and when there is more.
#[track_caller]
fn standing(answer: &Answer) -> BTreeMap<String, (u64, u64, u64, Option<u64>)> {
    for name in ["ratelimit", "ratelimit-policy"] {
        assert_eq!(
            answer.headers.get_all(name).iter().count(),
            1,
            "{name}: {:?}",
            answer.headers
        );
    }
    let (policies, limits) = (
        parse_list(answer.header("ratelimit-policy")),
        parse_list(answer.header("ratelimit")),
    );
    let names = |list: &[(String, _)]| {
        list.iter()
            .map(|(name, _)| name.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(&policies),
        names(&limits),
        "each limit has its policy: {:?}",
        answer.headers
    );
    let pairs = policies.into_iter().zip(limits);
    pairs
        .map(|((name, policy), (_, limit))| {
            (
                name,
                (
                    policy["q"],
                    policy["w"],
                    limit["r"],
                    limit.get("t").copied(),
                ),
            )
        })
        .collect()
}

/// Sends requests one after the other until the waiting room of `slow`, of 2, is full.
async fn fill(server: &Server, upstream: &Upstream, slow: &Client) -> JoinSet<Answer> {
    slow.extract(&single(fixture::person(0))).await.ok();
    assert_eq!(upstream.calls(), 1);
    let mut waiting = JoinSet::new();
    for number in 1..=2 {
        let slow = slow.clone();
        waiting.spawn(async move { slow.extract(&single(fixture::person(number))).await });
    }
    let other = server.with_key("key-other");
    eventually(LIMIT, "its waiting room is full", async || {
        let row = other
            .limit_of("queue", "caller:slow")
            .await
            .expect("a row for its waiting room");
        assert_eq!(row["limit"], 2, "{row}");
        (row["available"] == 0).then_some(())
    })
    .await;
    waiting
}

#[track_caller]
fn check_quota_problem(answer: &Answer, retry_after: std::ops::RangeInclusive<u64>) {
    answer.problem(429, "quota_exceeded");
    let after: u64 = answer
        .header("retry-after")
        .parse()
        .expect("Retry-After in seconds");
    assert!(retry_after.contains(&after), "{after} in {retry_after:?}");
}

#[tokio::test]
async fn a_request_beyond_its_callers_own_waiting_room_is_refused_and_says_when() {
    // After the first call, the next may go out in a minute; or, in tokens, in a quarter of one.
    for (quota, policy, next) in [
        ("requests_per_minute = 1", "requests", 1..=60),
        ("tokens_per_minute = 60", "tokens", 1..=16),
    ] {
        let upstream = Upstream::playing();
        let (server, slow, other) =
            with_slow(&upstream, 4, &format!("{quota}\nmax_queue = 2")).await;
        let mut waiting = fill(&server, &upstream, &slow).await;
        let refused = slow.extract(&single(fixture::person(3))).await;
        check_quota_problem(&refused, next.clone());
        let standing = standing(&refused);
        let per_minute = if policy == "requests" { 1 } else { 60 };
        let (quota, window, left, reset) = standing[policy];
        assert_eq!(
            (standing.len(), quota, window, left),
            (1, per_minute, 60, 0),
            "{:?}",
            refused.headers
        );
        assert!(
            reset.is_some_and(|reset| next.contains(&reset)),
            "{:?}",
            refused.headers
        );
        for accept in [
            "application/json",
            "text/event-stream",
            "application/x-ndjson",
        ] {
            let refused = slow
                .open("/v1/extract/batch", accept, &batch(3))
                .await
                .whole()
                .await;
            check_quota_problem(&refused, next.clone());
        }
        let path = format!("/v1/extract/batch?{}", fixture::schema_query());
        check_quota_problem(
            &slow
                .request(http::Method::POST, &path)
                .lines(["\"Ada\""])
                .answer()
                .await,
            next,
        );
        // Nobody else is affected.
        other.extract(&single(fixture::person(OTHER))).await.ok();
        assert_eq!(
            other.batch(&batch_from(OTHER + 1, 20)).await.ok()["summary"]["succeeded"],
            20
        );
        assert_eq!(upstream.calls(), 22, "only what is allowed went out");
        // Who leaves makes room.
        waiting.abort_all();
        while waiting.join_next().await.is_some() {}
        eventually(LIMIT, "there is room again", async || {
            (other.limit_of("queue", "caller:slow").await.unwrap()["available"] == 2).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn an_invalid_request_is_rejected_before_its_quota_is_checked() {
    let upstream = Upstream::playing();
    let (server, slow, _) = with_slow(&upstream, 4, "requests_per_minute = 1\nmax_queue = 2").await;
    let _waiting = fill(&server, &upstream, &slow).await;
    slow.extract(&json!({"input": "no schema"}))
        .await
        .problem(422, "invalid_request");
    slow.get("/v1/nothing").await.problem(404, "not_found");
    // And what takes no quota is answered.
    assert_eq!(slow.get("/v1/models").await.status, 200);
}

#[tokio::test]
async fn the_rate_limit_headers_show_the_remaining_quota() {
    let upstream = Upstream::playing();
    let (_server, slow, other) = with_slow(
        &upstream,
        4,
        "requests_per_minute = 60\ntokens_per_minute = 60000",
    )
    .await;
    let answer = slow.extract(&single(fixture::person(0))).await;
    answer.ok();
    let standing = standing(&answer);
    assert_eq!(standing.keys().collect::<Vec<_>>(), ["requests", "tokens"]);
    let (quota, window, left, reset) = standing["requests"];
    assert_eq!((quota, window), (60, 60));
    assert!(
        left == 0 && reset == Some(1),
        "this request took what there was: {:?}",
        answer.headers
    );
    let (quota, window, left, _) = standing["tokens"];
    assert!(
        (quota, window) == (60_000, 60) && (1..=60_000).contains(&left),
        "{:?}",
        answer.headers
    );
    let answer = other.extract(&single(fixture::person(1))).await;
    answer.ok();
    for name in ["ratelimit", "ratelimit-policy"] {
        assert_eq!(answer.header(name), "", "no quota, nothing to tell");
    }
}

#[tokio::test]
async fn nobody_is_refused_a_free_slot_because_a_paced_caller_fills_the_waiting_room() {
    let upstream = Upstream::playing();
    let config = "[limits]\nmax_queue = 6\n[callers.slow]\nkey = \"key-slow\"\nrequests_per_minute = 1\nmax_queue = 100\n\
                  [callers.other]\nkey = \"key-other\"\n";
    let server = serving(&upstream, 4, config).await;
    let (slow, other) = (server.with_key("key-slow"), server.with_key("key-other"));
    slow.extract(&single(fixture::person(0))).await.ok();
    let _waiting = slow
        .open("/v1/extract/batch", "text/event-stream", &batch_from(1, 50))
        .await
        .expect(200);
    let row = other
        .limit_of("queue", "all")
        .await
        .expect("a row for the queue");
    assert!(
        row["in_use"].as_u64() <= Some(6),
        "no more wait than may: {row}"
    );
    other.extract(&single(fixture::person(OTHER))).await.ok();
    assert_eq!(
        other.batch(&batch_from(OTHER + 1, 10)).await.ok()["summary"]["succeeded"],
        10
    );
}

#[tokio::test]
async fn a_callers_max_concurrency_is_reached_and_never_exceeded() {
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream =
        Upstream::start(move |_| Reply::Played.after(Duration::from_millis(2)).behind(&held));
    let (server, narrow, other) = with_slow(&upstream, 8, "max_concurrency = 3").await;
    let beside = batch_from(OTHER, 100);
    let test = async {
        upstream
            .wait_for("its slots are taken", LIMIT, |log| log.in_flight == 3)
            .await;
        let beside = other.batch(&beside);
        tokio::pin!(beside);
        let others = upstream.wait_for("all slots are taken", LIMIT, |log| log.in_flight == 8);
        tokio::select! {
            () = others => {}
            _ = &mut beside => panic!("it cannot be done"),
        }
        let row = other
            .limit_of("concurrency", "caller:slow")
            .await
            .expect("a row for it");
        assert_eq!(
            (&row["limit"], &row["in_use"], &row["available"]),
            (&json!(3), &json!(3), &json!(0)),
            "{row}"
        );
        gate.open();
        beside.await
    };
    let (one, two, three) = (batch(60), batch_from(60, 60), single(fixture::person(120)));
    let (one, two, three, beside) = tokio::join!(
        narrow.batch(&one),
        narrow.batch(&two),
        narrow.extract(&three),
        test
    );
    for (reply, count) in [(one, 60), (two, 60), (beside, 100)] {
        assert_eq!(reply.ok()["summary"]["succeeded"], count);
    }
    three.ok();
    let calls: Vec<_> = upstream
        .log()
        .calls
        .into_iter()
        .filter(|call| !is_others(call))
        .collect();
    assert_eq!((calls.len(), most_at_once(&calls)), (121, 3));
    server.with_key("key-other").wait_until_idle(LIMIT).await;
}

#[tokio::test]
async fn a_small_waiting_room_does_not_narrow_what_may_be_in_flight() {
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |_| Reply::Played.behind(&held));
    let (_server, narrow, _) = with_slow(&upstream, 8, "max_concurrency = 6\nmax_queue = 1").await;
    let body = batch(30);
    let test = async {
        upstream
            .wait_for("all that it may have in flight", LIMIT, |log| {
                log.in_flight == 6
            })
            .await;
        gate.open();
    };
    let (reply, ()) = tokio::join!(narrow.batch(&body), test);
    assert_eq!(reply.ok()["summary"]["succeeded"], 30);
    assert_eq!(upstream.seen(|log| log.max_in_flight), 6);
}

#[tokio::test]
async fn the_huge_batch_of_a_paced_caller_leaves_the_free_slots_to_others() {
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |call| {
        if is_others(call) {
            Reply::Played.behind(&held)
        } else {
            Reply::Played
        }
    });
    let (_server, slow, other) =
        with_slow(&upstream, 4, "requests_per_minute = 60\nmax_queue = 10000").await;
    let mut huge = Vec::new();
    for _ in 0..3 {
        huge.push(
            slow.open("/v1/extract/batch", "text/event-stream", &batch(10_000))
                .await
                .expect(200),
        );
    }
    upstream
        .wait_for("it is at work", LIMIT, |log| log.answered >= 1)
        .await;
    let before = upstream.calls();
    let test = async {
        upstream
            .wait_for("all slots are the other's", LIMIT, |log| log.in_flight == 4)
            .await;
        let of_the_slow = upstream.log().calls[before..]
            .iter()
            .filter(|call| !is_others(call))
            .count();
        assert!(
            of_the_slow <= 2,
            "{of_the_slow} calls of the slow one went first"
        );
        gate.open();
    };
    let (body, beside) = (batch_from(OTHER, 20), single(fixture::person(OTHER + 20)));
    let (reply, beside, ()) = tokio::join!(other.batch(&body), other.extract(&beside), test);
    assert_eq!(reply.ok()["summary"]["succeeded"], 20);
    beside.ok();
    drop(huge);
}

/// A model whose calls cost a dollar each, for 10 tokens read and 5 written.
const PRICED: &str = "[models.priced]\nprovider = \"openai\"\nmodel = \"test-model\"\n\
                      input_usd_per_million_tokens = 50000\noutput_usd_per_million_tokens = 100000\n";

fn with_budget(dollars: u32) -> String {
    format!(
        "{PRICED}[callers.poor]\nkey = \"key-poor\"\nbudget_usd_per_day = {dollars}\n[callers.other]\nkey = \"key-other\"\n"
    )
}

/// The seconds to the next midnight, UTC.
fn to_midnight() -> u64 {
    86_400
        - SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_secs()
            % 86_400
}

/// Budgets begin anew at midnight: whoever tests one in the last minutes of a day learns nothing.
fn day_is_ending() -> bool {
    to_midnight() < 120
}

#[track_caller]
fn check_broke(answer: &Answer) {
    answer.problem(429, "quota_exceeded");
    let after: u64 = answer
        .header("retry-after")
        .parse()
        .expect("Retry-After in seconds");
    let left = to_midnight();
    assert!(
        after.abs_diff(left) <= 60,
        "{after} s, and midnight is in {left} s"
    );
}

#[tokio::test]
async fn the_items_after_the_budget_is_spent_fail() {
    if day_is_ending() {
        return;
    }
    let upstream = Upstream::start(|_| Reply::Played.after(Duration::from_millis(2)));
    let server = serving(&upstream, 4, &with_budget(10)).await;
    let (poor, other) = (server.with_key("key-poor"), server.with_key("key-other"));
    let reply = poor.batch(&batch(30)).await.ok();
    let succeeded = reply["summary"]["succeeded"].as_u64().unwrap();
    assert!(
        (10..=14).contains(&succeeded),
        "ten dollars, and at most what was in flight: {}",
        reply["summary"]
    );
    assert_eq!(reply["summary"]["failed"], 30 - succeeded);
    assert_eq!(
        reply["summary"]["usage"]["cost_usd"].as_f64(),
        Some(succeeded as f64),
        "{}",
        reply["summary"]
    );
    assert_eq!(upstream.calls() as u64, succeeded);
    for result in reply["results"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|result| result["status"] == "failed")
    {
        check_problem(&result["error"], 429, "quota_exceeded");
        assert_eq!(result["usage"]["total_tokens"], 0, "{result}");
    }
    // Nothing more, in any form.
    check_broke(&poor.extract(&single(fixture::person(50))).await);
    for accept in [
        "application/json",
        "text/event-stream",
        "application/x-ndjson",
    ] {
        check_broke(
            &poor
                .open("/v1/extract/batch", accept, &batch(2))
                .await
                .whole()
                .await,
        );
    }
    assert_eq!(upstream.calls() as u64, succeeded);
    // And nobody else is affected.
    assert_eq!(
        other.batch(&batch_from(OTHER, 20)).await.ok()["summary"]["succeeded"],
        20
    );
}

#[tokio::test]
async fn a_budget_is_overshot_by_no_more_than_the_calls_in_flight() {
    if day_is_ending() {
        return;
    }
    // Ten times as dear as the first ones let expect.
    let upstream = Upstream::start(|call| {
        let used = if call.index < 5 { (10, 5) } else { (100, 50) };
        Reply::Used(fixture::right().to_string(), used.0, used.1).after(Duration::from_millis(2))
    });
    let server = serving(&upstream, 4, &with_budget(40)).await;
    let poor = server.with_key("key-poor");
    let (one, two) = (batch(60), batch_from(60, 60));
    let (one, two) = tokio::join!(poor.batch(&one), poor.batch(&two));
    let spent: f64 = [one.ok(), two.ok()]
        .iter()
        .map(|reply| reply["summary"]["usage"]["cost_usd"].as_f64().unwrap())
        .sum();
    assert!(
        (40.0..40.0 + 4.0 * 10.0).contains(&spent),
        "{spent} dollars of 40, with 4 calls at a time at 10 dollars"
    );
    check_broke(&poor.extract(&single(fixture::person(500))).await);
}

#[tokio::test]
async fn equal_items_fail_together_when_the_budget_is_exhausted() {
    if day_is_ending() {
        return;
    }
    let upstream = Upstream::playing();
    let server = serving(&upstream, 4, &with_budget(1)).await;
    let poor = server.with_key("key-poor");
    // One slot for it, so that the others wait until the dollar is spent.
    let inputs: Vec<_> = [0, 1, 1, 1, 1].map(fixture::person).into();
    let reply = poor
        .batch(&json!({"inputs": inputs, "schema": fixture::schema()}))
        .await
        .ok();
    let results = reply["results"].as_array().unwrap();
    let failed: Vec<_> = results
        .iter()
        .filter(|result| result["status"] == "failed")
        .collect();
    assert!(
        !failed.is_empty(),
        "a dollar is not enough for both: {}",
        reply["summary"]
    );
    for result in failed {
        check_problem(&result["error"], 429, "quota_exceeded");
    }
    assert_eq!(reply["summary"]["cancelled"], 0, "{}", reply["summary"]);
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn a_failed_call_costs_nothing() {
    if day_is_ending() {
        return;
    }
    let upstream = Upstream::start(|call| {
        if call.index < 3 {
            Reply::error(413, "no")
        } else {
            Reply::Played
        }
    });
    let server = serving(&upstream, 4, &with_budget(2)).await;
    let poor = server.with_key("key-poor");
    for number in 0..3 {
        poor.extract(&single(fixture::person(number)))
            .await
            .problem(502, "upstream_error");
    }
    for number in 3..5 {
        poor.extract(&single(fixture::person(number))).await.ok();
    }
    check_broke(&poor.extract(&single(fixture::person(5))).await);
}

#[tokio::test]
async fn a_model_without_a_price_is_forbidden_to_a_caller_with_a_budget() {
    let upstream = Upstream::playing();
    let config = format!(
        "{}[models.free]\nprovider = \"openai\"\nmodel = \"unpriced\"\n\
         [models.half]\nprovider = \"openai\"\nmodel = \"half\"\nfallback = [\"free\"]\n\
         input_usd_per_million_tokens = 1\noutput_usd_per_million_tokens = 1\n",
        with_budget(100)
    );
    let server = serving(&upstream, 4, &config).await;
    let (poor, other) = (server.with_key("key-poor"), server.with_key("key-other"));
    for model in ["free", "openai/unpriced", "openai/anything", "half"] {
        let (one, many) = (
            with(single("Ada"), json!({"model": model})),
            with(batch(2), json!({"model": model})),
        );
        poor.extract(&one).await.problem(403, "forbidden");
        poor.batch(&many).await.problem(403, "forbidden");
        other.extract(&one).await.ok();
    }
    assert_eq!(upstream.calls(), 4);
    for model in ["priced", "openai/test-model"] {
        let reply = poor
            .extract(&with(
                single(fixture::person(1)),
                json!({"model": model, "cache": "off"}),
            ))
            .await
            .ok();
        assert_eq!(reply["usage"]["cost_usd"], 1.0, "{reply}");
    }
    poor.extract(&single(fixture::person(2))).await.ok();
}
