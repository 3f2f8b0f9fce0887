//! JSON Schema: compilation with size limits, cache, registry, validation of answers, coercion and lowering to dialects.
//!
//! A schema is compiled once, cached by its text and never fetched from a network. Must not know providers and rate limits.

mod cache;
mod coerce;
mod compiled;
mod error_messages;
mod formats;
mod grounding;
mod locations;
mod lower;
mod owned_schemas;
mod parse_answer;
mod patterns;
mod registry;
mod rules;
mod schema_folders;
mod schema_limits;
mod skeleton;
mod stored_schema;
mod streamed_list;
mod validation_cost;
mod version_store;

pub use cache::Cache;
pub use coerce::{Coerced, Whole};
pub use compiled::{Lowered, Schema, StreamedList};
pub use lower::DialectChoice;
pub use owned_schemas::Quota;
pub use parse_answer::ParsedAnswer;
pub use registry::Registry;
pub use rules::{RuleBudget, Rules};
pub use schema_folders::{NAME_PATTERN, RegistryError};
pub use stored_schema::{Entry, Source};
pub use validation_cost::Evaluations;
pub use version_store::Version;

#[cfg(test)]
mod tests;
