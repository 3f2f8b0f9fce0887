//! OpenAI's Chat Completions API: its requests as extractions or as completions that are passed through, and its responses, streams
//! and errors.
//!
//! Source: <https://platform.openai.com/docs/api-reference/chat>, read 2026-11.

pub mod body;
pub mod completion;
pub mod error;
pub mod live_text;
pub mod messages;
pub mod options;
pub mod pass_through;
pub mod plan;
pub mod responses;
pub mod rest_of_answer;
pub mod schema_choice;
pub mod stream;
#[cfg(test)]
pub mod test_request;
