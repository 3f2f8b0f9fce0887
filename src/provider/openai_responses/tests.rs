#![expect(
    clippy::needless_pass_by_value,
    reason = "a value that is written where it is used reads best"
)]

use serde_json::{Value, json};

use super::*;
use crate::provider::Finish;
use crate::provider::stream_decoder::tests::check_stream;
use crate::provider::test_fixture::{
    answer, decoded, encoded, parsed, roles, shape, stream, streamed,
};
use crate::types::Usage;

const WIRE: OpenAiResponses = OpenAiResponses { shows_schema: true };

fn usage() -> Usage {
    Usage::new(36, 87).with_details(Some(5), Some(64))
}

/// As the reference's example, with a reasoning item before the message.
fn response(output: Value, status: &str, more: Value) -> Value {
    let mut response = json!({
        "id": "resp_67ccd2bed1ec8190", "object": "response", "created_at": 1_741_476_542, "status": status, "error": null,
        "incomplete_details": null, "model": "gpt-5-mini", "output": [{"type": "reasoning", "id": "rs_1", "summary": []}],
        "usage": {"input_tokens": 36, "input_tokens_details": {"cached_tokens": 5}, "output_tokens": 87,
                  "output_tokens_details": {"reasoning_tokens": 64}, "total_tokens": 123},
    });
    response["output"].as_array_mut().unwrap().push(output);
    response
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    response
}

