//! Who is asked when a model cannot answer, and when nobody else is; what that costs and who answered (reliability.md, which
//! upstream outcomes are retried; breaker and fallback).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::client::{LIMIT, within};
use crate::support::fixture::{
    self, Nobody, batch, found, model, person, provider, single, with, wrong,
};
use crate::support::server::Server;
use crate::upstream::{Call, Ending, Gate, Reply, Upstream};

/// `main` at `first`, and `spare` at `second`, who answers in its place. What both are asked is seen.
struct Pair {
    first: Upstream,
    second: Upstream,
    server: Server,
}

impl Pair {
    async fn new(first: Upstream) -> Self {
        Self::with(first, Upstream::playing()).await
    }

    async fn with(first: Upstream, second: Upstream) -> Self {
        let server = Server::configured(&pair(&first.url(), &second.url()))
            .start()
            .await;
        Self {
            first,
            second,
            server,
        }
    }

    fn calls(&self) -> (usize, usize) {
        (self.first.calls(), self.second.calls())
    }
}

fn pair(first: &str, second: &str) -> String {
    let models = model("main", "first", "fallback = [\"spare\"]") + &model("spare", "second", "");
    let first = provider("first", first, "api_keys = [\"sk-key-a\", \"sk-key-b\"]");
    format!(
        "model = \"main\"\n{first}{}{models}",
        provider("second", second, "api_key = \"sk-spare\"")
    )
}

/// With an explicit mode a refusal cannot be taken for a provider that does not know it.
fn ask() -> Value {
    with(single(person(1)), json!({"mode": "tools"}))
}

// What leads to the next model.

/// The first model does always the same; the answer comes from the second, after `calls` to the first.
async fn answered_elsewhere(
    what: &str,
    calls: usize,
    reply: impl Fn(&Call) -> Reply + Send + Sync + 'static,
) {
    let pair = Pair::new(Upstream::start(reply)).await;
    let reply = within(LIMIT, what, pair.server.extract(&ask())).await.ok();
    assert_eq!(
        (&reply["data"], &reply["model"]),
        (&found(1), &json!("second/spare-1")),
        "{what}"
    );
    assert_eq!(reply["attempts"], 1, "{what}: another model is no attempt");
    assert_eq!(pair.calls(), (calls, 1), "{what}");
}

#[tokio::test]
async fn three_failures_lead_to_the_next_model() {
    tokio::join!(
        answered_elsewhere("500", 3, |_| Reply::error(500, "oops")),
        answered_elsewhere("503", 3, |_| Reply::error(503, "busy")),
        answered_elsewhere("529", 3, |_| Reply::error(529, "busy")),
        answered_elsewhere("408", 3, |_| Reply::error(408, "late")),
        answered_elsewhere("522", 3, |_| Reply::error(522, "no origin")),
        answered_elsewhere("reset", 3, |_| Reply::Reset),
        answered_elsewhere("cut", 3, |_| Reply::CutBody),
        answered_elsewhere("no completion", 3, |_| Reply::WrongContentType),
    );
}

#[tokio::test]
async fn a_refused_connection_leads_to_the_next_model() {
    let (nobody, second) = (Nobody::new(), Upstream::playing());
    let server = Server::configured(&pair(&nobody.url(), &second.url()))
        .start()
        .await;
    assert_eq!(server.extract(&ask()).await.ok()["model"], "second/spare-1");
}

