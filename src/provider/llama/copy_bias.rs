//! Copy bias: finds the tokens of words that the input text does not contain, so that sampling
//! makes them less likely.
//!
//! A small model tends to write words that it has seen more often ("Mariano" for "Milan"). New
//! words stay possible, since their tokens are only penalised. Numbers, punctuation and JSON syntax
//! are not affected.

use std::sync::Arc;

use llama_cpp_2::model::LlamaModel;
use toktrie::{SimpleVob, TokEnv};

use super::vocabulary;

/// Word tokens of one model's vocabulary.
pub struct CopyBias {
    model: Arc<LlamaModel>,
    word_tokens: SimpleVob,
}

impl CopyBias {
    /// Collects the tokens that contain letters and no quotation mark.
    pub fn new(model: Arc<LlamaModel>, vocabulary: &TokEnv) -> Self {
        let trie = vocabulary.tok_trie();
        let mut word_tokens = trie.alloc_token_set();
        for id in (0..trie.vocab_size()).filter_map(|id| u32::try_from(id).ok()) {
            let bytes = trie.token(id);
            if bytes
                .iter()
                .any(|byte| byte.is_ascii_alphabetic() || !byte.is_ascii())
                && !bytes.contains(&b'"')
            {
                word_tokens.allow_token(id);
            }
        }
        Self { model, word_tokens }
    }

    /// Returns the word tokens that do not occur in a text, neither in its sentences nor in its
    /// words alone.
    pub fn tokens_not_in(&self, text: &str) -> SimpleVob {
        let mut absent = self.word_tokens.clone();
        let mut remove = |text: &str| {
            let tokens = self.model.vocab().tokenize(text.as_bytes(), false, false);
            tokens
                .into_iter()
                .filter_map(vocabulary::id)
                .for_each(|id| absent.disallow_token(id));
        };
        remove(text);
        text.split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .for_each(&mut remove);
        absent
    }
}
