//! One place in the model's memory (KV cache) and the answer that is being written in it.
//!
//! It holds what has to be known between two steps; the scheduler moves it on. It must not know llama.cpp's context.

use llama_cpp_2::token::LlamaToken;
use llguidance::Matcher;
use tokio::sync::{mpsc, oneshot};
use toktrie::{SimpleVob, TokEnv};

use super::sampler::Sampler;
use super::vocabulary;
use super::{Completion, Finish, GenerateError};

/// Where the answer goes.
#[derive(Debug)]
pub struct ReplySender {
    pub whole: oneshot::Sender<Result<Completion, GenerateError>>,
    /// Its text as it is written, where somebody wants that.
    pub pieces: Option<mpsc::UnboundedSender<String>>,
}

impl ReplySender {
    /// Whether nobody waits for it any more.
    pub fn is_closed(&self) -> bool {
        self.whole.is_closed()
    }

    pub fn send(self, done: Result<Completion, GenerateError>) {
        // The caller may have gone in this very moment; then nobody wants it.
        drop(self.whole.send(done));
    }
}

/// A sequence of the KV cache.
#[derive(Default)]
pub struct Slot {
    /// The tokens that the cache holds for this sequence; they stay after the answer, for the next prompt that begins so.
    pub cached: Vec<LlamaToken>,
    /// The answer in work. `None` when the slot is free.
    pub answer: Option<SlotAnswer>,
    /// The admission that last used it, counted from 1; 0 when none did.
    pub last_used: u64,
}

/// What the preparing thread hands over.
pub struct Prepared {
    /// The whole prompt; never empty.
    pub prompt: Vec<LlamaToken>,
    /// The grammar that the answer is held to, if any.
    pub grammar: Option<Matcher>,
    /// How tokens are picked.
    pub sampler: Sampler,
    /// The answer may have this many tokens, one at least.
    pub max_tokens: usize,
    /// Where the answer goes.
    pub reply: ReplySender,
}

/// An answer in work.
pub struct SlotAnswer {
    /// The prompt and what was written so far; what the slot has not cached yet is decoded next.
    pub tokens: Vec<LlamaToken>,
    prompt_tokens: usize,
    max_tokens: usize,
    grammar: Option<Matcher>,
    constrained: bool,
    sampler: Sampler,
    reply: ReplySender,
    /// So many of the tokens have been told; what they end in, within a character.
    told: usize,
    rest: Vec<u8>,
}

/// Whether an answer goes on.
pub enum SlotProgress {
    /// It needs another step.
    More,
    /// It is complete, or has no room left.
    Done(Finish),
}

impl SlotAnswer {
    /// Begins an answer: what its grammar forces at the start is written at once.
    pub fn new(prepared: Prepared) -> (Self, SlotProgress) {
        let Prepared {
            prompt,
            grammar,
            sampler,
            max_tokens,
            reply,
        } = prepared;
        let (prompt_tokens, constrained) = (prompt.len(), grammar.is_some());
        let mut answer = Self {
            tokens: prompt,
            prompt_tokens,
            max_tokens,
            grammar,
            constrained,
            sampler,
            reply,
            told: prompt_tokens,
            rest: Vec::new(),
        };
        let progress = answer.write_forced();
        (answer, progress)
    }

    /// Whether nobody waits for it any more.
    pub fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    /// The prompt without its last token, which must be decoded again for its logits.
    pub fn reusable(&self) -> &[LlamaToken] {
        self.tokens
            .get(..self.prompt_tokens.saturating_sub(1))
            .unwrap_or_default()
    }

    /// Picks the next token by the logits, and writes what it forces.
    pub fn advance(&mut self, logits: &[f32], vocabulary: &TokEnv) -> SlotProgress {
        let mask = self.mask();
        let Some(token) = self.sampler.pick(logits, mask.as_ref()) else {
            return SlotProgress::Done(Finish::Stop);
        };
        let Some(id) = vocabulary::id(token) else {
            return SlotProgress::Done(Finish::Stop);
        };
        if vocabulary.tok_trie().eos_tokens().contains(&id) {
            return SlotProgress::Done(Finish::Stop);
        }
        self.tokens.push(token);
        if let Some(grammar) = &mut self.grammar
            && grammar.consume_token(id).is_err()
        {
            self.set_free();
        }
        let progress = self.write_forced();
        self.tell(vocabulary);
        progress
    }

    /// Tells what was written since the last time, in whole characters.
    fn tell(&mut self, vocabulary: &TokEnv) {
        let Some(pieces) = &self.reply.pieces else {
            return;
        };
        let new = self.tokens.get(self.told..).unwrap_or_default();
        let ids: Vec<_> = new.iter().copied().filter_map(vocabulary::id).collect();
        self.told = self.tokens.len();
        self.rest
            .extend(vocabulary.tok_trie().decode_ext(&ids, false));
        let whole = match std::str::from_utf8(&self.rest) {
            Ok(text) => text.len(),
            Err(error) => error.valid_up_to(),
        };
        let after = self.rest.split_off(whole);
        if let Ok(text) = String::from_utf8(std::mem::replace(&mut self.rest, after))
            && !text.is_empty()
        {
            // Whoever does not listen any more does not need it.
            drop(pieces.send(text));
        }
    }

    /// The tokens that the grammar allows next. `None` when all are.
    fn mask(&mut self) -> Option<SimpleVob> {
        let mask = self
            .grammar
            .as_mut()?
            .compute_mask()
            .ok()
            .filter(|mask| !mask.is_zero());
        if mask.is_none() {
            self.set_free();
        }
        mask
    }

    /// Writes the tokens that the grammar leaves no choice about.
    fn write_forced(&mut self) -> SlotProgress {
        if let Some(grammar) = &mut self.grammar {
            let forced = grammar.consume_ff_tokens();
            self.tokens.extend(
                forced
                    .into_iter()
                    .filter_map(|id| i32::try_from(id).ok())
                    .map(LlamaToken),
            );
            if grammar.is_error() {
                self.set_free();
            } else if grammar.is_stopped() {
                return SlotProgress::Done(Finish::Stop);
            }
        }
        if self.written() >= self.max_tokens {
            self.tokens.truncate(self.prompt_tokens + self.max_tokens);
            return SlotProgress::Done(Finish::Length);
        }
        SlotProgress::More
    }

    /// A grammar that became too complex is given up; the rest is decoded freely.
    fn set_free(&mut self) {
        self.grammar = None;
        self.constrained = false;
    }

    fn written(&self) -> usize {
        self.tokens.len() - self.prompt_tokens
    }

    /// Sends the answer. One that was cut within a character loses that character.
    pub fn finish(self, finish: Finish, vocabulary: &TokEnv) {
        let written = self.tokens.get(self.prompt_tokens..).unwrap_or_default();
        let ids: Vec<_> = written.iter().copied().filter_map(vocabulary::id).collect();
        let bytes = vocabulary.tok_trie().decode_ext(&ids, false);
        let text = match std::str::from_utf8(&bytes) {
            Ok(text) => text.to_owned(),
            Err(error) if error.error_len().is_none() => {
                String::from_utf8_lossy(bytes.get(..error.valid_up_to()).unwrap_or_default())
                    .into_owned()
            }
            Err(_) => String::from_utf8_lossy(&bytes).into_owned(),
        };
        let completion = Completion {
            text,
            finish,
            constrained: self.constrained,
            input_tokens: self.prompt_tokens,
            output_tokens: written.len(),
        };
        self.reply.send(Ok(completion));
    }

    /// Sends an error instead.
    pub fn fail(self, error: GenerateError) {
        self.reply.send(Err(error));
    }
}
