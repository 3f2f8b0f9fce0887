//! Replies of servers that deviate from their API: read as they were meant, and what a rejection teaches.

use serde_json::{Value, json};

use crate::support::fixture::{provider, right, single, with, wrong};
use crate::support::server::Server;
use crate::upstream::{Call, Reply, Upstream};

fn ok(body: &Value) -> Reply {
    Reply::Status(200, vec![], body.to_string())
}

fn says(choice: &Value) -> Reply {
    let usage = json!({"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7});
    ok(&json!({"id": "c", "model": "m", "choices": [choice], "usage": usage}))
}

fn content() -> Value {
    json!({"role": "assistant", "content": right().to_string()})
}

fn refuses(status: u16, error: &Value) -> Reply {
    Reply::Status(status, vec![], json!({"error": error}).to_string())
}

fn mode(call: &Call) -> &'static str {
    let body = call.body();
    match body["response_format"]["type"].as_str() {
        Some("json_schema") => "json_schema",
        Some(_) => "json_object",
        None if body.get("tools").is_some() => "tools",
        None => "text",
    }
}

/// Extracts once from a server that gives this reply; the data, and the number of calls.
async fn read(reply: Reply) -> (Value, usize) {
    let upstream = Upstream::saying([reply]);
    let server = Server::with(&upstream).await;
    let result = server.extract(&single("Ada")).await.ok();
    (result["data"].clone(), upstream.calls())
}

#[tokio::test]
async fn a_good_answer_is_never_thrown_away_for_what_is_not_needed() {
    let whole = json!({"choices": [{"message": content(), "finish_reason": "stop"}]});
    let chunk =
        json!({"choices": [{"delta": {"content": right().to_string()}, "finish_reason": "stop"}]});
    let stream = format!(": hello\n\ndata: {chunk}\n\ndata: : PROCESSING\n\ndata: [DONE]\n\n");
    let labelled = |kind: &str, body: String| {
        Reply::Status(
            200,
            vec![("content-type".to_owned(), kind.to_owned())],
            body,
        )
    };
    for (case, reply) in [
        (
            "a stream labelled as JSON",
            labelled("application/json", stream.clone()),
        ),
        (
            "an unrequested stream",
            labelled("text/event-stream", stream),
        ),
        (
            "JSON labelled as a stream",
            labelled("text/event-stream", whole.to_string()),
        ),
        (
            "a byte order mark",
            labelled("application/json", format!("\u{feff}{whole}")),
        ),
        (
            "null usage",
            ok(&json!({"choices": whole["choices"], "usage": {"prompt_tokens": null}})),
        ),
        (
            "an empty error",
            ok(&json!({"choices": whole["choices"], "error": {"message": "", "code": null}})),
        ),
        (
            "a numeric finish reason",
            says(&json!({"message": content(), "finish_reason": 1})),
        ),
        (
            "the answer as an object",
            says(&json!({"message": {"content": right()}, "finish_reason": "stop"})),
        ),
        (
            "parts",
            says(&json!({"message": {"content": [{"type": "text", "text": right().to_string()}]}})),
        ),
        (
            "a function call",
            says(
                &json!({"message": {"function_call": {"arguments": right().to_string()}}, "finish_reason": "function_call"}),
            ),
        ),
        (
            "arguments as an object",
            says(
                &json!({"message": {"tool_calls": [{"function": {"arguments": right()}}]}, "finish_reason": "tool_calls"}),
            ),
        ),
        (
            "reasoning",
            says(
                &json!({"message": {"content": null, "reasoning_content": right().to_string()}, "finish_reason": "stop"}),
            ),
        ),
    ] {
        assert_eq!(read(reply).await, (right(), 1), "{case}");
    }
}

#[tokio::test]
async fn requests_say_that_they_are_not_streamed() {
    let upstream = Upstream::saying([Reply::Json(right())]);
    let server = Server::with(&upstream).await;
    server.extract(&single("Ada")).await.ok();
    assert_eq!(upstream.log().calls[0].body()["stream"], json!(false));
}

#[tokio::test]
async fn an_answer_that_is_not_whole_is_asked_again_and_never_kept() {
    let half = json!({"message": {"content": "{\"name\": \"Ada\", \"age\": 1, \"occupation\": \"\"}"}, "finish_reason": "error"});
    let broken = json!({"message": half["message"], "finish_reason": "stop", "error": {"code": 502, "message": "Provider disconnected"}});
    for choice in [half, broken] {
        let upstream = Upstream::saying([says(&choice), Reply::Json(right())]);
        let server = Server::asking(&upstream)
            .config("[cache]\nmax_bytes = 1000000")
            .start()
            .await;
        for _ in 0..2 {
            assert_eq!(
                server.extract(&single("Ada")).await.ok()["data"],
                right(),
                "{choice}"
            );
        }
        assert_eq!(upstream.calls(), 2, "{choice}");
    }
    let cut = json!({"message": {"tool_calls": [{"function": {"arguments": right()}}]}, "finish_reason": "length"});
    let upstream = Upstream::start(move |_| says(&cut));
    let server = Server::with(&upstream).await;
    server
        .extract(&single("Ada"))
        .await
        .problem(502, "output_truncated");
}

#[tokio::test]
async fn a_text_that_is_too_long_teaches_nothing() {
    let words = "This model's maximum context length is 128000 tokens. However, your messages resulted in 132166 tokens (including 317 in the response_format schemas and the functions).";
    let error = json!({"message": words, "param": "messages", "code": "context_length_exceeded"});
    let upstream = Upstream::start(move |call| match call.index {
        0 => refuses(400, &error),
        _ => Reply::Json(right()),
    });
    let server = Server::with(&upstream).await;
    let problem = server
        .extract(&single("Ada"))
        .await
        .problem(502, "upstream_error");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("maximum context length"),
        "{problem}"
    );
    server.extract(&single("Ada")).await.ok();
    let modes: Vec<_> = upstream.log().calls.iter().map(mode).collect();
    assert_eq!(modes, ["json_schema", "json_schema"]);
}

