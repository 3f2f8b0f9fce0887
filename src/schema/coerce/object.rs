//! Matching of objects, member by member: keys spelled differently, members without a value, unknown members.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::coercer::Coercer;
use super::coercion::{Coercion, Match, Shapes};
use super::path::{Path, shown};
use super::scalar::is_placeholder;
use super::text_normalize::key_form;

/// Cost of renaming a member.
const RENAMED: u32 = 1;
/// Cost of leaving out a member without a value.
const LEFT_OUT: u32 = 2;
/// Cost of removing an unknown member.
const DROPPED: u32 = 6;
/// Cost from which on the object may be a wrapper around the requested one.
pub const FAR: u32 = DROPPED;

/// Keywords of an object schema that apply to its members.
struct Members<'s> {
    properties: Option<&'s Map<String, Value>>,
    additional: Option<&'s Value>,
    /// True if there are `patternProperties`, whose patterns are not evaluated.
    has_patterns: bool,
    required: Vec<&'s str>,
}

impl<'s> Members<'s> {
    /// Reads the keywords of a schema.
    fn from_schema(schema: &'s Value) -> Self {
        let required = schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        Self {
            properties: schema.get("properties").and_then(Value::as_object),
            additional: schema.get("additionalProperties"),
            has_patterns: schema.get("patternProperties").is_some(),
            required: required.collect(),
        }
    }

    fn property(&self, name: &str) -> Option<&'s Value> {
        self.properties?.get(name)
    }

    /// Returns the missing properties by the keys of `members` that are unambiguous other spellings of them.
    fn renamed<'m>(&self, members: &'m Map<String, Value>) -> HashMap<&'m str, &'s str> {
        let is_map = self.has_patterns || self.additional.is_some_and(Value::is_object);
        let mut missing = HashMap::<String, Option<&'s str>>::new();
        for name in self.properties.into_iter().flat_map(Map::keys) {
            if !is_map || self.required.contains(&name.as_str()) {
                let is_first = !missing.contains_key(&key_form(name));
                let is_free = is_first && !members.contains_key(name);
                missing.insert(key_form(name), is_free.then_some(name));
            }
        }
        let mut spelled = HashMap::<String, Option<&'m str>>::new();
        for key in members.keys().filter(|key| self.property(key).is_none()) {
            let form = key_form(key);
            let is_first = !spelled.contains_key(&form);
            spelled.insert(form, is_first.then_some(key));
        }
        let meant =
            |form: String, key: Option<&'m str>| Some((key?, missing.get(&form).copied()??));
        spelled
            .into_iter()
            .filter_map(|(form, key)| meant(form, key))
            .collect()
    }
}

/// Matches the members of an object with a schema.
pub fn match_members<'s>(
    coercer: &mut Coercer<'s>,
    schema: &'s Value,
    members: &Map<String, Value>,
    at: &Path<'_>,
) -> Option<Match> {
    let keywords = Members::from_schema(schema);
    let mut renamed = HashMap::new();
    if let Some(properties) = keywords.properties {
        let known = members
            .keys()
            .filter(|key| properties.contains_key(*key))
            .count();
        if known < properties.len() && known < members.len() {
            coercer.spend((properties.len() + members.len()) / 4)?;
            renamed = keywords.renamed(members);
        }
    }
    let mut object = CoercedObject::default();
    for (key, value) in members {
        coercer.spend(1)?;
        let name = renamed.get(key.as_str()).copied().unwrap_or(key);
        if name != key {
            let written = shown(&Value::String(key.clone()));
            object.note(
                RENAMED,
                at.member(name).note(&format!("renamed from {written}")),
            );
        }
        object.add(coercer, &keywords, (name, value), &at.member(name))?;
    }
    let has_required = |name: &&str| object.members.contains_key(*name);
    if !keywords.required.iter().all(has_required) {
        return None;
    }
    Some(if object.notes.is_empty() {
        Match::AsIs
    } else {
        Match::Coerced(Coercion {
            value: Value::Object(object.members),
            cost: object.cost,
            notes: object.notes,
        })
    })
}

/// Object whose members are matched one by one.
#[derive(Default)]
struct CoercedObject {
    members: Map<String, Value>,
    cost: u32,
    notes: Vec<String>,
}

impl CoercedObject {
    /// Adds the cost and the description of a change.
    fn note(&mut self, cost: u32, note: String) {
        self.cost = self.cost.saturating_add(cost);
        self.notes.push(note);
    }

    /// Matches a member and adds it, unless it is left out. `None`: it does not match.
    fn add<'s>(
        &mut self,
        coercer: &mut Coercer<'s>,
        keywords: &Members<'s>,
        (name, value): (&str, &Value),
        at: &Path<'_>,
    ) -> Option<()> {
        let property = keywords.property(name);
        let part = match property {
            Some(part) => part,
            None if keywords.has_patterns => &Value::Bool(true),
            None => keywords.additional.unwrap_or(&Value::Bool(true)),
        };
        if part == &Value::Bool(false) && property.is_none() {
            self.note(
                DROPPED,
                at.note("removed: the schema allows no such member"),
            );
            return Some(());
        }
        match coercer.fit(part, value, at, Shapes::Any) {
            Some(Match::AsIs) => {
                self.members.insert(name.to_owned(), value.clone());
            }
            Some(Match::Coerced(coercion)) => {
                self.cost = self.cost.saturating_add(coercion.cost);
                self.notes.extend(coercion.notes);
                self.members.insert(name.to_owned(), coercion.value);
            }
            None if is_placeholder(value) && !keywords.required.contains(&name) => {
                let reason = format!("left out: {} is no value for it", shown(value));
                self.note(LEFT_OUT, at.note(&reason));
            }
            None => return None,
        }
        Some(())
    }
}
