use serde_json::value::to_raw_value;

use super::*;
use crate::model::{Asked, Content, Example, Forms, MadeUp};
use crate::provider::{Complaint, Schema};

const ELSEWHERE: OpenAi = OpenAi { shows_schema: false, completion_tokens: false };

fn form(mode: Mode) -> Form {
    Form { mode, temperature: true, seed: true, other_tokens_name: false }
}

fn forms(schema: &Value, wrapped: bool) -> Forms {
    let mut forms = Forms::default();
    for mode in [Mode::JsonSchema, Mode::Tools, Mode::JsonObject] {
        forms.set(mode, std::sync::Arc::new(Asked { raw: to_raw_value(schema).unwrap(), strict: true, wrapped, shapes: None }));
    }
    forms
}

fn with_request<T>(schema: &Value, then: impl FnOnce(&Request<'_>) -> T) -> T {
    let raw = serde_json::value::to_raw_value(schema).unwrap();
    let examples = [Example { input: Content("Ann".to_owned()), output: json!({"name": "Ann"}) }];
    let complaint = Complaint {
        answer: "no".to_owned(),
        faults: vec![crate::model::Fault { pointer: "/name".to_owned(), message: "is missing".to_owned() }],
    };
    then(&Request {
        model: "m",
        mode: Mode::Auto,
        schema: Schema { value: &std::sync::Arc::new(schema.clone()), raw: &raw, forms: &forms(schema, false), examples: &[] },
        instructions: Some("Names only."),
        examples: &examples,
        input: "Bob \"the\" builder",
        complaint: Some(&complaint),
        temperature: 0.0,
        max_output_tokens: Some(50),
        seed: Some(7),
        template: &crate::provider::Template::default(),
        traceparent: None,
        key: 0,
    })
}

fn encoded(wire: OpenAi, schema: &Value, form: Form) -> Value {
    with_request(schema, |request| serde_json::from_slice(&wire.encode(request, form)).unwrap())
}

fn decoded(body: &Value, mode: Mode) -> Result<Answer, String> {
    with_request(&json!({"type": "object"}), |request| ELSEWHERE.decode(request, form(mode), body.to_string().as_bytes()))
}

#[test]
fn a_question_has_the_text_the_example_and_the_complaint() {
    let body = encoded(ELSEWHERE, &json!({"type": "object", "title": "A person"}), form(Mode::JsonSchema));
    let roles: Vec<_> = body["messages"].as_array().unwrap().iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "user", "assistant", "user"]);
    assert!(body["messages"][0]["content"].as_str().unwrap().contains("Names only."));
    assert!(body["messages"][0]["content"].as_str().unwrap().contains(r#"{"type":"object","title":"A person"}"#));
    assert!(body["messages"][3]["content"].as_str().unwrap().contains("Bob \"the\" builder"));
    assert!(body["messages"][5]["content"].as_str().unwrap().contains("/name: is missing"));
    assert_eq!(body["response_format"]["json_schema"]["name"], "A_person");
    assert_eq!((&body["temperature"], &body["seed"], &body["max_tokens"]), (&json!(0.0), &json!(7), &json!(50)));
}

#[test]
fn each_mode_has_its_own_form() {
    let person = json!({"type": "object"});
    let json_schema = encoded(OpenAi::at("api.openai.com"), &person, form(Mode::JsonSchema));
    assert_eq!(json_schema["response_format"]["json_schema"], json!({"name": "extraction", "strict": true, "schema": person}));
    assert!(!json_schema["messages"][0]["content"].as_str().unwrap().contains("JSON Schema:"));
    assert_eq!((&json_schema["max_completion_tokens"], json_schema.get("max_tokens")), (&json!(50), None));
    let tools = encoded(ELSEWHERE, &person, form(Mode::Tools));
    assert_eq!(tools["tools"][0]["function"]["parameters"], person);
    assert_eq!(tools["tool_choice"]["function"]["name"], tools["tools"][0]["function"]["name"]);
    assert_eq!(encoded(ELSEWHERE, &person, form(Mode::JsonObject))["response_format"], json!({"type": "json_object"}));
    let text = encoded(ELSEWHERE, &person, form(Mode::Text));
    assert!(text.get("response_format").is_none() && text.get("tools").is_none());
}

#[test]
fn an_answer_is_read_with_its_finish_and_usage() {
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
            left: Left::default()
        }
    );
    let cut = decoded(&body(json!({"content": "{"}), "length"), Mode::JsonSchema).unwrap();
    assert_eq!(cut.finish, Finish::Length);
    let refused = decoded(&body(json!({"content": null, "refusal": "no"}), "stop"), Mode::JsonSchema).unwrap();
    assert_eq!(refused.finish, Finish::Refusal("no".to_owned()));
    let call = json!({"content": null, "tool_calls": [{"function": {"name": "extract", "arguments": "{\"a\":1}"}}]});
    assert_eq!(decoded(&body(call, "tool_calls"), Mode::Tools).unwrap().text, "{\"a\":1}");
    assert!(decoded(&json!({"choices": []}), Mode::Text).is_err());
    assert!(decoded(&json!({"hello": 1}), Mode::Text).is_err());
}

