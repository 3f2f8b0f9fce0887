//! Vocabulary for the grammar library (llguidance): a trie of the tokens' bytes, and the model's
//! own tokeniser.
//!
//! The tokeniser makes forced text canonical: `{"name":"` becomes the tokens that the model would
//! have written itself, at once. (The environment of `llama-cpp-2` has a greedy tokeniser, so it
//! forces nothing.)

use std::sync::Arc;

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use toktrie::{TokEnv, TokRxInfo, TokTrie, TokenId, TokenizerEnv};

struct Vocabulary {
    model: Arc<LlamaModel>,
    trie: TokTrie,
}

/// Returns the model's vocabulary; takes some tens of milliseconds. `None`: the file has no usable
/// one.
pub fn environment(model: &Arc<LlamaModel>) -> Option<TokEnv> {
    let vocab = model.vocab();
    let count = u32::try_from(vocab.n_tokens())
        .ok()
        .filter(|count| *count > 0)?;
    let tokens = || (0..vocab.n_tokens()).map(LlamaToken);
    let ends: Vec<_> = tokens()
        .filter(|token| vocab.is_eog(*token))
        .filter_map(id)
        .collect();
    let first_end = id(vocab.eot())
        .or_else(|| id(vocab.eos()))
        .or_else(|| ends.first().copied())?;
    let token_bytes: Vec<_> = tokens().map(|token| bytes_of(model, token)).collect();
    let trie = TokTrie::from(&TokRxInfo::new(count, first_end), &token_bytes);
    let mut all_ends = vec![first_end];
    all_ends.extend(ends.into_iter().filter(|end| *end != first_end));
    let trie = trie.with_eos_tokens(&all_ends);
    Some(Arc::new(Vocabulary {
        model: Arc::clone(model),
        trie,
    }))
}

/// Returns a token's id in the grammar library. `None` for llama.cpp's null token, which is
/// negative.
pub fn id(token: LlamaToken) -> Option<TokenId> {
    TokenId::try_from(token.0).ok()
}

/// Returns the bytes of a token; those of a control token are marked, so that no text can match
/// them.
fn bytes_of(model: &LlamaModel, token: LlamaToken) -> Vec<u8> {
    let vocab = model.vocab();
    let plain = vocab.token_to_piece(token, false, None);
    if !plain.is_empty() {
        return plain;
    }
    let control = vocab.token_to_piece(token, true, None);
    if control.is_empty() {
        return control;
    }
    let mut marked = vec![TokTrie::SPECIAL_TOKEN_MARKER];
    marked.extend(control);
    marked
}

impl TokenizerEnv for Vocabulary {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        self.trie.tokenize_with_greedy_fallback(bytes, |text| {
            let tokens = self.model.vocab().tokenize(text.as_bytes(), false, false);
            let ids: Vec<_> = tokens.into_iter().filter_map(id).collect();
            // Some tokenisers add a space before the first word, or normalise: their tokens would
            // not be the forced text.
            if self.trie.decode(&ids) == text.as_bytes() {
                ids
            } else {
                self.trie.greedy_tokenize(text.as_bytes())
            }
        })
    }
}
