//! `on_failure: best` returns the best candidate.

use super::*;

#[tokio::test]
async fn on_failure_best_returns_the_best_candidate_as_invalid() {
    let upstream = Upstream::saying([Reply::Json(far()), Reply::Json(near()), Reply::Json(far())]);
    let server = Server::with(&upstream).await;
    let reply = server
        .extract(&with(
            single(),
            json!({"on_failure": "best", "metadata": {"k": "v"}}),
        ))
        .await
        .ok();
    check_invalid(&reply, &near());
    assert_eq!(
        reply["errors"],
        json!([{"pointer": "/guests", "message": "somebody has to come"}])
    );
    assert_eq!(
        (&reply["attempts"], &reply["metadata"]),
        (&json!(3), &json!({"k": "v"}))
    );
    assert!(
        reply["id"]
            .as_str()
            .is_some_and(|id| id.starts_with("ext_")),
        "{reply}"
    );
    assert_eq!(upstream.calls(), 3);
}

#[tokio::test]
async fn of_candidates_with_equally_many_errors_the_later_is_the_best() {
    let later = stay("2026-02-01", "2026-02-05", -1);
    let upstream = Upstream::saying([
        Reply::Json(near()),
        Reply::Json(later.clone()),
        Reply::Json(far()),
    ]);
    let server = Server::with(&upstream).await;
    check_invalid(
        &server
            .extract(&with(single(), json!({"on_failure": "best"})))
            .await
            .ok(),
        &later,
    );
}

#[tokio::test]
async fn on_failure_best_applies_to_schema_errors() {
    let wrong = json!({"start": "2026-01-01", "guests": "many"});
    let answer = wrong.clone();
    let upstream = Upstream::start(move |_| Reply::Json(answer.clone()));
    let server = Server::with(&upstream).await;
    let body =
        json!({"input": "We stay", "schema": schema(), "on_failure": "best", "max_attempts": 1});
    let reply = server.extract(&body).await.ok();
    check_invalid(&reply, &wrong);
    assert_eq!(reply["errors"][0]["pointer"], "/guests");
}

#[tokio::test]
async fn on_failure_best_fails_without_a_candidate_or_for_another_failure() {
    for (reply, code) in [
        (
            || Reply::Text("I cannot say.".to_owned()),
            "extraction_failed",
        ),
        (|| Reply::Refusal("no".to_owned()), "model_refused"),
        (
            || Reply::Truncated("{\"start\": ".to_owned()),
            "output_truncated",
        ),
        (|| Reply::error(413, "no"), "upstream_error"),
    ] as [(fn() -> Reply, &str); 4]
    {
        let upstream = Upstream::start(move |_| reply());
        let server = Server::with(&upstream).await;
        let body = with(single(), json!({"on_failure": "best", "max_attempts": 2}));
        server.extract(&body).await.problem(502, code);
    }
}
