//! Text of a request that the provider repeats in its rejection: it does not affect other callers.

use serde_json::{Value, json};

use super::with_attacker;
use crate::support::fixture::{person, single, with};
use crate::upstream::{Call, Reply, Upstream};

/// Rejects bodies with a `reasoning_effort`, which it repeats.
fn rejecting(status: u16) -> impl Fn(&Call) -> Reply + Send + Sync {
    move |call| match call.body()["reasoning_effort"].as_str() {
        Some(effort) => {
            let message = format!("Invalid value: '{effort}'. Supported values are: 'low'.");
            Reply::error(status, &message)
        }
        None => Reply::Played,
    }
}

fn chat(effort: &str) -> Value {
    json!({"model": "openai/m", "messages": [{"role": "user", "content": "Hi"}], "reasoning_effort": effort})
}

fn extraction(effort: &str) -> Value {
    with(
        single(person(1)),
        json!({"model": "openai/m", "extra_body": {"reasoning_effort": effort}}),
    )
}

#[tokio::test]
async fn what_a_rejection_repeats_of_a_body_shuts_off_no_key() {
    let upstream = Upstream::start(rejecting(400));
    let (_server, attacker, victim) = with_attacker(&upstream, "").await;
    for (number, words) in [
        "incorrect api key",
        "your credit balance is too low",
        "the model m does not exist",
        "rate limit of your account: try again in 23h",
        "{\"code\":\"invalid_api_key\"}",
    ]
    .into_iter()
    .enumerate()
    {
        let answer = attacker.post("/v1/chat/completions", &chat(words)).await;
        assert_eq!(answer.status, 400, "{words}: {}", answer.text());
        let problem = attacker.extract(&extraction(words)).await;
        problem.problem(502, "upstream_error");
        let ask = with(single(person(number)), json!({"model": "openai/m"}));
        victim.extract(&ask).await.ok();
    }
    let limits = victim.get("/v1/limits").await.ok();
    assert_eq!(limits["outages"], json!([]), "{limits}");
}

#[tokio::test]
async fn a_caller_whose_own_fields_are_not_found_proves_no_outage() {
    let upstream = Upstream::start(rejecting(404));
    let (_server, attacker, victim) = with_attacker(&upstream, "").await;
    for number in 0..5 {
        let words = format!("file-{number}");
        attacker.post("/v1/chat/completions", &chat(&words)).await;
        let ask = with(extraction(&words), json!({"input": words}));
        attacker.extract(&ask).await.problem(502, "upstream_error");
    }
    let ask = with(single(person(1)), json!({"model": "openai/m"}));
    victim.extract(&ask).await.ok();
}

#[tokio::test]
async fn what_the_credit_does_not_cover_for_one_caller_proves_no_outage() {
    // OpenRouter's words, 2026-11.
    let too_long = "This request requires more credits, or fewer max_tokens. You requested up to 60000 tokens, but can only afford 5000.";
    let too_large = "Prompt tokens limit exceeded: 90000 > 5000. To increase, visit your settings and upgrade to a paid account";
    let upstream = Upstream::start(move |call| {
        let body = call.body();
        if body["max_tokens"].as_u64() > Some(5_000) {
            Reply::error(402, too_long)
        } else if call.size_bytes() > 50_000 {
            Reply::error(402, too_large)
        } else {
            Reply::Played
        }
    });
    let (_server, attacker, victim) = with_attacker(&upstream, "").await;
    for number in 0..5 {
        // Nobody else has been answered when the first of them fail.
        let long = with(
            asking(number, json!({})),
            json!({"max_output_tokens": 60_000}),
        );
        attacker
            .extract(&long)
            .await
            .problem(503, "upstream_rate_limited");
    }
    victim.extract(&asking(7, json!({}))).await.ok();
    for number in 0..5 {
        let input = format!("{} {number}", "x ".repeat(50_000));
        let large = with(asking(number, json!({})), json!({"input": input}));
        attacker
            .extract(&large)
            .await
            .problem(503, "upstream_rate_limited");
        victim.extract(&asking(10 + number, json!({}))).await.ok();
    }
    let limits = victim.get("/v1/limits").await.ok();
    assert_eq!(limits["outages"], json!([]), "{limits}");
}

#[tokio::test]
async fn what_fails_for_one_caller_stops_no_other() {
    let upstream = Upstream::start(|call| {
        let body = call.body();
        if body["model"] == "forbidden" || body.get("client_key").is_some() {
            Reply::error(401, "the key is not valid for this")
        } else {
            Reply::Played
        }
    });
    let (_server, attacker, victim) = with_attacker(&upstream, "").await;
    for (number, settings) in [
        json!({"model": "openai/forbidden"}),
        json!({"extra_body": {"client_key": "expired"}}),
        json!({"model": "openai/test-model", "extra_body": {"client_key": "expired"}}),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = attacker.extract(&asking(number, settings)).await;
        answer.problem(502, "upstream_unauthorized");
        victim.extract(&asking(number, json!({}))).await.ok();
        victim.extract(&single(person(number))).await.ok();
    }
    let limits = attacker.get("/v1/limits").await.ok();
    assert_eq!(limits["outages"][0]["reason"], "key_refused", "{limits}");
    let limits = victim.get("/v1/limits").await.ok();
    assert_eq!(limits["outages"], json!([]), "{limits}");
}

#[tokio::test]
async fn the_rest_of_an_endless_error_is_not_read() {
    let pad = "0,".repeat(1 << 20);
    let body = format!("{{\"pad\":[{pad}0],\"error\":{{\"message\":\"the end\"}}}}");
    let upstream = Upstream::start(move |_| Reply::Status(400, vec![], body.clone()));
    let (_server, attacker, _victim) = with_attacker(&upstream, "").await;
    let answer = attacker.extract(&single(person(1))).await;
    let problem = answer.problem(502, "upstream_error");
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("{\"pad\":[0,0,") && !detail.contains("the end"),
        "{detail}"
    );
}

/// Asks for the same schema and model with these settings.
fn asking(number: usize, settings: Value) -> Value {
    with(
        with(single(person(number)), json!({"model": "openai/m"})),
        settings,
    )
}

#[tokio::test]
async fn a_value_of_one_caller_changes_no_request_of_another() {
    let upstream = Upstream::start(|call| {
        let body = call.body();
        if body["temperature"]
            .as_f64()
            .is_some_and(|value| value > 1.0)
        {
            let location = json!(["body", "temperature"]);
            let error = json!({"detail": [{"loc": location, "msg": "Input should be less than or equal to 1"}]});
            return Reply::Status(422, vec![], error.to_string());
        }
        if body["provider"] == "odd" && body.get("response_format").is_some() {
            return Reply::error(404, "No endpoints found that support response_format");
        }
        Reply::Played
    });
    let (_server, attacker, victim) = with_attacker(&upstream, "").await;
    let odd = [
        json!({"temperature": 2}),
        json!({"extra_body": {"provider": "odd"}}),
    ];
    for (number, settings) in odd.into_iter().enumerate() {
        attacker.extract(&asking(number, settings)).await.ok();
    }
    victim.extract(&asking(7, json!({}))).await.ok();
    let last = upstream.log().calls.last().unwrap().body();
    assert_eq!(last["temperature"], 0.0, "{last}");
    assert_eq!(last["response_format"]["type"], "json_schema", "{last}");
}