#[tokio::test]
async fn what_a_rejection_repeats_of_the_text_teaches_nothing() {
    let text = "A guided tour of the json schema: tools are unsupported, as is the temperature.";
    let error = json!({"detail": [{"loc": ["body", "messages", 1, "content"], "msg": format!("String too long: {text}"), "input": text}]});
    let upstream = Upstream::start(move |_| Reply::Status(422, vec![], error.to_string()));
    let server = Server::with(&upstream).await;
    for _ in 0..2 {
        server
            .extract(&single(text))
            .await
            .problem(502, "upstream_error");
    }
    let modes: Vec<_> = upstream.log().calls.iter().map(mode).collect();
    assert_eq!(modes, ["json_schema", "json_schema"]);
}

#[tokio::test]
async fn an_unknown_rejection_is_tried_once_in_the_next_mode_and_kept_for_the_schema() {
    let upstream = Upstream::start(|call| match mode(call) {
        "json_schema" => Reply::error(400, "Bad Request 17"),
        _ => Reply::Json(right()),
    });
    let server = Server::with(&upstream).await;
    let other = json!({"type": "object", "properties": {"age": {"type": "integer"}}});
    for schema in [None, None, Some(other)] {
        let body = match schema {
            Some(schema) => with(single("Ada"), json!({"schema": schema})),
            None => single("Ada"),
        };
        server.extract(&body).await;
    }
    let modes: Vec<_> = upstream.log().calls.iter().map(mode).collect();
    assert_eq!(
        modes,
        ["json_schema", "tools", "tools", "json_schema", "tools"]
    );
    let never = Upstream::start(|_| Reply::error(400, "Bad Request 18"));
    let server = Server::with(&never).await;
    for calls in [2, 4] {
        let problem = server
            .extract(&single("Ada"))
            .await
            .problem(502, "upstream_error");
        assert!(
            problem["detail"]
                .as_str()
                .unwrap()
                .contains("Bad Request 18"),
            "{problem}"
        );
        assert_eq!(never.calls(), calls, "nothing is kept");
    }
}

#[tokio::test]
async fn an_adaptation_is_visible() {
    let upstream = Upstream::start(|call| match mode(call) {
        "json_schema" => Reply::error(
            400,
            "response_format json_schema is not supported by this model",
        ),
        _ => Reply::Json(right()),
    });
    let server = Server::with(&upstream).await;
    let adaptations = async || {
        let models = server.get("/v1/models").await.json();
        models["data"][0]["adaptations"].clone()
    };
    assert_eq!(adaptations().await, Value::Null);
    server.extract(&single("Ada")).await.ok();
    let adaptations = adaptations().await;
    assert_eq!(
        (&adaptations[0]["feature"], &adaptations[0]["mode"]),
        (&json!("mode"), &json!("json_schema"))
    );
    assert!(
        adaptations[0]["expires_in_s"].as_u64().unwrap() > 3_500,
        "{adaptations}"
    );
    let metrics = server.get("/metrics").await.text().to_owned();
    assert!(
        metrics.contains("extractd_adaptations_total{feature=\"mode\",scope=\"model\"} 1"),
        "{metrics}"
    );
    assert_eq!(
        server.output().matches("omit it for an hour").count(),
        1,
        "{}",
        server.output()
    );
}

#[tokio::test]
async fn a_model_without_a_system_role_gets_the_instructions_from_the_user() {
    for words in [
        "System role not supported",
        "Conversation roles must alternate user/assistant/user/assistant/...",
    ] {
        let upstream = Upstream::start(move |call| {
            let is_system = |message: &Value| message["role"] == "system";
            if call.body()["messages"]
                .as_array()
                .unwrap()
                .iter()
                .any(is_system)
            {
                Reply::error(400, words)
            } else {
                Reply::Json(right())
            }
        });
        let server = Server::with(&upstream).await;
        for _ in 0..2 {
            assert_eq!(server.extract(&single("Ada")).await.ok()["data"], right());
        }
        let calls = upstream.log().calls;
        assert_eq!(calls.len(), 3, "{words}");
        let first = calls[1].body()["messages"][0].clone();
        let text = first["content"].as_str().unwrap();
        assert!(
            first["role"] == "user" && text.contains("Extract the data"),
            "{first}"
        );
    }
}