fn message(content: Value) -> Value {
    json!({"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [content]})
}

fn text(text: &str) -> Value {
    message(json!({"type": "output_text", "text": text, "annotations": []}))
}

#[test]
fn each_mode_is_encoded_in_its_own_way() {
    let person = json!({"type": "object", "title": "A person"});
    let body = |mode| encoded(&WIRE, &person, shape(mode));
    let json_schema = body(Mode::JsonSchema);
    let format =
        json!({"type": "json_schema", "name": "A_person", "strict": true, "schema": person});
    assert_eq!(json_schema["text"], json!({"format": format}));
    assert_eq!(
        roles(&json_schema["input"]),
        ["system", "user", "assistant", "user", "assistant", "user"]
    );
    assert_eq!(
        (&json_schema["max_output_tokens"], &json_schema["store"]),
        (&json!(50), &json!(false))
    );
    assert_eq!(
        (&json_schema["stream"], json_schema.get("seed")),
        (&json!(false), None),
        "there is no seed"
    );
    let tools = body(Mode::Tools);
    assert_eq!(
        (&tools["tools"][0]["type"], &tools["tools"][0]["parameters"]),
        (&json!("function"), &person)
    );
    assert_eq!(
        tools["tool_choice"],
        json!({"type": "function", "name": tools["tools"][0]["name"]})
    );
    assert_eq!(
        (&tools["parallel_tool_calls"], tools.get("text")),
        (&json!(false), None)
    );
    let object = body(Mode::JsonObject);
    assert_eq!(object["text"], json!({"format": {"type": "json_object"}}));
    assert!(
        object["input"][0]["content"]
            .as_str()
            .unwrap()
            .contains("JSON Schema:")
    );
    assert!(body(Mode::Text).get("text").is_none());
}

#[test]
fn a_whole_response_is_decoded_with_finish_and_usage() {
    let decode =
        |output, status, more| decoded(&WIRE, &response(output, status, more), Mode::JsonSchema);
    assert_eq!(
        decode(text("{}"), "completed", json!({})),
        Ok(answer("{}", Finish::Stop, usage(), Mode::JsonSchema))
    );
    let cut = json!({"incomplete_details": {"reason": "max_output_tokens"}});
    assert_eq!(
        decode(text("{"), "incomplete", cut).unwrap().finish,
        Finish::Length
    );
    let filtered = json!({"incomplete_details": {"reason": "content_filter"}});
    assert_eq!(
        decode(text("{"), "incomplete", filtered).unwrap().finish,
        Finish::content_filtered()
    );
    let refusal = message(json!({"type": "refusal", "refusal": "No."}));
    assert_eq!(
        decode(refusal, "completed", json!({})).unwrap().finish,
        Finish::Refusal("No.".to_owned())
    );
    let call = json!({"type": "function_call", "id": "fc_1", "call_id": "c", "name": "extract", "arguments": "{\"a\":1}"});
    let called = decoded(&WIRE, &response(call, "completed", json!({})), Mode::Tools);
    assert_eq!(
        called,
        Ok(parsed("{\"a\":1}", Finish::Stop, usage(), Mode::Tools))
    );
}

#[test]
fn errors_and_malformed_responses_are_rejected() {
    let failed = json!({"error": {"code": "server_error", "message": "The model failed."}});
    let Err(DecodeError::ErrorBody(error)) = decoded(
        &WIRE,
        &response(json!({"type": "new"}), "failed", failed),
        Mode::Text,
    ) else {
        panic!()
    };
    assert_eq!(
        (error.message.as_str(), error.status),
        ("The model failed.", Some(500))
    );
    for body in [
        json!({}),
        json!([]),
        response(json!({"type": "new"}), "cancelled", json!({})),
    ] {
        assert!(
            matches!(
                decoded(&WIRE, &body, Mode::Text),
                Err(DecodeError::Malformed(_))
            ),
            "{body}"
        );
    }
}

#[test]
fn a_stream_decodes_to_the_same_answer_wherever_it_is_cut() {
    let delta = |kind: &str, delta: &str| json!({"type": format!("response.{kind}.delta"), "item_id": "i", "output_index": 1, "delta": delta, "sequence_number": 4});
    let created = json!({"type": "response.created", "response": response(json!({"type": "x"}), "in_progress", json!({}))});
    let completed = |output| json!({"type": "response.completed", "response": response(output, "completed", json!({}))});
    let reasoning = delta("reasoning_summary_text", "Hm.");
    let whole = [
        created.clone(),
        reasoning,
        delta("output_text", "{\"a\":"),
        delta("output_text", "\"ü\"}"),
        json!({"type": "response.output_text.done", "text": "{\"a\":\"ü\"}"}),
        completed(text("{\"a\":\"ü\"}")),
    ];
    let expected = answer("{\"a\":\"ü\"}", Finish::Stop, usage(), Mode::JsonSchema);
    check_stream(&WIRE, &stream(&whole), "\"total_tokens\":123}}}", &expected);
    let call = json!({"type": "function_call", "call_id": "c", "name": "extract", "arguments": "{\"a\":1}"});
    let arguments = [
        delta("function_call_arguments", "{\"a\""),
        delta("function_call_arguments", ":1}"),
        completed(call.clone()),
    ];
    let expected = parsed("{\"a\":1}", Finish::Stop, usage(), Mode::Tools);
    check_stream(
        &WIRE,
        &stream(&arguments),
        "{\"type\":\"response.completed",
        &expected,
    );
    assert_eq!(
        streamed(&WIRE, &[created.clone(), completed(call)], Mode::Tools),
        Ok(expected),
        "whole at its end only"
    );
    let refusal = message(json!({"type": "refusal", "refusal": "No."}));
    let refused = streamed(
        &WIRE,
        &[
            delta("refusal", "No"),
            delta("refusal", "."),
            completed(refusal),
        ],
        Mode::Text,
    );
    assert_eq!(refused.unwrap().finish, Finish::Refusal("No.".to_owned()));
    for error in [
        json!({"type": "error", "code": "rate_limit_exceeded", "message": "Slow down.", "param": null}),
        json!({"type": "error", "error": {"type": "tokens", "code": "rate_limit_exceeded", "message": "Slow down."}}),
        json!({"type": "response.failed", "response": {"status": "failed", "error": {"code": "rate_limit_exceeded", "message": "Slow down."}}}),
    ] {
        let Err(DecodeError::ErrorBody(error)) =
            streamed(&WIRE, &[created.clone(), error], Mode::Text)
        else {
            panic!()
        };
        assert_eq!(
            (error.message.as_str(), error.status),
            ("Slow down.", Some(429))
        );
    }
}
