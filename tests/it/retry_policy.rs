//! Retry policy: the table of reliability.md, row by row.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::support::client::LIMIT;
use crate::support::fixture::{self, batch, right, single, with};
use crate::support::server::Server;
use crate::support::test_lock;
use crate::upstream::{Ending, Reply, Upstream};

/// The queue moves again this soon after a pause.
const AT_ONCE: Duration = Duration::from_millis(100);

/// Returns a request with an explicit mode, so that a 400 does not count as an unsupported mode.
fn ask() -> Value {
    with(single(fixture::person(1)), json!({"mode": "tools"}))
}

async fn tried_again(what: &str, first: Reply) {
    let upstream = Upstream::saying([first]);
    let server = Server::with(&upstream).await;
    let reply = server.extract(&ask()).await.ok();
    assert_eq!(reply["data"], fixture::found(1), "{what}");
    assert_eq!(reply["attempts"], 1, "{what}: a try is no attempt");
    assert_eq!(upstream.calls(), 2, "{what}");
}

async fn not_tried_again(first: Reply, status: u16, code: &str) -> Value {
    let upstream = Upstream::saying([first]);
    let server = Server::with(&upstream).await;
    let problem = server.extract(&ask()).await.problem(status, code);
    assert_eq!(upstream.calls(), 1, "{problem}");
    problem
}

#[tokio::test]
async fn statuses_of_a_failing_server_are_retried() {
    for status in [408, 409, 500, 502, 504, 520, 521, 522, 523, 524] {
        tried_again(&status.to_string(), Reply::error(status, "simulated")).await;
    }
}

#[tokio::test]
async fn statuses_of_an_overloaded_server_are_retried() {
    for status in [503, 529] {
        tried_again(&status.to_string(), Reply::error(status, "simulated")).await;
    }
}

#[tokio::test]
async fn a_reset_before_any_byte_is_retried() {
    tried_again("reset", Reply::Reset).await;
}

#[tokio::test]
async fn a_truncated_body_is_retried() {
    tried_again("cut", Reply::CutBody).await;
}

#[tokio::test]
async fn a_200_that_is_no_completion_is_never_a_result() {
    let upstream = Upstream::start(|_| Reply::WrongContentType);
    let server = Server::with(&upstream).await;
    let problem = server.extract(&ask()).await.problem(502, "upstream_error");
    assert!(upstream.calls() <= 3, "{problem}");
}

#[tokio::test]
async fn statuses_of_rejected_requests_are_not_retried() {
    for status in [400, 404, 413, 422] {
        let problem = not_tried_again(
            Reply::error(status, "the moon is in the wrong house"),
            502,
            "upstream_error",
        )
        .await;
        let text = problem.to_string();
        assert!(
            text.contains(&status.to_string()),
            "it carries the provider's status: {text}"
        );
        assert!(
            text.contains("the moon is in the wrong house"),
            "and what it said: {text}"
        );
    }
}

#[tokio::test]
async fn a_rejected_key_is_not_retried() {
    for status in [401, 403] {
        let problem = not_tried_again(
            Reply::error(status, "Incorrect API key provided: sk-test."),
            502,
            "upstream_unauthorized",
        )
        .await;
        let text = problem.to_string();
        assert!(
            text.contains(&status.to_string()),
            "it carries the provider's status: {text}"
        );
        assert!(!text.contains("sk-test"), "without the key: {text}");
    }
}

#[tokio::test]
async fn an_exhausted_quota_is_not_retried() {
    for status in [402, 429] {
        let body = json!({"error": {"message": "You exceeded your current quota", "type": "insufficient_quota", "code": "insufficient_quota"}});
        let reply = Reply::Status(status, vec![], body.to_string());
        let problem = not_tried_again(reply, 503, "upstream_rate_limited").await;
        assert!(problem.to_string().contains("quota"), "{problem}");
    }
}

