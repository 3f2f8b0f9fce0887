//! A question for tests of the wires, and what a wire makes of it and of its answers.

use std::sync::Arc;

use serde_json::value::to_raw_value;
use serde_json::{Value, json};

use super::stream_decoder::tests::heard;
use super::{
    Answer, DecodeError, RemainingQuota, Request, RequestShape, RequestTemplate, Schema,
    Unsupported, UnsupportedSet, ValidationFeedback, WireFormat,
};
use crate::types::{Content, Example, FieldError, LoweredByMode, LoweredSchema, Mode};

pub const MODES: [Mode; 4] = [Mode::JsonSchema, Mode::Tools, Mode::JsonObject, Mode::Text];

pub fn form(mode: Mode) -> RequestShape {
    RequestShape {
        mode,
        stream: false,
        lessons: UnsupportedSet::default(),
    }
}

/// A form in which the server is known not to take this.
pub fn without(mode: Mode, lesson: Unsupported) -> RequestShape {
    let mut lessons = UnsupportedSet::default();
    assert!(lessons.add(lesson) && !lessons.add(lesson));
    RequestShape {
        mode,
        stream: false,
        lessons,
    }
}

pub fn forms(schema: &Value, wrapped: bool) -> LoweredByMode {
    let mut forms = LoweredByMode::default();
    for mode in MODES.into_iter().filter(|mode| *mode != Mode::Text) {
        forms.set(
            mode,
            Arc::new(LoweredSchema {
                raw: to_raw_value(schema).unwrap(),
                strict: true,
                wrapped,
                shapes: None,
            }),
        );
    }
    forms
}

pub fn with_request<T>(schema: &Value, then: impl FnOnce(&Request<'_>) -> T) -> T {
    let raw = to_raw_value(schema).unwrap();
    let examples = [Example {
        input: Content("Ann".to_owned()),
        output: json!({"name": "Ann"}),
    }];
    let faults = vec![FieldError {
        pointer: "/name".to_owned(),
        message: "is missing".to_owned(),
    }];
    let complaint = ValidationFeedback {
        answer: String::new(),
        faults,
    };
    then(&Request {
        model: "m",
        mode: Mode::Auto,
        schema: Schema {
            value: &Arc::new(schema.clone()),
            raw: &raw,
            forms: &forms(schema, false),
            examples: &[],
        },
        instructions: Some("Names only."),
        examples: &examples,
        input: "Bob \"the\" builder",
        complaint: Some(&complaint),
        temperature: 0.0,
        max_output_tokens: Some(50),
        seed: Some(7),
        template: &RequestTemplate::default(),
        traceparent: None,
        key: 0,
        on_text: None,
    })
}

/// The body that a wire sends.
pub fn encoded(wire: &dyn WireFormat, schema: &Value, form: RequestShape) -> Value {
    with_request(schema, |request| {
        serde_json::from_slice(&wire.encode(request, form)).unwrap()
    })
}

/// What a wire makes of a whole body.
pub fn decoded(wire: &dyn WireFormat, body: &Value, mode: Mode) -> Result<Answer, DecodeError> {
    wire.decode(body.to_string().as_bytes())
        .map(|draft| draft.answer(mode, RemainingQuota::default()))
}

/// What a wire makes of a stream of these messages.
pub fn streamed(
    wire: &dyn WireFormat,
    messages: &[Value],
    mode: Mode,
) -> Result<Answer, DecodeError> {
    heard(wire, mode, [stream(messages).as_bytes()]).0
}

/// Server-sent events.
pub fn stream(messages: &[Value]) -> String {
    messages
        .iter()
        .map(|message| format!("data: {message}\n\n"))
        .collect::<Vec<_>>()
        .concat()
}

/// Text, finish and usage, without what a wire does not decide.
pub fn answer(text: &str, finish: super::Finish, usage: crate::types::Usage, mode: Mode) -> Answer {
    Answer {
        text: text.to_owned(),
        finish,
        usage: Some(usage),
        mode,
        left: RemainingQuota::default(),
    }
}

/// The roles and texts of messages.
pub fn roles(messages: &Value) -> Vec<&str> {
    messages
        .as_array()
        .unwrap()
        .iter()
        .map(|message| message["role"].as_str().unwrap())
        .collect()
}
