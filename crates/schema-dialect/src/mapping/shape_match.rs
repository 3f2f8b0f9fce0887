//! Choice among several mappings by the shape of a value.

use std::collections::HashMap;

use serde_json::{Map, Value};

use llm_json::StrictJson;

use crate::json_value::json_equal;

use super::value_mapping::{Extra, Member, TypeSet, ValueMapping, ValueMappings};

/// Maximum number of comparisons. Beyond it, every mapping counts as fitting.
const MAX_LOOKS: usize = 200_000;

/// Form of a value: the caller's (own) or the lowered one (asked).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Own,
    Asked,
}

impl Form {
    fn name(self, member: &Member) -> &str {
        if self == Self::Own {
            &member.name
        } else {
            &member.asked
        }
    }
}

/// Properties by name: a linear search for up to 16, otherwise a hash map.
pub enum Names<'s> {
    Few(&'s [Member], Form),
    Many(HashMap<&'s str, &'s Member>),
}

impl<'s> Names<'s> {
    pub fn new(members: &'s [Member], form: Form) -> Self {
        if members.len() <= 16 {
            return Self::Few(members, form);
        }
        Self::Many(
            members
                .iter()
                .map(|member| (form.name(member), member))
                .collect(),
        )
    }

    pub fn find(&self, name: &str) -> Option<&'s Member> {
        match self {
            Self::Few(members, form) => members.iter().find(|member| form.name(member) == name),
            Self::Many(members) => members.get(name).copied(),
        }
    }
}

/// Matcher of mappings and values. Memoizes results, so that nested choices take linear time.
pub struct Fit<'s> {
    pub shapes: &'s ValueMappings,
    form: Form,
    known: HashMap<(*const ValueMapping, *const Value), bool>,
    looks: usize,
}

impl<'s> Fit<'s> {
    pub fn new(shapes: &'s ValueMappings, form: Form) -> Self {
        Self {
            shapes,
            form,
            known: HashMap::new(),
            looks: 0,
        }
    }

