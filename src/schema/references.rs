//! What a schema says of places in itself: each reference leads somewhere within it, and means the same to everyone.
//!
//! The bounds hold only if a reference is followed here to the very place to which the validator follows it. So whatever lets a
//! part mean something else by its references than the whole does (an `$id` or a draft of its own, one name for two parts) is
//! refused.

use std::collections::{HashMap, HashSet};

use jsonschema::Draft;
use serde_json::Value;

use super::document::{Document, holds_named_schemas};
use super::{draft, invalid};
use crate::types::{Error, pointer};

/// Refuses what leads outside, or nowhere, or to one of two places.
pub fn check(document: &Document<'_>) -> Result<(), Error> {
    let mut check = Check {
        document,
        seen: HashSet::new(),
        names: HashMap::new(),
        references: Vec::new(),
        inner_id: None,
    };
    check.schema(document.root(), "")?;
    // What is referred to is a schema, though it may stand where no schema is looked for.
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
    /// The places that have a name.
    names: HashMap<&'s str, *const Value>,
    references: Vec<Reference<'s>>,
    /// The first `$id` below the root.
    inner_id: Option<String>,
}

struct Reference<'s> {
    at: String,
    text: &'s str,
    target: Option<&'s Value>,
}

impl Reference<'_> {
    /// The JSON Pointer that the reference is, if it is one.
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
    /// Recurses as deep as the schema is nested, which is bounded; so is what all the pointers take together.
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

    /// What `schema` itself says.
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

/// Keywords whose value is an instance, in which a `$ref` is nothing but a name.
fn holds_data(keyword: &str) -> bool {
    matches!(keyword, "const" | "enum" | "default" | "examples")
}

/// Makes the references of a schema that began at the root, whose `$id` is `id`, lead to the same places once it stands at `to`.
/// False if one is left that leads elsewhere than by a pointer, or there is a name that one could lead to.
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
