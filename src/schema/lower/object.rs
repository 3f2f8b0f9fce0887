//! Lowering of objects: their properties and their additional members.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::conjunction::Conjunction;
use super::description::{self, Description};
use super::lowered_node::{LoweredNode, LoweringError};
use super::lowering::Lowering;
use super::merged_schema::MergedSchema;
use crate::types::{Extra, ExtraRule, Member, TypeSet, ValueMapping};

/// Maximum number of conditional schemas whose property names are collected.
const MAX_LOOSE: usize = 256;

/// Additional members of an object.
enum Others<'s> {
    /// There are none.
    None,
    /// The schema does not say.
    Unsaid,
    /// Conjunctions of schemas, one of which holds for each member. Empty: any value.
    Some(Vec<Vec<&'s Value>>),
}

/// Lowered properties of an object.
#[derive(Default)]
struct Properties {
    json: Map<String, Value>,
    required: Vec<Value>,
    members: Vec<Member>,
}

impl<'s> Lowering<'s> {
    /// Lowers an object.
    pub fn object(
        &mut self,
        gathered: &MergedSchema<'s>,
        level: usize,
    ) -> Result<LoweredNode, LoweringError> {
        if level >= self.subset.limits.levels {
            return Err(LoweringError::Deep);
        }
        match self.object_within(gathered, level) {
            // Values below the deepest level become JSON text, which is wrapped in an object.
            Err(LoweringError::Deep) if level + 1 == self.subset.limits.levels => {
                self.text(&[], level)
            }
            part => part,
        }
    }

    /// Lowers an object whose level is allowed.
    fn object_within(
        &mut self,
        gathered: &MergedSchema<'s>,
        level: usize,
    ) -> Result<LoweredNode, LoweringError> {
        let mut words = Description::default();
        let mut properties = self.properties(gathered, &mut words, level)?;
        let others = others(gathered, properties.members.is_empty());
        let has_none =
            properties.members.is_empty() && matches!(others, Others::None | Others::Unsaid);
        if has_none && !self.subset.empty_objects {
            return self.text(&[], level);
        }
        if properties.members.is_empty()
            && self.subset.extra != ExtraRule::Any
            && matches!(others, Others::Some(_))
        {
            return self.entries(gathered, &others, level);
        }
        let mut part = LoweredNode::typed("object");
        let extra = self.additional(gathered, &others, &mut part, &mut properties, level)?;
        let Properties {
            json,
            required,
            members,
        } = properties;
        part.json.insert("properties".to_owned(), json.into());
        if self.subset.all_required || !required.is_empty() {
            part.json.insert("required".to_owned(), required.into());
        }
        self.count.open += usize::from(!matches!(others, Others::None));
        if self.subset.extra == ExtraRule::False
            || self.subset.extra == ExtraRule::Any && matches!(others, Others::None)
        {
            part.json
                .insert("additionalProperties".to_owned(), false.into());
        }
        let named = ["minProperties", "maxProperties", "propertyNames"];
        self.limits(&mut part, &mut words, gathered, &named);
        part.shape = ValueMapping::Object(members, extra);
        Ok(self.described(part, words))
    }

    /// Lowers the additional members, where the dialect accepts them: as `additionalProperties`, or as a list in a property.
    fn additional(
        &mut self,
        gathered: &MergedSchema<'s>,
        others: &Others<'s>,
        part: &mut LoweredNode,
        properties: &mut Properties,
        level: usize,
    ) -> Result<Extra, LoweringError> {
        Ok(match (others, self.subset.extra) {
            (Others::None, _) => Extra::None,
            (Others::Unsaid, ExtraRule::Any) => {
                Extra::Same(Box::new(ValueMapping::same(TypeSet::ALL)))
            }
            (Others::Unsaid, _) => Extra::Left,
            (Others::Some(_), ExtraRule::Any) => {
                let value = self.other(others, level + 1)?;
                let is_any = value.json.is_empty();
                part.json.insert(
                    "additionalProperties".to_owned(),
                    if is_any {
                        true.into()
                    } else {
                        Value::Object(value.json)
                    },
                );
                Extra::Same(Box::new(value.shape))
            }
            (Others::Some(_), ExtraRule::False | ExtraRule::Unknown) => {
                let list = self.entries(gathered, others, level + 1)?;
                let ValueMapping::Entries(shape) = list.shape else {
                    return Err(LoweringError::Full);
                };
                let name = free_name(&properties.json);
                properties.json.insert(name.clone(), list.json.into());
                properties.required.push(name.clone().into());
                self.count.properties += 1;
                Extra::Entries(name, shape)
            }
        })
    }