#[tokio::test]
async fn a_429_with_every_key_paused_leads_to_the_next_model_at_once() {
    let begun = Instant::now();
    answered_elsewhere("429", 2, |_| {
        Reply::error(429, "slow down").with_header("retry-after", 30)
    })
    .await;
    answered_elsewhere("429 without a time", 2, |_| Reply::error(429, "slow down")).await;
    answered_elsewhere("503 with a time", 2, |_| {
        Reply::error(503, "busy").with_header("retry-after", 30)
    })
    .await;
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn an_exhausted_quota_leads_to_the_next_model() {
    let error = json!({"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}).to_string();
    let again = error.clone();
    answered_elsewhere("429", 2, move |_| Reply::Status(429, vec![], error.clone())).await;
    answered_elsewhere("402", 2, move |_| Reply::Status(402, vec![], again.clone())).await;
}

#[tokio::test]
async fn keys_that_are_not_accepted_lead_to_the_next_model() {
    answered_elsewhere("401", 2, |_| {
        Reply::error(401, "Incorrect API key provided")
    })
    .await;
    answered_elsewhere("403", 2, |_| Reply::error(403, "not in your country")).await;
}

#[tokio::test]
async fn a_call_that_stalls_leads_to_the_next_model_within_the_items_time() {
    let pair = Pair::new(Upstream::start(|_| Reply::Stall)).await;
    let begun = Instant::now();
    let reply = pair
        .server
        .extract(&with(ask(), json!({"timeout_ms": 2_000})))
        .await
        .ok();
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(reply["model"], "second/spare-1");
    assert_eq!(pair.calls(), (1, 1));
    pair.first
        .wait_for("the stalled call is aborted", LIMIT, |log| log.aborted == 1)
        .await;
}

#[tokio::test]
async fn a_providers_own_timeout_leads_to_the_next_model() {
    let (first, second) = (Upstream::start(|_| Reply::Stall), Upstream::playing());
    let config =
        pair(&first.url(), &second.url()).replacen("api_keys", "timeout_ms = 600\napi_keys", 1);
    let server = Server::configured(&config).start().await;
    let begun = Instant::now();
    assert_eq!(server.extract(&ask()).await.ok()["model"], "second/spare-1");
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(first.calls(), 1);
}

#[tokio::test]
async fn a_wait_longer_than_the_items_time_leads_to_the_next_model() {
    answered_elsewhere("500", 1, |_| {
        Reply::error(500, "oops").with_header("retry-after", 300)
    })
    .await;
}

#[tokio::test]
async fn a_text_too_long_for_one_models_tokens_goes_to_the_next() {
    let (first, second) = (Upstream::playing(), Upstream::playing());
    let config = pair(&first.url(), &second.url()).replacen(
        "api_keys",
        "tokens_per_minute = 500\napi_keys",
        1,
    );
    let server = Server::configured(&config).start().await;
    let text = format!("{} {}", "So much to read here. ".repeat(200), person(1));
    assert_eq!(
        server.extract(&single(text)).await.ok()["model"],
        "second/spare-1"
    );
    assert_eq!(first.calls(), 0);
}

#[tokio::test]
async fn fallbacks_are_tried_in_order_and_their_own_fallbacks_are_ignored() {
    let down = || Upstream::start(|_| Reply::error(401, "Incorrect API key provided"));
    let (first, second, third, fourth) = (down(), down(), Upstream::playing(), Upstream::playing());
    let upstreams = [
        ("first", &first),
        ("second", &second),
        ("third", &third),
        ("fourth", &fourth),
    ];
    let mut config = "model = \"main\"\n".to_owned();
    for (name, upstream) in upstreams {
        config += &provider(name, &upstream.url(), &format!("api_key = \"sk-{name}\""));
    }
    config += &model("main", "first", "fallback = [\"spare\", \"third/direct\"]");
    config += &model("spare", "second", "fallback = [\"last\"]");
    config += &model("last", "fourth", "");
    let server = Server::configured(&config).start().await;
    assert_eq!(server.extract(&ask()).await.ok()["model"], "third/direct");
    assert_eq!(
        upstreams.map(|(_, upstream)| upstream.calls()),
        [1, 1, 1, 0]
    );
    assert_eq!(third.log().calls[0].body()["model"], "direct");
    assert_eq!(
        third.log().calls[0].header("authorization"),
        Some("Bearer sk-third"),
        "with the keys of its own provider"
    );
}

#[tokio::test]
async fn when_every_target_fails_the_last_failure_is_returned() {
    let first = Upstream::start(|_| Reply::error(401, "Incorrect API key provided"));
    let second = Upstream::start(|_| Reply::error(500, "the disk is full"));
    let pair = Pair::with(first, second).await;
    let problem = pair
        .server
        .extract(&ask())
        .await
        .problem(502, "upstream_error");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("the disk is full"),
        "{problem}"
    );
    assert_eq!(pair.calls(), (2, 3));
}

// What does not.

/// The first model does always the same, and nobody else is asked.
async fn asked_nowhere_else(
    what: &str,
    body: &Value,
    code: (u16, &str),
    reply: impl Fn() -> Reply + Send + Sync + 'static,
) {
    let pair = Pair::new(Upstream::start(move |_| reply())).await;
    pair.server.extract(body).await.problem(code.0, code.1);
    assert_eq!(pair.second.calls(), 0, "{what}");
}

/// The same body without any condition for a fallback.
fn alone(body: Value) -> Value {
    with(body, json!({"fallback_on": []}))
}

#[tokio::test]
async fn a_rejection_of_the_request_leads_to_the_next_model_unless_it_must_not() {
    for status in [400, 404, 413, 422] {
        let reply = move || Reply::error(status, "the moon is in the wrong house");
        answered_elsewhere(&status.to_string(), 1, move |_| reply()).await;
        let body = alone(ask());
        asked_nowhere_else(&status.to_string(), &body, (502, "upstream_error"), reply).await;
    }
}

#[tokio::test]
async fn an_unknown_model_leads_to_the_next() {
    // Another key might know it.
    answered_elsewhere("unknown", 2, |_| {
        Reply::error(
            404,
            "The model `main-1` does not exist or you do not have access to it.",
        )
    })
    .await;
}

#[tokio::test]
async fn an_input_too_long_for_one_model_leads_to_the_next() {
    let too_long = || Reply::error(429, "Request too large for gpt-4o on tokens per min (TPM)");
    answered_elsewhere("too long", 1, move |_| too_long()).await;
    let body = with(ask(), json!({"fallback_on": ["unavailable", "invalid"]}));
    asked_nowhere_else("too long", &body, (502, "upstream_error"), too_long).await;
}

/// The first model uses all of its attempts; then the next one answers.
async fn answered_after_all_attempts(
    what: &str,
    attempts: usize,
    reply: impl Fn() -> Reply + Send + Sync + 'static,
) {
    let pair = Pair::new(Upstream::start(move |_| reply())).await;
    let answer = pair.server.extract(&ask()).await.ok();
    assert_eq!(
        (&answer["data"], &answer["model"], &answer["attempts"]),
        (&found(1), &json!("second/spare-1"), &json!(attempts + 1)),
        "{what}"
    );
    assert_eq!(pair.calls(), (attempts, 1), "{what}");
}

#[tokio::test]
async fn an_answer_that_is_invalid_to_the_last_attempt_leads_to_the_next_model() {
    answered_after_all_attempts("invalid", 3, || Reply::Json(wrong())).await;
    answered_after_all_attempts("no JSON", 3, || Reply::Text("I cannot say.".to_owned())).await;
    let cut = || Reply::Truncated("{\"name\": \"Ada".to_owned());
    answered_after_all_attempts("cut", 3, cut).await;
    let code = (502, "extraction_failed");
    asked_nowhere_else("invalid", &alone(ask()), code, || Reply::Json(wrong())).await;
    let bounded = alone(with(ask(), json!({"max_output_tokens": 100})));
    asked_nowhere_else(
        "cut within its bounds",
        &bounded,
        (502, "output_truncated"),
        cut,
    )
    .await;
}

#[tokio::test]
async fn a_model_that_declines_leads_nowhere_else_unless_it_shall() {
    let declines = || Reply::Refusal("I would rather not.".to_owned());
    asked_nowhere_else("refusal", &ask(), (502, "model_refused"), declines).await;
    let pair = Pair::new(Upstream::start(move |_| declines())).await;
    let body = with(ask(), json!({"fallback_on": ["refused"]}));
    let reply = pair.server.extract(&body).await.ok();
    assert_eq!(
        (&reply["model"], pair.calls()),
        (&json!("second/spare-1"), (1, 1))
    );
}

#[tokio::test]
async fn when_no_model_has_a_valid_answer_it_is_the_one_with_the_fewest_errors() {
    let second = Upstream::start(|_| Reply::Json(json!({"name": 1, "age": "x"})));
    let pair = Pair::with(Upstream::start(|_| Reply::Json(wrong())), second).await;
    let body = with(ask(), json!({"on_failure": "best", "coerce": false}));
    let reply = pair.server.extract(&body).await.ok();
    assert_eq!(reply["status"], "invalid", "{reply}");
    assert_eq!(reply["model"], "first/main-1", "{reply}");
    assert_eq!(pair.calls(), (3, 3));
}

#[tokio::test]
async fn an_invalid_answer_says_more_than_a_fallback_that_is_unavailable() {
    let second = Upstream::start(|_| Reply::error(401, "Incorrect API key provided"));
    let pair = Pair::with(Upstream::start(|_| Reply::Json(wrong())), second).await;
    let problem = pair
        .server
        .extract(&ask())
        .await
        .problem(502, "extraction_failed");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("Incorrect API key provided"), "{detail}");
}

#[tokio::test]
async fn a_models_own_conditions_hold_unless_the_request_has_some() {
    let (first, second) = (
        Upstream::start(|_| Reply::Json(wrong())),
        Upstream::playing(),
    );
    let config = pair(&first.url(), &second.url()).replacen(
        "fallback = [\"spare\"]",
        "fallback = [\"spare\"]\nfallback_on = [\"unavailable\"]",
        1,
    );
    let server = Server::configured(&config).start().await;
    server
        .extract(&ask())
        .await
        .problem(502, "extraction_failed");
    let body = with(ask(), json!({"fallback_on": ["invalid"]}));
    assert_eq!(server.extract(&body).await.ok()["model"], "second/spare-1");
    let wrong = with(ask(), json!({"fallback_on": ["sometimes"]}));
    let problem = server.extract(&wrong).await.problem(422, "invalid_request");
    assert_eq!(
        problem["errors"][0]["pointer"], "/fallback_on/0",
        "{problem}"
    );
}

// What it costs, and whom.

#[tokio::test]
async fn usage_is_summed_and_reported_per_model() {
    let first = Upstream::start(|call| match call.index {
        0 => Reply::Used(wrong().to_string(), 100, 10),
        _ => Reply::error(500, "oops"),
    });
    let second = Upstream::start(|call| match call.index {
        0 => Reply::Used(wrong().to_string(), 200, 20),
        _ => Reply::Used(found(1).to_string(), 300, 30),
    });
    let prices = |input: u32, output: u32| {
        format!("input_usd_per_million_tokens = {input}\noutput_usd_per_million_tokens = {output}")
    };
    let fallback = format!("fallback = [\"spare\"]\n{}", prices(10, 100));
    let config = [
        "model = \"main\"\n".to_owned(),
        provider("first", &first.url(), ""),
        provider("second", &second.url(), ""),
        model("main", "first", &fallback),
        model("spare", "second", &prices(1, 5)),
    ];
    let server = Server::configured(&config.concat()).start().await;
    let reply = server
        .extract(&with(single(person(1)), json!({"max_attempts": 5})))
        .await
        .ok();
    assert_eq!(
        (&reply["model"], &reply["attempts"]),
        (&json!("second/spare-1"), &json!(3))
    );
    check_usage(&reply["usage"], (600, 60), 0.002 + 0.000_75);
    let by_model = reply["usage_by_model"]
        .as_array()
        .expect("what was spent where");
    let models: Vec<_> = by_model
        .iter()
        .map(|entry| entry["model"].as_str().unwrap())
        .collect();
    assert_eq!(models, ["first/main-1", "second/spare-1"], "{by_model:?}");
    check_usage(&by_model[0], (100, 10), 0.002);
    check_usage(&by_model[1], (500, 50), 0.000_75);
}

#[track_caller]
fn check_usage(usage: &Value, (input, output): (u64, u64), cost_usd: f64) {
    let tokens = [
        &usage["input_tokens"],
        &usage["output_tokens"],
        &usage["total_tokens"],
    ];
    assert_eq!(
        tokens,
        [&json!(input), &json!(output), &json!(input + output)],
        "{usage}"
    );
    let cost = usage["cost_usd"]
        .as_f64()
        .unwrap_or_else(|| panic!("it has a price: {usage}"));
    assert!((cost - cost_usd).abs() < 1e-9, "{cost_usd}: {usage}");
}

#[tokio::test]
async fn a_batch_reports_the_model_of_each_item_and_the_total_cost() {
    let price = "input_usd_per_million_tokens = 2\noutput_usd_per_million_tokens = 4";
    // Every other item cannot be had from the first; one fails at both, after an answer that cost.
    let is_first = AtomicBool::new(true);
    let first = Upstream::start(move |call| match call.item() {
        Some(3) if is_first.swap(false, Ordering::Relaxed) => {
            Reply::Used(wrong().to_string(), 1_000, 100)
        }
        Some(item) if item % 2 == 1 => Reply::error(500, "oops"),
        _ => Reply::Used(found(call.item().unwrap()).to_string(), 100, 10),
    });
    let second = Upstream::start(|call| match call.item() {
        Some(3) => Reply::error(413, "not this one"),
        item => Reply::Used(found(item.unwrap()).to_string(), 200, 20),
    });
    let config = [
        "model = \"main\"\n".to_owned(),
        provider("first", &first.url(), ""),
        provider("second", &second.url(), ""),
        model("main", "first", &format!("fallback = [\"spare\"]\n{price}")),
        model("spare", "second", price),
    ];
    let server = Server::configured(&config.concat()).start().await;
    let reply = server
        .batch(&with(batch(10), json!({"mode": "tools"})))
        .await
        .ok();
    let results = reply["results"].as_array().unwrap();
    for (number, result) in results
        .iter()
        .enumerate()
        .filter(|(number, _)| *number != 3)
    {
        let (who, tokens) = if number % 2 == 1 {
            ("second/spare-1", (200, 20))
        } else {
            ("first/main-1", (100, 10))
        };
        assert_eq!(
            (&result["model"], &result["data"]),
            (&json!(who), &found(number)),
            "{result}"
        );
        check_usage(
            &result["usage"],
            tokens,
            (tokens.0 * 2 + tokens.1 * 4) as f64 / 1e6,
        );
    }
    let failed = &results[3];
    assert_eq!(failed["error"]["code"], "upstream_error", "{failed}");
    check_usage(&failed["usage"], (1_000, 100), 0.002_4);
    assert_eq!(
        failed["usage_by_model"].as_array().map(Vec::len),
        Some(1),
        "{failed}"
    );
    let summary = &reply["summary"];
    let input = 5 * 100 + 4 * 200 + 1_000;
    check_usage(
        &summary["usage"],
        (input, input / 10),
        (input * 2 + input / 10 * 4) as f64 / 1e6,
    );
}

// The item's time.

#[tokio::test]
async fn the_time_of_an_item_covers_all_the_models_that_it_asks() {
    let pair = Pair::with(
        Upstream::start(|_| Reply::Stall),
        Upstream::start(|_| Reply::Stall),
    )
    .await;
    let begun = Instant::now();
    pair.server
        .extract(&with(ask(), json!({"timeout_ms": 1_500})))
        .await
        .problem(504, "timeout");
    assert!(
        begun.elapsed() >= Duration::from_millis(1_450),
        "all of it: {:?}",
        begun.elapsed()
    );
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "and no more: {:?}",
        begun.elapsed()
    );
    assert_eq!(pair.calls(), (1, 1), "both had their chance");
    let aborted = |upstream: &Upstream| upstream.log().calls[0].is(Ending::Aborted);
    pair.second
        .wait_for("the call is aborted", LIMIT, |log| log.aborted == 1)
        .await;
    assert!(aborted(&pair.first) && aborted(&pair.second));
}

