//! Lowering: conversion of the caller's schema to the dialect of a provider's mode, and of answers back.
//!
//! The lowered schema is never narrower than the caller's: each valid value has a lowered form, from which it can be lifted.
//! It is wider where the dialect cannot express a constraint; a description then states the constraint in words, and the answer
//! is validated against the caller's own schema. Some schemas are read as people mean them, not as the standard defines them:
//!
//! - Keywords of a type (`properties`, `items`, `minLength`) without `type` imply that type.
//! - Members beside `properties` are requested only if the schema names them (`additionalProperties`, `patternProperties`), and
//!   likewise items beside `prefixItems`.
//! - Properties of `then` or `else`, and those beside a `$ref` of draft 7, which ignores them, are optional.
//!
//! An answer that uses such a part otherwise, and is valid, is still accepted.

mod array;
mod choice;
mod conjunction;
mod definition;
mod description;
mod lowered_node;
mod lowering;
mod merged_schema;
mod object;
mod reference;
mod scalar;
mod size_counter;
mod types;
mod union;
mod wrap_root;

use serde_json::value::{RawValue, to_raw_value};

use crate::Draft;
use crate::dialect::Dialect;
use crate::lowered_schema::LoweredSchema;
use crate::tree::{JsonType, Tree};
use lowering::{Effort, Lowering};

/// Lowers a schema to a dialect. `document` is the caller's text of the schema, which is sent where the dialect accepts any
/// schema. `None`: the schema cannot be lowered to this dialect.
#[must_use]
pub fn lower(tree: &Tree, document: &RawValue, dialect: &'static Dialect) -> Option<LoweredSchema> {
    if dialect.whole {
        return unchanged(tree, document, dialect);
    }
    // In full first; if that is too large, as short as possible.
    [Effort::Full, Effort::Little]
        .into_iter()
        .find_map(|effort| Lowering::new(tree, document.get().len(), dialect, effort).run())
}

/// Returns the form of a schema for a dialect that accepts any schema.
fn unchanged(tree: &Tree, document: &RawValue, dialect: &Dialect) -> Option<LoweredSchema> {
    let wrapped = dialect.object_root && !tree.root().is_of(JsonType::Object);
    // The provider's validator may know neither draft 4 nor the places of references in a wrapper.
    let raw = if wrapped {
        to_raw_value(&wrap_root::wrapped(tree)).ok()?
    } else if tree.draft() == Draft::Draft4 {
        to_raw_value(tree.json().as_ref()).ok()?
    } else {
        document.to_owned()
    };
    Some(LoweredSchema {
        raw,
        strict: false,
        wrapped,
        shapes: None,
    })
}

#[cfg(test)]
mod tests;
