//! Decodes a response, streamed or whole, into a growing answer, and emits its text deltas.

use super::lenient_json::JsonText;
use super::partial_answer::{DecodeError, PartialAnswer, StreamState};
use super::request::TextSink;
use super::wire_format::WireFormat;
use crate::long_work::{LONG_TEXT_BYTES, append_off_worker, run_off_worker};
use crate::net::{self, Frames, Framing};
use crate::types::Mode;

/// Emitter of text deltas to the request's [`TextSink`].
pub struct DeltaEmitter<'a> {
    on_text: Option<TextSink<'a>>,
    mode: Mode,
    emitted_bytes: usize,
    /// Length of the text's beginning that is known to be blank.
    blank_bytes: usize,
    /// Texts that are not emitted.
    hidden: Vec<&'a str>,
    /// True once one of them was found: nothing after it is emitted, or searched.
    has_found_hidden: bool,
}

impl<'a> DeltaEmitter<'a> {
    #[must_use]
    pub const fn new(on_text: Option<TextSink<'a>>, mode: Mode) -> Self {
        Self {
            on_text,
            mode,
            emitted_bytes: 0,
            blank_bytes: 0,
            hidden: Vec::new(),
            has_found_hidden: false,
        }
    }

    /// Emits no text from the first of these on, nor what may become one of them.
    #[must_use]
    pub fn hiding(self, hidden: Vec<&'a str>) -> Self {
        Self { hidden, ..self }
    }

    /// Returns the length of the part of a text that has no hidden text, not even the beginning of one.
    fn visible_bytes(&mut self, text: &str) -> usize {
        if self.has_found_hidden {
            return self.emitted_bytes;
        }
        let new = text.get(self.emitted_bytes..).unwrap_or_default();
        let mut end = new.len();
        for hidden in &self.hidden {
            let found = new.find(hidden);
            self.has_found_hidden |= found.is_some();
            end = end.min(found.unwrap_or_else(|| new.len() - begun_bytes(new, hidden)));
        }
        self.emitted_bytes + end
    }

    /// Emits the rest of the whole text.
    pub fn emit_rest(&mut self, text: &str) {
        self.hidden.clear();
        self.has_found_hidden = false;
        self.blank_bytes = 0;
        self.emit(text);
    }

    /// Emits the part of `text` that is new since the last call.
    pub fn emit(&mut self, text: &str) {
        // Another field substitutes for one that stays blank. Only the new part is looked at.
        if self.emitted_bytes == 0 {
            let new = text.get(self.blank_bytes..).unwrap_or(text).trim_start();
            self.blank_bytes = text.len() - new.len();
            if new.is_empty() {
                return;
            }
        }
        let Some(on_text) = self.on_text else { return };
        let end = self.visible_bytes(text);
        if let Some(delta) = text.get(self.emitted_bytes..end)
            && !delta.is_empty()
        {
            on_text(self.mode, delta);
            self.emitted_bytes = end;
        }
    }
}

/// Returns the length of the end of a text that is the beginning of a hidden text.
pub(super) fn begun_bytes(text: &str, hidden: &str) -> usize {
    let prefixes = hidden
        .char_indices()
        .rev()
        .map(|(end, _)| hidden.get(..end));
    let begun = prefixes.flatten().find(|prefix| text.ends_with(*prefix));
    begun.map_or(0, str::len)
}

/// Decoder of one response, whole or streamed. The first bytes say which of both it is: some servers stream unasked, others answer
/// at once although a stream was asked for, and the content type says neither.
pub struct StreamDecoder<'a> {
    wire: &'a dyn WireFormat,
    mode: Mode,
    /// True if a stream was asked for.
    is_streamed: bool,
    body: Body,
    /// Length of the byte order mark and the white space before the body.
    skipped_bytes: usize,
    partial: PartialAnswer,
}

/// Form of the body.
enum Body {
    /// The bytes so far do not tell.
    Undecided(Vec<u8>),
    Whole(Vec<u8>),
    Stream(Frames),
}