#[tokio::test]
async fn a_slow_model_that_answers_in_time_is_not_aborted() {
    let first = Upstream::start(|_| Reply::Played.after(Duration::from_millis(400)));
    let pair = Pair::new(first).await;
    let reply = pair
        .server
        .extract(&with(ask(), json!({"timeout_ms": 4_000})))
        .await
        .ok();
    assert_eq!(
        (&reply["model"], pair.calls()),
        (&json!("first/main-1"), (1, 0))
    );
}

#[tokio::test]
async fn the_first_model_is_called_again_once_it_has_recovered() {
    let is_well = Arc::new(AtomicBool::new(false));
    let well = Arc::clone(&is_well);
    let first = Upstream::start(move |_| match well.load(Ordering::Relaxed) {
        true => Reply::Played,
        false => Reply::error(429, "slow down").with_header("retry-after-ms", 200),
    });
    let pair = Pair::new(first).await;
    assert_eq!(
        pair.server.extract(&ask()).await.ok()["model"],
        "second/spare-1"
    );
    is_well.store(true, Ordering::Relaxed);
    let again = async {
        for number in 2.. {
            if pair.server.extract(&single(person(number))).await.ok()["model"] == "first/main-1" {
                return;
            }
        }
    };
    within(
        Duration::from_secs(10),
        "the first model answers again",
        again,
    )
    .await;
}

