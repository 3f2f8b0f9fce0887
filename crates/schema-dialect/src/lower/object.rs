//! Lowering of objects: their properties and their additional members.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::conjunction::Conjunction;
use super::description::{self, Description};
use super::lowered_node::{LoweredNode, LoweringError};
use super::lowering::Lowering;
use super::merged_schema::MergedSchema;
use crate::dialect::ExtraRule;
use crate::mapping::{Extra, Member, TypeSet, ValueMapping};
use crate::tree::{JsonType, Keyword, Named, NodeRef};

/// Maximum number of conditional schemas whose property names are collected.
const MAX_LOOSE: usize = 256;

/// Additional members of an object.
enum Others<'s> {
    /// There are none.
    None,
    /// The schema does not say.
    Unsaid,
    /// Conjunctions of schemas, one of which holds for each member. Empty: any value.
    Some(Vec<Vec<NodeRef<'s>>>),
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
        if level >= self.dialect.limits.levels {
            return Err(LoweringError::Deep);
        }
        match self.object_within(gathered, level) {
            // Values below the deepest level become JSON text, which is wrapped in an object.
            Err(LoweringError::Deep) if level + 1 == self.dialect.limits.levels => {
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
        if has_none && !self.dialect.empty_objects {
            return self.text(&[], level);
        }
        if properties.members.is_empty()
            && self.dialect.extra != ExtraRule::Any
            && matches!(others, Others::Some(_))
        {
            return self.entries(gathered, &others, level);
        }
        let mut part = LoweredNode::typed(JsonType::Object);
        let extra = self.additional(gathered, &others, &mut part, &mut properties, level)?;
        let Properties {
            json,
            required,
            members,
        } = properties;
        part.json.insert("properties".to_owned(), json.into());
        if self.dialect.all_required || !required.is_empty() {
            part.json.insert("required".to_owned(), required.into());
        }
        self.count.open += usize::from(!matches!(others, Others::None));
        if self.dialect.extra == ExtraRule::False
            || self.dialect.extra == ExtraRule::Any && matches!(others, Others::None)
        {
            part.json
                .insert("additionalProperties".to_owned(), false.into());
        }
        let named = [
            Keyword::MinProperties,
            Keyword::MaxProperties,
            Keyword::PropertyNames,
        ];
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
        Ok(match (others, self.dialect.extra) {
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
        let required: HashSet<&str> = gathered.required().collect();
        let loose = merged_conditional(gathered)?;
        loose.iter().try_for_each(|loose| self.copy(loose))?;
        let mut properties = Properties::default();
        for name in names(gathered, loose.as_ref()) {
            let mut all: Vec<_> = gathered.property(name).collect();
            let is_said = !all.is_empty();
            let loose = loose.iter().filter(|_| !is_said);
            let either: Vec<_> = loose.flat_map(|loose| loose.property(name)).collect();
            let part = if is_said {
                all.retain(|schema| !schema.is_true());
                self.part(&Conjunction::new(all, level + 1))
            } else if either.is_empty() {
                let others = gathered
                    .children(Keyword::AdditionalProperties)
                    .filter(|schema| schema.is_object())
                    .collect();
                self.part(&Conjunction::new(others, level + 1))
            } else {
                self.either(&either, level + 1)
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
            && !self.dialect.all_required
            && self.count.optional < self.dialect.limits.optional;
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
        if !self.dialect.plain_names
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
        if level >= self.dialect.limits.levels {
            return Err(LoweringError::Deep);
        }
        let value = match self.other(others, level + 1) {
            // No value is valid, so there are no entries.
            Err(LoweringError::Never) => LoweredNode::typed(JsonType::String),
            part => part?,
        };
        self.count.properties += 2;
        let mut key = LoweredNode::typed(JsonType::String);
        let mut of_key = Description::default();
        gathered
            .parts
            .iter()
            .filter_map(|part| part.get(Keyword::PropertyNames))
            .filter_map(|names| description::limit(Keyword::PropertyNames, names))
            .for_each(|limit| of_key.add_constraint(limit));
        gathered
            .named(Keyword::PatternProperties)
            .flat_map(Named::names)
            .take(8)
            .for_each(|pattern| of_key.add_constraint(format!("may match {pattern}")));
        key = self.described(key, of_key);
        let mut part = LoweredNode::typed(JsonType::Array);
        let mut items = self.exactly([("key", key.json.into()), ("value", value.json.into())]);
        if let Some(note) = value.note {
            items.insert("description".to_owned(), note.into());
        }
        part.json.insert("items".to_owned(), items.into());
        let mut words = Description::default();
        words.add_constraint("the members of an object, each as its key and its value".to_owned());
        for (keyword, own) in [
            (Keyword::MinItems, Keyword::MinProperties),
            (Keyword::MaxItems, Keyword::MaxProperties),
        ] {
            for limit in gathered.parts.iter().filter_map(|part| part.get(own)) {
                let is_taken = self.dialect.supports_keyword(keyword)
                    && (keyword == Keyword::MaxItems
                        || limit.as_u64() <= Some(self.dialect.max_min_items));
                if is_taken && !gathered.has(Keyword::Properties) {
                    part.json.insert(keyword.name().to_owned(), limit.to_json());
                } else {
                    words.add_constraint(description::limit(own, limit).unwrap_or_default());
                }
            }
        }
        part.shape = ValueMapping::Entries(Box::new(value.shape));
        Ok(self.described(part, words))
    }
}

/// Merges all conditional schemas, including conditions within conditions. `None`: there are none.
fn merged_conditional<'s>(
    gathered: &MergedSchema<'s>,
) -> Result<Option<MergedSchema<'s>>, LoweringError> {
    let (mut all, mut seen): (Option<MergedSchema<'s>>, _) = (None, HashSet::new());
    let mut next = gathered.conditional();
    let is_closed = gathered
        .children(Keyword::AdditionalProperties)
        .any(NodeRef::is_false);
    let ignored = gathered.ignored.iter().copied().filter(|_| !is_closed);
    while !next.is_empty() {
        let inner = MergedSchema::new(&Conjunction::new(next, 0))?;
        next = inner.conditional();
        next.retain(|schema| seen.len() < MAX_LOOSE && seen.insert(*schema));
        match &mut all {
            Some(all) => all.parts.extend(inner.parts),
            None => all = Some(inner),
        }
    }
    for schema in ignored {
        all.get_or_insert_default().parts.push(schema);
    }
    Ok(all)
}

/// Returns the names of properties in their order, then those that are only required or conditional.
fn names<'s>(gathered: &MergedSchema<'s>, loose: Option<&MergedSchema<'s>>) -> Vec<&'s str> {
    let all = || [Some(gathered), loose].into_iter().flatten();
    let of_properties = |merged: &MergedSchema<'s>| {
        let names = merged.named(Keyword::Properties).flat_map(Named::names);
        names.collect::<Vec<_>>()
    };
    let properties = all().flat_map(of_properties);
    let required = all().flat_map(|merged| merged.required().collect::<Vec<_>>());
    let mut names: Vec<_> = properties.chain(required).collect();
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(*name));
    names
}

/// Returns the additional members that the schema allows.
fn others<'s>(gathered: &MergedSchema<'s>, has_no_properties: bool) -> Others<'s> {
    let mut said: Vec<_> = gathered
        .children(Keyword::AdditionalProperties)
        .chain(gathered.children(Keyword::UnevaluatedProperties))
        .collect();
    let patterns = gathered
        .named(Keyword::PatternProperties)
        .flat_map(Named::nodes);
    let mut options: Vec<Vec<_>> = patterns.map(|schema| vec![schema]).collect();
    if said.iter().any(|schema| schema.is_false()) {
        return if options.is_empty() {
            Others::None
        } else {
            Others::Some(options)
        };
    }
    if !said.is_empty() {
        said.retain(|schema| schema.is_object());
        if said.is_empty() {
            return Others::Some(Vec::new());
        }
        options.push(said);
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
