//! Parts of a request that every wire format needs: the lowered schema and the prompt messages.

use serde_json::value::RawValue;

use super::prompt::{self, Message, PromptSchema, Role};
use super::request::Request;
use super::request_shape::{RequestShape, Unsupported};
use crate::types::Mode;

/// Name of the tool (function) that receives the answer, in tool calling modes.
pub const TOOL_NAME: &str = "extract";
/// Description of the tool that receives the answer.
pub const TOOL_DESCRIPTION: &str = "Takes the extracted data.";

/// Parts of a request with one shape.
pub struct RequestParts<'a> {
    /// JSON Schema, lowered for the mode.
    pub root: &'a RawValue,
    /// True if the provider can enforce the schema strictly.
    pub strict: bool,
    pub messages: Vec<Message>,
}

impl<'a> RequestParts<'a> {
    /// Builds the parts. `shows_schema` returns true for modes in which the provider itself shows
    /// the schema to the model.
    #[must_use]
    pub fn new(
        request: &Request<'a>,
        shape: RequestShape,
        shows_schema: impl Fn(Mode) -> bool,
    ) -> Self {
        let lowered = request.schema.forms.for_mode(shape.mode);
        let root: &RawValue = lowered.map_or(request.schema.raw, |lowered| &lowered.raw);
        let prompt_schema = PromptSchema {
            schema: (!shows_schema(shape.mode)).then(|| root.get()),
            form: lowered.map(AsRef::as_ref),
        };
        let messages = prompt::messages(request, prompt_schema);
        Self {
            root,
            strict: lowered.is_some_and(|lowered| lowered.strict),
            messages: if shape.unsupported.has(Unsupported::SystemRole) {
                without_system_role(messages)
            } else {
                messages
            },
        }
    }
}

/// Moves the system prompt into the first user message, for models whose chat template has no system role.
fn without_system_role(messages: Vec<Message>) -> Vec<Message> {
    let (system, mut messages) = split_system(messages);
    if let (Some(system), Some(first)) = (system, messages.first_mut()) {
        first.content = [&system, "\n\n", &first.content].concat();
    }
    messages
}

/// Takes the system prompt out of the messages.
#[must_use]
pub fn split_system(mut messages: Vec<Message>) -> (Option<String>, Vec<Message>) {
    match messages.first() {
        Some(first) if first.role == Role::System => {
            let system = messages.remove(0);
            (Some(system.content), messages)
        }
        _ => (None, messages),
    }
}

/// Returns a name for the schema, from its title.
///
/// OpenAI allows letters, digits, `_` and `-`, up to 64 characters.
#[must_use]
pub fn schema_name(request: &Request<'_>) -> String {
    let title = request.schema.tree.root().title().unwrap_or_default();
    let to_allowed = |c: char| {
        if c.is_ascii_alphanumeric() || c == '-' {
            c
        } else {
            '_'
        }
    };
    let name: String = title.chars().take(64).map(to_allowed).collect();
    if name.is_empty() {
        "extraction".to_owned()
    } else {
        name
    }
}

/// Serializes a request body as JSON.
#[must_use]
pub fn to_json(body: &impl serde::Serialize) -> Vec<u8> {
    // Only a map with keys that are not strings, or a failing writer, could make this fail.
    serde_json::to_vec(body).unwrap_or_default()
}
