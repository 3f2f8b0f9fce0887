#![expect(
    clippy::needless_pass_by_value,
    reason = "a value that is written where it is used reads best"
)]

use serde_json::{Value, json};

use super::request::max_tokens;
use super::*;
use crate::provider::stream_decoder::tests::check_stream;
use crate::provider::test_fixture::{
    answer, decoded, encoded, parsed, roles, shape, shape_without, stream, streamed, with_request,
};
use crate::provider::{Finish, Unsupported};
use crate::types::Usage;

fn wire() -> Anthropic {
    Anthropic::for_base_path("/")
}

fn usage() -> Usage {
    Usage::new(2095 + 20 + 300, 503).with_details(Some(300), None)
}

fn reply(content: Value, stop_reason: &str) -> Value {
    json!({"id": "msg_013Zva2CMHLNnjNjJJKqJ2EF", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5",
        "content": content, "stop_reason": stop_reason, "stop_sequence": null,
        "usage": {"input_tokens": 2095, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 300, "output_tokens": 503}})
}

fn text(text: &str) -> Value {
    json!([{"type": "thinking", "thinking": "Hm.", "signature": "x"}, {"type": "text", "text": text}])
}

#[test]
fn each_mode_is_encoded_in_its_own_way() {
    let person = json!({"type": "object"});
    let body = |mode| encoded(&wire(), &person, shape(mode));
    let json_schema = body(Mode::JsonSchema);
    assert_eq!(
        json_schema["output_config"],
        json!({"format": {"type": "json_schema", "schema": person}})
    );
    assert_eq!(
        roles(&json_schema["messages"]),
        ["user", "assistant", "user", "assistant", "user"]
    );
    assert_eq!(
        json_schema["messages"][3]["content"], "(nothing)",
        "an empty message is refused"
    );
    assert!(
        json_schema["system"]
            .as_str()
            .unwrap()
            .contains("Names only.")
    );
    assert!(
        !json_schema["system"]
            .as_str()
            .unwrap()
            .contains("JSON Schema:")
    );
    assert_eq!(
        (&json_schema["max_tokens"], &json_schema["temperature"]),
        (&json!(50), &json!(0.0))
    );
    assert_eq!(json_schema.get("seed"), None);
    let tools = body(Mode::Tools);
    assert_eq!(tools["tools"][0]["input_schema"], person);
    let choice = json!({"type": "tool", "name": tools["tools"][0]["name"], "disable_parallel_tool_use": true});
    assert_eq!(
        (&tools["tool_choice"], tools.get("output_config")),
        (&choice, None)
    );
    let text = body(Mode::Text);
    assert!(text["system"].as_str().unwrap().contains("JSON Schema:"));
    assert!(text.get("output_config").is_none() && text.get("tools").is_none());
    for (base_path, path) in [
        ("/", "v1/messages"),
        ("/v1", "messages"),
        ("/anthropic/", "v1/messages"),
        ("/xv1", "v1/messages"),
    ] {
        assert_eq!(
            Anthropic::for_base_path(base_path)
                .path("m", true)
                .as_deref(),
            Some(path),
            "{base_path}"
        );
    }
}

#[test]
fn max_tokens_defaults_to_the_models_maximum() {
    let default_limit = |model: &str, shape| {
        with_request(&json!({}), |request| {
            max_tokens(
                &Request {
                    model,
                    max_output_tokens: None,
                    ..*request
                },
                shape,
            )
        })
    };
    for (model, expected) in [
        ("claude-3-haiku-20240307", 4_096),
        ("claude-3-5-sonnet-20241022", 8_192),
        ("claude-3-7-sonnet-20250219", 64_000),
        ("claude-opus-4-1-20250805", 32_000),
        ("claude-opus-4-5", 64_000),
        ("claude-sonnet-5", 64_000),
        ("kimi-k2", 8_192),
    ] {
        assert_eq!(default_limit(model, shape(Mode::Text)), expected, "{model}");
    }
    assert_eq!(
        default_limit(
            "claude-next",
            shape_without(Mode::Text, Unsupported::OutputLimit)
        ),
        4_096
    );
}

