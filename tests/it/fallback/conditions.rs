//! Conditions under which a request goes to the next model, and those under which it does not.

use super::*;

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
