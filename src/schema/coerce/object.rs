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
    let mut made = Coercion {
        value: Value::Null,
        cost: 0,
        notes: Vec::new(),
    };
    let mut object = Map::new();
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
    for (key, value) in members {
        coercer.spend(1)?;
        let name = renamed.get(key.as_str()).copied().unwrap_or(key);
        if name != key {
            made.cost = made.cost.saturating_add(RENAMED);
            made.notes.push(at.member(name).note(&format!(
                "renamed from {}",
                shown(&Value::String(key.clone()))
            )));
        }
        let part = match keywords.property(name) {
            Some(part) => part,
            None if keywords.has_patterns => &Value::Bool(true),
            None => keywords.additional.unwrap_or(&Value::Bool(true)),
        };
        let is_asked_for = keywords.property(name).is_some();
        if part == &Value::Bool(false) && !is_asked_for {
            made.cost = made.cost.saturating_add(DROPPED);
            made.notes.push(
                at.member(name)
                    .note("removed: the schema allows no such member"),
            );
            continue;
        }
        match coercer.fit(part, value, &at.member(name), Shapes::Any) {
            Some(Match::AsIs) => {
                object.insert(name.to_owned(), value.clone());
            }
            Some(Match::Coerced(coerced)) => {
                made.cost = made.cost.saturating_add(coerced.cost);
                made.notes.extend(coerced.notes);
                object.insert(name.to_owned(), coerced.value);
            }
            None if is_placeholder(value) && !keywords.required.contains(&name) => {
                made.cost = made.cost.saturating_add(LEFT_OUT);
                made.notes.push(
                    at.member(name)
                        .note(&format!("left out: {} is no value for it", shown(value))),
                );
            }
            None => return None,
        }
    }
    if !keywords
        .required
        .iter()
        .all(|name| object.contains_key(*name))
    {
        return None;
    }
    if made.notes.is_empty() {
        return Some(Match::AsIs);
    }
    made.value = Value::Object(object);
    Some(Match::Coerced(made))
}
