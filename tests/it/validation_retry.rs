//! An answer that is not valid is asked again with what was wrong; what comes back is valid or a problem (contract, sections 1
//! and 6).

use serde_json::{Value, json};

use crate::support::client::check_pointer;
use crate::support::fixture::{self, right, single, with, wrong};
use crate::support::server::Server;
use crate::upstream::{Reply, Upstream};

#[tokio::test]
async fn a_validation_retry_contains_the_errors_and_their_pointers() {
    let upstream = Upstream::saying([
        Reply::Used(wrong().to_string(), 100, 20),
        Reply::Used(right().to_string(), 150, 21),
    ]);
    let server = Server::with(&upstream).await;
    let reply = server.extract(&single(fixture::person(1))).await.ok();
    assert_eq!((&reply["data"], &reply["attempts"]), (&right(), &json!(2)));
    assert_eq!(
        reply["usage"],
        json!({"input_tokens": 250, "output_tokens": 41, "total_tokens": 291}),
        "every attempt counts"
    );
    let log = upstream.log();
    let again = log.calls[1].body()["messages"].to_string();
    assert!(
        again.contains("/age"),
        "the pointer of what was wrong: {again}"
    );
    assert!(again.contains("many"), "the last answer: {again}");
    assert!(
        log.calls[1].prompt().contains(&fixture::person(1)),
        "the input: {again}"
    );
    assert!(
        !log.calls[0].body()["messages"].to_string().contains("/age"),
        "the first attempt complains of nothing"
    );
}

#[tokio::test]
async fn validation_retries_stay_constant_in_size() {
    let upstream = Upstream::start(|_| Reply::Json(wrong()));
    let server = Server::with(&upstream).await;
    server
        .extract(&with(single("Ada"), json!({"max_attempts": 6})))
        .await
        .problem(502, "extraction_failed");
    let sizes: Vec<_> = upstream
        .log()
        .calls
        .iter()
        .map(crate::upstream::Call::size_bytes)
        .collect();
    assert_eq!(sizes.len(), 6);
    assert!(sizes[1] > sizes[0], "the second one complains: {sizes:?}");
    assert!(
        sizes[2..].iter().all(|size| size.abs_diff(sizes[1]) < 64),
        "the history does not pile up: {sizes:?}"
    );
}

#[tokio::test]
async fn a_long_invalid_answer_is_shortened_in_the_validation_retry() {
    let long = json!({"name": "x".repeat(300_000), "age": "many", "occupation": "tester"});
    let upstream = Upstream::start(move |_| Reply::Json(long.clone()));
    let server = Server::with(&upstream).await;
    let problem = server
        .extract(&with(single("Ada"), json!({"max_attempts": 2})))
        .await
        .problem(502, "extraction_failed");
    assert_eq!(problem["attempts"], 2);
    let size = upstream.log().calls[1].size_bytes();
    assert!(size < 200_000, "{size} bytes asked again");
}

#[tokio::test]
async fn a_model_that_never_answers_validly_is_called_max_attempts_times() {
    for (asked, expected) in [(None, 3), (Some(1), 1), (Some(5), 5)] {
        let upstream = Upstream::start(|_| Reply::Json(wrong()));
        let server = Server::with(&upstream).await;
        let body = asked.map_or(single("Ada"), |asked| {
            with(single("Ada"), json!({"max_attempts": asked}))
        });
        let problem = server
            .extract(&body)
            .await
            .problem(502, "extraction_failed");
        assert_eq!(
            (&problem["attempts"], upstream.calls()),
            (&json!(expected), expected)
        );
        assert_eq!(problem["candidate"], wrong(), "the nearest object");
        let raw: Value = serde_json::from_str(problem["raw"].as_str().unwrap()).unwrap();
        assert_eq!(raw, wrong(), "the last answer's text");
        check_pointer(&problem, "/age");
    }
}

#[tokio::test]
async fn an_answer_without_json_has_no_candidate() {
    let upstream = Upstream::start(|_| Reply::Text("I am only a parrot.".into()));
    let server = Server::with(&upstream).await;
    let problem = server
        .extract(&with(single("Ada"), json!({"max_attempts": 2})))
        .await
        .problem(502, "extraction_failed");
    assert_eq!(problem["raw"], "I am only a parrot.");
    assert!(problem.get("candidate").is_none(), "{problem}");
    assert!(
        problem["errors"]
            .as_array()
            .is_some_and(|errors| !errors.is_empty()),
        "why it failed: {problem}"
    );
    assert_eq!(upstream.calls(), 2);
}

