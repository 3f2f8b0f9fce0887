//! A stream as it is heard: bytes as they come, to an answer that grows, to whoever listens.

use super::{Draft, End, OnText, Wire, Wrong};
use crate::model::Mode;
use crate::net::{self, Frames};

/// Who hears the answer's text as it comes.
pub struct Listener<'a> {
    on_text: Option<OnText<'a>>,
    mode: Mode,
    /// So many bytes has it been told.
    told: usize,
}

impl<'a> Listener<'a> {
    pub const fn new(on_text: Option<OnText<'a>>, mode: Mode) -> Self {
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
pub struct Hearing<'a> {
    wire: &'a dyn Wire,
    mode: Mode,
    frames: Frames,
    draft: Draft,
}

impl<'a> Hearing<'a> {
    pub fn new(wire: &'a dyn Wire, mode: Mode) -> Self {
        Self {
            wire,
            mode,
            frames: Frames::new(wire.framing()),
            draft: Draft::default(),
        }
    }

    /// Takes the next bytes, `None` at the end of all. True: nothing follows that matters.
    ///
    /// # Errors
    /// When they are no answer, or say that something went wrong.
    pub fn take(
        &mut self,
        bytes: Option<&[u8]>,
        listener: &mut Listener<'_>,
    ) -> Result<bool, Wrong> {
        match bytes {
            Some(bytes) => self.frames.push(bytes).map_err(|error| too_large(&error))?,
            None => self.frames.end(),
        }
        while let Some(message) = self.frames.message() {
            self.wire.hear(&message, &mut self.draft)?;
            listener.tell(self.draft.text(self.mode));
            if self.draft.content.len() + self.draft.arguments.len() > net::MAX_ANSWER_BYTES {
                return Err(too_large(&net::Error::TooLarge(net::MAX_ANSWER_BYTES)));
            }
        }
        Ok(self.draft.end == End::Over)
    }

    /// The answer.
    ///
    /// # Errors
    /// When the stream ended before the provider said that the answer is whole.
    pub fn finish(self) -> Result<Draft, Wrong> {
        match self.draft.end {
            End::Open => Err(Wrong::Format(
                "the stream ended before the answer was whole".to_owned(),
            )),
            End::Whole | End::Over => Ok(self.draft),
        }
    }
}

fn too_large(error: &net::Error) -> Wrong {
    Wrong::Format(error.to_string())
}

#[cfg(test)]
pub mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::provider::{Answer, Left};

    /// What a stream in these pieces comes to, and the pieces of text that were told.
    pub fn heard<'b>(
        wire: &dyn Wire,
        mode: Mode,
        pieces: impl IntoIterator<Item = &'b [u8]>,
    ) -> (Result<Answer, Wrong>, Vec<String>) {
        let told = Mutex::new(Vec::new());
        let on_text = |_: Mode, text: &str| told.lock().unwrap().push(text.to_owned());
        let mut listener = Listener::new(Some(&on_text), mode);
        let mut hearing = Hearing::new(wire, mode);
        let whole = pieces
            .into_iter()
            .map(Some)
            .chain([None])
            .try_for_each(|piece| hearing.take(piece, &mut listener).map(drop));
        let answer = whole
            .and_then(|()| hearing.finish())
            .map(|draft| draft.answer(mode, Left::default()));
        if let Ok(answer) = &answer {
            listener.tell(&answer.text);
        }
        (answer, told.into_inner().unwrap())
    }

    /// Checks that a stream comes to this answer wherever it is cut in two and byte by byte, that what was told is the answer's
    /// text, and that no beginning of it without its end mark, which is after `whole_from`, passes for an answer.
    #[track_caller]
    pub fn check_stream(wire: &dyn Wire, stream: &str, whole_from: &str, expected: &Answer) {
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
