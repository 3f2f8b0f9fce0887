#![expect(
    clippy::needless_pass_by_value,
    reason = "a value that is written where it is used reads best"
)]

use serde_json::{Value, json};

use super::*;
use crate::provider::stream_decoder::tests::{check_stream, decode_stream};
use crate::provider::test_fixture::{answer, decoded, encoded, parsed, roles, shape};

fn wire() -> Ollama {
    Ollama::for_base_path("/")
}

/// Returns the line of a stream, as in Ollama's reference.
fn line(message: Value, more: Value) -> Value {
    let mut line = json!({"model": "llama3.2", "created_at": "2023-08-04T08:52:19.385406455-07:00", "message": message, "done": false});
    line.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    line
}

fn text_line(text: &str) -> Value {
    line(
        json!({"role": "assistant", "content": text, "images": null}),
        json!({}),
    )
}

fn done(text: &str, reason: &str) -> Value {
    let figures = json!({"done": true, "done_reason": reason, "total_duration": 4_883_583_458_u64, "load_duration": 1_334_875,
        "prompt_eval_count": 26, "prompt_eval_duration": 342_546_000, "eval_count": 282, "eval_duration": 4_535_599_000_u64});
    line(json!({"role": "assistant", "content": text}), figures)
}

fn lines(lines: &[Value]) -> String {
    lines
        .iter()
        .map(|line| format!("{line}\n"))
        .collect::<Vec<_>>()
        .concat()
}

#[test]
fn each_mode_is_encoded_in_its_own_way() {
    let person = json!({"type": "object"});
    let body = |mode| encoded(&wire(), &person, shape(mode));
    let json_schema = body(Mode::JsonSchema);
    assert_eq!(
        (&json_schema["format"], &json_schema["stream"]),
        (&person, &json!(false))
    );
    assert_eq!(
        json_schema["options"],
        json!({"temperature": 0.0, "seed": 7, "num_predict": 50})
    );
    assert_eq!(
        json_schema["truncate"],
        json!(false),
        "a text that is too long is refused"
    );
    assert_eq!(
        roles(&json_schema["messages"]),
        ["system", "user", "assistant", "user", "assistant", "user"]
    );
    assert!(
        json_schema["messages"][0]["content"]
            .as_str()
            .unwrap()
            .contains("JSON Schema:")
    );
    let tools = body(Mode::Tools);
    assert_eq!(
        (
            &tools["tools"][0]["function"]["parameters"],
            tools.get("format")
        ),
        (&person, None)
    );
    assert_eq!(body(Mode::JsonObject)["format"], "json");
    assert!(body(Mode::Text).get("format").is_none());
    for (base_path, path) in [
        ("/", "api/chat"),
        ("/api", "chat"),
        ("/box/api/", "chat"),
        ("/box", "api/chat"),
    ] {
        assert_eq!(
            Ollama::for_base_path(base_path).path("m", true).as_deref(),
            Some(path),
            "{base_path}"
        );
    }
}

#[test]
fn a_whole_response_is_decoded_with_finish_and_usage() {
    let usage = Usage::new(26, 282);
    assert_eq!(
        decoded(&wire(), &done("{}", "stop"), Mode::Text),
        Ok(answer("{}", Finish::Stop, usage, Mode::Text))
    );
    assert_eq!(
        decoded(&wire(), &done("{", "length"), Mode::Text)
            .unwrap()
            .finish,
        Finish::Length
    );
    let mut call = done("", "stop");
    call["message"]["tool_calls"] =
        json!([{"function": {"name": "extract", "arguments": {"a": 1}}}]);
    assert_eq!(
        decoded(&wire(), &call, Mode::Tools),
        Ok(parsed("{\"a\":1}", Finish::Stop, usage, Mode::Tools))
    );
    assert!(
        matches!(
            decoded(&wire(), &text_line("{}"), Mode::Text),
            Err(DecodeError::Malformed(_))
        ),
        "not done"
    );
    assert!(matches!(
        decoded(&wire(), &json!({"error": "out of memory"}), Mode::Text),
        Err(DecodeError::ErrorBody(_))
    ));
}

#[test]
fn a_stream_decodes_to_the_same_answer_wherever_it_is_cut() {
    let thought = line(
        json!({"role": "assistant", "content": "", "thinking": "Hm."}),
        json!({}),
    );
    let whole = lines(&[
        thought.clone(),
        text_line("{\"a\":"),
        text_line("\"ü\"}"),
        done("", "stop"),
    ]);
    let expected = answer(
        "{\"a\":\"ü\"}",
        Finish::Stop,
        Usage::new(26, 282),
        Mode::JsonSchema,
    );
    check_stream(&wire(), &whole, "4535599000}", &expected);
    let call = line(
        json!({"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "extract", "arguments": {"a": 1}}}]}),
        json!({}),
    );
    let called = lines(&[call, done("", "stop")]);
    let expected = parsed("{\"a\":1}", Finish::Stop, Usage::new(26, 282), Mode::Tools);
    check_stream(&wire(), &called, "4535599000}", &expected);
    let broken = lines(&[
        text_line("{"),
        json!({"error": "an error was encountered while running the model"}),
    ]);
    assert!(matches!(
        decode_stream(&wire(), Mode::Text, [broken.as_bytes()]).0,
        Err(DecodeError::ErrorBody(_))
    ));
}
