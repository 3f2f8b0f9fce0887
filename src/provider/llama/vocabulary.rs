//! The model's tokens as the grammar library wants them: a trie of their bytes, and the model's own tokeniser.
//!
//! The tokeniser makes forced text canonical: `{"name":"` enters as the tokens that the model would have written itself,
//! in one go. (The environment that `llama-cpp-2` offers has a greedy tokeniser, so it forces nothing.)

use std::sync::Arc;

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use toktrie::{TokEnv, TokRxInfo, TokTrie, TokenId, TokenizerEnv};

struct Vocabulary {
    model: Arc<LlamaModel>,
    trie: TokTrie,
}

/// Reads the whole vocabulary; some tens of milliseconds, once for a model. `None` when the file carries no usable one.
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
    let words: Vec<_> = tokens().map(|token| word(model, token)).collect();
    let trie = TokTrie::from(&TokRxInfo::new(count, first_end), &words);
    let mut all_ends = vec![first_end];
    all_ends.extend(ends.into_iter().filter(|end| *end != first_end));
    let trie = trie.with_eos_tokens(&all_ends);
    Some(Arc::new(Vocabulary {
        model: Arc::clone(model),
        trie,
    }))
}

/// The library's number of a token. `None` for llama.cpp's "there is no such token", which is negative.
pub fn id(token: LlamaToken) -> Option<TokenId> {
    TokenId::try_from(token.0).ok()
}

/// The bytes that a token stands for; those of a control token are marked, so that no text can match them.
fn word(model: &LlamaModel, token: LlamaToken) -> Vec<u8> {
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
            // Some tokenisers put a space before the first word, or normalise: theirs would not be the forced text.
            if self.trie.decode(&ids) == text.as_bytes() {
                ids
            } else {
                self.trie.greedy_tokenize(text.as_bytes())
            }
        })
    }
}
