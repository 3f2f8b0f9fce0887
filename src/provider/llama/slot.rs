//! Slot: one sequence of the model's KV cache, and the answer that is generated in it.
//!
//! Holds the state between two steps of the scheduler. Must not know llama.cpp's context.

use llama_cpp_2::token::LlamaToken;
use llguidance::Matcher;
use tokio::sync::{mpsc, oneshot};
use toktrie::{SimpleVob, TokEnv};

use super::copy_bias::AnswerBias;
use super::repetition::next_of_loop;
use super::sampler::Sampler;
use super::types::{Completion, Finish, GenerateError};
use super::vocabulary;

/// Channels for the answer of a request.
#[derive(Debug)]
pub struct ReplySender {
    pub completion: oneshot::Sender<Result<Completion, GenerateError>>,
    /// Receiver of text deltas; `None`: not streamed.
    pub deltas: Option<mpsc::UnboundedSender<String>>,
}

impl ReplySender {
    /// Returns true if the caller no longer waits for the answer.
    pub fn is_closed(&self) -> bool {
        self.completion.is_closed()
    }

    /// Sends the result.
    pub fn send(self, result: Result<Completion, GenerateError>) {
        // An error means that the caller has gone.
        drop(self.completion.send(result));
    }
}

/// Sequence of the KV cache.
#[derive(Default)]
pub struct Slot {
    /// Tokens that the cache holds for this sequence. They stay after the answer, for the next
    /// prompt with the same prefix.
    pub cached: Vec<LlamaToken>,
    /// Answer being generated; `None`: the slot is free.
    pub answer: Option<SlotAnswer>,
    /// Number of the admission that last used the slot, from 1; 0: never used.
    pub last_used: u64,
}

/// Prepared request, from the preparing thread.
pub struct Prepared {
    /// Prompt tokens; never empty.
    pub prompt: Vec<LlamaToken>,
    /// Grammar that constrains the answer; `None`: free text.
    pub grammar: Option<Matcher>,
    pub sampler: Sampler,
    /// Bias toward copying the input text; `None`: no bias.
    pub bias: Option<AnswerBias>,
    /// Maximum number of tokens of the answer, at least 1.
    pub max_tokens: usize,
    pub reply: ReplySender,
}

/// Answer being generated.
pub struct SlotAnswer {
    /// Tokens of prompt and answer so far. Those that the slot has not cached yet are decoded next.
    pub tokens: Vec<LlamaToken>,
    prompt_tokens: usize,
    max_tokens: usize,
    grammar: Option<Matcher>,
    /// True as long as the grammar was enforced.
    constrained: bool,
    sampler: Sampler,
    bias: Option<AnswerBias>,
    /// Number of tokens that the bias has observed.
    observed_tokens: usize,
    reply: ReplySender,
    /// Number of tokens whose text was emitted.
    emitted_tokens: usize,
    /// Bytes of an incomplete UTF-8 character at the end of the emitted tokens.
    incomplete_utf8: Vec<u8>,
}

/// Progress of an answer after a step.
pub enum SlotProgress {
    /// The answer needs another step.
    More,
    /// The answer is complete, or reached its token limit.
    Done(Finish),
}

impl SlotAnswer {
    /// Starts an answer with the tokens that its grammar forces.
    pub fn new(prepared: Prepared) -> (Self, SlotProgress) {
        let Prepared {
            prompt,
            grammar,
            sampler,
            bias,
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
            bias,
            observed_tokens: prompt_tokens,
            reply,
            emitted_tokens: prompt_tokens,
            incomplete_utf8: Vec::new(),
        };
        let progress = answer.push_forced_tokens();
        (answer, progress)
    }

    /// Returns true if the caller no longer waits for the answer.
    pub fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    /// Returns the prompt without its last token, which must be decoded again for its logits.
    pub fn reusable_prefix(&self) -> &[LlamaToken] {
        self.tokens
            .get(..self.prompt_tokens.saturating_sub(1))
            .unwrap_or_default()
    }

