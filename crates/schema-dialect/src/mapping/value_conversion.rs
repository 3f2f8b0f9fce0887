//! Conversion of values between the caller's form and the lowered form, by their mapping.
//!
//! Both directions are total: a value without the expected shape stays unchanged, because a model may answer in the caller's
//! form. The lowered forms are recognizable: absence is a null that the caller's schema does not allow, a map is a list of
//! `key` and `value`, any other value is an object with the one member `json`. A value in the caller's form is changed only
//! if it looks like one of these.

use serde_json::{Map, Value, json};

use super::shape_match::{Fit, Form, Names, parse_json_member};
use super::value_mapping::{Extra, Member, ValueMapping, ValueMappings};

impl ValueMappings {
    /// Lowers a value: converts the caller's form to the lowered form.
    #[must_use]
    pub fn lowered(&self, value: &Value) -> Value {
        Lowering {
            fit: Fit::new(self, Form::Own),
        }
        .any(&self.root, value)
    }

    /// Lifts a value: converts the lowered form to the caller's form.
    #[must_use]
    pub fn raised(&self, value: Value, null: NullPolicy) -> Value {
        Raising {
            fit: Fit::new(self, Form::Asked),
            null,
        }
        .any(&self.root, &value)
        .unwrap_or(value)
    }
}

struct Lowering<'s> {
    fit: Fit<'s>,
}

impl<'s> Lowering<'s> {
    fn any(&mut self, shape: &'s ValueMapping, value: &Value) -> Value {
        match (self.fit.shapes.named(shape), value) {
            (ValueMapping::Object(members, extra), Value::Object(own)) => {
                self.object(members, extra, own)
            }
            (ValueMapping::Entries(shape), Value::Object(own)) => self.entries(shape, own.iter()),
            (ValueMapping::Array(first, items), Value::Array(own)) => own
                .iter()
                .enumerate()
                .map(|(index, item)| self.any(first.get(index).unwrap_or(items), item))
                .collect(),
            (ValueMapping::Either(shapes), value) => match self.fit.choose(shapes, value) {
                Some(shape) => self.any(shape, value),
                None => value.clone(),
            },
            (ValueMapping::Text, value) => json!({"json": value.to_string()}),
            (_, value) => value.clone(),
        }
    }

    fn object(
        &mut self,
        members: &'s [Member],
        extra: &'s Extra,
        own: &Map<String, Value>,
    ) -> Value {
        let mut asked = Map::new();
        for member in members {
            match own.get(&member.name) {
                Some(value) => {
                    let value = self.any(&member.shape, value);
                    asked.insert(member.asked.clone(), value);
                }
                None if member.nullable => {
                    asked.insert(member.asked.clone(), Value::Null);
                }
                None => {}
            }
        }
        let names = Names::new(members, Form::Own);
        let is_extra = |(name, _): &(&String, &Value)| names.find(name).is_none();
        match extra {
            Extra::None | Extra::Left => {}
            Extra::Same(shape) => {
                let extras = own
                    .iter()
                    .filter(is_extra)
                    .map(|(name, value)| (name.clone(), self.any(shape, value)));
                asked.extend(extras.collect::<Vec<_>>());
            }
            Extra::Entries(name, shape) => {
                let entries = self.entries(shape, own.iter().filter(is_extra));
                asked.insert(name.clone(), entries);
            }
        }
        Value::Object(asked)
    }

    fn entries<'v>(
        &mut self,
        shape: &'s ValueMapping,
        own: impl Iterator<Item = (&'v String, &'v Value)>,
    ) -> Value {
        own.map(|(name, value)| json!({"key": name, "value": self.any(shape, value)}))
            .collect()
    }
}

/// Meaning of null for an optional property that was lowered to a nullable one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NullPolicy {
    /// A value if the caller's schema allows null, otherwise absence.
    OwnValue,
    /// As `OwnValue`, but also a value in an object that lacks a nullable property, because that is not in the lowered form.
    Value,
    /// Always absence.
    Absence,
}

struct Raising<'s> {
    fit: Fit<'s>,
    null: NullPolicy,
}

impl<'s> Raising<'s> {
    /// Lifts a value. `None`: the value stays unchanged.
    fn any(&mut self, shape: &'s ValueMapping, value: &Value) -> Option<Value> {
        match (self.fit.shapes.named(shape), value) {
            (ValueMapping::Object(members, extra), Value::Object(asked)) => {
                Some(self.object(members, extra, asked))
            }
            (ValueMapping::Entries(shape), Value::Array(entries)) => {
                self.entries(shape, entries).map(Value::Object)
            }
            (ValueMapping::Array(first, items), Value::Array(asked)) => {
                let raised = asked.iter().enumerate();
                Some(
                    raised
                        .map(|(index, item)| self.own(first.get(index).unwrap_or(items), item))
                        .collect(),
                )
            }
            (ValueMapping::Either(shapes), value) => {
                let shape = self.fit.choose(shapes, value)?;
                self.any(shape, value)
            }
            (ValueMapping::Text, Value::Object(members)) => parse_json_member(members),
            _ => None,
        }
    }

    fn own(&mut self, shape: &'s ValueMapping, value: &Value) -> Value {
        self.any(shape, value).unwrap_or_else(|| value.clone())
    }

    fn object(
        &mut self,
        members: &'s [Member],
        extra: &'s Extra,
        asked: &Map<String, Value>,
    ) -> Value {
        let mut own = Map::new();
        let (asked_names, own_names) = (
            Names::new(members, Form::Asked),
            Names::new(members, Form::Own),
        );
        let mut demanded = members
            .iter()
            .filter(|member| member.required || member.nullable);
        let is_asked_form = demanded.all(|member| asked.contains_key(&member.asked));
        for (name, value) in asked {
            if let Some(member) = asked_names.find(name) {
                let may_be_absent = match self.null {
                    NullPolicy::Value => is_asked_form && !member.null_is_own,
                    NullPolicy::OwnValue => !member.null_is_own,
                    NullPolicy::Absence => true,
                };
                let is_absent = value.is_null() && member.nullable && may_be_absent;
                if !is_absent {
                    let value = self.own(&member.shape, value);
                    own.insert(member.name.clone(), value);
                }
                continue;
            }
            let known = own_names.find(name);
            match (known, extra, value) {
                (Some(member), ..) => {
                    let value = self.own(&member.shape, value);
                    own.insert(name.clone(), value);
                }
                (None, Extra::Entries(entries, shape), Value::Array(list)) if entries == name => {
                    match self.entries(shape, list) {
                        Some(entries) => {
                            for (name, value) in entries {
                                own.entry(name).or_insert(value);
                            }
                        }
                        None => drop(own.insert(name.clone(), value.clone())),
                    }
                }
                (None, Extra::Entries(_, shape) | Extra::Same(shape), value) => {
                    let value = self.own(shape, value);
                    own.insert(name.clone(), value);
                }
                (None, Extra::None | Extra::Left, value) => {
                    drop(own.insert(name.clone(), value.clone()));
                }
            }
        }
        Value::Object(own)
    }

    /// Lifts a list of `key` and `value`. `None`: the array is no such list.
    fn entries(
        &mut self,
        shape: &'s ValueMapping,
        entries: &[Value],
    ) -> Option<Map<String, Value>> {
        let mut own = Map::new();
        for entry in entries {
            let entry = entry.as_object().filter(|entry| entry.len() == 2)?;
            let (key, value) = (entry.get("key")?.as_str()?, entry.get("value")?);
            let value = self.own(shape, value);
            own.insert(key.to_owned(), value);
        }
        Some(own)
    }
}
