//! Preparing thread between queue and scheduler: tokenises the prompt and has the schema compiled into
//! a grammar.
//!
//! Both costs grow with what a caller sends, so they must not delay the decoding threads. A request whose grammar is not compiled yet is
//! put aside, so that it does not delay those behind it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::task::Poll;

use super::answer_schema::AnswerSchema;
use super::chat::Chat;
use super::copy_bias::{AnswerBias, CopyBias};
use super::grammar::Grammars;
use super::queue::{Abandoned, Popped, Queue};
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
        let mut waiting: Vec<Waiting> = Vec::new();
        loop {
            let overdue_at = self.grammars.overdue_at();
            let asked = match jobs.pop(overdue_at.filter(|_| !waiting.is_empty())) {
                Popped::Job(job) => self.tokenise(job).into_iter().collect(),
                Popped::Woken => std::mem::take(&mut waiting),
                Popped::Closed => return,
            };
            for request in asked {
                match self.constrain(request) {
                    Constrained::Ready(ready) => {
                        if prepared.send(ready).is_err() {
                            return;
                        }
                    }
                    Constrained::Waiting(request) => waiting.push(request),
                    Constrained::Ended => {}
                }
            }
        }
    }

    /// Converts a request into tokens. `None`: it has ended.
    fn tokenise(&mut self, job: PrepareJob) -> Option<Waiting> {
        if job.is_abandoned() {
            return None;
        }
        let PrepareJob { request, reply } = job;
        let done = catch_unwind(AssertUnwindSafe(|| self.parts(&request)));
        match done.unwrap_or_else(|_| Err(panicked())) {
            Ok(parts) => Some(Waiting {
                parts: parts.with_reply(reply),
                schema: request.schema,
            }),
            Err(error) => {
                reply.send(Err(error));
                None
            }
        }
    }

    /// Adds the grammar of its schema to a request, once it is known.
    fn constrain(&mut self, mut request: Waiting) -> Constrained {
        if request.parts.reply.is_closed() {
            return Constrained::Ended;
        }
        if let Some(schema) = &request.schema {
            let found = catch_unwind(AssertUnwindSafe(|| self.grammars.get(schema)));
            match found {
                Ok(Poll::Ready(grammar)) => request.parts.grammar = grammar,
                Ok(Poll::Pending) => return Constrained::Waiting(request),
                Err(_) => {
                    request.parts.reply.send(Err(panicked()));
                    return Constrained::Ended;
                }
            }
        }
        Constrained::Ready(request.parts)
    }

    fn parts(&mut self, request: &Request) -> Result<Parts, GenerateError> {
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
        let seed = request.seed.map_or_else(random_seed, u64::from);
        let bias = request
            .copy_source
            .as_deref()
            .map(|text| self.copy_bias.toward(text));
        Ok(Parts {
            prompt,
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

/// Request that is prepared but for its grammar.
struct Waiting {
    parts: Prepared,
    /// Schema whose grammar is missing; `None`: free text.
    schema: Option<AnswerSchema>,
}

/// Result of [`Preparer::constrain`].
enum Constrained {
    Ready(Prepared),
    /// Its grammar is not compiled yet.
    Waiting(Waiting),
    /// Its caller has gone or has an error.
    Ended,
}

fn panicked() -> GenerateError {
    GenerateError::Failed("preparing the request panicked".to_owned())
}

/// Prepared request without its reply channel.
struct Parts {
    prompt: Vec<llama_cpp_2::token::LlamaToken>,
    sampler: Sampler,
    bias: Option<AnswerBias>,
    max_tokens: usize,
}

impl Parts {
    fn with_reply(self, reply: ReplySender) -> Prepared {
        let Self {
            prompt,
            sampler,
            bias,
            max_tokens,
        } = self;
        Prepared {
            prompt,
            grammar: None,
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
