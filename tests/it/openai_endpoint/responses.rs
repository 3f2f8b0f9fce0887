//! OpenAI's Responses API.

use super::*;
use crate::support::response::Event;

pub const RESPONSES: &str = "/v1/responses";

fn format() -> Value {
    json!({"format": {"type": "json_schema", "name": "Person", "schema": schema(), "strict": true}})
}

/// Returns the events of a streamed response.
pub async fn events_of(server: &Server, body: &Value) -> Vec<Event> {
    let response = server.open(RESPONSES, "text/event-stream", body).await;
    response.expect(200).events().await
}

#[tokio::test]
async fn a_schema_or_a_forced_tool_is_an_extraction() {
    let upstream = Upstream::start(|call| {
        Reply::Json(if call.index % 2 == 0 {
            wrong()
        } else {
            right()
        })
    });
    let server = Server::with(&upstream).await;
    let common = json!({"model": "test-model", "instructions": "Be exact.", "input": "Ada", "extractd": {"cache": "off"}});
    let answer = server
        .post(RESPONSES, &with(common.clone(), json!({"text": format()})))
        .await
        .ok();
    assert_eq!(
        (&answer["object"], &answer["status"]),
        (&json!("response"), &json!("completed"))
    );
    assert_eq!(answer["instructions"], "Be exact.");
    let message = &answer["output"][0];
    assert_eq!(message["type"], "message");
    assert_eq!(message["content"][0]["text"], right().to_string());
    assert_eq!(answer["extractd"]["attempts"], 2);
    let usage = &answer["usage"];
    let sum = usage["input_tokens"].as_u64().unwrap() + usage["output_tokens"].as_u64().unwrap();
    assert_eq!(usage["total_tokens"], sum);
    let prompt = upstream.log().calls[0].prompt();
    assert!(
        prompt.contains("Be exact.") && prompt.contains("Ada"),
        "{prompt}"
    );

    let tool = json!({"type": "function", "name": "Person", "parameters": schema()});
    let choice = json!({"type": "function", "name": "Person"});
    let body = with(common, json!({"tools": [tool], "tool_choice": choice}));
    let answer = server.post(RESPONSES, &body).await.ok();
    let call = &answer["output"][0];
    assert_eq!(
        (&call["type"], &call["name"]),
        (&json!("function_call"), &json!("Person"))
    );
    assert_eq!(call["arguments"], right().to_string());
}

#[tokio::test]
async fn anything_else_is_passed_through_as_a_chat_completion() {
    let message = json!({"role": "assistant", "content": "Hello"});
    let upstream = Upstream::start(move |_| provider_says(&message));
    let server = Server::with(&upstream).await;
    let input = json!([
        {"role": "user", "content": [{"type": "input_text", "text": "Hi"}, {"type": "input_image", "image_url": "data:,"}]},
        {"type": "reasoning", "id": "r", "summary": []},
        {"type": "function_call", "call_id": "a", "name": "A", "arguments": "{}"},
        {"type": "function_call", "call_id": "b", "name": "B", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": "done"},
    ]);
    let tools = json!([{"type": "function", "name": "A", "parameters": {"type": "object"}, "strict": true}]);
    let body = json!({"model": "test-model", "input": input, "tools": tools, "reasoning": {"effort": "low"}, "max_output_tokens": 9, "store": true});
    let answer = server.post(RESPONSES, &body).await.ok();
    assert_eq!(answer["output"][0]["content"][0]["text"], "Hello");
    assert_eq!(answer["usage"]["total_tokens"], 15);
    let sent = upstream.log().calls[0].body();
    let expected = json!([
        {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "image_url", "image_url": {"url": "data:,", "detail": "auto"}}]},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "A", "arguments": "{}"}},
            {"id": "b", "type": "function", "function": {"name": "B", "arguments": "{}"}},
        ]},
        {"role": "tool", "tool_call_id": "a", "content": "done"},
    ]);
    assert_eq!(sent["messages"], expected);
    let function = json!({"name": "A", "parameters": {"type": "object"}, "strict": true});
    assert_eq!(
        sent["tools"],
        json!([{"type": "function", "function": function}])
    );
    assert_eq!(sent["reasoning_effort"], "low");
    assert_eq!(sent["max_completion_tokens"], 9);
    for name in ["input", "store", "reasoning", "max_output_tokens"] {
        assert!(sent.get(name).is_none(), "{name}: {sent}");
    }
}

