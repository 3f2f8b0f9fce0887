//! Texts of prompts and answers in traces.

use std::sync::Arc;

use crate::provider::Request;
use crate::provider::prompt::{self, PromptSchema};
use crate::types::Mode;

/// Maximum length of a prompt or an answer in a trace, in bytes.
const MAX_TEXT_BYTES: usize = 16 * 1024;

/// Message of a prompt: its role and its text.
pub type Message = (&'static str, String);

/// Returns the messages of a call's prompt: role and text, truncated if they are long. `mode` is the mode of the call; in those
/// without a schema of their own the prompt has it.
pub fn prompt_messages(request: &Request<'_>, mode: Mode) -> Vec<Message> {
    let form = request.schema.forms.for_mode(mode);
    let root = form.map_or(request.schema.raw, |form| &form.raw);
    let shows_schema = matches!(mode, Mode::JsonObject | Mode::Text);
    let schema = PromptSchema {
        schema: shows_schema.then(|| root.get()),
        form: form.map(Arc::as_ref),
    };
    prompt::messages(request, schema)
        .into_iter()
        .map(|message| {
            let role = match message.role {
                prompt::Role::System => "system",
                prompt::Role::User => "user",
                prompt::Role::Assistant => "assistant",
            };
            (role, message.content)
        })
        .collect()
}

/// Returns the messages of a prompt as one text.
pub fn joined(messages: &[Message]) -> String {
    let parts: Vec<_> = messages
        .iter()
        .map(|(role, content)| format!("{role}:\n{content}"))
        .collect();
    truncated(&parts.join("\n\n"))
}

/// Truncates a text that is too long for a trace.
pub fn truncated(text: &str) -> String {
    let (start, rest) = text.split_at(text.floor_char_boundary(MAX_TEXT_BYTES));
    let mark = if rest.is_empty() { "" } else { "…" };
    [start, mark].concat()
}
