//! The thread between the waiting room and the scheduler: text to tokens, schema to grammar.
//!
//! Both are work that grows with what a caller sends, so they happen beside the decoding and not within it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::SyncSender;

use super::chat::Chat;
use super::copy_bias::CopyBias;
use super::grammar::Grammars;
use super::queue::{Abandoned, Queue};
use super::sampler::Sampler;
use super::slot::{Prepared, ReplySender};
use super::{GenerateError, Request};

/// The stack of the preparing thread. Tokenisers and the schema compiler recurse over what a caller sends; only the pages
/// that are used are ever taken.
pub const STACK_BYTES: usize = 64 * 1024 * 1024;

/// A request in the waiting room.
pub struct PrepareJob {
    /// What is asked.
    pub request: Request,
    /// Where the answer goes.
    pub reply: ReplySender,
}

impl Abandoned for PrepareJob {
    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }
}

/// Everything that preparing needs.
pub struct Preparer {
    /// Text to tokens.
    pub chat: Chat,
    /// Schema to grammar.
    pub grammars: Grammars,
    /// Words to tokens.
    pub source: CopyBias,
    /// Prompt and answer together.
    pub context_tokens: usize,
}

impl Preparer {
    /// Works until the waiting room or the scheduler is closed.
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
                    if prepared.send(parts.with(reply)).is_err() {
                        return;
                    }
                }
                // The caller may have gone; then nobody wants the error.
                Err(error) => reply.send(Err(error)),
            }
        }
    }

    fn prepare(&mut self, request: &Request) -> Result<Parts, GenerateError> {
        let limit = self.longest_prompt(request.max_tokens);
        let too_long = |tokens| GenerateError::InputTooLong { tokens, limit };
        let prompt = self
            .chat
            .tokens(&request.system, &request.turns, limit)
            .map_err(|long| too_long(long.tokens))?;
        if prompt.len() > limit {
            return Err(too_long(prompt.len()));
        }
        let room = self.context_tokens - prompt.len();
        let max_tokens = request.max_tokens.unwrap_or(room).clamp(1, room.max(1));
        let grammar = request
            .schema
            .as_deref()
            .and_then(|schema| self.grammars.get(schema));
        let seed = request.seed.map_or_else(random_seed, u64::from);
        let strange = request
            .source
            .as_deref()
            .map(|text| self.source.strange_to(text));
        Ok(Parts {
            prompt,
            grammar,
            max_tokens,
            sampler: Sampler::new(request.temperature, seed).avoiding(strange),
        })
    }

    /// The answer gets an eighth of the context at least, or what the caller asks for, up to a half.
    fn longest_prompt(&self, max_tokens: Option<usize>) -> usize {
        let answer = max_tokens
            .unwrap_or(self.context_tokens / 8)
            .clamp(1, (self.context_tokens / 2).max(1));
        self.context_tokens.saturating_sub(answer)
    }
}

struct Parts {
    prompt: Vec<llama_cpp_2::token::LlamaToken>,
    grammar: Option<llguidance::Matcher>,
    sampler: Sampler,
    max_tokens: usize,
}

impl Parts {
    fn with(self, reply: ReplySender) -> Prepared {
        let Self {
            prompt,
            grammar,
            sampler,
            max_tokens,
        } = self;
        Prepared {
            prompt,
            grammar,
            sampler,
            max_tokens,
            reply,
        }
    }
}

/// A seed from the operating system, by way of the standard library's randomly keyed hasher.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}
