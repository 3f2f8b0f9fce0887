//! OpenAI's Responses API, as another form of chat completions: requests are turned into theirs, and theirs into responses.
//!
//! Nothing is stored: what continues an earlier response is rejected.
//! Source: <https://platform.openai.com/docs/api-reference/responses>, read 2026-11.

pub mod events;
pub mod request;
pub mod response;
