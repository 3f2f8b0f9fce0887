//! Texts of prompts and answers in traces.

use std::fmt::Write;
use std::sync::Arc;

use crate::provider::Request;
use crate::provider::prompt::{self, PromptSchema};
use crate::types::Mode;

/// Maximum length of a prompt or an answer in a trace, in bytes.
const MAX_TEXT_BYTES: usize = 16 * 1024;

/// Message of a prompt: its role and its text.
pub type Message = (&'static str, String);

/// Returns the messages of a call's prompt as they begin: role and text, of which a long one is more than a trace has. `mode` is the mode of the call; in those
/// without a schema of their own the prompt has it.
pub fn prompt_messages(request: &Request<'_>, mode: Mode) -> Vec<Message> {
    let form = request.schema.forms.for_mode(mode);
    let root = form.map_or(request.schema.raw, |form| &form.raw);
    let shows_schema = matches!(mode, Mode::JsonObject | Mode::Text);
    let schema = PromptSchema {
        schema: shows_schema.then(|| root.get()),
        form: form.map(Arc::as_ref),
    };
    // A character more is left out by a mark.
    prompt::beginnings(request, schema, MAX_TEXT_BYTES + char::MAX.len_utf8())
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
    let mut text = String::new();
    for (role, content) in messages {
        let gap = if text.is_empty() { "" } else { "\n\n" };
        // Writing to a string cannot fail.
        let _ = write!(text, "{gap}{role}:\n{content}");
        if text.len() > MAX_TEXT_BYTES {
            break;
        }
    }
    truncated(&text)
}

/// Truncates a text that is too long for a trace.
pub fn truncated(text: &str) -> String {
    let (start, rest) = text.split_at(text.floor_char_boundary(MAX_TEXT_BYTES));
    let mark = if rest.is_empty() { "" } else { "…" };
    [start, mark].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_joined_as_far_as_a_trace_has_them() {
        let messages = [("system", "a".to_owned()), ("user", "b".to_owned())];
        assert_eq!(joined(&messages), "system:\na\n\nuser:\nb");
        let long = ("user", "é".repeat(MAX_TEXT_BYTES));
        let text = joined(&[messages[0].clone(), long.clone(), long]);
        assert!(text.starts_with("system:\na\n\nuser:\né") && text.ends_with("é…"));
        assert!(text.len() <= MAX_TEXT_BYTES + "…".len());
    }
}
