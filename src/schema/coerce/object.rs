//! Matching of objects, member by member: keys spelled differently, members without a value, unknown members.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use schema_dialect::{Keyword, Named, NodeRef};
use serde_json::{Map, Value};

use super::choices::BYTES_PER_VISIT;
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
/// Number of member names whose look-up costs one visit.
const NAMES_PER_VISIT: usize = 8;
/// Cost from which on the object may be a wrapper around the requested one.
pub const FAR: u32 = DROPPED;

/// Keywords of an object schema that apply to its members.
struct Members<'s> {
    properties: Option<Named<'s>>,
    additional: Option<NodeRef<'s>>,
    /// True if there are `patternProperties`, whose patterns are not evaluated.
    has_patterns: bool,
    required: &'s [Box<str>],
}

impl<'s> Members<'s> {
    /// Reads the keywords of a schema.
    fn from_schema(schema: NodeRef<'s>) -> Self {
        Self {
            properties: schema.properties(),
            additional: schema.additional_properties(),
            has_patterns: schema.has(Keyword::PatternProperties),
            required: schema.required(),
        }
    }

    fn property(&self, name: &str) -> Option<NodeRef<'s>> {
        self.properties?.get(name)
    }

    fn requires(&self, name: &str) -> bool {
        self.required.iter().any(|required| **required == *name)
    }

    /// Returns the missing properties by the keys of `members` that are unambiguous other spellings of them.
    fn renamed<'m>(&self, members: &'m Map<String, Value>) -> HashMap<&'m str, &'s str> {
        let is_map = self.has_patterns || self.additional.is_some_and(NodeRef::is_object);
        let mut missing = HashMap::<String, Option<&'s str>>::new();
        for name in self.properties.into_iter().flat_map(Named::names) {
            if !is_map || self.requires(name) {
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
pub fn match_members<'m>(
    coercer: &mut Coercer,
    schema: NodeRef<'m>,
    members: &'m Map<String, Value>,
    at: &Path<'_>,
) -> Option<Match> {
    let keywords = Members::from_schema(schema);
    let mut renamed = HashMap::new();
    if let Some(properties) = keywords.properties {
        coercer.spend(members.len() / NAMES_PER_VISIT)?;
        let known = members
            .keys()
            .filter(|key| properties.get(key).is_some())
            .count();
        if known < properties.len() && known < members.len() {
            coercer.spend((properties.len() + members.len()) / 4)?;
            let names = properties.names().chain(members.keys().map(String::as_str));
            let bytes: usize = names.map(str::len).sum();
            coercer.spend(bytes / (2 * BYTES_PER_VISIT))?;
            renamed = keywords.renamed(members);
        }
    }
    let mut object = CoercedObject::default();
    for (key, value) in members {
        coercer.spend(1)?;
        let name = renamed.get(key.as_str()).copied().unwrap_or(key.as_str());
        if name != key {
            let written = shown(&Value::String(key.clone()));
            object.note(
                RENAMED,
                at.member(name).note(&format!("renamed from {written}")),
            );
        }
        object.add(coercer, &keywords, (name, value), &at.member(name))?;
    }
    if !keywords.required.is_empty() {
        let names: HashSet<&str> = object.members.iter().map(|(name, _)| *name).collect();
        let mut required = keywords.required.iter();
        if !required.all(|name| names.contains(&**name)) {
            return None;
        }
    }
    if object.notes.is_empty() {
        return Some(Match::AsIs);
    }
    let members = object.members.into_iter().map(|(name, value)| {
        let value = match value {
            Cow::Borrowed(unchanged) => coercer.copy(unchanged)?,
            Cow::Owned(changed) => changed,
        };
        Some((name.to_owned(), value))
    });
    Some(Match::Coerced(Coercion {
        value: Value::Object(members.collect::<Option<_>>()?),
        cost: object.cost,
        notes: object.notes,
    }))
}

/// Object whose members are matched one by one.
#[derive(Default)]
struct CoercedObject<'m> {
    /// Members that are kept. Those that are valid unchanged are copied only if another one is changed.
    members: Vec<(&'m str, Cow<'m, Value>)>,
    cost: u32,
    notes: Vec<String>,
}

impl<'m> CoercedObject<'m> {
    /// Adds the cost and the description of a change.
    fn note(&mut self, cost: u32, note: String) {
        self.cost = self.cost.saturating_add(cost);
        self.notes.push(note);
    }

    /// Matches a member and adds it, unless it is left out. `None`: it does not match.
    fn add(
        &mut self,
        coercer: &mut Coercer,
        keywords: &Members<'_>,
        (name, value): (&'m str, &'m Value),
        at: &Path<'_>,
    ) -> Option<()> {
        let property = keywords.property(name);
        let part = property.or(keywords.additional.filter(|_| !keywords.has_patterns));
        if property.is_none() && part.is_some_and(NodeRef::is_false) {
            self.note(
                DROPPED,
                at.note("removed: the schema allows no such member"),
            );
            return Some(());
        }
        let fit = match part {
            Some(part) => coercer.fit(part, value, at, Shapes::Any),
            None => coercer.spend(1).map(|()| Match::AsIs),
        };
        match fit {
            Some(Match::AsIs) => {
                self.members.push((name, Cow::Borrowed(value)));
            }
            Some(Match::Coerced(coercion)) => {
                self.cost = self.cost.saturating_add(coercion.cost);
                self.notes.extend(coercion.notes);
                self.members.push((name, Cow::Owned(coercion.value)));
            }
            None if is_placeholder(value) && !keywords.requires(name) => {
                let reason = format!("left out: {} is no value for it", shown(value));
                self.note(LEFT_OUT, at.note(&reason));
            }
            None => return None,
        }
        Some(())
    }
}