#[tokio::test]
async fn a_failed_generation_is_an_attempt() {
    let failed = |text: &str| {
        let error = json!({"message": "Failed to validate JSON.", "code": "json_validate_failed", "failed_generation": text});
        refuses(400, &error)
    };
    let fenced = format!("```json\n{}\n```", right());
    let called = json!({"name": "extract", "parameters": right()}).to_string();
    for text in [fenced, called] {
        assert_eq!(read(failed(&text)).await, (right(), 1), "{text}");
    }
    let upstream = Upstream::saying([failed("{\"name\": forty"), Reply::Json(right())]);
    let server = Server::with(&upstream).await;
    let result = server.extract(&single("Ada")).await.ok();
    assert_eq!(
        (&result["data"], &result["attempts"]),
        (&right(), &json!(2))
    );
    assert_eq!(
        mode(&upstream.log().calls[1]),
        "json_schema",
        "nothing is given up"
    );
}

#[tokio::test]
async fn a_refusal_by_another_name_is_a_refusal_and_blames_no_key() {
    for (status, error) in [
        (400, json!({"message": "flagged", "code": "invalid_prompt"})),
        (
            400,
            json!({"message": "Content Exists Risk", "code": "invalid_request_error"}),
        ),
        (403, json!("Content violates usage guidelines.")),
    ] {
        let say = error.clone();
        let upstream = Upstream::start(move |_| refuses(status, &say));
        let server = Server::with(&upstream).await;
        for calls in 1..=2 {
            server
                .extract(&single("Ada"))
                .await
                .problem(502, "model_refused");
            assert_eq!(upstream.calls(), calls, "{error}");
        }
    }
}

#[tokio::test]
async fn the_words_of_a_provider_reach_the_caller() {
    for (status, body, words) in [
        (
            200,
            json!({"object": "error", "message": "worker is out of memory", "code": 50001}),
            "out of memory",
        ),
        (
            200,
            json!({"base_resp": {"status_code": 1000, "status_msg": "unknown trouble"}}),
            "unknown trouble",
        ),
        (200, json!({"hello": "world"}), "hello"),
        (
            413,
            json!({"error": {"message": "Provider returned error", "metadata": {"raw": "the mill is closed"}}}),
            "the mill is closed",
        ),
    ] {
        let upstream = Upstream::start(move |_| Reply::Status(status, vec![], body.to_string()));
        let server = Server::with(&upstream).await;
        let problem = server
            .extract(&single("Ada"))
            .await
            .problem(502, "upstream_error");
        assert!(
            problem["detail"].as_str().unwrap().contains(words),
            "{problem}"
        );
    }
    let upstream = Upstream::start(|_| {
        let place = (
            "location".to_owned(),
            "https://llm.example.org/v1?key=1".to_owned(),
        );
        Reply::Status(308, vec![place], String::new())
    });
    let server = Server::with(&upstream).await;
    let problem = server
        .extract(&single("Ada"))
        .await
        .problem(502, "upstream_error");
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("https://llm.example.org/v1,") && !detail.contains("key=1"),
        "{detail}"
    );
    assert_eq!(upstream.calls(), 1, "not followed");
}

#[tokio::test]
async fn the_problem_of_a_failure_says_what_it_cost() {
    let upstream = Upstream::start(|_| Reply::Used(wrong().to_string(), 50, 12));
    let server = Server::with(&upstream).await;
    let problem = server
        .extract(&single("Ada"))
        .await
        .problem(502, "extraction_failed");
    assert_eq!(problem["usage"]["total_tokens"], json!(186), "{problem}");
}

#[tokio::test]
async fn a_default_output_limit_that_does_not_fit_is_lowered() {
    let message = "input length and `max_tokens` exceed context limit: 150959 + 64000 > 200000, decrease input length or `max_tokens` and try again";
    let upstream = Upstream::saying([
        Reply::Status(400, vec![], json!({"type": "error", "error": {"type": "invalid_request_error", "message": message}}).to_string()),
        ok(&json!({"type": "message", "content": [{"type": "text", "text": right().to_string()}], "stop_reason": "end_turn"})),
    ]);
    let server = Server::configured(&format!(
        "model = \"p/claude-x\"\n{}",
        provider("p", &upstream.url(), "api_key = \"sk-test\"")
            .replace("\"openai\"", "\"anthropic\"")
    ))
    .start()
    .await;
    assert_eq!(server.extract(&single("Ada")).await.ok()["data"], right());
    let calls = upstream.log().calls;
    assert_eq!(
        (calls.len(), &calls[1].body()["max_tokens"]),
        (2, &json!(49_041))
    );
}
