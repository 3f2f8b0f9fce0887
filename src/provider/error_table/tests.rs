use serde_json::{Value, json};

use super::super::error_body::decode_error;
use super::super::own_words::OwnWords;
use super::*;

fn class_of(status: u16, body: &Value) -> ErrorClass {
    class_with_input(status, body, "Mira Okafor, 41, runs the bakery.")
}

fn class_with_input(status: u16, body: &Value, input: &str) -> ErrorClass {
    let error = decode_error(body.to_string().as_bytes());
    let own_words = OwnWords::of(&error, |search| search.text(input));
    classify(&error, &own_words, status)
}

#[test]
fn each_row_has_a_source_and_a_pattern_in_the_form_that_is_matched() {
    for Row(pattern, class, source) in TABLE {
        assert!(
            source.starts_with("https://") || source.starts_with("RFC "),
            "{pattern:?}"
        );
        assert_ne!(*class, ErrorClass::Status, "{pattern:?}");
        if let Words(words) = pattern {
            assert_eq!(words.to_lowercase(), **words);
        }
    }
}

#[test]
fn errors_of_openai_and_its_gateways() {
    for (status, error, expected) in [
        (
            400,
            json!({"message": "This model's maximum context length is 128000 tokens. (including 317 in the response_format schemas.)", "param": "messages", "code": "context_length_exceeded"}),
            TooLong,
        ),
        (
            429,
            json!({"message": "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 40000.", "type": "tokens", "code": "rate_limit_exceeded"}),
            TooLong,
        ),
        (
            429,
            json!({"message": "Error from provider: Request too large for model `x`", "type": "tokens"}),
            TooLong,
        ),
        (
            429,
            json!({"message": "Rate limit reached for m1 on tokens per min (TPM). Please try again in 1.5s.", "code": "rate_limit_exceeded"}),
            RateLimited,
        ),
        (
            429,
            json!({"message": "You exceeded your current quota, please check your plan and billing details.", "code": "insufficient_quota"}),
            QuotaExhausted,
        ),
        (
            400,
            json!({"message": "Invalid prompt: your prompt was flagged as potentially violating our usage policy.", "code": "invalid_prompt"}),
            Refused,
        ),
        (
            400,
            json!({"message": "This request was blocked.", "code": "cyber_policy"}),
            Refused,
        ),
        (
            400,
            json!({"message": "filtered", "code": "content_filter", "innererror": {"code": "ResponsibleAIPolicyViolation"}}),
            Refused,
        ),
        (
            401,
            json!({"message": "Incorrect API key provided: sk-x.", "code": "invalid_api_key"}),
            InvalidKey,
        ),
        (
            404,
            json!({"message": "The model `x` does not exist or you do not have access to it.", "code": "model_not_found"}),
            UnknownModel,
        ),
        (
            403,
            json!({"message": "Project p does not have access to model x", "code": "model_not_found"}),
            UnknownModel,
        ),
        (
            400,
            json!({"message": "Failed to generate JSON.", "code": "json_validate_failed", "failed_generation": "{"}),
            InvalidGeneration,
        ),
        (
            400,
            json!({"message": "Unsupported parameter", "param": "temperature", "code": "unsupported_parameter"}),
            ErrorClass::Status,
        ),
        (
            503,
            json!({"message": "The engine is currently overloaded", "type": "server_error"}),
            ErrorClass::Status,
        ),
        (
            403,
            json!({"code": 403, "message": "Your chosen model requires moderation and your input was flagged", "metadata": {"reasons": ["violence"], "flagged_input": "x"}}),
            Refused,
        ),
        (
            402,
            json!({"code": 402, "message": "This request requires more credits, or fewer max_tokens."}),
            Unaffordable,
        ),
        (
            400,
            json!({"message": "Provider returned error", "code": 400, "metadata": {"raw": "{\"error\":{\"message\":\"prompt is too long: 210000 tokens > 200000 maximum\"}}", "provider_name": "Anthropic"}}),
            TooLong,
        ),
        (
            400,
            json!({"message": "litellm.ContextWindowExceededError: litellm.BadRequestError: OpenAIException - Error code: 400 - {'error': {'message': 'too long'}}", "type": null}),
            TooLong,
        ),
        (
            500,
            json!({"message": "litellm.BadRequestError: VertexAIException - {\"error\": {\"code\": 400, \"message\": \"The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).\"}}"}),
            TooLong,
        ),
        (
            400,
            json!({"message": "litellm.AuthenticationError: AnthropicException - {\"type\":\"error\",\"error\":{\"type\":\"authentication_error\",\"message\":\"invalid x-api-key\"}}"}),
            InvalidKey,
        ),
    ] {
        assert_eq!(
            class_of(status, &json!({"error": error})),
            expected,
            "{error}"
        );
    }
}

