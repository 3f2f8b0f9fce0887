#![expect(
    clippy::needless_pass_by_value,
    reason = "a value that is written where it is used reads best"
)]

use serde_json::{Value, json};

use super::error::parse_duration;
use super::response::REFUSAL_REASONS;
use super::*;
use crate::provider::stream_decoder::tests::check_stream;
use crate::provider::test_fixture::{answer, decoded, encoded, roles, shape, stream, streamed};
use crate::provider::unsupported_feature::detect_unsupported;
use crate::provider::{ErrorClass, Finish, Unsupported};
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
    for reason in REFUSAL_REASONS {
        let Finish::Refusal(explanation) = decode(reason).unwrap().finish else {
            panic!("{reason}")
        };
        assert!(explanation.contains(reason), "{explanation}");
    }
    for reason in ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "OTHER"] {
        assert_eq!(
            decode(reason).unwrap().finish,
            Finish::Unknown,
            "{reason} leads to a validation retry"
        );
    }
    let call = json!([{"functionCall": {"name": "extract", "args": {"a": 1}}}, {"functionCall": {"name": "extract", "args": {}}}]);
    let called = decoded(&wire(), &reply(call, Some("STOP")), Mode::Tools);
    assert_eq!(
        called,
        Ok(answer("{\"a\":1}", Finish::Stop, usage(), Mode::Tools))
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
    let expected = answer("{\"a\":1}", Finish::Stop, usage(), Mode::Tools);
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

#[test]
fn error_bodies_are_classified_and_unsupported_features_detected() {
    let error_body = |code: u16, message: &str, details: Value| {
        let error =
            json!({"error": {"code": code, "message": message, "status": "S", "details": details}});
        wire().decode_error(error.to_string().as_bytes())
    };
    let minute = json!([
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure",
         "violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier", "quotaValue": "15"}]},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.074824224s"}]);
    let limited = error_body(429, "You exceeded your current quota", minute);
    assert_eq!(
        (
            limited.class,
            limited.retry_after.map(|wait| wait.as_millis())
        ),
        (ErrorClass::Status, Some(34_074))
    );
    let day =
        json!([{"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}]);
    assert_eq!(
        error_body(429, "You exceeded your current quota", day).class,
        ErrorClass::QuotaExhausted
    );
    let key =
        json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]);
    assert_eq!(
        error_body(400, "API key not valid. Please pass a valid API key.", key).class,
        ErrorClass::InvalidKey
    );
    let in_a_list = wire().decode_error(br#"[{"error": {"code": 400, "message": "Bad."}}]"#);
    assert_eq!(in_a_list.message, "Bad.");
    let detected = |message: &str, mode| {
        detect_unsupported(
            400,
            &error_body(400, message, json!([])),
            shape(mode),
            wire().error_patterns(),
        )
    };
    for (message, mode, expected) in [
        (
            "JSON mode is not enabled for models/gemma-3",
            Mode::JsonSchema,
            Some(Unsupported::Mode),
        ),
        (
            "Function calling is not enabled for models/gemma-3",
            Mode::Tools,
            Some(Unsupported::Mode),
        ),
        (
            "The specified schema produces a constraint that has too many states for serving.",
            Mode::JsonSchema,
            Some(Unsupported::Schema),
        ),
        (
            "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
            Mode::JsonSchema,
            None,
        ),
    ] {
        assert_eq!(detected(message, mode), expected, "{message}");
    }
    for (text, millis) in [
        ("2s", Some(2_000)),
        ("0.5s", Some(500)),
        ("-3s", None),
        ("NaNs", None),
        ("2", None),
        ("1e99s", None),
    ] {
        assert_eq!(
            parse_duration(text).map(|wait| wait.as_millis()),
            millis,
            "{text}"
        );
    }
}