#[test]
fn what_a_server_refuses_is_understood() {
    let openai = |message: &str| ELSEWHERE.complaint(json!({"error": {"message": message}}).to_string().as_bytes());
    for (status, message, mode, lesson) in [
        (400, "'response_format.type' must be 'text' or 'json_object'", Mode::JsonSchema, Some(Lesson::Mode)),
        (
            400,
            "Invalid schema for response_format 'P': 'additionalProperties' is required",
            Mode::JsonSchema,
            Some(Lesson::Schema),
        ),
        (400, "JSON schema conversion failed: unresolved $ref", Mode::Tools, Some(Lesson::Schema)),
        (400, "This model does not support tools", Mode::Tools, Some(Lesson::Mode)),
        (
            400,
            "Unsupported value: 'temperature' does not support 0 with this model.",
            Mode::JsonSchema,
            Some(Lesson::Temperature),
        ),
        (
            400,
            "'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
            Mode::Text,
            Some(Lesson::TokensName),
        ),
        (400, "This model's maximum context length is 8192 tokens", Mode::JsonSchema, None),
        (
            500,
            "1 validation error: ('body', 'response_format', 'type') Input should be 'text'",
            Mode::JsonSchema,
            Some(Lesson::Mode),
        ),
        (500, "The tool server had an error while processing your request", Mode::Tools, None),
    ] {
        assert_eq!(ELSEWHERE.lesson(status, &openai(message), form(mode)), lesson, "{message}");
    }
    let quota = json!({"error": {"message": "You exceeded your current quota", "type": "insufficient_quota", "code": "insufficient_quota"}});
    assert!(ELSEWHERE.complaint(quota.to_string().as_bytes()).exhausted);
    assert_eq!(ELSEWHERE.complaint(b"<html>bad gateway</html>").message, "<html>bad gateway</html>");
    assert_eq!(ELSEWHERE.complaint(br#"{"detail": "Not Found"}"#).message, "Not Found");
}

#[test]
fn made_up_examples_are_for_servers_that_do_not_show_the_schema() {
    let schema = std::sync::Arc::new(json!({"type": "array"}));
    let raw = to_raw_value(&*schema).unwrap();
    let example =
        |output: Value, is_valid| MadeUp { example: Example { input: Content("made up".to_owned()), output }, is_valid };
    let examples = [example(json!([1]), true), example(json!(2), false)];
    let request = Request {
        model: "m",
        mode: Mode::Auto,
        schema: Schema { value: &schema, raw: &raw, forms: &forms(&schema, true), examples: &examples },
        instructions: None,
        examples: &[],
        input: "text",
        complaint: None,
        temperature: 0.0,
        max_output_tokens: None,
        seed: None,
        template: &crate::provider::Template::default(),
        traceparent: None,
        key: 0,
    };
    let said = |wire: OpenAi, mode| -> Value { serde_json::from_slice(&wire.encode(&request, form(mode))).unwrap() };
    let elsewhere = said(ELSEWHERE, Mode::JsonObject);
    assert_eq!(elsewhere["messages"].as_array().unwrap().len(), 4);
    assert_eq!(elsewhere["messages"][2]["content"], r#"{"value":[1]}"#);
    assert_eq!(said(ELSEWHERE, Mode::Text)["messages"][2]["content"], "[1]");
    assert_eq!(said(OpenAi::at("api.openai.com"), Mode::Tools)["messages"].as_array().unwrap().len(), 2);
}
