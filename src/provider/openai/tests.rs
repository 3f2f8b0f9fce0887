use serde_json::json;
use serde_json::value::to_raw_value;

use serde_json::Value;

use super::*;
use crate::provider::stream_decoder::tests::{check_stream, decode_stream};
use crate::provider::test_fixture::{self, lowered_by_mode, shape, tree};
use crate::provider::{Answer, Finish, RemainingQuota, Schema, Trial, Unsupported, UnsupportedSet};
use crate::types::Usage;

mod lenient;

const COMPATIBLE_SERVER: OpenAi = OpenAi {
    quirks: Quirks {
        shows_schema: false,
        completion_tokens: false,
    },
    endpoint: Endpoint::Standard,
};

fn encoded(wire: &OpenAi, schema: &Value, shape: RequestShape) -> Value {
    test_fixture::encoded(wire, schema, shape)
}

fn decoded(body: &Value, mode: Mode) -> Result<Answer, DecodeError> {
    test_fixture::decoded(&COMPATIBLE_SERVER, body, mode)
}

#[test]
fn messages_contain_the_example_the_input_and_the_validation_feedback() {
    let body = encoded(
        &COMPATIBLE_SERVER,
        &json!({"type": "object", "title": "A person"}),
        shape(Mode::JsonSchema),
    );
    let roles: Vec<_> = body["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| message["role"].as_str().unwrap())
        .collect();
    assert_eq!(
        roles,
        ["system", "user", "assistant", "user", "assistant", "user"]
    );
    assert!(
        body["messages"][0]["content"]
            .as_str()
            .unwrap()
            .contains("Names only.")
    );
    assert!(
        body["messages"][0]["content"]
            .as_str()
            .unwrap()
            .contains(r#"{"type":"object","title":"A person"}"#)
    );
    assert!(
        body["messages"][3]["content"]
            .as_str()
            .unwrap()
            .contains("Bob \"the\" builder")
    );
    assert!(
        body["messages"][5]["content"]
            .as_str()
            .unwrap()
            .contains("/name: is missing")
    );
    assert_eq!(body["response_format"]["json_schema"]["name"], "A_person");
    assert_eq!(
        (&body["temperature"], &body["seed"], &body["max_tokens"]),
        (&json!(0.0), &json!(7), &json!(50))
    );
}

#[test]
fn each_mode_is_encoded_in_its_own_way() {
    let person = json!({"type": "object"});
    let json_schema = encoded(
        &OpenAi::for_host("api.openai.com"),
        &person,
        shape(Mode::JsonSchema),
    );
    assert_eq!(
        json_schema["response_format"]["json_schema"],
        json!({"name": "extraction", "strict": true, "schema": person})
    );
    assert!(
        !json_schema["messages"][0]["content"]
            .as_str()
            .unwrap()
            .contains("JSON Schema:")
    );
    assert_eq!(
        (
            &json_schema["max_completion_tokens"],
            json_schema.get("max_tokens")
        ),
        (&json!(50), None)
    );
    let tools = encoded(&COMPATIBLE_SERVER, &person, shape(Mode::Tools));
    assert_eq!(tools["tools"][0]["function"]["parameters"], person);
    assert_eq!(
        tools["tool_choice"]["function"]["name"],
        tools["tools"][0]["function"]["name"]
    );
    assert_eq!(
        encoded(&COMPATIBLE_SERVER, &person, shape(Mode::JsonObject))["response_format"],
        json!({"type": "json_object"})
    );
    let text = encoded(&COMPATIBLE_SERVER, &person, shape(Mode::Text));
    assert!(text.get("response_format").is_none() && text.get("tools").is_none());
}

#[test]
fn a_whole_response_is_decoded_with_finish_and_usage() {
    let usage = json!({"prompt_tokens": 3, "completion_tokens": 4});
    let body = |message: Value, finish: &str| json!({"choices": [{"message": message, "finish_reason": finish}], "usage": usage});
    let plain = decoded(&body(json!({"content": "{}"}), "stop"), Mode::JsonSchema).unwrap();
    assert_eq!(
        plain,
        Answer {
            text: "{}".to_owned(),
            finish: Finish::Stop,
            usage: Some(Usage::new(3, 4)),
            mode: Mode::JsonSchema,
            remaining_quota: RemainingQuota::default(),
            is_parsed: false,
            remark: None,
        }
    );
    let cut = decoded(&body(json!({"content": "{"}), "length"), Mode::JsonSchema).unwrap();
    assert_eq!(cut.finish, Finish::Length);
    let refused = decoded(
        &body(json!({"content": null, "refusal": "no"}), "stop"),
        Mode::JsonSchema,
    )
    .unwrap();
    assert_eq!(refused.finish, Finish::Refusal("no".to_owned()));
    let call = json!({"content": null, "tool_calls": [{"function": {"name": "extract", "arguments": "{\"a\":1}"}}]});
    assert_eq!(
        decoded(&body(call, "tool_calls"), Mode::Tools)
            .unwrap()
            .text,
        "{\"a\":1}"
    );
    assert!(decoded(&json!({"choices": []}), Mode::Text).is_err());
    assert!(decoded(&json!({"hello": 1}), Mode::Text).is_err());
}

#[test]
fn a_prompt_has_no_example_but_the_callers() {
    let schema = json!({"type": "array"});
    let raw = to_raw_value(&schema).unwrap();
    let request = Request {
        model: "m",
        is_configured_model: true,
        mode: Mode::Auto,
        schema: Schema {
            tree: &tree(&schema),
            raw: &raw,
            forms: &lowered_by_mode(&schema, true),
            format_notes: "",
        },
        instructions: None,
        is_conversation: false,
        examples: &[],
        input: "text",
        feedback: None,
        temperature: 0.0,
        max_output_tokens: None,
        seed: None,
        extra_body: None,
        has_callers_fields: false,
        template: &crate::provider::RequestTemplate::default(),
        trial: &Trial::default(),
        trace_context: None,
        key: 0,
        on_text: None,
        memory: None,
    };
    let encode = |wire: OpenAi, mode| -> Value {
        serde_json::from_slice(&wire.encode(&request, shape(mode))).unwrap()
    };
    for mode in [Mode::JsonObject, Mode::Text, Mode::Tools] {
        let messages = encode(COMPATIBLE_SERVER, mode)["messages"].clone();
        assert_eq!(messages.as_array().unwrap().len(), 2, "{mode:?}");
    }
}

/// Returns a chunk of a streamed completion.
fn chunk(delta: &Value, finish: Option<&str>) -> String {
    let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish});
    let chunk = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [choice], "usage": null});
    format!("data: {chunk}\n\n")
}