impl<'a> StreamDecoder<'a> {
    pub fn new(wire: &'a dyn WireFormat, mode: Mode, is_streamed: bool) -> Self {
        Self {
            wire,
            mode,
            is_streamed,
            body: Body::Undecided(Vec::new()),
            skipped_bytes: 0,
            partial: PartialAnswer::default(),
        }
    }

    /// Decodes the next bytes; `None` at the end of the body. Returns true if nothing that matters
    /// can follow.
    ///
    /// # Errors
    /// If the bytes are malformed, contain an error, or make the answer longer than
    /// [`net::MAX_ANSWER_BYTES`].
    pub fn push(
        &mut self,
        bytes: Option<&[u8]>,
        deltas: &mut DeltaEmitter<'_>,
    ) -> Result<bool, DecodeError> {
        match &mut self.body {
            Body::Undecided(start) | Body::Whole(start) => {
                let more = bytes.unwrap_or_default();
                append_off_worker(start.len(), start.capacity(), more.len(), || {
                    start.extend_from_slice(more);
                });
                // A byte order mark and white space tell nothing, and are not searched again with each piece.
                let rest = start.strip_prefix(BYTE_ORDER_MARK).unwrap_or(start);
                let skipped = start.len() - rest.trim_ascii_start().len();
                self.skipped_bytes += skipped;
                start.drain(..skipped);
                if start.len() + self.skipped_bytes > net::MAX_ANSWER_BYTES {
                    return Err(too_large(&net::Error::TooLarge(net::MAX_ANSWER_BYTES)));
                }
            }
            Body::Stream(frames) => push_frames(frames, bytes)?,
        }
        if let Body::Undecided(start) = &mut self.body {
            let framing = self.wire.framing();
            let is_line = self.is_streamed && framing == Framing::Lines;
            let new = bytes.unwrap_or_default();
            // A line that has not ended is not searched again with each piece.
            if is_line
                && start.len() > MIN_DECIDED_BYTES + new.len()
                && !new.contains(&b'\n')
                && bytes.is_some()
            {
                return Ok(false);
            }
            match detect(start, bytes.is_none(), self.is_streamed, framing) {
                None => return Ok(false),
                Some(BodyForm::Whole) => self.body = Body::Whole(std::mem::take(start)),
                Some(BodyForm::Stream(framing)) => {
                    let mut frames = Frames::new(framing);
                    push_frames(&mut frames, Some(start))?;
                    if bytes.is_none() {
                        frames.end();
                    }
                    self.body = Body::Stream(frames);
                }
            }
        }
        let Body::Stream(frames) = &mut self.body else {
            return Ok(false);
        };
        while self.partial.state != StreamState::Ended
            && let Some(message) = frames.message()
        {
            decode_message(self.wire, &message, &mut self.partial)?;
            deltas.emit(self.partial.text(self.mode));
            if self.partial.size() > net::MAX_ANSWER_BYTES {
                return Err(too_large(&net::Error::TooLarge(net::MAX_ANSWER_BYTES)));
            }
        }
        Ok(self.partial.state == StreamState::Ended)
    }

    /// Returns the size of what [`StreamDecoder::finish`] will decode, in bytes: of a whole body; of a stream, none.
    #[must_use]
    pub const fn undecoded_bytes(&self) -> usize {
        match &self.body {
            Body::Undecided(body) | Body::Whole(body) => body.len(),
            Body::Stream(_) => 0,
        }
    }

    /// Returns the decoded answer.
    ///
    /// # Errors
    /// If the body is malformed, or a stream ended before the provider marked the answer as complete.
    pub fn finish(self) -> Result<PartialAnswer, DecodeError> {
        match self.body {
            Body::Undecided(body) | Body::Whole(body) if !body.is_empty() => {
                decode_whole(self.wire, &body)
            }
            Body::Undecided(_) | Body::Whole(_) => {
                Err(DecodeError::Malformed("the response is empty".to_owned()))
            }
            _ if self.partial.state == StreamState::Incomplete => Err(DecodeError::Malformed(
                "the stream ended before the answer was complete".to_owned(),
            )),
            Body::Stream(_) => Ok(self.partial),
        }
    }
}