#[tokio::test]
async fn a_failed_item_of_a_batch_reports_its_attempts_and_usage() {
    let upstream = Upstream::start(|call| {
        if call.item() == Some(1) {
            Reply::Json(wrong())
        } else {
            Reply::Played
        }
    });
    let server = Server::with(&upstream).await;
    let reply = server.batch(&fixture::batch(2)).await.ok();
    let failed = &reply["results"][1];
    crate::support::client::check_problem(&failed["error"], 502, "extraction_failed");
    assert_eq!(
        (
            &failed["status"],
            &failed["attempts"],
            &failed["usage"]["total_tokens"]
        ),
        (&json!("failed"), &json!(3), &json!(45))
    );
    assert_eq!(
        reply["summary"]["usage"]["total_tokens"], 60,
        "failed items cost too"
    );
}

/// Returns the data for an answer's text, in one attempt.
async fn parsed(text: &str) -> Value {
    let upstream = Upstream::saying([Reply::Text(text.to_owned())]);
    let server = Server::with(&upstream).await;
    let reply = server
        .extract(&with(single("Ada"), json!({"max_attempts": 1})))
        .await
        .ok();
    assert_eq!(reply["data"], right(), "{text}");
    reply
}

#[tokio::test]
async fn a_strict_answer_needs_no_repairs() {
    let reply = parsed(&right().to_string()).await;
    assert!(reply.get("repairs").is_none(), "{reply}");
}

#[tokio::test]
async fn an_answer_is_found_in_fences_prose_and_after_thoughts() {
    let json = right();
    parsed(&format!("```json\n{json}\n```")).await;
    parsed(&format!(
        "Sure! Here is the JSON you asked for:\n\n{json}\n\nLet me know if you need {{more}}."
    ))
    .await;
    parsed(&format!("<think>Maybe {{\"name\": \"Draft\", \"age\": 1, \"occupation\": \"none\"}}?</think>\n{json}")).await;
}

#[tokio::test]
async fn a_repaired_answer_reports_its_repairs() {
    for text in [
        "{\"name\": \"Ada Byron\", \"age\": 36, \"occupation\": \"tester\",}",
        "{'name': 'Ada Byron', 'age': 36, 'occupation': 'tester'}",
        "{\"name\": \"Ada Byron\", // who\n \"age\": 36, /* years */ \"occupation\": \"tester\"}",
    ] {
        let reply = parsed(text).await;
        let repairs = reply["repairs"]
            .as_array()
            .unwrap_or_else(|| panic!("repairs of {text}: {reply}"));
        assert!(
            !repairs.is_empty() && repairs.iter().all(Value::is_string),
            "{reply}"
        );
    }
}

#[tokio::test]
async fn a_hostile_answer_does_not_bring_the_server_down() {
    let upstream = Upstream::saying([
        Reply::Text("[".repeat(200_000)),
        Reply::Text("{\"a\":".repeat(100_000)),
        Reply::Text("\"".repeat(99_999)),
    ]);
    let server = Server::with(&upstream).await;
    let answer = server.extract(&single("Ada")).await;
    answer.problem(502, "extraction_failed");
    assert_eq!(
        server.extract(&single(fixture::person(1))).await.ok()["data"],
        fixture::found(1),
        "it still answers"
    );
}

fn list() -> Value {
    json!({"type": "object", "properties": {"people": {"type": "array", "items": {"type": "string"}}}, "required": ["people"]})
}

#[tokio::test]
async fn a_truncated_list_is_never_shortened() {
    let whole = json!({"people": ["Ada", "Bob", "Cleo"]});
    // Closing its brackets would make the first one valid: one person would be lost.
    let upstream = Upstream::saying([
        Reply::Truncated("{\"people\": [\"Ada\", \"Bob\"".into()),
        Reply::Json(whole.clone()),
    ]);
    let server = Server::with(&upstream).await;
    let reply = server
        .extract(&json!({"input": "Ada, Bob, Cleo", "schema": list()}))
        .await
        .ok();
    assert_eq!((&reply["data"], &reply["attempts"]), (&whole, &json!(2)));
}