const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7}}\n\n";

fn answer(text: &str, finish: Finish, mode: Mode) -> Answer {
    test_fixture::answer(text, finish, Usage::new(3, 4), mode)
}

#[test]
fn a_stream_decodes_to_the_same_answer_wherever_it_is_cut() {
    let (start, end) = (
        chunk(
            &json!({"role": "assistant", "content": "", "refusal": null}),
            None,
        ),
        "data: [DONE]\n\n",
    );
    let piece = |text: &str| chunk(&json!({"content": text}), None);
    let stop = chunk(&json!({}), Some("stop"));
    let stream = [
        &start,
        &piece("{\"a\":"),
        &piece("\"ü\"}"),
        &stop,
        USAGE,
        end,
    ]
    .concat();
    check_stream(
        &COMPATIBLE_SERVER,
        &stream,
        "\"stop\"",
        &answer("{\"a\":\"ü\"}", Finish::Stop, Mode::JsonSchema),
    );
    let cut = [&piece("{"), &chunk(&json!({}), Some("length")), USAGE, end].concat();
    check_stream(
        &COMPATIBLE_SERVER,
        &cut,
        "\"length\"",
        &answer("{", Finish::Length, Mode::Text),
    );
}

#[test]
fn tool_arguments_are_streamed_and_text_beside_them_is_not() {
    let call = |arguments: &str| {
        chunk(
            &json!({"tool_calls": [{"index": 0, "function": {"arguments": arguments}}]}),
            None,
        )
    };
    let other = chunk(
        &json!({"tool_calls": [{"index": 1, "function": {"name": "extract", "arguments": "{}"}}]}),
        None,
    );
    let prose = chunk(&json!({"content": "I call the tool."}), None);
    let stream = [
        &prose,
        &call("{\"a\""),
        &call(":1}"),
        &other,
        &chunk(&json!({}), Some("tool_calls")),
        USAGE,
    ]
    .concat();
    check_stream(
        &COMPATIBLE_SERVER,
        &stream,
        ":\"tool_calls\"",
        &test_fixture::parsed("{\"a\":1}", Finish::Unknown, Usage::new(3, 4), Mode::Tools),
    );
    let instead = [
        &chunk(&json!({"content": "{\"a\":1}"}), None),
        &chunk(&json!({}), Some("stop")),
        USAGE,
    ]
    .concat();
    check_stream(
        &COMPATIBLE_SERVER,
        &instead,
        "\"stop\"",
        &answer("{\"a\":1}", Finish::Stop, Mode::Tools),
    );
}

