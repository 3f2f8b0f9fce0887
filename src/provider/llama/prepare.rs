//! Preparing thread between queue and scheduler: tokenises the prompt and compiles the schema into
//! a grammar.
//!
//! Both costs grow with what a caller sends, so they must not delay the decoding threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use super::chat::Chat;
use super::copy_bias::{AnswerBias, CopyBias};
use super::grammar::Grammars;
use super::queue::{Abandoned, Queue};
use super::sampler::Sampler;
use super::slot::{Prepared, ReplySender};
use super::types::{GenerateError, Request};

/// Stack size of the preparing thread. Tokenisers recurse over what a caller sends; only pages in use take memory.
pub const STACK_BYTES: usize = 64 * 1024 * 1024;

/// Queued request.
pub struct PrepareJob {
    pub request: Request,
    pub reply: ReplySender,
}

impl Abandoned for PrepareJob {
    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }
}

/// Converter of requests into tokens and grammars.
pub struct Preparer {
    pub chat: Chat,
    pub grammars: Grammars,
    pub copy_bias: Arc<CopyBias>,
    /// Context size: tokens of prompt and answer together.
    pub context_tokens: usize,
}

impl Preparer {
    /// Prepares jobs until the queue or the scheduler is closed.
    pub fn run(mut self, jobs: &Queue<PrepareJob>, prepared: &SyncSender<Prepared>) {
        while let Some(job) = jobs.pop() {
            if job.is_abandoned() {
                continue;
            }
            let PrepareJob { request, reply } = job;
            let done = catch_unwind(AssertUnwindSafe(|| self.prepare(&request)));
            let failed = || {
                Err(GenerateError::Failed(
                    "preparing the request panicked".to_owned(),
                ))
            };
            match done.unwrap_or_else(|_| failed()) {
                Ok(parts) => {
                    if prepared.send(parts.with_reply(reply)).is_err() {
                        return;
                    }
                }
                Err(error) => reply.send(Err(error)),
            }
        }
    }

    fn prepare(&mut self, request: &Request) -> Result<Parts, GenerateError> {
        let limit = self.max_prompt_tokens(request.max_tokens);
        let too_long = |tokens| GenerateError::InputTooLong { tokens, limit };
        let prompt = self
            .chat
            .tokens(&request.system, &request.turns, limit)
            .map_err(|error| too_long(error.tokens))?;
        if prompt.len() > limit {
            return Err(too_long(prompt.len()));
        }
        let room = self.context_tokens - prompt.len();
        let max_tokens = request.max_tokens.unwrap_or(room).clamp(1, room.max(1));
        let grammar = request
            .schema
            .as_ref()
            .and_then(|schema| self.grammars.get(schema));
        let seed = request.seed.map_or_else(random_seed, u64::from);
        let bias = request
            .copy_source
            .as_deref()
            .map(|text| self.copy_bias.toward(text));
        Ok(Parts {
            prompt,
            grammar,
            max_tokens,
            sampler: Sampler::new(request.temperature, seed),
            bias,
        })
    }

    /// Returns the maximum prompt length. The answer gets an eighth of the context, or what the
    /// caller asks for, up to a half.
    fn max_prompt_tokens(&self, max_tokens: Option<usize>) -> usize {
        let answer = max_tokens
            .unwrap_or(self.context_tokens / 8)
            .clamp(1, (self.context_tokens / 2).max(1));
        self.context_tokens.saturating_sub(answer)
    }
}

/// Prepared request without its reply channel.
struct Parts {
    prompt: Vec<llama_cpp_2::token::LlamaToken>,
    grammar: Option<llguidance::Matcher>,
    sampler: Sampler,
    bias: Option<AnswerBias>,
    max_tokens: usize,
}

impl Parts {
    fn with_reply(self, reply: ReplySender) -> Prepared {
        let Self {
            prompt,
            grammar,
            sampler,
            bias,
            max_tokens,
        } = self;
        Prepared {
            prompt,
            grammar,
            sampler,
            bias,
            max_tokens,
            reply,
        }
    }
}

/// Returns a random seed, from the standard library's randomly keyed hasher.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}
