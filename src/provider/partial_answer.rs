//! Answer while it is decoded, from a whole response or from the events of a stream.

use throttle::RemainingQuota;

use super::answer::{Answer, Finish};
use super::error_body::UpstreamErrorBody;
use crate::types::{Mode, Usage};

/// Answer as decoded so far.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PartialAnswer {
    pub content: String,
    /// Arguments of the tool call, as JSON text.
    pub arguments: String,
    /// Explanation of a refusal; empty: the model did not refuse.
    pub refusal: String,
    /// `None`: not reported yet.
    pub finish: Option<Finish>,
    /// `None`: not reported yet.
    pub usage: Option<Usage>,
    pub state: StreamState,
}

/// Progress of a stream, to detect one that ends too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum StreamState {
    /// More of the answer must follow.
    #[default]
    Incomplete,
    /// The answer is complete; usage may follow.
    AnswerComplete,
    /// Nothing follows.
    Ended,
}

impl PartialAnswer {
    /// Returns the text that is certain to be part of the answer in this mode: tool arguments or
    /// content.
    #[must_use]
    pub fn text(&self, mode: Mode) -> &str {
        if mode == Mode::Tools {
            &self.arguments
        } else {
            &self.content
        }
    }

    /// Returns the final answer. If the mode's own field is empty, content and tool arguments
    /// substitute for each other.
    #[must_use]
    pub fn into_answer(self, mode: Mode, remaining_quota: RemainingQuota) -> Answer {
        let (expected, substitute) = if mode == Mode::Tools {
            (self.arguments, self.content)
        } else {
            (self.content, self.arguments)
        };
        let text = if expected.is_empty() {
            substitute
        } else {
            expected
        };
        let finish = if self.refusal.is_empty() {
            self.finish.unwrap_or(Finish::Unknown)
        } else {
            Finish::Refusal(self.refusal)
        };
        Answer {
            text,
            finish,
            usage: self.usage,
            mode,
            remaining_quota,
        }
    }
}

/// Reason why a 200 response contains no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecodeError {
    /// The body does not have the API's format; with a sentence that says why.
    Malformed(String),
    /// The body contains an error instead of an answer.
    ErrorBody(UpstreamErrorBody),
}
