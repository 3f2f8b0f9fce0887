//! Streams of a provider: messages in pieces, and the partial value in them.

use super::lines::{pieces, uneven};
use extractd::net::{Frames, Framing};
use llm_json::partial::Partial;

/// Reads the bytes as server-sent events and as lines, at once, byte by byte, and in the pieces that the first byte says; then as an
/// answer while it is written.
pub fn stream(data: &[u8]) {
    let [cut, body @ ..] = data else { return };
    for framing in [Framing::Events, Framing::Lines] {
        let whole = messages(framing, &pieces(body, body.len()));
        assert!(
            whole.iter().map(Vec::len).sum::<usize>() <= body.len(),
            "no byte is made up"
        );
        assert_eq!(messages(framing, &pieces(body, 1)), whole, "byte by byte");
        assert_eq!(messages(framing, &uneven(body, *cut)), whole, "in pieces");
    }
    let text = String::from_utf8_lossy(body);
    let whole = written([text.as_ref()]);
    assert_eq!(
        written(text.split_inclusive(char::is_whitespace)),
        whole,
        "in words"
    );
    assert_eq!(
        written(text.split_inclusive(|_| true)),
        whole,
        "in characters"
    );
}

fn messages(framing: Framing, pieces: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut frames = Frames::new(framing);
    let mut messages = Vec::new();
    for piece in pieces {
        frames
            .push(piece)
            .expect("a fuzzer's input is no larger than an answer may be");
        messages.extend(std::iter::from_fn(|| frames.message()));
    }
    frames.end();
    messages.extend(std::iter::from_fn(|| frames.message()));
    messages
}

/// Returns the last partial value, and the completed elements of the list.
fn written<'t>(pieces: impl IntoIterator<Item = &'t str>) -> (Option<serde_json::Value>, usize) {
    let mut partial = Partial::new(Some(Vec::new()), true);
    for piece in pieces {
        partial.push(piece);
    }
    let finished = std::iter::from_fn(|| partial.next_finished()).count();
    (partial.value(), finished)
}