#[tokio::test]
async fn an_unclosed_list_is_retried_and_accepted_at_the_last_attempt() {
    let open = || Reply::Text("{\"people\": [\"Ada\", \"Bob\"".into());
    let upstream = Upstream::saying([
        open(),
        Reply::Json(json!({"people": ["Ada", "Bob", "Cleo"]})),
        open(),
        open(),
        open(),
        open(),
    ]);
    let server = Server::with(&upstream).await;
    let spec = |more: Value| {
        with(
            json!({"input": "Ada, Bob, Cleo", "schema": list(), "max_attempts": 2, "cache": "off"}),
            more,
        )
    };
    let reply = server.extract(&spec(json!({}))).await.ok();
    assert_eq!(
        (&reply["data"]["people"][2], &reply["attempts"]),
        (&json!("Cleo"), &json!(2))
    );
    let asked = upstream.log().calls[1].body()["messages"].to_string();
    assert!(
        asked.contains("is not closed when the text ends"),
        "{asked}"
    );

    let reply = server.extract(&spec(json!({}))).await.ok();
    assert_eq!(
        (&reply["data"], &reply["attempts"]),
        (&json!({"people": ["Ada", "Bob"]}), &json!(2))
    );
    assert_eq!(
        reply["repairs"],
        json!(["closed what was left open at the end"])
    );
    let refused = server
        .extract(&spec(json!({"coerce": false})))
        .await
        .problem(502, "extraction_failed");
    assert!(
        refused["errors"][0]["message"]
            .as_str()
            .unwrap()
            .contains("is not closed"),
        "{refused}"
    );
}

#[tokio::test]
async fn an_unclosed_list_is_rejected_without_the_providers_finish_reason() {
    let message = json!({"role": "assistant", "content": "{\"people\": [\"Ada\", \"Bob\""});
    for (reason, code) in [
        (Value::Null, "extraction_failed"),
        (json!("abort"), "upstream_error"),
    ] {
        let body = json!({"id": "c", "object": "chat.completion", "choices": [{"index": 0, "message": message, "finish_reason": reason}]});
        let upstream = Upstream::start(move |_| Reply::Status(200, Vec::new(), body.to_string()));
        let server = Server::with(&upstream).await;
        server
            .extract(&json!({"input": "Ada, Bob, Cleo", "schema": list(), "mode": "text"}))
            .await
            .problem(502, code);
    }
}

#[tokio::test]
async fn without_max_output_tokens_a_truncated_answer_is_retried_with_twice_the_limit() {
    let upstream = Upstream::saying([
        Reply::Truncated("{\"people\": [".into()),
        Reply::Truncated("{\"people\": [".into()),
        Reply::Json(json!({"people": []})),
    ]);
    let server = Server::with(&upstream).await;
    server
        .extract(&json!({"input": "nobody", "schema": list()}))
        .await
        .ok();
    let room = |index: usize| {
        let body = upstream.log().calls[index].body();
        body.get("max_completion_tokens")
            .or_else(|| body.get("max_tokens"))
            .and_then(Value::as_u64)
    };
    // The cut answers were 100 tokens long; a first call may leave the room to the provider.
    let first = room(0).unwrap_or(100);
    assert!(
        room(1).is_some_and(|room| room >= 2 * first),
        "{:?} after {first}",
        room(1)
    );
    assert!(
        room(2).is_some_and(|third| third >= 2 * room(1).unwrap()),
        "{:?} after {:?}",
        room(2),
        room(1)
    );
}

#[tokio::test]
async fn reaching_max_output_tokens_is_output_truncated() {
    let upstream = Upstream::start(|_| Reply::Truncated("{\"people\": [\"Ada\"".into()));
    let server = Server::with(&upstream).await;
    let body = json!({"input": "Ada, Bob", "schema": list(), "max_output_tokens": 100});
    server.extract(&body).await.problem(502, "output_truncated");
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn an_answer_truncated_at_every_attempt_is_output_truncated() {
    let upstream = Upstream::start(|_| Reply::Truncated("{\"people\": [\"Ada\"".into()));
    let server = Server::with(&upstream).await;
    server
        .extract(&json!({"input": "Ada, Bob", "schema": list()}))
        .await
        .problem(502, "output_truncated");
    assert_eq!(upstream.calls(), 3);
}

#[tokio::test]
async fn a_refusal_is_model_refused() {
    let upstream = Upstream::start(|_| Reply::Refusal("I will not do that.".into()));
    let server = Server::with(&upstream).await;
    let problem = server
        .extract(&single("Ada"))
        .await
        .problem(502, "model_refused");
    assert!(
        problem.to_string().contains("I will not do that."),
        "it says what the model said: {problem}"
    );
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn a_schema_error_deep_inside_has_its_own_pointer() {
    let upstream = Upstream::start(|_| Reply::Json(json!({"people": ["Ada", null, "Cleo"]})));
    let server = Server::with(&upstream).await;
    let body = json!({"input": "people", "schema": list(), "max_attempts": 2});
    check_pointer(
        &server
            .extract(&body)
            .await
            .problem(502, "extraction_failed"),
        "/people/1",
    );
    assert!(
        upstream.log().calls.last().unwrap().body()["messages"]
            .to_string()
            .contains("/people/1")
    );
}