    /// Lowers the properties.
    fn properties(
        &mut self,
        gathered: &MergedSchema<'s>,
        words: &mut Description,
        level: usize,
    ) -> Result<Properties, LoweringError> {
        let required: HashSet<&str> = gathered
            .all("required")
            .filter_map(Value::as_array)
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let loose = self.merged_conditional(gathered)?;
        let mut properties = Properties::default();
        for name in names(gathered, loose.as_ref()) {
            let all: Vec<&'s Value> = gathered
                .all("properties")
                .filter_map(|named| named.get(name))
                .filter(|schema| *schema != &Value::Bool(true))
                .collect();
            let is_said = gathered
                .all("properties")
                .any(|named| named.get(name).is_some());
            let part = match &loose {
                Some(loose)
                    if !is_said
                        && loose
                            .all("properties")
                            .any(|named| named.get(name).is_some()) =>
                {
                    let either: Vec<&'s Value> = loose
                        .all("properties")
                        .filter_map(|named| named.get(name))
                        .collect();
                    self.either(&either, level + 1)
                }
                _ if is_said => self.part(&Conjunction::new(all, level + 1)),
                _ => {
                    let others = gathered
                        .all("additionalProperties")
                        .filter(|schema| schema.is_object())
                        .collect();
                    self.part(&Conjunction::new(others, level + 1))
                }
            };
            match part {
                // Another alternative may allow null, but not this one.
                Ok(part) => {
                    let part = LoweredNode {
                        null: part.null && is_said,
                        ..part
                    };
                    self.property(&mut properties, words, name, part, required.contains(name));
                }
                Err(LoweringError::Never) if !required.contains(name) => {}
                Err(stop) => return Err(stop),
            }
        }
        Ok(properties)
    }

    /// Merges all conditional schemas, including conditions within conditions. `None`: there are none.
    fn merged_conditional(
        &self,
        gathered: &MergedSchema<'s>,
    ) -> Result<Option<MergedSchema<'s>>, LoweringError> {
        let (mut all, mut seen): (Option<MergedSchema<'s>>, _) = (None, HashSet::new());
        let mut next = gathered.conditional();
        let is_closed = gathered
            .all("additionalProperties")
            .any(|others| others == &Value::Bool(false));
        let ignored = gathered.ignored.iter().copied().filter(|_| !is_closed);
        while !next.is_empty() {
            let inner = MergedSchema::new(self.tree, &Conjunction::new(next, 0))?;
            next = inner.conditional();
            next.retain(|schema| {
                seen.len() < MAX_LOOSE && seen.insert(std::ptr::from_ref::<Value>(schema))
            });
            match &mut all {
                Some(all) => all.parts.extend(inner.parts),
                None => all = Some(inner),
            }
        }
        for object in ignored {
            all.get_or_insert_with(MergedSchema::empty)
                .parts
                .push(object);
        }
        Ok(all)
    }

    fn property(
        &mut self,
        properties: &mut Properties,
        words: &mut Description,
        name: &str,
        mut part: LoweredNode,
        required: bool,
    ) {
        if let Some(note) = part.note.take() {
            words.add_constraint(format!("`{name}`: {note}"));
        }
        let asked = self.asked_name(name, &properties.json);
        self.count.properties += 1;
        self.count.characters += asked.chars().count();
        let is_left_out = !required
            && !self.subset.all_required
            && self.count.optional < self.subset.limits.optional;
        let null_is_own = part.null;
        let nullable = !required && !is_left_out;
        if nullable {
            part = self.nullable(part);
        }
        if is_left_out {
            self.count.optional += 1;
        } else {
            properties.required.push(asked.clone().into());
        }
        properties
            .json
            .insert(asked.clone(), Value::Object(part.json));
        let member = Member {
            name: name.to_owned(),
            asked,
            shape: part.shape,
            required,
            nullable,
            null_is_own,
        };
        properties.members.push(member);
    }

    /// Returns the name of a property in the lowered form.
    fn asked_name(&self, name: &str, taken: &Map<String, Value>) -> String {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        if !self.subset.plain_names
            || !name.is_empty() && name.len() <= 64 && name.chars().all(allowed)
        {
            return name.to_owned();
        }
        let plain: String = name
            .chars()
            .take(48)
            .map(|c| if allowed(c) { c } else { '_' })
            .collect();
        let mut number = 1;
        loop {
            let asked = format!("{plain}_{number}");
            if !taken.contains_key(&asked) {
                return asked;
            }
            number += 1;
        }
    }

    /// Lowers the schema of the other members.
    fn other(&mut self, others: &Others<'s>, level: usize) -> Result<LoweredNode, LoweringError> {
        let Others::Some(options) = others else {
            return self.any(level);
        };
        let mut parts = Vec::new();
        for all in options {
            match self.part(&Conjunction::new(all.clone(), level)) {
                Ok(part) => parts.push(part),
                Err(LoweringError::Never) => {}
                Err(stop) => return Err(stop),
            }
        }
        if options.is_empty() {
            self.any(level)
        } else {
            self.join(parts)
        }
    }