    /// Chooses the mapping of a value: the first that fits without loss, else the first that fits, else the first of its type.
    pub fn choose(
        &mut self,
        shapes: &'s [ValueMapping],
        value: &Value,
    ) -> Option<&'s ValueMapping> {
        let fitting: Vec<&'s ValueMapping> = shapes
            .iter()
            .filter(|shape| self.fits(shape, value))
            .collect();
        let whole = fitting
            .iter()
            .copied()
            .find(|shape| !self.leaves_out(shape, value));
        whole.or_else(|| fitting.first().copied()).or_else(|| {
            let mut near = shapes
                .iter()
                .filter(|shape| self.kinds(shape, 0).has(TypeSet::of_value(value)));
            near.next()
        })
    }

    /// Returns true if a fitting mapping is a last resort: it loses members, or takes an empty list for a map.
    fn leaves_out(&mut self, shape: &'s ValueMapping, value: &Value) -> bool {
        match (self.shapes.named(shape), value) {
            (ValueMapping::Object(members, Extra::Left), Value::Object(found)) => {
                let names = Names::new(members, self.form);
                found.keys().any(|name| names.find(name).is_none())
            }
            (ValueMapping::Entries(_), Value::Array(entries)) => entries.is_empty(),
            (ValueMapping::Entries(_), Value::Object(found)) => found.is_empty(),
            (ValueMapping::Either(shapes), value) => !shapes
                .iter()
                .any(|shape| self.fits(shape, value) && !self.leaves_out(shape, value)),
            _ => false,
        }
    }

    fn kinds(&self, shape: &ValueMapping, depth: usize) -> TypeSet {
        match self.shapes.named(shape) {
            ValueMapping::Same(kinds, _) => *kinds,
            ValueMapping::Object(..) => TypeSet(32),
            ValueMapping::Array(..) => TypeSet(16),
            ValueMapping::Entries(_) => TypeSet(if self.form == Form::Own { 32 } else { 16 }),
            ValueMapping::Text => {
                if self.form == Form::Own {
                    TypeSet::ALL
                } else {
                    TypeSet(32)
                }
            }
            ValueMapping::Either(shapes) if depth < 8 => TypeSet(
                shapes
                    .iter()
                    .fold(0, |kinds, shape| kinds | self.kinds(shape, depth + 1).0),
            ),
            ValueMapping::Either(_) | ValueMapping::Named(_) => TypeSet::ALL,
        }
    }

    fn fits(&mut self, shape: &ValueMapping, value: &Value) -> bool {
        let shape = self.shapes.named(shape);
        if let ValueMapping::Same(kinds, values) = shape {
            return kinds.has(TypeSet::of_value(value))
                && (values.is_empty() || values.iter().any(|known| json_equal(known, value)));
        }
        let key = (std::ptr::from_ref(shape), std::ptr::from_ref(value));
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        self.looks += 1;
        if self.looks > MAX_LOOKS {
            return true;
        }
        let fits = match (shape, value) {
            (ValueMapping::Object(members, extra), Value::Object(found)) => {
                self.object(members, extra, found)
            }
            (ValueMapping::Entries(shape), Value::Object(found)) if self.form == Form::Own => {
                found.values().all(|value| self.fits(shape, value))
            }
            (ValueMapping::Entries(shape), Value::Array(entries)) if self.form == Form::Asked => {
                self.entries(shape, entries)
            }
            (ValueMapping::Array(first, items), Value::Array(found)) => found
                .iter()
                .enumerate()
                .all(|(index, item)| self.fits(first.get(index).unwrap_or(items), item)),
            (ValueMapping::Either(shapes), value) => {
                shapes.iter().any(|shape| self.fits(shape, value))
            }
            (ValueMapping::Text, _) if self.form == Form::Own => true,
            (ValueMapping::Text, Value::Object(found)) => parse_json_member(found).is_some(),
            _ => false,
        };
        self.known.insert(key, fits);
        fits
    }

    fn object(&mut self, members: &[Member], extra: &Extra, found: &Map<String, Value>) -> bool {
        let names = Names::new(members, self.form);
        for member in members {
            let fits = match found.get(self.form.name(member)) {
                None => !(member.required || member.nullable && self.form == Form::Asked),
                Some(Value::Null) if member.nullable && self.form == Form::Asked => true,
                Some(value) => self.fits(&member.shape, value),
            };
            if !fits {
                return false;
            }
        }
        let mut others = found.iter().filter(|(name, _)| names.find(name).is_none());
        match (extra, self.form) {
            (Extra::None, _) | (Extra::Left, Form::Asked) => others.next().is_none(),
            (Extra::Left, Form::Own) => true,
            (Extra::Same(shape), _) | (Extra::Entries(_, shape), Form::Own) => {
                others.all(|(_, value)| self.fits(shape, value))
            }
            (Extra::Entries(name, shape), Form::Asked) => {
                others.all(|(other, value)| match value {
                    Value::Array(entries) if other == name => self.entries(shape, entries),
                    _ => false,
                })
            }
        }
    }

    fn entries(&mut self, shape: &ValueMapping, entries: &[Value]) -> bool {
        entries.iter().all(|entry| match entry.as_object() {
            Some(entry) if entry.len() == 2 && entry.get("key").is_some_and(Value::is_string) => {
                entry
                    .get("value")
                    .is_some_and(|value| self.fits(shape, value))
            }
            _ => false,
        })
    }
}

/// Parses the JSON text of an object with the one member `json`. `None`: the object is no such object.
pub fn parse_json_member(members: &Map<String, Value>) -> Option<Value> {
    let text = members
        .get("json")
        .filter(|_| members.len() == 1)?
        .as_str()?;
    serde_json::from_str(text)
        .ok()
        .map(|StrictJson(value)| value)
}
