//! What a caller writes into a body, and the provider repeats when it rejects it, holds up nobody else.

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
