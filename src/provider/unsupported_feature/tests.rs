use serde_json::{Value, json};

use super::super::error_body::decode_error;
use super::super::error_table::classify;
use super::super::own_words::OwnWords;
use super::super::test_fixture::shape;
use super::*;

const INPUT: &str = "Mira Okafor, 41, runs the bakery on Hill Street.";

fn detected_with(status: u16, body: &Value, shape: RequestShape, input: &str) -> Option<Detected> {
    let error = decode_error(body.to_string().as_bytes());
    let own_words = OwnWords::of(&error, |search| search.text(input));
    let class = classify(&error, &own_words, status);
    detect_unsupported(status, class, &error, &own_words.text, shape)
}

fn feature(status: u16, message: &str, mode: Mode) -> Option<Unsupported> {
    let body = json!({"error": {"message": message}});
    detected_with(status, &body, shape(mode), INPUT).map(|found| found.feature)
}

#[test]
fn features_are_detected_in_the_words_of_each_api() {
    use Mode::{JsonSchema, Text, Tools};
    for (status, message, mode, expected) in [
        // OpenAI, and servers compatible with it.
        (
            400,
            "'response_format.type' must be 'text' or 'json_object'",
            JsonSchema,
            Some(Unsupported::Mode),
        ),
        (
            400,
            "This response_format type is unavailable now",
            JsonSchema,
            Some(Unsupported::Mode),
        ),
        (
            400,
            "Provider does not support response_format json_schema",
            JsonSchema,
            Some(Unsupported::Mode),
        ),
        (
            400,
            "Invalid schema for response_format 'P': 'additionalProperties' is required",
            JsonSchema,
            Some(Unsupported::Schema),
        ),
        (
            400,
            "JSON schema conversion failed: unresolved $ref",
            Tools,
            Some(Unsupported::Schema),
        ),
        (
            400,
            "This model does not support tools",
            Tools,
            Some(Unsupported::Mode),
        ),
        (
            400,
            "\"auto\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set",
            Tools,
            Some(Unsupported::Mode),
        ),
        (
            400,
            "Unsupported value: 'temperature' does not support 0 with this model.",
            JsonSchema,
            Some(Unsupported::Temperature),
        ),
        (
            400,
            "'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
            Text,
            Some(Unsupported::OutputLimit),
        ),
        (
            500,
            "1 validation error: ('body', 'response_format', 'type') Input should be 'text'",
            JsonSchema,
            Some(Unsupported::Mode),
        ),
        (
            500,
            "The tool server had an error while processing your request",
            Tools,
            None,
        ),
        (
            404,
            "No endpoints found that support tool use. To learn more, visit: https://openrouter.ai/docs",
            Tools,
            Some(Unsupported::Mode),
        ),
        (
            404,
            "No endpoints found that can handle the requested parameters.",
            JsonSchema,
            Some(Unsupported::Mode),
        ),
        (404, "The requested tool was not found", Tools, None),
        // Anthropic.
        (
            400,
            "output_config.format: Extra inputs are not permitted",
            JsonSchema,
            Some(Unsupported::Mode),
        ),
        (
            400,
            "'claude-opus-4' does not support output format.",
            JsonSchema,
            Some(Unsupported::Mode),
        ),
        (
            400,
            "output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly set to false",
            JsonSchema,
            Some(Unsupported::Schema),
        ),
        (
            400,
            "The compiled grammar is too large, which would cause performance issues. Simplify your tool schemas or reduce the number of strict tools.",
            Tools,
            Some(Unsupported::Schema),
        ),
        (
            400,
            "tools.0.custom.input_schema: JSON schema is invalid",
            Tools,
            Some(Unsupported::Schema),
        ),
        (
            400,
            "Thinking may not be enabled when tool_choice forces tool use.",
            Tools,
            Some(Unsupported::Mode),
        ),
        (
            400,
            "`temperature` is deprecated for this model.",
            JsonSchema,
            Some(Unsupported::Temperature),
        ),
        (
            400,
            "max_tokens: 64000 > 8192, which is the maximum allowed number of output tokens for claude-x",
            Text,
            Some(Unsupported::OutputLimit),
        ),
        // Gemini.
        (
            400,
            "JSON mode is not enabled for models/gemma-3",
            JsonSchema,
            Some(Unsupported::Mode),
        ),
        (
            400,
            "Function calling is not enabled for models/gemma-3",
            Tools,
            Some(Unsupported::Mode),
        ),
        (
            400,
            "Developer instruction is not enabled for models/gemma-3",
            JsonSchema,
            Some(Unsupported::SystemRole),
        ),
        (
            400,
            "The specified schema produces a constraint that has too many states for serving.",
            JsonSchema,
            Some(Unsupported::Schema),
        ),
        // Ollama, Moonshot, and chat templates.
        (
            400,
            "registry.ollama.ai/library/gemma:2b does not support tools",
            Tools,
            Some(Unsupported::Mode),
        ),
        (
            500,
            "invalid JSON schema in format",
            JsonSchema,
            Some(Unsupported::Schema),
        ),
        (
            500,
            "failed to load model vocabulary required for format",
            JsonSchema,
            None,
        ),
        (500, "llama runner process has terminated", JsonSchema, None),
        (
            400,
            "tools.function.parameters is not a valid moonshot flavored json schema, details: schema depth 12",
            Tools,
            Some(Unsupported::Schema),
        ),
        (
            400,
            "System role not supported",
            JsonSchema,
            Some(Unsupported::SystemRole),
        ),
        (
            500,
            "Conversation roles must alternate user/assistant/user/assistant/...",
            JsonSchema,
            Some(Unsupported::SystemRole),
        ),
    ] {
        assert_eq!(feature(status, message, mode), expected, "{message}");
    }
}

