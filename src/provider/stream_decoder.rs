//! Decodes a streaming response into a growing answer, and emits its text deltas.

use super::partial_answer::{DecodeError, PartialAnswer, StreamState};
use super::request::TextSink;
use super::wire_format::WireFormat;
use crate::net::{self, Frames};
use crate::types::Mode;

/// Emitter of text deltas to the request's [`TextSink`].
pub struct DeltaEmitter<'a> {
    on_text: Option<TextSink<'a>>,
    mode: Mode,
    emitted_bytes: usize,
}

impl<'a> DeltaEmitter<'a> {
    pub const fn new(on_text: Option<TextSink<'a>>, mode: Mode) -> Self {
        Self {
            on_text,
            mode,
            emitted_bytes: 0,
        }
    }

    /// Emits the part of `text` that is new since the last call.
    pub fn emit(&mut self, text: &str) {
        if let (Some(on_text), Some(delta)) = (self.on_text, text.get(self.emitted_bytes..))
            && !delta.is_empty()
        {
            on_text(self.mode, delta);
            self.emitted_bytes = text.len();
        }
    }
}

/// Decoder of one streaming response.
pub struct StreamDecoder<'a> {
    wire: &'a dyn WireFormat,
    mode: Mode,
    frames: Frames,
    partial: PartialAnswer,
}

impl<'a> StreamDecoder<'a> {
    pub fn new(wire: &'a dyn WireFormat, mode: Mode) -> Self {
        Self {
            wire,
            mode,
            frames: Frames::new(wire.framing()),
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
        match bytes {
            Some(bytes) => self.frames.push(bytes).map_err(|error| too_large(&error))?,
            None => self.frames.end(),
        }
        while let Some(message) = self.frames.message() {
            self.wire.decode_event(&message, &mut self.partial)?;
            deltas.emit(self.partial.text(self.mode));
            if self.partial.content.len() + self.partial.arguments.len() > net::MAX_ANSWER_BYTES {
                return Err(too_large(&net::Error::TooLarge(net::MAX_ANSWER_BYTES)));
            }
        }
        Ok(self.partial.state == StreamState::Ended)
    }

    /// Returns the decoded answer.
    ///
    /// # Errors
    /// If the stream ended before the provider marked the answer as complete.
    pub fn finish(self) -> Result<PartialAnswer, DecodeError> {
        match self.partial.state {
            StreamState::Incomplete => Err(DecodeError::Malformed(
                "the stream ended before the answer was complete".to_owned(),
            )),
            StreamState::AnswerComplete | StreamState::Ended => Ok(self.partial),
        }
    }
}

fn too_large(error: &net::Error) -> DecodeError {
    DecodeError::Malformed(error.to_string())
}

#[cfg(test)]
pub mod tests;
