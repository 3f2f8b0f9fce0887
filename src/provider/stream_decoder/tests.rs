use std::sync::Mutex;

use super::*;
use crate::provider::{Answer, RemainingQuota};

/// Decodes a stream that arrives in these chunks. Returns the answer and the emitted text deltas.
pub fn decode_stream<'b>(
    wire: &dyn WireFormat,
    mode: Mode,
    chunks: impl IntoIterator<Item = &'b [u8]>,
) -> (Result<Answer, DecodeError>, Vec<String>) {
    let emitted = Mutex::new(Vec::new());
    let on_text = |_: Mode, text: &str| emitted.lock().unwrap().push(text.to_owned());
    let mut deltas = DeltaEmitter::new(Some(&on_text), mode);
    let mut decoder = StreamDecoder::new(wire, mode, true);
    let pushed = chunks
        .into_iter()
        .map(Some)
        .chain([None])
        .try_for_each(|chunk| decoder.push(chunk, &mut deltas).map(drop));
    let answer = pushed
        .and_then(|()| decoder.finish())
        .map(|partial| partial.into_answer(mode, RemainingQuota::default()));
    if let Ok(answer) = &answer {
        deltas.emit(&answer.text);
    }
    (answer, emitted.into_inner().unwrap())
}

/// Checks a stream: it decodes to `expected` wherever it is cut in two, and byte by byte; the
/// emitted deltas are the answer's text; and no prefix that ends before `end_mark` decodes to an
/// answer.
#[track_caller]
pub fn check_stream(wire: &dyn WireFormat, stream: &str, end_mark: &str, expected: &Answer) {
    let bytes = stream.as_bytes();
    let check = |chunks: &[&[u8]], case: &str| {
        let (answer, emitted) = decode_stream(wire, expected.mode, chunks.iter().copied());
        assert_eq!(answer.as_ref(), Ok(expected), "{case}");
        assert_eq!(emitted.concat(), expected.text, "{case}");
    };
    for cut in 0..=bytes.len() {
        let (before, after) = bytes.split_at(cut);
        check(&[before, after], &format!("cut at {cut}"));
    }
    check(&bytes.chunks(1).collect::<Vec<_>>(), "byte by byte");
    let end_mark = stream
        .find(end_mark)
        .expect("the end mark is in the stream");
    for end in 0..=end_mark {
        let (answer, _) = decode_stream(wire, expected.mode, [&bytes[..end]]);
        assert!(answer.is_err(), "ended at {end}: {answer:?}");
    }
}

#[test]
fn blank_text_is_looked_at_once() {
    let emitted = Mutex::new(Vec::new());
    let on_text = |_: Mode, text: &str| emitted.lock().unwrap().push(text.to_owned());
    let mut deltas = DeltaEmitter::new(Some(&on_text), Mode::Text);
    for (text, blank) in [("", 0), ("  ", 2), ("   ", 3), ("   a", 3), ("   a b", 3)] {
        deltas.emit(text);
        assert_eq!(deltas.blank_bytes, blank, "{text:?}");
    }
    let mut substituted = DeltaEmitter::new(Some(&on_text), Mode::Text);
    substituted.emit("    ");
    substituted.emit_rest("{}    ");
    assert_eq!(*emitted.lock().unwrap(), ["   a", " b", "{}    "]);
}

#[test]
fn nothing_is_emitted_after_a_hidden_text_until_the_whole_text_is_known() {
    let emitted = Mutex::new(Vec::new());
    let on_text = |_: Mode, text: &str| emitted.lock().unwrap().push(text.to_owned());
    let deltas = DeltaEmitter::new(Some(&on_text), Mode::Text);
    let mut deltas = deltas.hiding(vec!["sk-first", "sk-second"]);
    for text in [
        "a sk-",
        "a sk-b sk-fir",
        "a sk-b sk-first c",
        "a sk-b sk-first c sk-second",
    ] {
        deltas.emit(text);
    }
    assert_eq!(*emitted.lock().unwrap(), ["a ", "sk-b "]);
    deltas.emit_rest("a sk-b *** c ***");
    assert_eq!(emitted.lock().unwrap().concat(), "a sk-b *** c ***");
}