#[test]
fn words_that_merely_occur_say_nothing() {
    for (status, message, mode) in [
        (
            400,
            "This model's maximum context length is 128000 tokens. Your messages resulted in 132166 tokens (including 317 in the response_format schemas.)",
            Mode::JsonSchema,
        ),
        (
            400,
            "prompt is too long: 210000 tokens > 200000 maximum",
            Mode::JsonSchema,
        ),
        (
            400,
            "the input length exceeds the context length",
            Mode::JsonSchema,
        ),
        (
            400,
            "upstream says: maximum context length is 8192 tokens",
            Mode::JsonSchema,
        ),
        (400, "more information is not available", Mode::JsonSchema),
        (400, "the functional toolbar is not supported", Mode::Tools),
        (400, "seeded requests are unknown", Mode::Text),
        (
            400,
            "Content violates usage guidelines of tools, which is not supported",
            Mode::Tools,
        ),
        (
            429,
            "response_format is not supported while you have too many requests",
            Mode::JsonSchema,
        ),
    ] {
        assert_eq!(feature(status, message, mode), None, "{message}");
    }
    let streamed = RequestShape {
        stream: true,
        ..shape(Mode::JsonSchema)
    };
    let body = json!({"error": {"message": "upstream: the value is invalid"}});
    assert_eq!(detected_with(400, &body, streamed, INPUT), None);
}

#[test]
fn the_parameter_says_more_than_the_words() {
    let detected = |param: &str, message: &str, mode| {
        let body =
            json!({"error": {"message": message, "param": param, "code": "unsupported_value"}});
        detected_with(400, &body, shape(mode), INPUT)
    };
    let model = |feature| {
        Some(Detected {
            feature,
            is_proven_for_model: true,
        })
    };
    assert_eq!(
        detected("temperature", "No tools.", Mode::Tools),
        model(Unsupported::Temperature)
    );
    assert_eq!(
        detected("response_format", "Wrong.", Mode::JsonSchema),
        model(Unsupported::Mode)
    );
    assert_eq!(
        detected(
            "response_format",
            "Invalid schema: a is missing",
            Mode::JsonSchema
        ),
        Some(Detected {
            feature: Unsupported::Schema,
            is_proven_for_model: false
        })
    );
    assert_eq!(
        detected(
            "messages",
            "tools are not supported in messages",
            Mode::Tools
        ),
        None
    );
    assert_eq!(
        detected("messages[0].role", "Input should be 'user'", Mode::Text),
        model(Unsupported::SystemRole)
    );
}

#[test]
fn the_repeated_input_says_nothing() {
    let input = "A guided tour. The temperature of the json schema is unsupported, as are tools.";
    let body = json!({"detail": [{"loc": ["body", "messages", 1, "content"], "msg": format!("Value error, got '{input}'"), "input": input}]});
    for mode in [Mode::JsonSchema, Mode::Tools, Mode::Text] {
        assert_eq!(
            detected_with(422, &body, shape(mode), input),
            None,
            "{mode:?}"
        );
    }
}

#[test]
fn a_mode_is_given_up_for_the_model_only_with_proof() {
    let scope = |message: &str| {
        let body = json!({"error": {"message": message}});
        detected_with(400, &body, shape(Mode::JsonSchema), INPUT)
            .map(|found| found.is_proven_for_model)
    };
    assert_eq!(
        scope("response_format is not supported with this model"),
        Some(true)
    );
    assert_eq!(scope("invalid response_format"), Some(false));
    assert_eq!(scope("Invalid schema for response_format"), Some(false));
}

#[test]
fn every_feature_is_given_up_for_the_model_only_with_proof() {
    let found = |body: &Value| {
        detected_with(422, body, shape(Mode::Text), INPUT)
            .map(|found| (found.feature, found.is_proven_for_model))
    };
    for (name, feature) in [
        ("temperature", Unsupported::Temperature),
        ("seed", Unsupported::Seed),
        ("max_tokens", Unsupported::OutputLimit),
    ] {
        for (message, is_proven) in [
            ("Input should be less than or equal to 1", false),
            ("must be at most 1", false),
            ("is invalid", false),
            ("Extra inputs are not permitted", true),
            ("is not supported with this model", true),
        ] {
            let body = json!({"detail": [{"loc": ["body", name], "msg": message}]});
            assert_eq!(found(&body), Some((feature, is_proven)), "{body}");
        }
    }
}

#[test]
fn words_about_a_value_are_told_from_words_about_the_parameter() {
    for (message, code, expected) in [
        ("temperature 2 is above the maximum", "", true),
        ("temperature is not supported", "unsupported_value", true),
        (
            "temperature is not supported",
            "unsupported_parameter",
            false,
        ),
        ("`temperature` is deprecated for this model.", "", false),
    ] {
        let error = UpstreamErrorBody {
            codes: vec![code.to_owned()],
            ..UpstreamErrorBody::default()
        };
        assert_eq!(is_about_value(&error, message), expected, "{message}");
    }
}

#[test]
fn the_output_limit_that_is_left_is_read_from_the_numbers() {
    for (words, expected) in [
        (
            "input length and `max_tokens` exceed context limit: 150959 + 64000 > 200000, decrease",
            Some(49_041),
        ),
        (
            "exceed context limit: 150,959 + 64,000 > 200,000",
            Some(49_041),
        ),
        ("exceed context limit: 199990 + 64000 > 200000", None),
        ("exceed context limit: 250000 + 64000 > 200000", None),
        ("prompt is too long: 210000 tokens > 200000 maximum", None),
        ("exceed context limit: many", None),
    ] {
        assert_eq!(remaining_output_limit(words), expected, "{words}");
    }
}
