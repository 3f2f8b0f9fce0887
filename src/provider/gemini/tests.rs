#![expect(
    clippy::needless_pass_by_value,
    reason = "a value that is written where it is used reads best"
)]

use serde_json::{Value, json};

use super::*;
use crate::provider::stream_decoder::tests::check_stream;
use crate::provider::test_fixture::{
    answer, decoded, encoded, parsed, roles, shape, stream, streamed,
};
use crate::provider::{DecodeError, Finish};
use crate::types::Usage;

fn wire() -> Gemini {
    Gemini::for_base_path("/")
}

fn usage() -> Usage {
    Usage::new(12, 30).with_details(Some(4), Some(20))
}

fn reply(parts: Value, finish: Option<&str>) -> Value {
    let mut candidate = json!({"content": {"role": "model", "parts": parts}, "index": 0});
    if let Some(finish) = finish {
        candidate["finishReason"] = json!(finish);
    }
    json!({"candidates": [candidate], "modelVersion": "gemini-2.5-flash", "responseId": "r",
        "usageMetadata": {"promptTokenCount": 12, "cachedContentTokenCount": 4, "candidatesTokenCount": 10,
                          "thoughtsTokenCount": 20, "totalTokenCount": 42}})
}

fn text(text: &str) -> Value {
    json!([{"text": "Hm.", "thought": true}, {"text": text}])
}

#[test]
fn each_mode_is_encoded_in_its_own_way() {
    let person = json!({"type": "object"});
    let body = |mode| encoded(&wire(), &person, shape(mode));
    let json_schema = body(Mode::JsonSchema);
    let config = json!({"temperature": 0.0, "seed": 7, "maxOutputTokens": 50, "responseMimeType": "application/json",
        "responseJsonSchema": person});
    assert_eq!(json_schema["generationConfig"], config);
    assert_eq!(
        roles(&json_schema["contents"]),
        ["user", "model", "user", "model", "user"]
    );
    assert!(
        json_schema["systemInstruction"]["parts"][0]["text"]
            .as_str()
            .unwrap()
            .contains("Names only.")
    );
    let tools = body(Mode::Tools);
    let function = &tools["tools"][0]["functionDeclarations"][0];
    assert_eq!(function["parametersJsonSchema"], person);
    let calling = json!({"mode": "ANY", "allowedFunctionNames": [function["name"]]});
    assert_eq!(tools["toolConfig"]["functionCallingConfig"], calling);
    assert_eq!(tools["generationConfig"].get("responseMimeType"), None);
    let object = body(Mode::JsonObject);
    assert_eq!(
        object["generationConfig"]["responseMimeType"],
        "application/json"
    );
    assert_eq!(object["generationConfig"].get("responseJsonSchema"), None);
    assert!(
        object["systemInstruction"]["parts"][0]["text"]
            .as_str()
            .unwrap()
            .contains("JSON Schema:")
    );
    assert_eq!(
        body(Mode::Text)["generationConfig"].get("responseMimeType"),
        None
    );
}

#[test]
fn the_model_is_one_path_segment() {
    for (base_path, model, stream, path) in [
        (
            "/",
            "gemini-2.5-flash",
            false,
            Some("v1beta/models/gemini-2.5-flash:generateContent"),
        ),
        (
            "/v1beta",
            "gemini-2.5-flash",
            true,
            Some("models/gemini-2.5-flash:streamGenerateContent?alt=sse"),
        ),
        (
            "/v1/",
            "models/gemini-2.5-flash",
            false,
            Some("models/gemini-2.5-flash:generateContent"),
        ),
        (
            "/",
            "tunedModels/mine",
            false,
            Some("v1beta/tunedModels/mine:generateContent"),
        ),
        (
            "/",
            "../../x",
            false,
            Some("v1beta/models/..%2F..%2Fx:generateContent"),
        ),
        (
            "/",
            "a?b#c",
            false,
            Some("v1beta/models/a%3Fb%23c:generateContent"),
        ),
        (
            "/",
            "x:delete",
            false,
            Some("v1beta/models/x%3Adelete:generateContent"),
        ),
        (
            "/",
            "%2e%2e",
            false,
            Some("v1beta/models/%252e%252e:generateContent"),
        ),
        ("/", "..", false, None),
        ("/", "models/..", false, None),
        ("/", "", false, None),
    ] {
        assert_eq!(
            Gemini::for_base_path(base_path)
                .path(model, stream)
                .as_deref(),
            path,
            "{base_path} {model}"
        );
    }
}

