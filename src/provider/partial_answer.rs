//! Answer while it is decoded, from a whole response or from the events of a stream.

use throttle::RemainingQuota;

use super::answer::{Answer, Finish};
use super::error_body::UpstreamErrorBody;
use crate::types::{Mode, Usage};

/// Maximum length of a provider's explanation, in bytes, as for `raw` in an error: errors and traces repeat it, and are not counted.
const MAX_EXPLANATION_BYTES: usize = 64 * 1024;

/// Answer as decoded so far.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PartialAnswer {
    pub content: String,
    /// Arguments of the tool call, as JSON text.
    pub arguments: String,
    /// Reasoning, as long as it may be the whole answer: JSON from its first character on.
    pub reasoning: String,
    /// Tool call whose arguments are read; others are ignored.
    pub tool_call: ToolCallCursor,
    /// True if `content` is a JSON value that the provider parsed, not text of the model.
    pub is_content_parsed: bool,
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

    /// Returns the length of the texts one of which is the answer, in bytes.
    #[must_use]
    pub const fn text_bytes(&self) -> usize {
        self.content.len() + self.arguments.len() + self.reasoning.len()
    }

    /// Adds reasoning text. Kept only if it is JSON from its first character on: some servers put the whole answer there.
    pub fn push_reasoning(&mut self, text: &str) {
        let is_start = self.reasoning.is_empty();
        let text = if is_start { text.trim_start() } else { text };
        if !is_start || text.starts_with(['{', '[']) {
            self.reasoning.push_str(text);
        }
    }

    /// Returns the size of the answer so far, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        [
            &self.content,
            &self.arguments,
            &self.reasoning,
            &self.refusal,
            &self.tool_call.id,
        ]
        .map(String::len)
        .iter()
        .sum()
    }

    /// Returns the final answer. If the mode's own field is empty, content and tool arguments substitute for each other. If both
    /// are empty, reasoning that is JSON as a whole does.
    #[must_use]
    pub fn into_answer(self, mode: Mode, remaining_quota: RemainingQuota) -> Answer {
        let content = (self.content, self.is_content_parsed);
        let arguments = (self.arguments, true);
        let (expected, substitute) = if mode == Mode::Tools {
            (arguments, content)
        } else {
            (content, arguments)
        };
        let (mut text, is_parsed) = if expected.0.trim().is_empty() && !substitute.0.is_empty() {
            substitute
        } else {
            expected
        };
        let mut remark = None;
        if text.trim().is_empty() && self.refusal.is_empty() && is_json(&self.reasoning) {
            text = self.reasoning;
            remark = Some(REASONING_REMARK);
        }
        let finish = if self.refusal.is_empty() {
            self.finish.unwrap_or(Finish::Unknown)
        } else {
            Finish::Refusal(self.refusal)
        };
        let finish = match finish {
            Finish::Refusal(reason) => Finish::Refusal(shortened(reason)),
            Finish::Invalid(reason) => Finish::Invalid(shortened(reason)),
            finish => finish,
        };
        Answer {
            text,
            finish,
            usage: self.usage,
            mode,
            remaining_quota,
            is_parsed,
            remark,
        }
    }
}

/// Returns the beginning of a provider's explanation.
fn shortened(mut reason: String) -> String {
    if reason.len() > MAX_EXPLANATION_BYTES {
        reason.truncate(reason.floor_char_boundary(MAX_EXPLANATION_BYTES));
        reason.shrink_to_fit();
    }
    reason
}

fn is_json(text: &str) -> bool {
    !text.is_empty() && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// Remark of an answer that was found in the reasoning.
const REASONING_REMARK: &str =
    "the server put the whole answer into its reasoning, and nothing into the content";

/// Position among the tool calls of an answer. Only the first one counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ToolCallCursor {
    /// Index of the first tool call; `None`: none so far.
    first: Option<u64>,
    /// Index of the tool call that the last delta belongs to.
    current: u64,
    /// Id of the first tool call.
    id: String,
    /// True if another call with the index of the first one has begun.
    is_past: bool,
}

impl ToolCallCursor {
    /// Moves to the call of a delta. Returns true if it is the first one.
    ///
    /// A delta without an index belongs to the call of the last delta. `is_new` is true for a delta with a name, whose id tells
    /// it from a call with the same index: some servers number all calls 0.
    pub fn moves_to(&mut self, index: Option<u64>, id: &str, is_new: bool) -> bool {
        self.current = index.unwrap_or(self.current);
        let first = *self.first.get_or_insert(self.current);
        if self.current != first {
            return false;
        }
        if self.id.is_empty() {
            id.clone_into(&mut self.id);
        } else if is_new && !id.is_empty() && id != self.id {
            self.is_past = true;
        }
        !self.is_past
    }
}

/// Reason why a 200 response contains no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecodeError {
    /// The body does not have the API's format; with a sentence that says why.
    Malformed(String),
    /// The body contains an error instead of an answer.
    ErrorBody(Box<UpstreamErrorBody>),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(partial: PartialAnswer) -> Answer {
        partial.into_answer(Mode::Text, RemainingQuota::default())
    }

    #[test]
    fn explanations_are_shortened() {
        let long = "é".repeat(1_000_000);
        let of_finish = |finish: Finish| {
            let finish = answer(PartialAnswer {
                finish: Some(finish),
                ..PartialAnswer::default()
            });
            finish.finish
        };
        let refused = answer(PartialAnswer {
            refusal: long.clone(),
            ..PartialAnswer::default()
        });
        for finish in [
            refused.finish,
            of_finish(Finish::Refusal(long.clone())),
            of_finish(Finish::Invalid(long)),
        ] {
            let (Finish::Refusal(reason) | Finish::Invalid(reason)) = finish else {
                panic!("neither a refusal nor invalid")
            };
            assert_eq!(reason.len(), MAX_EXPLANATION_BYTES);
            assert!(reason.capacity() < 2 * MAX_EXPLANATION_BYTES);
        }
        let short = of_finish(Finish::Refusal("No.".to_owned()));
        assert_eq!(short, Finish::Refusal("No.".to_owned()));
    }

    #[test]
    fn the_id_of_a_call_counts() {
        let mut partial = PartialAnswer::default();
        partial.tool_call.moves_to(Some(0), &"x".repeat(1000), true);
        partial.content.push('y');
        assert_eq!(partial.size(), 1001);
    }
}