    /// Lowers an object with unknown keys to a list of `key` and `value`.
    fn entries(
        &mut self,
        gathered: &MergedSchema<'s>,
        others: &Others<'s>,
        level: usize,
    ) -> Result<LoweredNode, LoweringError> {
        if level >= self.subset.limits.levels {
            return Err(LoweringError::Deep);
        }
        let value = match self.other(others, level + 1) {
            // No value is valid, so there are no entries.
            Err(LoweringError::Never) => LoweredNode::typed("string"),
            part => part?,
        };
        self.count.properties += 2;
        let mut key = LoweredNode::typed("string");
        let mut of_key = Description::default();
        gathered
            .all("propertyNames")
            .filter_map(|names| description::limit("propertyNames", names))
            .for_each(|limit| of_key.add_constraint(limit));
        for pattern in gathered
            .all("patternProperties")
            .filter_map(Value::as_object)
            .flat_map(Map::keys)
            .take(8)
        {
            of_key.add_constraint(format!("may match {pattern}"));
        }
        key = self.described(key, of_key);
        let mut part = LoweredNode::typed("array");
        let mut items = self.exactly([("key", key.json.into()), ("value", value.json.into())]);
        if let Some(note) = value.note {
            items.insert("description".to_owned(), note.into());
        }
        part.json.insert("items".to_owned(), items.into());
        let mut words = Description::default();
        words.add_constraint("the members of an object, each as its key and its value".to_owned());
        for (keyword, own) in [("minItems", "minProperties"), ("maxItems", "maxProperties")] {
            for limit in gathered.all(own) {
                let is_taken = self.subset.supports_keyword(keyword)
                    && (keyword == "maxItems" || limit.as_u64() <= Some(self.subset.max_min_items));
                if is_taken && gathered.all("properties").next().is_none() {
                    part.json.insert(keyword.to_owned(), limit.clone());
                } else {
                    words.add_constraint(description::limit(own, limit).unwrap_or_default());
                }
            }
        }
        part.shape = ValueMapping::Entries(Box::new(value.shape));
        Ok(self.described(part, words))
    }
}

/// Returns the names of properties in their order, then those that are only required or conditional.
fn names<'s>(gathered: &MergedSchema<'s>, loose: Option<&MergedSchema<'s>>) -> Vec<&'s str> {
    let of = |gathered: &MergedSchema<'s>| {
        gathered
            .all("properties")
            .filter_map(Value::as_object)
            .flat_map(Map::keys)
            .map(String::as_str)
            .collect::<Vec<_>>()
    };
    let mut seen = HashSet::new();
    let mut names: Vec<&'s str> = of(gathered)
        .into_iter()
        .chain(loose.map(of).unwrap_or_default())
        .collect();
    names.retain(|name| seen.insert(*name));
    let listed = |gathered: &MergedSchema<'s>| {
        gathered
            .all("required")
            .filter_map(Value::as_array)
            .flatten()
            .filter_map(Value::as_str)
            .collect::<Vec<_>>()
    };
    names.extend(
        listed(gathered)
            .into_iter()
            .chain(loose.map(listed).unwrap_or_default())
            .filter(|name| seen.insert(*name)),
    );
    names
}

/// Returns the additional members that the schema allows.
fn others<'s>(gathered: &MergedSchema<'s>, has_no_properties: bool) -> Others<'s> {
    let said: Vec<&Value> = gathered
        .all("additionalProperties")
        .chain(gathered.all("unevaluatedProperties"))
        .collect();
    let patterns = gathered
        .all("patternProperties")
        .filter_map(Value::as_object)
        .flat_map(Map::values);
    let mut options: Vec<Vec<&Value>> = patterns.map(|schema| vec![schema]).collect();
    if said.contains(&&Value::Bool(false)) {
        return if options.is_empty() {
            Others::None
        } else {
            Others::Some(options)
        };
    }
    let schemas: Vec<&Value> = said
        .iter()
        .copied()
        .filter(|schema| schema.is_object())
        .collect();
    if !said.is_empty() {
        if schemas.is_empty() {
            return Others::Some(Vec::new());
        }
        options.push(schemas);
    }
    if options.is_empty() {
        return if has_no_properties {
            Others::Some(Vec::new())
        } else {
            Others::Unsaid
        };
    }
    Others::Some(options)
}

/// Returns a name for the additional members that no property has.
fn free_name(properties: &Map<String, Value>) -> String {
    let mut name = "additional_properties".to_owned();
    while properties.contains_key(&name) {
        name.push('_');
    }
    name
}
