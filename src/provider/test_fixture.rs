//! Fixtures for tests of wire formats: a sample request, its encoding, and decoded responses.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use schema_dialect::{SchemaDocument, Tree};
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

use super::chat::MessageSink;
use super::stream_decoder::tests::decode_stream;
use super::{
    Answer, DecodeError, RemainingQuota, Request, RequestShape, RequestTemplate, Schema, Trial,
    Unsupported, UnsupportedSet, ValidationFeedback, WireFormat,
};
use crate::types::{Content, Example, FieldError, LoweredByMode, LoweredSchema, Mode};

pub const MODES: [Mode; 4] = [Mode::JsonSchema, Mode::Tools, Mode::JsonObject, Mode::Text];

/// Client of a chat completion that ignores what it is sent.
pub struct IgnoreMessages;

impl MessageSink for IgnoreMessages {
    fn record_text(&self, _: usize) {}

    fn receive(&self, _: Vec<u8>) {}

    fn room(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

pub fn shape(mode: Mode) -> RequestShape {
    RequestShape {
        mode,
        stream: false,
        unsupported: UnsupportedSet::default(),
        output_limit: None,
    }
}

/// Returns the shape for a server that does not support the feature.
pub fn shape_without(mode: Mode, feature: Unsupported) -> RequestShape {
    let mut unsupported = UnsupportedSet::default();
    assert!(unsupported.add(feature) && !unsupported.add(feature));
    RequestShape {
        mode,
        stream: false,
        unsupported,
        output_limit: None,
    }
}

/// Reads a schema into its normalised form.
pub fn tree(schema: &Value) -> Arc<Tree> {
    let document = SchemaDocument::parse(schema.clone()).unwrap();
    Arc::new(Tree::build(document).unwrap())
}

pub fn lowered_by_mode(schema: &Value, wrapped: bool) -> LoweredByMode {
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

pub fn with_request<T>(schema: &Value, use_request: impl FnOnce(&Request<'_>) -> T) -> T {
    let raw = to_raw_value(schema).unwrap();
    let examples = [Example {
        input: Content("Ann".to_owned()),
        output: json!({"name": "Ann"}),
    }];
    let errors = vec![FieldError::new("/name", "is missing")];
    let feedback = ValidationFeedback {
        answer: String::new(),
        errors,
    };
    use_request(&Request {
        model: "m",
        is_configured_model: true,
        mode: Mode::Auto,
        schema: Schema {
            tree: &tree(schema),
            raw: &raw,
            forms: &lowered_by_mode(schema, false),
            format_notes: "",
        },
        instructions: Some("Names only."),
        is_conversation: false,
        examples: &examples,
        input: "Bob \"the\" builder",
        feedback: Some(&feedback),
        temperature: 0.0,
        max_output_tokens: Some(50),
        seed: Some(7),
        extra_body: None,
        has_callers_fields: false,
        template: &RequestTemplate::default(),
        trial: &Trial::default(),
        trace_context: None,
        key: 0,
        on_text: None,
        memory: None,
    })
}

/// Returns the encoded body of the sample request.
pub fn encoded(wire: &dyn WireFormat, schema: &Value, shape: RequestShape) -> Value {
    with_request(schema, |request| {
        serde_json::from_slice(&wire.encode(request, shape)).unwrap()
    })
}

/// Decodes a whole body.
pub fn decoded(wire: &dyn WireFormat, body: &Value, mode: Mode) -> Result<Answer, DecodeError> {
    wire.decode(body.to_string().as_bytes())
        .map(|partial| partial.into_answer(mode, RemainingQuota::default()))
}

/// Decodes a stream of these messages.
pub fn streamed(
    wire: &dyn WireFormat,
    messages: &[Value],
    mode: Mode,
) -> Result<Answer, DecodeError> {
    decode_stream(wire, mode, [stream(messages).as_bytes()]).0
}

/// Returns the messages as server-sent events.
pub fn stream(messages: &[Value]) -> String {
    messages
        .iter()
        .map(|message| format!("data: {message}\n\n"))
        .collect::<Vec<_>>()
        .concat()
}

/// Returns an answer with default rate limit headers.
pub fn answer(text: &str, finish: super::Finish, usage: crate::types::Usage, mode: Mode) -> Answer {
    Answer {
        text: text.to_owned(),
        finish,
        usage: Some(usage),
        mode,
        remaining_quota: RemainingQuota::default(),
        is_parsed: false,
        remark: None,
    }
}

/// Returns an answer of JSON that the provider parsed, such as tool arguments.
pub fn parsed(text: &str, finish: super::Finish, usage: crate::types::Usage, mode: Mode) -> Answer {
    Answer {
        is_parsed: true,
        ..answer(text, finish, usage, mode)
    }
}

/// Returns the roles of messages.
pub fn roles(messages: &Value) -> Vec<&str> {
    messages
        .as_array()
        .unwrap()
        .iter()
        .map(|message| message["role"].as_str().unwrap())
        .collect()
}
