//! Validation rules over JSON in the Common Expression Language (CEL), with bounded parsing and evaluation.
//!
//! A rule is a boolean expression over `data` (a JSON value) and `input` (the text it was extracted from). The language is
//! <https://github.com/google/cel-spec/blob/master/doc/langdef.md> (read 2026-11-22), without bytes, protobuf messages and
//! time zones.
//!
//! # Why not the `cel` crate
//! Both the rules and the data are untrusted here. The public `cel` crate has no step limit, so nested macros run for hours.
//! Deeply nested expressions overflow the stack of its parser, and some small inputs crash it. This crate counts steps,
//! allocated bytes and levels, and it evaluates JSON in place, without a copy.
//!
//! # Stages
//! `lexer` → `parse` (to the tree of `syntax`) → `type_check` → `evaluate` (with `operators`, `functions`, `time`, `budget`).
//! [`Rules`] compiles a list of rules and reports the [`Violation`]s.
//!
//! The crate knows nothing about HTTP, schemas or the source of the data.

#![cfg_attr(test, allow(clippy::too_many_lines, reason = "tests hold long tables"))]

mod access;
mod budget;
mod cost_estimate;
mod data_path;
mod display;
mod error;
mod evaluate;
mod functions;
mod lexer;
mod operator;
mod operators;
mod parse;
mod pattern;
mod rules;
mod syntax;
mod time;
mod type_check;
mod value;

#[cfg(test)]
#[allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic fails the test"
)]
mod tests;

pub use budget::Budget;
pub use error::{CompileError, Location};
pub use rules::{Rule, Rules, Violation};
