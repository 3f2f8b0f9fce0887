//! Settings, requests, answers and errors of the built-in model.

use std::sync::Arc;

use super::answer_schema::AnswerSchema;
use super::chat::ChatTurn;

/// Settings of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Number of decoding threads, each with answers of its own; sensibly the number of cores.
    ///
    /// The threads never wait for each other, so a thread that loses its core does not delay the
    /// rest. Several threads for one answer would spin while they wait, and on a busy machine
    /// everything becomes ten times slower.
    pub workers: usize,
    /// Number of answers decoded at a time, 1 to 64, divided among the workers.
    pub parallel: usize,
    /// Context size of each answer: tokens of prompt and answer together. At most the size that the
    /// model was trained for.
    pub context_tokens: usize,
    /// Maximum number of queued requests, beside those being decoded and as many again that are
    /// prepared.
    pub queue: usize,
}

/// Request for one answer.
#[derive(Debug, Clone)]
pub struct Request {
    /// System prompt. The common beginning of prompts (here and in the first turns) is computed
    /// once.
    pub system: Arc<str>,
    /// Chat turns: worked examples, and the question at the end.
    pub turns: Vec<ChatTurn>,
    /// Schema that constrains the answer; `None`: free text.
    pub schema: Option<AnswerSchema>,
    /// Text that values are copied from: words that are not in it become less likely. `None`: no
    /// such bias.
    pub copy_source: Option<Arc<str>>,
    /// Sampling temperature. 0: always the likeliest token (greedy); 1: the model's own
    /// distribution.
    pub temperature: f32,
    /// Sampling seed; `None`: random.
    pub seed: Option<u32>,
    /// Maximum number of tokens of the answer; `None`: what the context leaves.
    pub max_tokens: Option<usize>,
}

/// Answer of the built-in model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// Text of the answer; compact JSON if constrained and not truncated.
    pub text: String,
    /// Finish reason.
    pub finish: Finish,
    /// True if the schema was enforced to the end. Some schemas exceed the grammar, so the answer
    /// must be validated in any case.
    pub constrained: bool,
    /// Number of prompt tokens, including those computed for another request.
    pub input_tokens: usize,
    /// Number of tokens of the answer.
    pub output_tokens: usize,
}

/// Finish reason of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// The answer is complete.
    Stop,
    /// The answer was truncated at the token limit.
    Length,
}

/// Error of a request to the built-in model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    /// The queue is full; retry later.
    #[error("the queue of the built-in model is full; retry later")]
    Overloaded,
    /// The prompt exceeds the context; a shorter text is needed.
    #[error(
        "the prompt has {tokens} tokens, and the built-in model accepts {limit}; shorten the text, or use a model with a larger context"
    )]
    InputTooLong {
        /// Number of prompt tokens; a lower bound if the text is too long to be tokenised.
        tokens: usize,
        /// Maximum number of prompt tokens.
        limit: usize,
    },
    /// The engine was dropped, or one of its threads panicked.
    #[error("the built-in model has stopped; restart the server")]
    Stopped,
    /// Preparing or decoding failed.
    #[error("the built-in model failed: {0}")]
    Failed(String),
}
