//! JSON as language models write it: tolerant, partial and strict reading, with bounded depth and work.
//!
//! | module | contents |
//! |---|---|
//! | [`answer`] | the JSON value that a model's text means: prose, code fences, quotes, missing brackets, and what was repaired |
//! | [`partial`] | the value so far while a text is still being written, for streaming |
//! | [`surrogates`] | half surrogate pairs in escapes, replaced by U+FFFD |
//! | [`strict_json`] | strict JSON in which every member is taken literally |
//!
//! The crate knows no schema: the caller passes a predicate that accepts a value.

#![cfg_attr(test, allow(clippy::too_many_lines, reason = "tests hold long tables"))]

pub mod answer;
pub mod partial;
pub mod strict_json;
pub mod surrogates;

pub use strict_json::{NUMBER_NAME, StrictJson};

/// Bytes that a JSON value takes in memory beside its text: the smallest array that holds a value has room for four, and a long
/// one takes three times its values while it is moved to twice its room.
pub const VALUE_BYTES: usize = 4 * size_of::<serde_json::Value>();