#[test]
fn a_streamed_refusal_or_error_decodes_like_a_whole_one() {
    let no = |text: &str| chunk(&json!({"refusal": text}), None);
    let refused = [
        &no("I "),
        &no("won't."),
        &chunk(&json!({}), Some("stop")),
        USAGE,
    ]
    .concat();
    check_stream(
        &COMPATIBLE_SERVER,
        &refused,
        "\"stop\"",
        &answer("", Finish::Refusal("I won't.".to_owned()), Mode::JsonSchema),
    );
    for (error, status) in [
        (
            json!({"error": {"message": "too many", "type": "requests", "code": "rate_limit_exceeded"}}),
            Some(429),
        ),
        (
            json!({"error": {"message": "down", "code": 502}, "choices": [{"delta": {}, "finish_reason": "error"}]}),
            Some(502),
        ),
        (json!({"error": {"message": "gone"}}), None),
    ] {
        let stream = [
            chunk(&json!({"content": "{"}), None),
            format!("data: {error}\n\n"),
        ]
        .concat();
        let (answer, emitted) =
            decode_stream(&COMPATIBLE_SERVER, Mode::JsonSchema, [stream.as_bytes()]);
        let Err(DecodeError::ErrorBody(error_body)) = answer else {
            panic!("{answer:?}")
        };
        assert_eq!(
            (error_body.status, emitted),
            (status, vec!["{".to_owned()]),
            "{error}"
        );
    }
}

#[test]
fn usage_is_asked_for_in_streams_of_servers_that_know_it() {
    let streamed = |unsupported| RequestShape {
        stream: true,
        unsupported,
        ..shape(Mode::JsonSchema)
    };
    let body = encoded(
        &COMPATIBLE_SERVER,
        &json!({"type": "object"}),
        streamed(UnsupportedSet::default()),
    );
    assert_eq!(
        (&body["stream"], &body["stream_options"]),
        (&json!(true), &json!({"include_usage": true}))
    );
    let mut unsupported = UnsupportedSet::default();
    assert!(
        unsupported.add(Unsupported::StreamUsage) && !unsupported.add(Unsupported::StreamUsage)
    );
    assert!(
        encoded(
            &COMPATIBLE_SERVER,
            &json!({"type": "object"}),
            streamed(unsupported)
        )
        .get("stream_options")
        .is_none()
    );
}

#[test]
fn azure_takes_the_deployment_in_the_path_or_the_model_in_the_body() {
    for (base_path, model, path) in [
        (
            "/",
            "gpt-4o",
            Some("openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"),
        ),
        (
            "/openai/",
            "gpt-4o",
            Some("deployments/gpt-4o/chat/completions?api-version=2024-10-21"),
        ),
        ("/openai/v1/", "gpt-4o", Some("chat/completions")),
        (
            "/",
            "../../x?y",
            Some("openai/deployments/..%2F..%2Fx%3Fy/chat/completions?api-version=2024-10-21"),
        ),
        ("/", "..", None),
        ("/", ".", None),
    ] {
        let azure = OpenAi::azure(base_path, "2024-10-21");
        assert_eq!(
            azure.path(model, true).as_deref(),
            path,
            "{base_path} {model}"
        );
        assert_eq!(azure.key_header(), ("api-key", ""));
    }
}

#[test]
fn reasoning_tokens_are_counted() {
    let usage = json!({"prompt_tokens": 30, "completion_tokens": 40, "prompt_tokens_details": {"cached_tokens": 20},
        "completion_tokens_details": {"reasoning_tokens": 35, "audio_tokens": 0}});
    let body = json!({"choices": [{"message": {"content": "{}"}, "finish_reason": "stop"}], "usage": usage});
    let answer = decoded(&body, Mode::Text).unwrap();
    assert_eq!(
        answer.usage,
        Some(Usage::new(30, 40).with_details(Some(20), Some(35)))
    );
}
