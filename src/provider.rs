//! Model providers: one trait [`Provider`], one wire format for each LLM API, and the built-in
//! llama.cpp model.
//!
//! Wire formats: OpenAI Chat Completions, OpenAI Responses, Anthropic Messages, Gemini
//! `generateContent`, Ollama `/api/chat`. Each one is a pure mapping: it encodes our [`Request`]
//! and decodes a response, streamed or not, into our [`Answer`]. The HTTP transport exists once, in
//! `http_provider`. This module must not know rate limits, retries or schema validation.

mod adaptation;
mod answer;
mod anthropic;
mod call_memory;
mod capability_cache;
mod chat;
mod content;
mod error_body;
mod error_table;
mod extra_body;
mod failure;
mod finish_reason;
mod gemini;
mod genai_names;
mod http_provider;
mod input_fence;
mod interface;
mod json_repair;
mod lenient_json;
mod limit_scope;
#[cfg(feature = "local")]
mod llama;
#[cfg(feature = "local")]
mod local_provider;
mod ollama;
mod openai;
mod openai_responses;
mod own_words;
mod partial_answer;
mod phrase;
pub mod prompt;
mod rate_limit_headers;
mod request;
mod request_parts;
mod request_shape;
mod request_template;
mod retry_hint;
mod stream_decoder;
#[cfg(test)]
mod test_fixture;
mod unsupported_feature;
mod usage_check;
mod wire_format;

pub use throttle::RemainingQuota;

pub use adaptation::{Adaptation, Trial};
pub use answer::{Answer, Finish};
pub use anthropic::Anthropic;
pub use call_memory::{CallMemory, call_room};
pub use capability_cache::ActiveAdaptation;
pub use chat::{ChatBody, ChatRequest, MessageSink};
pub use error_body::UpstreamErrorBody;
pub use error_table::ErrorClass;
pub use failure::{Failure, FailureKind};
pub use gemini::Gemini;
pub use genai_names::GenAiNames;
pub use http_provider::HttpProvider;
pub use interface::{Provider, RequestPreview};
#[cfg(feature = "local")]
pub use local_provider::{LocalOptions, LocalProvider};
pub use ollama::Ollama;
pub use openai::{Endpoint, OpenAi};
pub use openai_responses::OpenAiResponses;
pub use partial_answer::{DecodeError, PartialAnswer, StreamState};
pub use request::{Request, Schema, TextSink, ValidationFeedback};
pub use request_shape::{RequestShape, Unsupported, UnsupportedSet};
pub use request_template::RequestTemplate;
pub use stream_decoder::{DeltaEmitter, StreamDecoder};
pub use wire_format::WireFormat;

pub(crate) use lenient_json::{JsonText, Members, Node};
