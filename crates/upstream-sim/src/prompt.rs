//! Size of a prompt: the tokens of its messages, and the maximum of its answer.

use serde::Deserialize;

use crate::chat::ChatRequest;
use crate::tokens;

/// Returns the prompt's tokens: those of the text of all messages.
pub fn tokens(question: &ChatRequest) -> u64 {
    let contents = || {
        question
            .messages
            .iter()
            .filter_map(|message| message.content)
            .map(|content| content.get().as_bytes())
    };
    let last = contents().next_back().unwrap_or_default();
    tokens::count(contents().map(text_bytes).sum(), last)
}

/// Returns true if the last message contains `[slow]`.
pub fn is_slow(question: &ChatRequest) -> bool {
    let last = question.messages.last().and_then(|last| last.content);
    last.is_some_and(|content| content.get().contains("[slow]"))
}

/// Returns the status of an error that the last message asks for with `[status NNN]`.
pub fn status(question: &ChatRequest) -> Option<u16> {
    let last = question.messages.last().and_then(|last| last.content)?;
    let (_, rest) = last.get().split_once("[status ")?;
    let (status, _) = rest.split_once(']')?;
    status
        .parse()
        .ok()
        .filter(|status| (400..600).contains(status))
}

/// Returns the bytes of the text in a piece of JSON, escapes counted as what they stand for.
fn text_bytes(json: &[u8]) -> usize {
    // Without the quotes around it.
    let (mut bytes, mut rest) = (json.len().saturating_sub(2), json);
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let length = if rest.get(at + 1) == Some(&b'u') {
            6
        } else {
            2
        };
        bytes = bytes.saturating_sub(length - 1);
        rest = rest.get(at + length..).unwrap_or_default();
    }
    bytes
}

#[derive(Deserialize)]
struct Room {
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
}

/// Returns the maximum tokens of the answer. `None`: the request has none.
pub fn room(body: &[u8]) -> Option<u64> {
    let room: Room = serde_json::from_slice(body).ok()?;
    room.max_completion_tokens.or(room.max_tokens)
}