#[test]
fn a_whole_response_is_decoded_with_finish_and_usage() {
    let decode = |finish| decoded(&wire(), &reply(text("{}"), Some(finish)), Mode::JsonSchema);
    assert_eq!(
        decode("STOP"),
        Ok(answer("{}", Finish::Stop, usage(), Mode::JsonSchema))
    );
    assert_eq!(decode("MAX_TOKENS").unwrap().finish, Finish::Length);
    for reason in [
        "SAFETY",
        "RECITATION",
        "LANGUAGE",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
    ] {
        let Finish::Refusal(explanation) = decode(reason).unwrap().finish else {
            panic!("{reason}")
        };
        assert!(explanation.contains(reason), "{explanation}");
    }
    for reason in ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL"] {
        assert!(
            matches!(decode(reason).unwrap().finish, Finish::Invalid(_)),
            "{reason} leads to a validation retry"
        );
    }
    assert!(
        matches!(decode("OTHER"), Err(DecodeError::ErrorBody(_))),
        "not whole"
    );
    let call = json!([{"functionCall": {"name": "extract", "args": {"a": 1}}}, {"functionCall": {"name": "extract", "args": {}}}]);
    let called = decoded(&wire(), &reply(call, Some("STOP")), Mode::Tools);
    assert_eq!(
        called,
        Ok(parsed("{\"a\":1}", Finish::Stop, usage(), Mode::Tools))
    );
    let blocked = json!({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 7}});
    let blocked = decoded(&wire(), &blocked, Mode::Text).unwrap();
    assert!(
        matches!(blocked.finish, Finish::Refusal(explanation) if explanation.contains("PROHIBITED_CONTENT"))
    );
    assert_eq!(blocked.usage, Some(Usage::new(7, 0)));
    let empty = json!({"candidates": [{"finishReason": "SAFETY", "finishMessage": "Blocked."}]});
    assert!(
        matches!(decoded(&wire(), &empty, Mode::Text).unwrap().finish, Finish::Refusal(explanation) if explanation.ends_with(": Blocked."))
    );
    for body in [
        json!({}),
        json!({"candidates": []}),
        reply(text("{}"), None),
    ] {
        assert!(
            matches!(
                decoded(&wire(), &body, Mode::Text),
                Err(DecodeError::Malformed(_))
            ),
            "{body}"
        );
    }
}

#[test]
fn a_stream_decodes_to_the_same_answer_wherever_it_is_cut() {
    let chunks = [
        reply(text("{\"a\":"), None),
        reply(text("\"ü\"}"), None),
        reply(json!([{"text": ""}]), Some("STOP")),
    ];
    let expected = answer("{\"a\":\"ü\"}", Finish::Stop, usage(), Mode::JsonSchema);
    check_stream(&wire(), &stream(&chunks), "\"STOP\"", &expected);
    let call = json!([{"functionCall": {"name": "extract", "args": {"a": 1}}}]);
    let expected = parsed("{\"a\":1}", Finish::Stop, usage(), Mode::Tools);
    check_stream(
        &wire(),
        &stream(&[reply(call, Some("STOP"))]),
        "\"STOP\"",
        &expected,
    );
    let error = json!({"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}});
    let Err(DecodeError::ErrorBody(error)) =
        streamed(&wire(), &[chunks[0].clone(), error], Mode::Text)
    else {
        panic!()
    };
    assert_eq!(
        (error.message.as_str(), error.status),
        ("The model is overloaded.", Some(503))
    );
}
