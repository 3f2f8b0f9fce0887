//! Renders chat turns into prompt tokens, with the chat template of the model file.
//!
//! Text of a caller can never become a control token (prompt injection): the template is rendered
//! around placeholders. Only its own pieces are tokenised with control tokens.

use std::sync::Arc;

use llama_cpp_2::model::{LlamaChatMessage, LlamaChatTemplate, LlamaModel};
use llama_cpp_2::token::LlamaToken;

/// Delimiter of a placeholder for a turn's text. A private-use character, which no template
/// contains or trims.
const PLACEHOLDER: char = '\u{E0FF}';

/// Author of a chat turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The user.
    User,
    /// The model.
    Assistant,
}

/// Chat turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatTurn {
    pub role: Role,
    /// Text of the turn; may be empty.
    pub text: Arc<str>,
}

/// Renderer of chats for one model.
pub struct Chat {
    model: Arc<LlamaModel>,
    template: Option<LlamaChatTemplate>,
    max_token_bytes: usize,
}

/// Error of a prompt whose texts alone exceed the limit, found without tokenising them.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLong {
    /// Lower bound of the prompt's tokens.
    pub tokens: usize,
}

impl Chat {
    /// Uses the model's chat template, or ChatML if the model has none or llama.cpp does not know
    /// it.
    pub fn new(model: Arc<LlamaModel>, max_token_bytes: usize) -> Self {
        let own = model.chat_template(None).ok();
        let template =
            own.filter(|template| render_with(&model, template, &["system", "user"]).is_some());
        if template.is_none() {
            tracing::warn!(
                "the model file has no chat template that llama.cpp knows; using ChatML, which may lower the quality of answers"
            );
        }
        Self {
            model,
            template,
            max_token_bytes: max_token_bytes.max(1),
        }
    }

    /// Returns the prompt's tokens, up to the start of the answer.
    ///
    /// # Errors
    /// If the texts alone cannot fit into `limit` tokens.
    pub fn tokens(
        &self,
        system: &str,
        turns: &[ChatTurn],
        limit: usize,
    ) -> Result<Vec<LlamaToken>, TooLong> {
        let texts = || std::iter::once(system).chain(turns.iter().map(|turn| &*turn.text));
        let min_tokens = texts().map(str::len).sum::<usize>() / self.max_token_bytes;
        if min_tokens > limit {
            return Err(TooLong { tokens: min_tokens });
        }
        let roles: Vec<_> = std::iter::once("system")
            .chain(turns.iter().map(|turn| role_name(turn.role)))
            .collect();
        let pieces = self.render(&roles);
        let vocab = self.model.vocab();
        let mut tokens = Vec::new();
        let mut texts = texts();
        for piece in pieces {
            match piece {
                Piece::Template(text) => {
                    tokens.extend(vocab.tokenize(text.as_bytes(), false, true));
                }
                Piece::Text => {
                    let text = texts.next().unwrap_or_default();
                    tokens.extend(vocab.tokenize(text.as_bytes(), false, false));
                }
            }
        }
        if vocab.should_add_bos() && tokens.first() != Some(&vocab.bos()) {
            tokens.insert(0, vocab.bos());
        }
        Ok(tokens)
    }

    fn render(&self, roles: &[&str]) -> Vec<Piece> {
        let own = self
            .template
            .as_ref()
            .and_then(|template| render_with(&self.model, template, roles));
        own.unwrap_or_else(|| chatml(roles))
    }
}

/// Piece of a rendered chat.
enum Piece {
    Template(String),
    /// Text of the next turn.
    Text,
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

/// Renders a template. `None`: llama.cpp does not know it, or it drops, doubles or reorders a
/// message.
fn render_with(
    model: &LlamaModel,
    template: &LlamaChatTemplate,
    roles: &[&str],
) -> Option<Vec<Piece>> {
    let placeholder = |index| format!("{PLACEHOLDER}{index}{PLACEHOLDER}");
    let messages = roles
        .iter()
        .enumerate()
        .map(|(index, role)| LlamaChatMessage::new((*role).into(), placeholder(index)));
    let messages: Vec<_> = messages.collect::<Result<_, _>>().ok()?;
    let rendered = model.apply_chat_template(template, &messages, true).ok()?;
    let mut rest = rendered.as_str();
    let mut pieces = Vec::new();
    for index in 0..roles.len() {
        let (before, after) = rest.split_once(&placeholder(index))?;
        pieces.extend([Piece::Template(before.to_owned()), Piece::Text]);
        rest = after;
    }
    pieces.push(Piece::Template(rest.to_owned()));
    let has_all = pieces
        .iter()
        .all(|piece| !matches!(piece, Piece::Template(text) if text.contains(PLACEHOLDER)));
    has_all.then_some(pieces)
}

/// Renders ChatML, the commonest format
/// (<https://github.com/ggml-org/llama.cpp/blob/master/src/llama-chat.cpp>, read 2026-11-22).
fn chatml(roles: &[&str]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut before = String::new();
    for role in roles {
        before.push_str("<|im_start|>");
        before.push_str(role);
        before.push('\n');
        pieces.extend([Piece::Template(std::mem::take(&mut before)), Piece::Text]);
        before.push_str("<|im_end|>\n");
    }
    before.push_str("<|im_start|>assistant\n");
    pieces.push(Piece::Template(before));
    pieces
}