    /// Samples the next token from the logits, and adds the tokens that it forces.
    pub fn advance(&mut self, logits: &[f32], vocabulary: &TokEnv) -> SlotProgress {
        let mask = self.mask();
        let biased = self.biased(logits);
        let logits = biased.as_deref().unwrap_or(logits);
        let Some(token) = self.sampler.sample(logits, mask.as_ref()) else {
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
            self.drop_grammar();
        }
        let progress = self.push_forced_tokens();
        self.emit(vocabulary);
        progress
    }

    /// Returns the logits biased toward copying; `None`: the request has no bias.
    fn biased(&mut self, logits: &[f32]) -> Option<Vec<f32>> {
        let bias = self.bias.as_mut()?;
        let new = self.tokens.get(self.observed_tokens..).unwrap_or_default();
        bias.observe(new.iter().copied().filter_map(vocabulary::id));
        self.observed_tokens = self.tokens.len();
        Some(bias.apply(logits))
    }

    /// Emits the text since the last call, in complete characters.
    fn emit(&mut self, vocabulary: &TokEnv) {
        let Some(deltas) = &self.reply.deltas else {
            return;
        };
        let new = self.tokens.get(self.emitted_tokens..).unwrap_or_default();
        let ids: Vec<_> = new.iter().copied().filter_map(vocabulary::id).collect();
        self.emitted_tokens = self.tokens.len();
        self.incomplete_utf8
            .extend(vocabulary.tok_trie().decode_ext(&ids, false));
        let complete = match std::str::from_utf8(&self.incomplete_utf8) {
            Ok(text) => text.len(),
            Err(error) => error.valid_up_to(),
        };
        let remainder = self.incomplete_utf8.split_off(complete);
        if let Ok(text) = String::from_utf8(std::mem::replace(&mut self.incomplete_utf8, remainder))
            && !text.is_empty()
        {
            // An error means that the caller has gone.
            drop(deltas.send(text));
        }
    }

    /// Returns the tokens that the grammar allows next; `None`: all.
    fn mask(&mut self) -> Option<SimpleVob> {
        let mask = self
            .grammar
            .as_mut()?
            .compute_mask()
            .ok()
            .filter(|mask| !mask.is_zero());
        if mask.is_none() {
            self.drop_grammar();
        }
        mask.map(|mask| self.without_loop(mask))
    }

    /// Removes the token with which a loop would go on, if another one is allowed.
    fn without_loop(&self, mut mask: SimpleVob) -> SimpleVob {
        let answer = self.tokens.get(self.prompt_tokens..).unwrap_or_default();
        let next = next_of_loop(answer).and_then(vocabulary::id);
        if let Some(token) = next.filter(|token| mask.is_allowed(*token)) {
            mask.disallow_token(token);
            if mask.is_zero() {
                mask.allow_token(token);
            }
        }
        mask
    }

    /// Adds the tokens that are the only choice of the grammar.
    fn push_forced_tokens(&mut self) -> SlotProgress {
        if let Some(grammar) = &mut self.grammar {
            let forced = grammar.consume_ff_tokens();
            self.tokens.extend(
                forced
                    .into_iter()
                    .filter_map(|id| i32::try_from(id).ok())
                    .map(LlamaToken),
            );
            if grammar.is_error() {
                self.drop_grammar();
            } else if grammar.is_stopped() {
                return SlotProgress::Done(Finish::Stop);
            }
        }
        if self.answer_tokens() >= self.max_tokens {
            self.tokens.truncate(self.prompt_tokens + self.max_tokens);
            return SlotProgress::Done(Finish::Length);
        }
        SlotProgress::More
    }

    /// Drops a grammar that became too complex; the rest of the answer is not constrained.
    fn drop_grammar(&mut self) {
        self.grammar = None;
        self.constrained = false;
    }

    fn answer_tokens(&self) -> usize {
        self.tokens.len() - self.prompt_tokens
    }

    /// Sends the answer. An incomplete character at the end of a truncated answer is dropped.
    pub fn finish(self, finish: Finish, vocabulary: &TokEnv) {
        let answer = self.tokens.get(self.prompt_tokens..).unwrap_or_default();
        let ids: Vec<_> = answer.iter().copied().filter_map(vocabulary::id).collect();
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
            output_tokens: answer.len(),
        };
        self.reply.send(Ok(completion));
    }

    /// Sends an error instead of the answer.
    pub fn fail(self, error: GenerateError) {
        self.reply.send(Err(error));
    }
}