#[tokio::test]
async fn x_should_retry_overrides_the_retry_table() {
    not_tried_again(
        Reply::error(500, "no").with_header("x-should-retry", false),
        502,
        "upstream_error",
    )
    .await;
    tried_again(
        "400",
        Reply::error(400, "again").with_header("x-should-retry", true),
    )
    .await;
}

#[tokio::test]
async fn a_call_is_made_at_most_three_times() {
    let upstream = Upstream::start(|_| Reply::error(500, "the disk is full"));
    let server = Server::with(&upstream).await;
    let problem = server.extract(&ask()).await.problem(502, "upstream_error");
    assert_eq!(upstream.calls(), 3);
    let text = problem.to_string();
    assert!(
        text.contains("500") && text.contains("the disk is full"),
        "status and words of the provider: {text}"
    );
}

#[tokio::test]
async fn an_unreachable_provider_is_an_upstream_error() {
    // A port that was free a moment ago; nobody listens there.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let server = Server::asking_at(&format!("http://{nobody}/v1"))
        .start()
        .await;
    server.extract(&ask()).await.problem(502, "upstream_error");
}

#[tokio::test]
async fn retry_after_is_the_minimum_backoff_of_a_failure() {
    let _lock = test_lock::exclusive().await;
    let upstream = Upstream::saying([Reply::error(500, "oops").with_header("retry-after", 1)]);
    let server = Server::with(&upstream).await;
    server.extract(&ask()).await.ok();
    let log = upstream.log();
    let waited = log.calls[1].arrived - log.calls[0].ended_at();
    assert!(waited >= Duration::from_secs(1), "{waited:?}");
    assert!(
        waited <= Duration::from_millis(1_100) + AT_ONCE,
        "a tenth more at most: {waited:?}"
    );
}

#[tokio::test]
async fn no_call_goes_out_before_retry_after_in_seconds_has_passed() {
    check_pause(
        || Reply::error(429, "slow down").with_header("retry-after", 1),
        Duration::from_secs(1),
    )
    .await;
}

#[tokio::test]
async fn no_call_goes_out_before_retry_after_ms_has_passed() {
    let reply = || {
        Reply::error(429, "slow down")
            .with_header("retry-after-ms", 350)
            .with_header("retry-after", 1)
    };
    check_pause(reply, Duration::from_millis(350)).await;
}

/// Checks a pause with one slot and five items, the first of which is told to wait: no call goes out during the pause, then the
/// same item is the first, and the others follow.
async fn check_pause(reply: impl Fn() -> Reply + Send + Sync + 'static, pause: Duration) {
    let _lock = test_lock::exclusive().await;
    let upstream = Upstream::start(move |call| {
        if call.index == 0 {
            reply()
        } else {
            Reply::Played
        }
    });
    let server = Server::asking(&upstream)
        .env("EXTRACTD_MAX_CONCURRENCY", 1)
        .start()
        .await;
    let summary = server.batch(&batch(5)).await.ok()["summary"].clone();
    assert_eq!(summary["succeeded"], 5, "{summary}");
    let log = upstream.log();
    let waited = log.calls[1].arrived - log.calls[0].ended_at();
    assert!(waited >= pause, "called after {waited:?} of {pause:?}");
    assert!(
        waited <= pause + AT_ONCE,
        "moved again only after {waited:?} of {pause:?}"
    );
    assert_eq!(
        log.items(),
        [0, 0, 1, 2, 3, 4],
        "the item goes back to the front"
    );
}

#[tokio::test]
async fn no_call_goes_out_before_a_retry_after_date_has_passed() {
    let _lock = test_lock::exclusive().await;
    // Dates have whole seconds; taken when the call comes, it is one to two seconds away.
    let date = std::sync::Arc::new(std::sync::OnceLock::new());
    let kept = date.clone();
    let upstream = Upstream::start(move |call| {
        if call.index > 0 {
            return Reply::Played;
        }
        let until = SystemTime::now() + Duration::from_secs(2);
        Reply::error(429, "slow down").with_header(
            "retry-after",
            httpdate::fmt_http_date(*kept.get_or_init(|| until)),
        )
    });
    let server = Server::with(&upstream).await;
    server.extract(&ask()).await.ok();
    let date = httpdate::parse_http_date(&httpdate::fmt_http_date(*date.get().unwrap())).unwrap();
    let late = upstream.log().calls[1]
        .arrived_at
        .duration_since(date)
        .expect("not before the date");
    assert!(late <= AT_ONCE, "{late:?} after the date");
}

