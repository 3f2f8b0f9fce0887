//! A stream as it is heard: bytes as they come, to an answer that grows, to whoever listens.

use super::{DecodeError, PartialAnswer, StreamEnd, TextSink, WireFormat};
use crate::net::{self, Frames};
use crate::types::Mode;

/// Who hears the answer's text as it comes.
pub struct DeltaEmitter<'a> {
    on_text: Option<TextSink<'a>>,
    mode: Mode,
    /// So many bytes has it been told.
    told: usize,
}

impl<'a> DeltaEmitter<'a> {
    pub const fn new(on_text: Option<TextSink<'a>>, mode: Mode) -> Self {
        Self {
            on_text,
            mode,
            told: 0,
        }
    }

    /// Tells what is new in the text.
    pub fn tell(&mut self, text: &str) {
        if let (Some(on_text), Some(new)) = (self.on_text, text.get(self.told..))
            && !new.is_empty()
        {
            on_text(self.mode, new);
            self.told = text.len();
        }
    }
}

/// A stream that is being heard.
pub struct StreamDecoder<'a> {
    wire: &'a dyn WireFormat,
    mode: Mode,
    frames: Frames,
    draft: PartialAnswer,
}

impl<'a> StreamDecoder<'a> {
    pub fn new(wire: &'a dyn WireFormat, mode: Mode) -> Self {
        Self {
            wire,
            mode,
            frames: Frames::new(wire.framing()),
            draft: PartialAnswer::default(),
        }
    }

    /// Takes the next bytes, `None` at the end of all. True: nothing follows that matters.
    ///
    /// # Errors
    /// When they are no answer, or say that something went wrong.
    pub fn take(
        &mut self,
        bytes: Option<&[u8]>,
        listener: &mut DeltaEmitter<'_>,
    ) -> Result<bool, DecodeError> {
        match bytes {
            Some(bytes) => self.frames.push(bytes).map_err(|error| too_large(&error))?,
            None => self.frames.end(),
        }
        while let Some(message) = self.frames.message() {
            self.wire.decode_event(&message, &mut self.draft)?;
            listener.tell(self.draft.text(self.mode));
            if self.draft.content.len() + self.draft.arguments.len() > net::MAX_ANSWER_BYTES {
                return Err(too_large(&net::Error::TooLarge(net::MAX_ANSWER_BYTES)));
            }
        }
        Ok(self.draft.end == StreamEnd::Over)
    }

    /// The answer.
    ///
    /// # Errors
    /// When the stream ended before the provider said that the answer is whole.
    pub fn finish(self) -> Result<PartialAnswer, DecodeError> {
        match self.draft.end {
            StreamEnd::Open => Err(DecodeError::Format(
                "the stream ended before the answer was whole".to_owned(),
            )),
            StreamEnd::Whole | StreamEnd::Over => Ok(self.draft),
        }
    }
}

fn too_large(error: &net::Error) -> DecodeError {
    DecodeError::Format(error.to_string())
}

#[cfg(test)]
pub mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::provider::{Answer, RemainingQuota};

    /// What a stream in these pieces comes to, and the pieces of text that were told.
    pub fn heard<'b>(
        wire: &dyn WireFormat,
        mode: Mode,
        pieces: impl IntoIterator<Item = &'b [u8]>,
    ) -> (Result<Answer, DecodeError>, Vec<String>) {
        let told = Mutex::new(Vec::new());
        let on_text = |_: Mode, text: &str| told.lock().unwrap().push(text.to_owned());
        let mut listener = DeltaEmitter::new(Some(&on_text), mode);
        let mut hearing = StreamDecoder::new(wire, mode);
        let whole = pieces
            .into_iter()
            .map(Some)
            .chain([None])
            .try_for_each(|piece| hearing.take(piece, &mut listener).map(drop));
        let answer = whole
            .and_then(|()| hearing.finish())
            .map(|draft| draft.answer(mode, RemainingQuota::default()));
        if let Ok(answer) = &answer {
            listener.tell(&answer.text);
        }
        (answer, told.into_inner().unwrap())
    }

    /// Checks that a stream comes to this answer wherever it is cut in two and byte by byte, that what was told is the answer's
    /// text, and that no beginning of it without its end mark, which is after `whole_from`, passes for an answer.
    #[track_caller]
    pub fn check_stream(wire: &dyn WireFormat, stream: &str, whole_from: &str, expected: &Answer) {
        let bytes = stream.as_bytes();
        let check = |pieces: &[&[u8]], how: &str| {
            let (answer, told) = heard(wire, expected.mode, pieces.iter().copied());
            assert_eq!(answer.as_ref(), Ok(expected), "{how}");
            assert_eq!(told.concat(), expected.text, "{how}");
        };
        for cut in 0..=bytes.len() {
            let (before, after) = bytes.split_at(cut);
            check(&[before, after], &format!("cut at {cut}"));
        }
        check(&bytes.chunks(1).collect::<Vec<_>>(), "byte by byte");
        let whole_from = stream
            .find(whole_from)
            .expect("the end mark is in the stream");
        for end in 0..=whole_from {
            let (answer, _) = heard(wire, expected.mode, [&bytes[..end]]);
            assert!(answer.is_err(), "ended at {end}: {answer:?}");
        }
    }
}
