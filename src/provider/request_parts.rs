//! What every wire has to say of a request, in the form that was chosen for it.

use serde_json::Value;
use serde_json::value::RawValue;

use super::prompt::{self, Message, Shown};
use super::{Request, RequestShape};
use crate::types::Mode;

/// The tool that takes the answer, in the modes that have one.
pub const TOOL: &str = "extract";
pub const TOOL_DESCRIPTION: &str = "Takes the extracted data.";

/// A request in a form.
pub struct RequestParts<'a> {
    /// The schema as the mode takes it.
    pub root: &'a RawValue,
    /// Whether the answer may be held to it strictly.
    pub strict: bool,
    pub messages: Vec<Message>,
}

impl<'a> RequestParts<'a> {
    /// `is_shown` says in which modes the provider itself shows the schema to the model.
    #[must_use]
    pub fn new(request: &Request<'a>, form: RequestShape, is_shown: impl Fn(Mode) -> bool) -> Self {
        let asked = request.schema.forms.of(form.mode);
        let root: &RawValue = asked.map_or(request.schema.raw, |asked| &asked.raw);
        let schema = (!is_shown(form.mode)).then(|| root.get());
        let words = Shown {
            schema,
            form: asked.map(AsRef::as_ref),
        };
        Self {
            root,
            strict: asked.is_some_and(|asked| asked.strict),
            messages: prompt::messages(request, words),
        }
    }
}

/// A name for the schema. OpenAI allows letters, digits, `_` and `-`, up to 64.
#[must_use]
pub fn schema_name(request: &Request<'_>) -> String {
    let title = request
        .schema
        .value
        .get("title")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let allowed = |c: char| {
        if c.is_ascii_alphanumeric() || c == '-' {
            c
        } else {
            '_'
        }
    };
    let name: String = title.chars().take(64).map(allowed).collect();
    if name.is_empty() {
        "extraction".to_owned()
    } else {
        name
    }
}

/// A body of plain data as JSON.
#[must_use]
pub fn json(body: &impl serde::Serialize) -> Vec<u8> {
    // Only a map with keys that are no strings, or a failing writer, could make this fail.
    serde_json::to_vec(body).unwrap_or_default()
}