// Limits of their own.

#[tokio::test]
async fn the_limits_of_a_model_and_of_a_provider_are_reached_and_never_exceeded_and_hold_up_nobody_else()
 {
    let gate = Gate::closed();
    let held = gate.clone();
    let shared = Upstream::start(move |call| match call.body()["model"].as_str() {
        Some("narrow-1") => Reply::Played.behind(&held),
        _ => Reply::Played.after(Duration::from_millis(5)),
    });
    let other = Upstream::start(|_| Reply::Played.after(Duration::from_millis(5)));
    let config = [
        "model = \"narrow\"\n[limits]\nmax_concurrency = 20\n".to_owned(),
        provider("shared", &shared.url(), "max_concurrency = 5"),
        provider("other", &other.url(), "max_concurrency = 3"),
        model("narrow", "shared", "max_concurrency = 2"),
        model("wide", "shared", ""),
        model("elsewhere", "other", ""),
    ];
    let server = Server::configured(&config.concat()).start().await;
    let narrow = server
        .open("/v1/extract/batch", "text/event-stream", &batch(30))
        .await
        .expect(200);
    shared
        .wait_for("the narrow model is at its limit", LIMIT, |log| {
            log.in_flight == 2
        })
        .await;
    // While the narrow one is stuck at its limit, the others are served in full.
    let asking = |name: &str| with(batch(60), json!({"model": name, "cache": "off"}));
    let (wide, elsewhere) = (asking("wide"), asking("elsewhere"));
    let (wide, elsewhere) = within(Duration::from_secs(20), "the others are served", async {
        tokio::join!(server.batch(&wide), server.batch(&elsewhere))
    })
    .await;
    assert_eq!(
        (
            &wide.ok()["summary"]["succeeded"],
            &elsewhere.ok()["summary"]["succeeded"]
        ),
        (&json!(60), &json!(60))
    );
    assert_eq!(
        shared.seen(|log| log.max_in_flight),
        5,
        "the provider's limit, two of them the narrow model's"
    );
    assert_eq!(other.seen(|log| log.max_in_flight), 3);
    gate.open();
    assert_eq!(narrow.events().await.last().unwrap().data["succeeded"], 30);
    let log = shared.log();
    let narrow: Vec<_> = log
        .calls
        .into_iter()
        .filter(|call| call.body()["model"] == "narrow-1")
        .collect();
    assert_eq!(
        crate::concurrency::most_at_once(&narrow),
        2,
        "the model's limit"
    );
    let rows = server.get("/v1/limits").await.ok();
    let limits: Vec<_> = rows["limits"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["kind"] == "concurrency")
        .collect();
    for limit in [20, 5, 3, 2] {
        assert!(
            limits.iter().any(|row| row["limit"] == limit),
            "{limit} is shown: {limits:?}"
        );
    }
    assert_eq!(fixture::found(0)["age"], 20);
}
