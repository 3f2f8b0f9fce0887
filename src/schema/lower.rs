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

use std::sync::Arc;

use serde_json::Value;
use serde_json::value::to_raw_value;

use super::compiled::{Lowered, Schema};
use crate::types::{Dialect, LoweredSchema, NullPolicy};
use lowering::{Effort, Lowering};
use schema_dialect::Draft;

/// Maximum length of a schema whose lowering takes less than about a millisecond, in bytes.
const QUICKLY_LOWERED_BYTES: usize = 8 << 10;
impl Schema {
    /// Returns true if lowering may take more than about a millisecond.
    #[must_use]
    pub fn is_slow_to_lower(&self) -> bool {
        self.raw.get().len() > QUICKLY_LOWERED_BYTES
    }

    /// Lowers the schema to a dialect, once for each dialect. `None`: it cannot be lowered to this one.
    #[must_use]
    pub fn lowered(&self, subset: &'static Dialect) -> Option<Lowered> {
        let mut kept = self
            .lowered
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, known)) = kept.iter().find(|(known, _)| std::ptr::eq(*known, subset)) {
            return known.clone();
        }
        let lowered = self.lower(subset);
        kept.push((subset, lowered.clone()));
        lowered
    }

    /// Lifts an answer in a lowered form to the caller's form. Of the possible meanings of its
    /// nulls, the first valid one is returned; an answer that is in the caller's form already stays
    /// as it is.
    #[must_use]
    pub fn raised(&self, lowered: &Lowered, value: Value) -> Value {
        let asked = &lowered.asked;
        if asked.is_as_it_was() {
            return value;
        }
        let form = |null| asked.raised(value.clone(), null);
        let kept = form(NullPolicy::Value);
        if self.is_valid(&kept) {
            return kept;
        }
        // If no meaning is valid, coercion starts from the one without injected nulls.
        let own = form(NullPolicy::OwnValue);
        let others = [own.clone(), form(NullPolicy::Absence), value];
        let valid = others
            .into_iter()
            .find(|other| *other != kept && self.is_valid(other));
        valid.unwrap_or(own)
    }

    /// Lowers the schema without the memo of [`Schema::lowered`].
    fn lower(&self, subset: &'static Dialect) -> Option<Lowered> {
        if subset.whole {
            let is_object = self
                .tree
                .root()
                .get("type")
                .is_some_and(|kind| kind == "object");
            let wrapped = subset.object_root && !is_object;
            // The provider's validator may know neither draft 4 nor the places of references in a wrapper.
            let raw = if wrapped {
                to_raw_value(&wrap_root::wrapped(self.tree.root())).ok()?
            } else if self.tree.draft() == Draft::Draft4 {
                to_raw_value(self.tree.root()).ok()?
            } else {
                self.raw.clone()
            };
            return Some(Lowered {
                asked: Arc::new(LoweredSchema {
                    raw,
                    strict: false,
                    wrapped,
                    shapes: None,
                }),
            });
        }
        let tree = &*self.tree;
        // In full first; if that is too large, as short as possible.
        let asked = [Effort::Full, Effort::Little]
            .into_iter()
            .find_map(|effort| Lowering::new(self, tree, subset, effort).run());
        asked.map(|asked| Lowered {
            asked: Arc::new(asked),
        })
    }
}

#[cfg(test)]
mod tests;