#[tokio::test]
async fn a_429_pauses_all_calls_with_the_key() {
    let _lock = test_lock::exclusive().await;
    let upstream = Upstream::start(|call| match call.index {
        0 => Reply::error(429, "slow down").with_header("retry-after", 1),
        _ => Reply::Played.after(Duration::from_millis(5)),
    });
    let server = Server::asking(&upstream)
        .env("EXTRACTD_MAX_CONCURRENCY", 4)
        .start()
        .await;
    let (body, beside) = (batch(40), single(fixture::person(41)));
    let (answer, beside) = tokio::join!(server.batch(&body), server.extract(&beside));
    assert_eq!(answer.ok()["summary"]["succeeded"], 40);
    beside.ok();
    let log = upstream.log();
    let paused = log.calls[0].ended_at();
    // What was on its way when the 429 went out cannot be called back.
    let on_the_way = Duration::from_millis(50);
    let during = log
        .arrivals()
        .into_iter()
        .filter(|at| *at > paused + on_the_way && *at < paused + Duration::from_secs(1))
        .count();
    assert_eq!(during, 0, "calls during the pause");
    let next = log
        .arrivals()
        .into_iter()
        .find(|at| *at >= paused + Duration::from_secs(1))
        .expect("the queue moves again");
    assert!(
        next <= paused + Duration::from_secs(1) + AT_ONCE,
        "{:?} after the 429",
        next - paused
    );
}

#[tokio::test]
async fn after_a_pause_the_queue_flows_at_its_rate() {
    let _lock = test_lock::exclusive().await;
    let upstream =
        Upstream::saying([Reply::error(429, "slow down").with_header("retry-after-ms", 600)]);
    let server = Server::asking(&upstream)
        .env("EXTRACTD_REQUESTS_PER_MINUTE", 1_200)
        .start()
        .await;
    assert_eq!(
        server.batch(&batch(10)).await.ok()["summary"]["succeeded"],
        10
    );
    let arrivals = upstream.log().arrivals();
    // 50 ms apart, less what the upstream's stamps may be off.
    let (first, last) = (arrivals[1], arrivals[10]);
    assert!(
        last - first >= Duration::from_millis(9 * 50 - 15),
        "no burst after the pause: {:?}",
        last - first
    );
}

#[tokio::test]
async fn a_429_does_not_count_as_a_failed_call() {
    let slow_down = || Reply::error(429, "slow down").with_header("retry-after-ms", 30);
    let upstream = Upstream::saying((0..8).map(|_| slow_down()));
    let server = Server::with(&upstream).await;
    let reply = server.extract(&ask()).await.ok();
    assert_eq!((&reply["attempts"], upstream.calls()), (&json!(1), 9));
}

#[tokio::test]
async fn a_503_with_retry_after_does_not_count_as_a_failed_call() {
    let slow_down = || Reply::error(503, "overloaded").with_header("retry-after-ms", 30);
    let upstream = Upstream::saying((0..6).map(|_| slow_down()));
    let server = Server::with(&upstream).await;
    server.extract(&ask()).await.ok();
    assert_eq!(upstream.calls(), 7);
}

#[tokio::test]
async fn a_429_without_retry_after_is_retried() {
    let upstream = Upstream::saying([
        Reply::error(429, "slow down"),
        Reply::error(429, "slow down"),
    ]);
    let server = Server::with(&upstream).await;
    server.extract(&ask()).await.ok();
    assert_eq!(upstream.calls(), 3);
}

