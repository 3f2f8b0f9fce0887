//! A value by its types: a part for each, or for any value at all.

use serde_json::{Map, Value, json};

use super::Lowering;
use super::description::{self, Description};
use super::lowered_node::{LoweredNode, LoweringError};
use super::merged_schema::MergedSchema;
use crate::types::{TypeSet, ValueMapping};

impl<'s> Lowering<'s> {
    /// One part for each type that the value may have.
    pub fn types(
        &mut self,
        gathered: &MergedSchema<'s>,
        level: usize,
    ) -> Result<LoweredNode, LoweringError> {
        let words = Description::general(gathered);
        let Some(types) = gathered.types()? else {
            let part = self.any(level)?;
            return Ok(self.described(part, words));
        };
        let parts = self.each(&types, gathered, level)?;
        let mut part = self.join(parts)?;
        if let Some(title) = gathered
            .title()
            .filter(|_| self.subset.supports_keyword("title") && !self.stands_alone(&part))
        {
            part.json.insert("title".to_owned(), title.into());
        }
        Ok(self.described(part, words))
    }

    /// A part for each of these types that a value can have.
    pub fn each(
        &mut self,
        types: &[&'static str],
        gathered: &MergedSchema<'s>,
        level: usize,
    ) -> Result<Vec<LoweredNode>, LoweringError> {
        let mut parts = Vec::new();
        for name in types {
            let part = match *name {
                "object" => self.object(gathered, level),
                "array" => self.array(gathered, level),
                "null" => Ok(LoweredNode::null()),
                name => Ok(self.scalar(name, gathered)),
            };
            match part {
                Ok(part) => parts.push(part),
                Err(LoweringError::Never) => {}
                Err(stop) => return Err(stop),
            }
        }
        Ok(parts)
    }

    /// Any value at all.
    pub fn any(&mut self, level: usize) -> Result<LoweredNode, LoweringError> {
        if self.subset.any {
            self.count.open += 1;
            return Ok(LoweredNode::new(Map::new(), ValueMapping::same(TypeSet::ALL)).or_null());
        }
        let text = self.text(&[], level)?;
        // Where unions are few, they are kept for what says more.
        if self.subset.limits.unions < usize::MAX {
            return Ok(text);
        }
        let kinds = ["string", "number", "boolean"]
            .map(LoweredNode::typed)
            .into_iter();
        self.join(kinds.chain([LoweredNode::null(), text]).collect())
    }

    /// A value as its JSON text: what takes any value, and says what it should be in words alone.
    pub fn text(&mut self, all: &[&'s Value], level: usize) -> Result<LoweredNode, LoweringError> {
        if level >= self.subset.limits.levels {
            return Err(LoweringError::Deep);
        }
        self.count.properties += 1;
        let mut words = "The value as JSON text".to_owned();
        for schema in all
            .iter()
            .filter(|schema| schema.as_object().is_some_and(|schema| !schema.is_empty()))
        {
            words.push_str(", valid against the JSON Schema ");
            words.push_str(&description::shown(schema));
        }
        let text = json!({"type": "string", "description": words});
        Ok(LoweredNode::new(
            self.exactly([("json", text)]),
            ValueMapping::Text,
        ))
    }
}
