//! From messages to prompt tokens, by the chat template that the model file carries.
//!
//! A caller's text can never become a control token: the template is rendered around placeholders, its own pieces are
//! tokenised with control tokens and the texts between them without.

use std::sync::Arc;

use llama_cpp_2::model::{LlamaChatMessage, LlamaChatTemplate, LlamaModel};
use llama_cpp_2::token::LlamaToken;

/// Marks where a message's text goes. A private-use character, which no template contains and none trims away.
const PLACEHOLDER: char = '\u{E0FF}';

/// Who speaks in a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The one who asks.
    User,
    /// The model, in a worked example.
    Assistant,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatTurn {
    /// Who speaks.
    pub role: Role,
    /// What is said; any text, also an empty one.
    pub text: Arc<str>,
}

/// Renders conversations for one model.
pub struct Chat {
    model: Arc<LlamaModel>,
    template: Option<LlamaChatTemplate>,
    longest_token_bytes: usize,
}

/// The prompt cannot be shorter than this many tokens, which is more than the limit: it was not even tokenised.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLong {
    /// A lower bound.
    pub tokens: usize,
}

impl Chat {
    /// Takes the template of the model; one it lacks, or that llama.cpp does not know, is replaced by `ChatML`.
    pub fn new(model: Arc<LlamaModel>, longest_token_bytes: usize) -> Self {
        let own = model.chat_template(None).ok();
        let template =
            own.filter(|template| render_with(&model, template, &["system", "user"]).is_some());
        if template.is_none() {
            tracing::warn!(
                "the model file has no chat template that llama.cpp knows: ChatML is used"
            );
        }
        Self {
            model,
            template,
            longest_token_bytes: longest_token_bytes.max(1),
        }
    }

    /// The prompt, up to the place where the answer begins.
    ///
    /// # Errors
    /// [`TooLong`], when the texts alone cannot fit into `limit` tokens.
    pub fn tokens(
        &self,
        system: &str,
        turns: &[ChatTurn],
        limit: usize,
    ) -> Result<Vec<LlamaToken>, TooLong> {
        let texts = || std::iter::once(system).chain(turns.iter().map(|turn| &*turn.text));
        let least = texts().map(str::len).sum::<usize>() / self.longest_token_bytes;
        if least > limit {
            return Err(TooLong { tokens: least });
        }
        let roles: Vec<_> = std::iter::once("system")
            .chain(turns.iter().map(|turn| name(turn.role)))
            .collect();
        let pieces = self.render(&roles);
        let vocab = self.model.vocab();
        let mut tokens = Vec::new();
        let mut texts = texts();
        for piece in pieces {
            match piece {
                Piece::Template(text) => {
                    tokens.extend(vocab.tokenize(text.as_bytes(), false, true))
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

enum Piece {
    Template(String),
    /// The text of the next message.
    Text,
}

fn name(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

/// `None` when llama.cpp does not know the template, or the template drops, doubles or reorders a message.
fn render_with(
    model: &LlamaModel,
    template: &LlamaChatTemplate,
    roles: &[&str],
) -> Option<Vec<Piece>> {
    let marked = |index| format!("{PLACEHOLDER}{index}{PLACEHOLDER}");
    let messages = roles
        .iter()
        .enumerate()
        .map(|(index, role)| LlamaChatMessage::new((*role).into(), marked(index)));
    let messages: Vec<_> = messages.collect::<Result<_, _>>().ok()?;
    let rendered = model.apply_chat_template(template, &messages, true).ok()?;
    let mut rest = rendered.as_str();
    let mut pieces = Vec::new();
    for index in 0..roles.len() {
        let (before, after) = rest.split_once(&marked(index))?;
        pieces.extend([Piece::Template(before.to_owned()), Piece::Text]);
        rest = after;
    }
    pieces.push(Piece::Template(rest.to_owned()));
    let whole = pieces
        .iter()
        .all(|piece| !matches!(piece, Piece::Template(text) if text.contains(PLACEHOLDER)));
    whole.then_some(pieces)
}

/// `ChatML`, the commonest format (<https://github.com/ggml-org/llama.cpp/blob/master/src/llama-chat.cpp>, read 2026-11-22).
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