#[test]
fn errors_of_other_vendors() {
    for (status, body, expected) in [
        (
            400,
            json!({"error": {"message": "Content Exists Risk", "type": "invalid_request_error", "code": "invalid_request_error"}}),
            Refused,
        ),
        (
            400,
            json!({"error": {"message": "Input data may contain inappropriate content.", "code": "data_inspection_failed"}}),
            Refused,
        ),
        (
            403,
            json!({"code": "The caller does not have permission to execute the specified operation", "error": "Content violates usage guidelines."}),
            Refused,
        ),
        (
            403,
            json!({"code": "permission-denied", "error": "Your team has used all available credits or reached its monthly spending limit."}),
            QuotaExhausted,
        ),
        (
            400,
            json!({"error": {"code": "1301", "message": "系统检测到输入或生成内容可能包含不安全或敏感内容"}}),
            Refused,
        ),
        (
            400,
            json!({"error": {"type": "content_filter", "message": "The request was rejected because it was considered high risk"}}),
            Refused,
        ),
        (
            429,
            json!({"error": {"message": "Your account org-x is suspended due to insufficient balance, please recharge your account", "type": "exceeded_current_quota_error"}}),
            QuotaExhausted,
        ),
        (
            429,
            json!({"error": {"message": "insufficient balance (1008)", "http_code": "429", "type": "insufficient_balance_error"}}),
            QuotaExhausted,
        ),
        (
            200,
            json!({"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}),
            QuotaExhausted,
        ),
        (
            200,
            json!({"base_resp": {"status_code": 1004, "status_msg": "login fail"}}),
            InvalidKey,
        ),
        (
            402,
            json!({"error": {"message": "Insufficient Balance", "type": "unknown_error"}}),
            QuotaExhausted,
        ),
        (
            403,
            json!({"error": {"message": "余额不足", "code": "insufficient_user_quota"}}),
            QuotaExhausted,
        ),
        (
            429,
            json!({"error": {"type": "engine_overloaded_error", "message": "The engine is currently overloaded"}}),
            Overloaded,
        ),
        (
            429,
            json!({"type": "error", "error": {"type": "rate_limit_error", "message": "This request would exceed your organization's rate limit of 30,000 input tokens per minute. Please reduce the prompt length."}}),
            RateLimited,
        ),
        (
            400,
            json!({"type": "error", "error": {"type": "invalid_request_error", "message": "Your credit balance is too low to access the Anthropic API."}}),
            QuotaExhausted,
        ),
        (
            400,
            json!({"type": "error", "error": {"type": "invalid_request_error", "message": "Output blocked by content filtering policy"}}),
            Refused,
        ),
        (
            429,
            json!([{"error": {"code": 429, "message": "You exceeded your current quota, please check your plan and billing details.", "status": "RESOURCE_EXHAUSTED", "details": [{"violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}]}]}}]),
            RateLimited,
        ),
        (
            429,
            json!([{"error": {"code": 429, "message": "You exceeded your current quota", "status": "RESOURCE_EXHAUSTED", "details": [{"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}]}}]),
            QuotaExhausted,
        ),
        (
            400,
            json!({"error": {"code": 400, "message": "API key not valid. Please pass a valid API key.", "details": [{"reason": "API_KEY_INVALID"}]}}),
            InvalidKey,
        ),
        (
            429,
            json!({"error": {"message": "Rate limit reached for model `x` on tokens per day (TPD): Limit 100000. Please try again in 7m12s.", "code": "rate_limit_exceeded"}}),
            RateLimited,
        ),
        (
            429,
            json!({"error": {"message": "Rate limit exceeded: free-models-per-day", "code": 429}}),
            QuotaExhausted,
        ),
        (
            404,
            json!({"error": "model 'x' not found, try pulling it first"}),
            UnknownModel,
        ),
        (
            500,
            json!({"error": "the input length exceeds the context length"}),
            TooLong,
        ),
        (
            400,
            json!({"__type": "ThrottlingException", "message": "Too many tokens, please wait before trying again."}),
            RateLimited,
        ),
        (
            400,
            json!({"object": "error", "message": "The model's prompt is fine", "code": 40303}),
            ErrorClass::Status,
        ),
    ] {
        assert_eq!(class_of(status, &body), expected, "{body}");
    }
}

#[test]
fn what_the_message_repeats_of_the_input_says_nothing() {
    let input =
        "Our content policy and the maximum context length were flagged for insufficient balance.";
    let body = json!({"detail": [{"loc": ["body", "messages", 1], "msg": format!("value error: {input}"), "input": input}]});
    assert_eq!(class_with_input(422, &body, input), ErrorClass::Status);
    assert_ne!(class_of(422, &body), ErrorClass::Status);
}

#[test]
fn a_text_that_a_rejection_repeats_concerns_nobody_else() {
    for (text, message) in [
        (
            "incorrect api key",
            "Invalid value: 'incorrect api key'. Supported values are: 'low'.",
        ),
        (
            "incorrect api key",
            "incorrect api key: Extra inputs are not permitted",
        ),
        ("recharge", "recharge: Extra inputs are not permitted"),
        (
            "rate limit of your account: try again in 23h",
            "Invalid value: 'rate limit of your account: try again in 23h'.",
        ),
        (
            "your credit balance is too lowly",
            "Bad value 'your credit balance is too low…'",
        ),
        (
            "the model x does not exist",
            "Bad value 'the model x does not exist'",
        ),
        (
            "authentication_error",
            "authentication_error is not one of 'low', 'high'",
        ),
        (
            r#"{"code":"invalid_api_key"}"#,
            r#"Invalid value: '{"code":"invalid_api_key"}'"#,
        ),
        (
            r#"{"code":"invalid\u005fapi_key"}"#,
            r#"Invalid value: '{"code":"invalid\u005fapi_key"}'"#,
        ),
        (r#"{"code":"1004"}"#, r#"Invalid value: {"code":"1004"}"#),
    ] {
        for status in [200, 400, 413, 422] {
            for body in [
                json!({"error": {"message": message, "type": "invalid_request_error"}}),
                json!({"detail": [{"loc": ["body", text], "msg": message, "type": "literal_error"}]}),
            ] {
                let class = class_with_input(status, &body, text);
                assert_eq!(class, ErrorClass::Status, "{status} {body}");
            }
        }
        let body = json!({"error": {"message": message, "user": text}});
        assert_eq!(
            class_with_input(403, &body, text),
            ErrorClass::Status,
            "{body}"
        );
    }
}

#[test]
fn a_few_words_in_a_rejection_concern_nobody_else_wherever_they_are_from() {
    for message in [
        "Bad option: incorrect api key",
        "unknown field: recharge",
        "bad header: rate limit",
        "the value 'model' of x was not found",
        "field rate_limit_error is not known",
    ] {
        let body = json!({"error": {"message": message}});
        assert_eq!(class_of(400, &body), ErrorClass::Status, "{message}");
    }
}

#[test]
fn whole_sentences_of_a_rejection_count() {
    for (message, expected) in [
        (
            "Your credit balance is too low to access the Anthropic API.",
            QuotaExhausted,
        ),
        (
            "You have reached your specified API usage limits.",
            QuotaExhausted,
        ),
        (
            "Incorrect API key provided: xa***. You can obtain one.",
            InvalidKey,
        ),
        (
            "API key not valid. Please pass a valid API key.",
            InvalidKey,
        ),
        ("Model Not Exist", UnknownModel),
        ("some/name is not a valid model ID", UnknownModel),
        ("The provided model identifier is invalid.", UnknownModel),
        (
            "{'error': '/chat/completions: Invalid model name passed in model=x.'}",
            UnknownModel,
        ),
    ] {
        let body = json!({"error": {"message": message, "type": "invalid_request_error"}});
        assert_eq!(class_of(400, &body), expected, "{message}");
    }
    let body = json!({"object": "error", "message": "Invalid model: x", "type": "invalid_model"});
    assert_eq!(class_of(400, &body), UnknownModel);
}

#[test]
fn errors_by_other_names() {
    for (status, body, expected) in [
        (
            400,
            json!({"code": "Client specified an invalid argument", "error": "This model's maximum prompt length is 131072 but the request contains 537812 tokens."}),
            TooLong,
        ),
        (
            451,
            json!({"error": {"message": "The content may be unsafe", "type": "censorship"}}),
            Refused,
        ),
        (
            402,
            json!({"error": "You have exceeded your monthly included credits for Inference Providers."}),
            QuotaExhausted,
        ),
        (
            400,
            json!({"error": {"message": "Invalid model name passed in model=x. Call `/v1/models` to view available models"}}),
            UnknownModel,
        ),
        (
            400,
            json!({"error": {"message": "This response_format type is unavailable now"}}),
            ErrorClass::Status,
        ),
    ] {
        assert_eq!(class_of(status, &body), expected, "{body}");
    }
}