#[tokio::test]
async fn a_stream_has_the_events_of_a_response() {
    let upstream = Upstream::saying([Reply::Json(wrong()), Reply::Json(right())]);
    let server = Server::with(&upstream).await;
    let body = json!({"model": "test-model", "input": "Ada", "text": format(), "stream": true});
    let events = events_of(&server, &body).await;
    let names: Vec<_> = events.iter().map(|event| event.name.as_str()).collect();
    let deltas: String = events
        .iter()
        .filter(|event| event.name == "response.output_text.delta")
        .map(|event| event.data["delta"].as_str().unwrap())
        .collect();
    assert_eq!(deltas, right().to_string());
    assert_eq!(
        names[..4],
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added"
        ]
    );
    assert_eq!(
        names[names.len() - 4..],
        [
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed"
        ]
    );
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event.data["sequence_number"], number);
        assert_eq!(event.data["type"], event.name);
    }
    let response = &events.last().unwrap().data["response"];
    assert_eq!(
        response["output"][0]["content"][0]["text"],
        right().to_string()
    );
    assert!(response["usage"]["total_tokens"].is_u64(), "{response}");
}

/// Nothing checks a setting without an effect, and three events repeat the settings.
#[tokio::test]
async fn long_settings_are_not_repeated() {
    let upstream = Upstream::saying([Reply::Json(right())]);
    let server = Server::with(&upstream).await;
    let body = json!({
        "model": "test-model", "input": "Ada", "text": format(), "stream": true, "truncation": "x".repeat(1_000_000),
    });
    let events = events_of(&server, &body).await;
    let last = events.last().unwrap();
    assert_eq!(last.name, "response.completed");
    for event in [&events[0], &events[1], last] {
        assert_eq!(event.data["response"]["truncation"], "disabled");
    }
}

#[tokio::test]
async fn what_is_not_supported_is_named() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let file = json!([{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]);
    let schema =
        json!({"format": {"type": "json_schema", "name": "a", "schema": {"type": "text"}}});
    for (fields, param) in [
        (json!({"input": null}), "input"),
        (json!({"input": 3}), "input"),
        (json!({"messages": []}), "messages"),
        (json!({"response_format": {}}), "response_format"),
        (json!({"input": []}), "input"),
        (
            json!({"input": [{"type": "web_search_call"}]}),
            "input[0].type",
        ),
        (json!({"input": file}), "input[0].content[0]"),
        (json!({"previous_response_id": "r"}), "previous_response_id"),
        (json!({"conversation": "c"}), "conversation"),
        (json!({"background": true}), "background"),
        (json!({"tools": [{"type": "web_search"}]}), "tools[0].type"),
        (json!({"text": schema}), "text.format.schema.type"),
        (
            json!({"text": format(), "max_output_tokens": 0}),
            "max_output_tokens",
        ),
        (
            json!({"text": {"format": {"type": "grammar"}}}),
            "text.format.type",
        ),
    ] {
        let body = with(
            json!({"model": "test-model", "input": "Hi"}),
            fields.clone(),
        );
        let answer = server.post(RESPONSES, &body).await;
        assert_eq!(answer.status, 400, "{fields}: {}", answer.text());
        assert_eq!(answer.json()["error"]["param"], param, "{fields}");
    }
    let stored = server.get("/v1/responses/resp_1").await;
    assert_eq!(stored.status, 404);
    let message = stored.json()["error"]["message"].to_string();
    assert!(message.contains("not stored"), "{message}");
    assert_eq!(upstream.calls(), 0);
}
