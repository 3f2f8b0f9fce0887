use serde_json::{Value, json};

use super::*;

fn message(body: &Value) -> String {
    decode_error(body.to_string().as_bytes()).message
}

#[test]
fn the_providers_words_are_found_at_any_depth() {
    for (body, expected) in [
        (json!({"error": {"message": "Bad."}}), "Bad."),
        (json!([{"error": {"code": 400, "message": "Bad."}}]), "Bad."),
        (json!({"error": "Bad."}), "Bad."),
        (
            json!({"object": "error", "message": "worker is out of memory", "code": 50001}),
            "worker is out of memory",
        ),
        (json!({"detail": "Not Found"}), "Not Found"),
        (
            json!({"detail": [{"loc": ["body", "response_format", "type"], "msg": "Input should be 'text'", "input": "json_schema"}]}),
            "body.response_format.type: Input should be 'text'",
        ),
        (
            json!({"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}),
            "insufficient balance",
        ),
        (
            json!({"error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": "{\"error\": {\"message\": \"Invalid schema\"}}", "provider_name": "OpenAI"}}}),
            "Provider returned error: provider OpenAI: Invalid schema",
        ),
        (
            json!({"error": {"message": "Provider returned error", "metadata": {"raw": "upstream is down"}}}),
            "Provider returned error: upstream is down",
        ),
        (
            json!({"message": "{\"detail\": \"Bad inside.\"}"}),
            "Bad inside.",
        ),
        (
            json!({"errors": [{"message": "one"}, {"message": "two"}]}),
            "one: two",
        ),
        (json!({"hello": 1}), "{\"hello\":1}"),
        (json!("gone"), "gone"),
    ] {
        assert_eq!(message(&body), expected, "{body}");
    }
    assert_eq!(
        decode_error(b"<html>bad gateway</html>").message,
        "<html>bad gateway</html>"
    );
    assert_eq!(decode_error(b"").message, "(no message)");
}

#[test]
fn codes_parameter_status_and_wait_are_found() {
    let body = json!([{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "quota", "details": [
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "2.5s"}]}}]);
    let error = decode_error(body.to_string().as_bytes());
    assert_eq!(error.status, Some(429));
    assert_eq!(error.codes, ["RESOURCE_EXHAUSTED"]);
    assert_eq!(error.retry_after, Some(Duration::from_millis(2_500)));
    let body = json!({"error": {"message": "m", "param": "response_format", "code": "unsupported_value", "failed_generation": "{"}});
    let error = decode_error(body.to_string().as_bytes());
    assert_eq!(error.param.as_deref(), Some("response_format"));
    assert_eq!(error.failed_generation.as_deref(), Some("{"));
    let deep = "[".repeat(60) + &"]".repeat(60);
    assert_eq!(decode_error(deep.as_bytes()).codes, Vec::<String>::new());
}

#[test]
fn only_what_is_kept_is_taken_of_a_large_body() {
    let zeros = "0,".repeat(100_000);
    let body = format!("{{\"error\":[{zeros}{{\"code\":\"late\"}}]}}");
    let error = decode_error(body.as_bytes());
    assert_eq!(error.codes, Vec::<String>::new());
    assert!(error.message.len() <= MAX_RAW_ERROR_BYTES);
    let long = "x".repeat(MAX_NAME_BYTES + 1);
    let body = json!({"error": {"message": "m", "code": long, "param": long}});
    let error = decode_error(body.to_string().as_bytes());
    assert_eq!((error.codes.len(), error.param), (0, None));
}

#[test]
fn what_a_message_quotes_is_told_from_the_errors_own() {
    let quoted = r#"{"code":"invalid_api_key","retry_after":900,"status":401}"#;
    let body = json!({"error": {"message": format!("Invalid value: '{quoted}'"), "type": "own"}});
    let error = decode_error(body.to_string().as_bytes());
    assert_eq!(error.codes, ["own"]);
    assert_eq!(error.quoted_codes, ["invalid_api_key"]);
    assert_eq!((error.status, error.retry_after), (None, None));
}