fn push_frames(frames: &mut Frames, bytes: Option<&[u8]>) -> Result<(), DecodeError> {
    if let Some(bytes) = bytes {
        return frames.push(bytes).map_err(|error| too_large(&error));
    }
    frames.end();
    Ok(())
}

/// Decodes a message of a stream. Nothing that is malformed can spoil an answer that is complete already.
pub(super) fn decode_message(
    wire: &dyn WireFormat,
    message: &[u8],
    partial: &mut PartialAnswer,
) -> Result<(), DecodeError> {
    if is_noise(message) {
        return Ok(());
    }
    let is_slow = message.len() >= LONG_TEXT_BYTES;
    match run_off_worker(is_slow, || wire.decode_event(message, partial)) {
        Err(DecodeError::Malformed(_)) if partial.state != StreamState::Incomplete => Ok(()),
        result => result,
    }
}

/// Returns true for a message that is no event: a comment that a gateway sends as data, or a sign of life.
pub(super) fn is_noise(message: &[u8]) -> bool {
    let message = message.trim_ascii();
    let signs: [&[u8]; 6] = [
        b"",
        b"null",
        b"ping",
        b"keepalive",
        b"keep-alive",
        b"heartbeat",
    ];
    message.starts_with(b":") || signs.iter().any(|sign| message.eq_ignore_ascii_case(sign))
}

/// Decodes a whole body. Lines of events, which start like a whole body, are decoded as a stream.
fn decode_whole(wire: &dyn WireFormat, body: &[u8]) -> Result<PartialAnswer, DecodeError> {
    let whole = wire.decode(body);
    let Err(DecodeError::Malformed(_)) = &whole else {
        return whole;
    };
    let mut partial = PartialAnswer::default();
    let lines = body
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.trim_ascii().is_empty());
    let mut count = 0;
    for line in lines {
        count += 1;
        match decode_message(wire, line, &mut partial) {
            Ok(()) => {}
            Err(error @ DecodeError::ErrorBody(_)) if count > 1 => return Err(error),
            Err(_) => return whole,
        }
    }
    if count > 1 && partial.state != StreamState::Incomplete {
        Ok(partial)
    } else {
        whole
    }
}

/// Form of a body, by its first bytes.
enum BodyForm {
    Whole,
    Stream(Framing),
}

/// Starts of server-sent events.
const EVENT_STARTS: [&[u8]; 5] = [b"data", b"event", b"id:", b"retry", b":"];
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Length of a body's beginning that shows whether it consists of events.
const MIN_DECIDED_BYTES: usize = 16;

/// Returns the form of a body that starts with these bytes, or `None` if more of them are needed.
fn detect(start: &[u8], is_end: bool, is_streamed: bool, framing: Framing) -> Option<BodyForm> {
    let is_open = |prefixes: &[&[u8]], bytes: &[u8]| {
        !is_end && prefixes.iter().any(|prefix| prefix.starts_with(bytes))
    };
    if is_open(&[BYTE_ORDER_MARK], start) {
        return None;
    }
    let start = start.strip_prefix(BYTE_ORDER_MARK).unwrap_or(start);
    let start = start.trim_ascii_start();
    if EVENT_STARTS.iter().any(|prefix| start.starts_with(prefix)) {
        return Some(BodyForm::Stream(Framing::Events));
    }
    if is_open(&EVENT_STARTS, start) {
        return None;
    }
    if is_streamed && framing == Framing::Lines {
        // A line that is JSON by itself is an event; JSON over several lines is whole.
        let Some(end) = memchr::memchr(b'\n', start) else {
            return is_end.then_some(BodyForm::Whole);
        };
        let line = start.get(..end).unwrap_or_default();
        if JsonText::parse(line).is_ok() {
            return Some(BodyForm::Stream(Framing::Lines));
        }
    }
    Some(BodyForm::Whole)
}

fn too_large(error: &net::Error) -> DecodeError {
    DecodeError::Malformed(error.to_string())
}

#[cfg(test)]
pub mod tests;