#[test]
fn a_whole_response_is_decoded_with_finish_and_usage() {
    let decode = |reason| decoded(&wire(), &reply(text("{}"), reason), Mode::JsonSchema);
    assert_eq!(
        decode("end_turn"),
        Ok(answer("{}", Finish::Stop, usage(), Mode::JsonSchema))
    );
    for (reason, finish) in [
        ("max_tokens", Finish::Length),
        ("model_context_window_exceeded", Finish::Length),
        ("stop_sequence", Finish::Stop),
        (
            "refusal",
            Finish::Refusal("the provider's classifiers stopped the answer".to_owned()),
        ),
    ] {
        assert_eq!(decode(reason).unwrap().finish, finish, "{reason}");
    }
    assert!(
        matches!(decode("pause_turn"), Err(DecodeError::ErrorBody(_))),
        "not whole"
    );
    let mut refused = reply(json!([]), "refusal");
    refused["stop_details"] =
        json!({"type": "refusal", "category": "cyber", "explanation": "It asks for malware."});
    let refused = decoded(&wire(), &refused, Mode::JsonSchema).unwrap();
    assert_eq!(
        refused.finish,
        Finish::Refusal("It asks for malware.".to_owned())
    );
    let call = json!([{"type": "text", "text": "I call it."}, {"type": "tool_use", "id": "t", "name": "extract", "input": {"a": 1}}]);
    let called = decoded(&wire(), &reply(call, "tool_use"), Mode::Tools);
    assert_eq!(
        called,
        Ok(parsed("{\"a\":1}", Finish::Stop, usage(), Mode::Tools))
    );
    assert!(matches!(
        decoded(&wire(), &json!({"hello": 1}), Mode::Text),
        Err(DecodeError::Malformed(_))
    ));
}

/// Returns a stream as the documentation has them, with these deltas.
fn events(deltas: &[Value], reason: &str) -> Vec<Value> {
    let mut start = reply(json!([]), "");
    (start["stop_reason"], start["usage"]["output_tokens"]) = (Value::Null, json!(1));
    let mut events = vec![
        json!({"type": "message_start", "message": start}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "ping"}),
    ];
    events.extend(
        deltas
            .iter()
            .map(|delta| json!({"type": "content_block_delta", "index": 0, "delta": delta})),
    );
    events.extend([
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null}, "usage": {"output_tokens": 503}}),
        json!({"type": "message_stop"}),
    ]);
    events
}

#[test]
fn a_stream_decodes_to_the_same_answer_wherever_it_is_cut() {
    let says = |text: &str| json!({"type": "text_delta", "text": text});
    let thinks = json!({"type": "thinking_delta", "thinking": "Hm."});
    let whole = stream(&events(
        &[thinks, says("{\"a\":"), says("\"ü\"}")],
        "end_turn",
    ));
    check_stream(
        &wire(),
        &whole,
        "\"end_turn\"",
        &answer("{\"a\":\"ü\"}", Finish::Stop, usage(), Mode::JsonSchema),
    );
    let part = |json: &str| json!({"type": "input_json_delta", "partial_json": json});
    let called = stream(&events(
        &[part(""), part("{\"a\""), part(":1}")],
        "tool_use",
    ));
    check_stream(
        &wire(),
        &called,
        "\"tool_use\"",
        &parsed("{\"a\":1}", Finish::Stop, usage(), Mode::Tools),
    );
    let nothing = streamed(&wire(), &events(&[part("")], "tool_use"), Mode::Tools).unwrap();
    assert_eq!(nothing.text, "{}", "a tool that is called with nothing");
    let cut = streamed(&wire(), &events(&[says("{")], "max_tokens"), Mode::Text);
    assert_eq!(cut.unwrap().finish, Finish::Length);
    let overloaded =
        json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}});
    let Err(DecodeError::ErrorBody(error)) = streamed(
        &wire(),
        &[events(&[], "x")[0].clone(), overloaded],
        Mode::Text,
    ) else {
        panic!()
    };
    assert_eq!(
        (error.message.as_str(), error.status),
        ("Overloaded", Some(529))
    );
}
