//! NDJSON, in any pieces.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use futures_util::Stream;

use super::check_words;
use extractd::http::readers;
use extractd::types::{Code, Input, Item};

/// Reads the bytes as NDJSON, in pieces and at once: the first says how long a line may be, the second how the pieces are cut.
pub fn lines(data: &[u8]) {
    let [longest, cut, body @ ..] = data else {
        return;
    };
    let max_line_bytes = 4 + usize::from(*longest);
    let expected = reference(body, max_line_bytes);
    for pieces in [
        pieces(body, body.len()),
        pieces(body, 1),
        uneven(body, *cut),
    ] {
        let inputs = read_inputs(&pieces, max_line_bytes);
        let text_or_code: Vec<_> = inputs.iter().map(text_or_code).collect();
        assert_eq!(text_or_code, expected, "in {} pieces", pieces.len());
        for (index, input) in inputs.iter().enumerate() {
            assert_eq!(input.index, index);
            if let Err(error) = &input.content {
                check_words(&error.detail);
            }
        }
    }
}

/// A byte order mark is not counted.
const MARK_BYTES: usize = 3;

/// Returns the text of an input, or its error.
fn text_or_code(input: &Input) -> Result<String, Code> {
    input.content.clone().map_err(|error| error.code)
}

/// Parses the lines in the simple way, as the reference.
fn reference(body: &[u8], max_line_bytes: usize) -> Vec<Result<String, Code>> {
    let mut inputs = Vec::new();
    for line in body.split(|byte| *byte == b'\n') {
        let line = if inputs.is_empty() {
            line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line)
        } else {
            line
        };
        if line.len() > max_line_bytes {
            inputs.push(Err(Code::PayloadTooLarge));
        } else if !line.trim_ascii().is_empty() {
            inputs.push(
                readers::parse::<Item>(line)
                    .map(|item| item.content.0)
                    .map_err(|_| Code::InvalidJson),
            );
        }
    }
    inputs
}

pub fn pieces(body: &[u8], bytes: usize) -> Vec<Vec<u8>> {
    body.chunks(bytes.max(1)).map(<[u8]>::to_vec).collect()
}

/// Pieces of 1 to 16 bytes, in an order that follows from `cut`; some are empty.
pub fn uneven(mut body: &[u8], cut: u8) -> Vec<Vec<u8>> {
    let (mut pieces, mut state) = (Vec::new(), u32::from(cut) | 1);
    while !body.is_empty() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let bytes = usize::try_from(state >> 28).unwrap_or_default();
        let (piece, rest) = body.split_at(bytes.min(body.len()));
        pieces.push(piece.to_vec());
        body = rest;
    }
    pieces
}

fn read_inputs(pieces: &[Vec<u8>], max_line_bytes: usize) -> Vec<Input> {
    let largest = pieces.iter().map(Vec::len).max().unwrap_or_default();
    let mut lines = pin!(readers::lines(pieces, max_line_bytes));
    let mut inputs = Vec::new();
    loop {
        match lines
            .as_mut()
            .poll_next(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(Some(input)) => inputs.push(input),
            Poll::Ready(None) => return inputs,
            Poll::Pending => panic!("it waits for what is there"),
        }
        assert!(
            lines.held() <= max_line_bytes + MARK_BYTES + largest,
            "{} bytes are held",
            lines.held()
        );
    }
}