#[tokio::test]
async fn a_pause_longer_than_a_single_may_wait_is_rate_limited_at_once() {
    let upstream = Upstream::start(|_| {
        Reply::error(429, "come back tomorrow").with_header("retry-after", 86_400)
    });
    let server = Server::with(&upstream).await;
    let problem = server
        .extract(&ask())
        .await
        .problem(503, "upstream_rate_limited");
    assert_eq!(upstream.calls(), 1);
    assert!(
        problem.to_string().contains("come back tomorrow"),
        "{problem}"
    );
}

#[tokio::test]
async fn a_call_that_stalls_ends_in_a_timeout_and_is_aborted() {
    let upstream = Upstream::start(|_| Reply::Stall);
    let server = Server::with(&upstream).await;
    server
        .extract(&with(ask(), json!({"timeout_ms": 300})))
        .await
        .problem(504, "timeout");
    upstream
        .wait_for("the call is aborted", Duration::from_secs(1), |log| {
            log.aborted == 1 && log.in_flight == 0
        })
        .await;
}

#[tokio::test]
async fn the_timeout_covers_backoff_and_attempts_together() {
    let _lock = test_lock::exclusive().await;
    let upstream = Upstream::start(|_| Reply::error(500, "oops").with_header("retry-after", 30));
    let server = Server::with(&upstream).await;
    let begun = tokio::time::Instant::now();
    let answer = server
        .extract(&with(ask(), json!({"timeout_ms": 600})))
        .await;
    let code = answer.json()["code"].clone();
    assert!(code == "timeout" || code == "upstream_error", "{code}");
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn waiting_for_its_turn_does_not_count_toward_the_timeout() {
    let gate = crate::upstream::Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |call| {
        if call.index == 0 {
            Reply::Played.behind(&held)
        } else {
            Reply::Played
        }
    });
    let server = Server::asking(&upstream)
        .env("EXTRACTD_MAX_CONCURRENCY", 1)
        .start()
        .await;
    let (slow, quick) = (
        single("first"),
        with(single(fixture::person(7)), json!({"timeout_ms": 200})),
    );
    let test = async {
        upstream
            .wait_for("the slot is taken", LIMIT, |log| log.in_flight == 1)
            .await;
        let release = async {
            // The time is what is tested here: longer than the second one's timeout.
            tokio::time::sleep(Duration::from_millis(600)).await;
            gate.open();
        };
        tokio::join!(server.extract(&quick), release).0
    };
    let (first, second) = tokio::join!(server.extract(&slow), test);
    first.ok();
    let reply = second.ok();
    assert!(
        reply["timing"]["queued_ms"].as_f64().unwrap() >= 300.0,
        "{reply}"
    );
}

#[tokio::test]
async fn waiting_after_a_429_does_not_count_toward_the_timeout() {
    let upstream = Upstream::saying([Reply::error(429, "slow down").with_header("retry-after", 1)]);
    let server = Server::with(&upstream).await;
    server
        .extract(&with(ask(), json!({"timeout_ms": 500})))
        .await
        .ok();
    assert_eq!(upstream.calls(), 2);
}

#[tokio::test]
async fn a_stalled_call_does_not_delay_the_other_items() {
    let upstream = Upstream::start(|call| {
        if call.item() == Some(1) {
            Reply::Stall
        } else {
            Reply::Json(right())
        }
    });
    let server = Server::with(&upstream).await;
    let reply = server
        .batch(&with(batch(4), json!({"timeout_ms": 400})))
        .await
        .ok();
    assert_eq!(reply["results"][1]["error"]["code"], "timeout", "{reply}");
    assert_eq!(reply["summary"]["succeeded"], 3);
    upstream
        .wait_for("the call is aborted", Duration::from_secs(1), |log| {
            log.in_flight == 0
        })
        .await;
    assert!(
        upstream
            .log()
            .calls
            .iter()
            .any(|call| call.is(Ending::Aborted))
    );
}
