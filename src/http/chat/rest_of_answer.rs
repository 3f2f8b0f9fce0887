//! Rest of an extraction's answer, which is sent in parts: a long one at once would keep a worker for a second.

use super::completion::{Chunks, ReadyAnswer};
use super::live_text::{Contradiction, LiveText};
use super::schema_choice::AnswerForm;
use crate::types::{Code, Error, FieldError, Outcome};

/// Size of the pieces of an answer that is sent once it is valid, in characters.
const PIECE_CHARS: usize = 200;

/// Rest of an answer.
#[derive(Debug)]
pub struct RestOfAnswer {
    /// Whole answer; or the explanation of a refusal.
    pub answer: ReadyAnswer,
    /// Length of the text that was sent, in bytes.
    sent: usize,
    /// Chunks after the text.
    pub last: Vec<String>,
}

impl RestOfAnswer {
    /// Returns what `live` has not sent of an outcome's answer.
    ///
    /// # Errors
    /// The error of an outcome without an answer; `extraction_failed` if the answer contradicts the text that was sent.
    pub fn new(
        outcome: &Outcome,
        form: &AnswerForm,
        live: LiveText,
        chunks: &Chunks,
        warnings: &[FieldError],
    ) -> Result<Self, Error> {
        let answer = ReadyAnswer::from_outcome(outcome, form)?;
        let sent = if answer.is_refusal {
            0
        } else {
            let rest = live.finish(&answer.text);
            answer.text.len() - rest.map_err(|Contradiction| contradiction())?.len()
        };
        let last = chunks.end(answer.finish_reason, outcome, warnings);
        Ok(Self { answer, sent, last })
    }

    /// Returns the memory that it takes, in bytes.
    pub fn bytes(&self) -> usize {
        self.answer.text.len() + self.last.iter().map(String::len).sum::<usize>()
    }

    /// Takes the next piece of the text, of at most 200 characters; empty at the end.
    pub fn next_piece(&mut self) -> &str {
        let rest = self.answer.text.get(self.sent..).unwrap_or_default();
        let end = rest.char_indices().nth(PIECE_CHARS);
        let piece = end.map_or(rest, |(end, _)| rest.get(..end).unwrap_or_default());
        self.sent += piece.len();
        piece
    }
}

fn contradiction() -> Error {
    Error::new(
        Code::ExtractionFailed,
        "the answer had to be corrected after a part of it was sent; send the request again, without `stream`, or with \
         `\"extractd\": {\"live\": false}`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_add_up_to_the_text_that_was_not_sent() {
        let text = "Zoë".repeat(150);
        let answer = ReadyAnswer {
            text: text.clone(),
            is_refusal: false,
            finish_reason: "stop",
        };
        let mut rest = RestOfAnswer {
            answer,
            sent: 4,
            last: Vec::new(),
        };
        let (mut pieces, mut counts) = (String::from("Zoë"), Vec::new());
        loop {
            let piece = rest.next_piece();
            if piece.is_empty() {
                break;
            }
            counts.push(piece.chars().count());
            pieces.push_str(piece);
        }
        assert_eq!(pieces, text);
        assert_eq!(counts, [PIECE_CHARS, PIECE_CHARS, 47]);
    }
}
