//! Which tokens would be strange in values that are copied from a text: parts of words that the text does not have.
//!
//! A small model likes to write what it has read more often ("Mariano" for "Milan"). Words can still be new: their tokens
//! are made less likely, not forbidden, and numbers, punctuation and JSON are left alone.

use std::sync::Arc;

use llama_cpp_2::model::LlamaModel;
use toktrie::{SimpleVob, TokEnv};

use super::vocabulary;

/// Knows the words among one model's tokens.
pub struct CopyBias {
    model: Arc<LlamaModel>,
    words: SimpleVob,
}

impl CopyBias {
    /// Reads the vocabulary.
    pub fn new(model: Arc<LlamaModel>, vocabulary: &TokEnv) -> Self {
        let trie = vocabulary.tok_trie();
        let mut words = trie.alloc_token_set();
        for id in (0..trie.vocab_size()).filter_map(|id| u32::try_from(id).ok()) {
            let bytes = trie.token(id);
            if bytes
                .iter()
                .any(|byte| byte.is_ascii_alphabetic() || !byte.is_ascii())
                && !bytes.contains(&b'"')
            {
                words.allow_token(id);
            }
        }
        Self { model, words }
    }

    /// The parts of words that a text does not have, whether within a sentence or alone.
    pub fn strange_to(&self, text: &str) -> SimpleVob {
        let mut strange = self.words.clone();
        let mut allow = |text: &str| {
            let tokens = self.model.vocab().tokenize(text.as_bytes(), false, false);
            tokens
                .into_iter()
                .filter_map(vocabulary::id)
                .for_each(|id| strange.disallow_token(id));
        };
        allow(text);
        text.split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .for_each(&mut allow);
        strange
    }
}
