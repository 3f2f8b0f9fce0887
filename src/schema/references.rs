//! Checks of `$ref`, `$id` and anchors: every reference must resolve within the schema, unambiguously.
//!
//! The cost limits hold only if this code resolves a reference as the validator does. So anything that changes the meaning of
//! references within a part is rejected: a nested `$id`, another draft, or one anchor for two parts.

use std::collections::{HashMap, HashSet};

use jsonschema::Draft;
use serde_json::Value;

use super::document::{Document, holds_named_schemas};
use super::{draft, invalid};
use crate::types::{Error, pointer};

/// Rejects references that lead outside, do not resolve or are ambiguous.
pub fn check(document: &Document<'_>) -> Result<(), Error> {
    let mut check = Check {
        document,
        seen: HashSet::new(),
        names: HashMap::new(),
        references: Vec::new(),
        inner_id: None,
    };
    check.schema(document.root(), "")?;
    // The target of a reference is a schema, even below an unknown keyword.
    let mut followed = 0;
    while let Some(reference) = check.references.get(followed) {
        followed += 1;
        if let Some(target) = reference
            .target
            .filter(|target| !check.seen.contains(&std::ptr::from_ref(*target)))
        {
            let at = reference.fragment().unwrap_or_default();
            check.schema(target, &at)?;
        }
    }
    check.verdict()
}

struct Check<'d, 's> {
    document: &'d Document<'s>,
    seen: HashSet<*const Value>,
    /// Subschemas by anchor.
    names: HashMap<&'s str, *const Value>,
    references: Vec<Reference<'s>>,
    /// JSON Pointer of the first `$id` below the root.
    inner_id: Option<String>,
}

struct Reference<'s> {
    at: String,
    text: &'s str,
    target: Option<&'s Value>,
}

impl Reference<'_> {
    /// Returns the decoded fragment of the reference. `None`: no fragment.
    fn fragment(&self) -> Option<String> {
        let (_, fragment) = self.text.split_once('#')?;
        Some(
            percent_encoding::percent_decode_str(fragment)
                .decode_utf8()
                .ok()?
                .into_owned(),
        )
    }
}

impl<'s> Check<'_, 's> {
    /// Visits a subschema. Recursion is as deep as the schema, whose depth and pointer length are limited before.
    fn schema(&mut self, schema: &'s Value, at: &str) -> Result<(), Error> {
        if !self.seen.insert(std::ptr::from_ref(schema)) {
            return Ok(());
        }
        match schema {
            Value::Object(members) => {
                self.own(schema, at)?;
                for (keyword, member) in members.iter().filter(|(keyword, _)| !holds_data(keyword))
                {
                    let at = pointer(at, keyword);
                    match member {
                        Value::Object(named) if holds_named_schemas(keyword) => {
                            named.iter().try_for_each(|(name, part)| {
                                self.schema(part, &pointer(&at, name))
                            })?;
                        }
                        _ => self.schema(member, &at)?,
                    }
                }
                Ok(())
            }
            Value::Array(items) => items
                .iter()
                .enumerate()
                .try_for_each(|(index, item)| self.schema(item, &pointer(at, &index.to_string()))),
            _ => Ok(()),
        }
    }

    /// Checks the keywords of one subschema.
    fn own(&mut self, schema: &'s Value, at: &str) -> Result<(), Error> {
        let document = self.document;
        let is_root = std::ptr::eq(schema, document.root());
        let text = |keyword: &str| schema.get(keyword).and_then(Value::as_str);
        if !is_root && text("$schema").is_some() && draft(schema).ok() != Some(document.draft()) {
            return Err(invalid(
                &pointer(at, "$schema"),
                "a part cannot be of another draft than the whole; say it at the root",
            ));
        }
        if !is_root
            && text("$id")
                .is_some_and(|id| !(document.draft() == Draft::Draft7 && id.starts_with('#')))
        {
            self.inner_id.get_or_insert_with(|| pointer(at, "$id"));
        }
        for name in document.names(schema) {
            let place = std::ptr::from_ref(schema);
            if *self.names.entry(name).or_insert(place) != place {
                return Err(invalid(
                    at,
                    &format!("another part of this schema is named \"{name}\" too"),
                ));
            }
        }
        for (keyword, text, target) in document.references(schema) {
            self.references.push(Reference {
                at: pointer(at, keyword),
                text,
                target,
            });
        }
        Ok(())
    }

    fn verdict(self) -> Result<(), Error> {
        if let (Some(at), false) = (&self.inner_id, self.references.is_empty()) {
            let message = "an `$id` below the root changes what references mean, which is not supported: leave it out, and refer \
                           to the part as `#/$defs/…` or by an `$anchor`";
            return Err(invalid(at, message));
        }
        match self
            .references
            .iter()
            .find(|reference| reference.target.is_none())
        {
            None => Ok(()),
            Some(Reference { at, text, .. }) => {
                let message = format!(
                    "\"{text}\" leads nowhere within this schema, and nothing is fetched; put what it refers to under `$defs`"
                );
                Err(invalid(at, &message))
            }
        }
    }
}

/// Returns true for keywords whose value is an instance, in which `$ref` is an ordinary member.
fn holds_data(keyword: &str) -> bool {
    matches!(keyword, "const" | "enum" | "default" | "examples")
}

/// Rewrites the references of a root schema with the `$id` `id` for its new location at the JSON Pointer `to`. Returns false if
/// a reference is no JSON Pointer, or the schema has an `$id` or anchor.
pub fn move_references(schema: &mut Value, id: &str, to: &str) -> bool {
    match schema {
        Value::Object(members) => members.iter_mut().fold(true, |moved, (keyword, member)| {
            moved
                & match member {
                    Value::String(reference)
                        if matches!(keyword.as_str(), "$ref" | "$dynamicRef") =>
                    {
                        let fragment = reference.strip_prefix(id).unwrap_or(reference);
                        let is_pointer = matches!(fragment, "" | "#") || fragment.starts_with("#/");
                        if is_pointer {
                            *reference = format!("{to}{}", fragment.trim_start_matches('#'));
                        }
                        is_pointer
                    }
                    Value::String(_)
                        if matches!(keyword.as_str(), "$id" | "$anchor" | "$dynamicAnchor") =>
                    {
                        false
                    }
                    Value::Object(named) if holds_named_schemas(keyword) => named
                        .values_mut()
                        .fold(true, |moved, part| moved & move_references(part, id, to)),
                    member => holds_data(keyword) || move_references(member, id, to),
                }
        }),
        Value::Array(items) => items
            .iter_mut()
            .fold(true, |moved, item| moved & move_references(item, id, to)),
        _ => true,
    }
}
