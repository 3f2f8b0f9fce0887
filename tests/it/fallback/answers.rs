//! Invalid answers and refusals.

use super::*;

/// Returns the first model uses all of its attempts; then the next one answers.
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
