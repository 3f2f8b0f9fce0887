//! The wire format of Ollama's own API.
//!
//! Source: <https://github.com/ollama/ollama/blob/main/docs/api.md> and `api/types.go` there, read 2026-11.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::lesson::Vocabulary;
use super::prompt::Message;
use super::question::{Question, TOOL, TOOL_DESCRIPTION, json};
use super::subsets::LLAMA_CPP;
use super::wire::after;
use super::{Draft, End, Finish, Form, Lesson, Meaning, Request, Said, Wire, Wrong, said};
use crate::model::{Mode, Subset, Usage};
use crate::net::Framing;

/// `/api/chat`.
#[derive(Debug, Clone, Copy)]
pub struct Ollama {
    path: &'static str,
}

impl Ollama {
    /// The server at a base URL with this path.
    #[must_use]
    pub fn at(base_path: &str) -> Self {
        Self {
            path: if after(base_path, "api/").is_empty() {
                "chat"
            } else {
                "api/chat"
            },
        }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Message>,
    stream: bool,
    /// A text that is longer than the model's context is refused: cut in silence, it would give a wrong answer.
    truncate: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Format<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<[Tool<'a>; 1]>,
    options: Options,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Format<'a> {
    Word(&'static str),
    Schema(&'a RawValue),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Tool<'a> {
    Function { function: Function<'a> },
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'static str,
    description: &'static str,
    parameters: &'a RawValue,
}

#[derive(Serialize)]
struct Options {
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    num_predict: Option<u32>,
}

/// A whole answer, or a line of one.
#[derive(Deserialize)]
struct Chunk {
    message: Option<Reply>,
    #[serde(default)]
    done: bool,
    done_reason: Option<String>,
    prompt_eval_count: Option<u64>,
    eval_count: Option<u64>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Reply {
    #[serde(default)]
    content: String,
    tool_calls: Option<Vec<ToolCall>>,
}

#[derive(Deserialize)]
struct ToolCall {
    function: CalledFunction,
}

#[derive(Deserialize)]
struct CalledFunction {
    arguments: Box<RawValue>,
}

impl Wire for Ollama {
    fn path(&self, _: &str, _: bool) -> Option<Cow<'static, str>> {
        Some(self.path.into())
    }

    fn modes(&self) -> &'static [Mode] {
        &[Mode::JsonSchema, Mode::Tools, Mode::JsonObject, Mode::Text]
    }

    fn subset(&self, mode: Mode) -> &'static Subset {
        match mode {
            Mode::Auto | Mode::Text => &Subset::WHOLE,
            Mode::JsonSchema => &LLAMA_CPP,
            Mode::Tools | Mode::JsonObject => &Subset::OBJECT,
        }
    }

    fn encode(&self, request: &Request<'_>, form: Form) -> Vec<u8> {
        // `format` only constrains; the model has to be told.
        let Question { root, messages, .. } =
            Question::new(request, form, |mode| mode == Mode::Tools);
        let function = Function {
            name: TOOL,
            description: TOOL_DESCRIPTION,
            parameters: root,
        };
        json(&Body {
            model: request.model,
            messages,
            stream: form.stream,
            truncate: false,
            format: match form.mode {
                Mode::JsonSchema => Some(Format::Schema(root)),
                Mode::JsonObject => Some(Format::Word("json")),
                Mode::Auto | Mode::Tools | Mode::Text => None,
            },
            // There is no way to force a call.
            tools: (form.mode == Mode::Tools).then_some([Tool::Function { function }]),
            options: Options {
                temperature: (!form.lessons.has(Lesson::Temperature))
                    .then_some(request.temperature),
                seed: request.seed.filter(|_| !form.lessons.has(Lesson::Seed)),
                num_predict: request.max_output_tokens,
            },
        })
    }

    fn decode(&self, body: &[u8]) -> Result<Draft, Wrong> {
        let mut draft = Draft::default();
        self.hear(body, &mut draft)?;
        match draft.end {
            End::Open => Err(Wrong::Format("the answer is not done".to_owned())),
            End::Whole | End::Over => Ok(draft),
        }
    }

    fn framing(&self) -> Framing {
        Framing::Lines
    }

    fn hear(&self, message: &[u8], draft: &mut Draft) -> Result<(), Wrong> {
        let chunk: Chunk = serde_json::from_slice(message)
            .map_err(|error| Wrong::Format(format!("the answer is not Ollama's: {error}")))?;
        if chunk.error.is_some() {
            return Err(Wrong::Error(self.complaint(message)));
        }
        if let Some(reply) = chunk.message {
            draft.content.push_str(&reply.content);
            let called = reply
                .tool_calls
                .into_iter()
                .flatten()
                .next()
                .filter(|_| draft.arguments.is_empty());
            draft.arguments.push_str(
                called
                    .as_ref()
                    .map_or("", |call| call.function.arguments.get()),
            );
        }
        if chunk.done {
            draft.end = End::Over;
            draft.finish = Some(match chunk.done_reason.as_deref() {
                Some("length") => Finish::Length,
                Some("stop") => Finish::Stop,
                _ => Finish::Unknown,
            });
            // A prompt that it had already read is not counted again by old versions.
            draft.usage = chunk
                .eval_count
                .map(|output| Usage::new(chunk.prompt_eval_count.unwrap_or_default(), output));
        }
        Ok(())
    }

    fn complaint(&self, body: &[u8]) -> Said {
        let value: Value = serde_json::from_slice(body).unwrap_or_default();
        Said {
            message: said::words(said::error_in(&value), body),
            meaning: Meaning::Status,
            status: None,
            retry_after: None,
        }
    }

    fn vocabulary(&self) -> &'static Vocabulary {
        &VOCABULARY
    }
}

/// From its source and issue threads, 2026-11.
const VOCABULARY: Vocabulary = Vocabulary {
    schema: &["grammar", "json schema", "invalid format"],
    json_schema: &["format"],
    tools: &["tool"],
    json_object: &["format"],
    in_a_500: &["grammar", "json schema"],
};

#[cfg(test)]
mod tests;
