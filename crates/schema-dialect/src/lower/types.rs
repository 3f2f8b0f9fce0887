//! Lowering of a value by its types: a node for each type, or for any value.

use serde_json::{Map, json};

use super::description::{self, Description};
use super::lowered_node::{LoweredNode, LoweringError};
use super::lowering::Lowering;
use super::merged_schema::MergedSchema;
use crate::mapping::{TypeSet, ValueMapping};
use crate::tree::{JsonType, Keyword, NodeRef};

impl<'s> Lowering<'s> {
    /// Lowers the value to a union of its types.
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
            .filter(|_| self.dialect.supports_keyword(Keyword::Title) && !self.stands_alone(&part))
        {
            part.json.insert("title".to_owned(), title.into());
        }
        Ok(self.described(part, words))
    }

    /// Lowers the value for each of these types that a valid value can have.
    pub fn each(
        &mut self,
        types: &[JsonType],
        gathered: &MergedSchema<'s>,
        level: usize,
    ) -> Result<Vec<LoweredNode>, LoweringError> {
        let mut parts = Vec::new();
        for kind in types {
            let part = match kind {
                JsonType::Object => self.object(gathered, level),
                JsonType::Array => self.array(gathered, level),
                JsonType::Null => Ok(LoweredNode::null()),
                kind => Ok(self.scalar(*kind, gathered)),
            };
            match part {
                Ok(part) => parts.push(part),
                Err(LoweringError::Never) => {}
                Err(stop) => return Err(stop),
            }
        }
        Ok(parts)
    }

    /// Lowers a value of any type.
    pub fn any(&mut self, level: usize) -> Result<LoweredNode, LoweringError> {
        if self.dialect.any {
            self.count.open += 1;
            return Ok(LoweredNode::new(Map::new(), ValueMapping::same(TypeSet::ALL)).or_null());
        }
        let text = self.text(&[], level)?;
        // Where the dialect limits unions, they are kept for schemas that are more specific.
        if self.dialect.limits.unions < usize::MAX {
            return Ok(text);
        }
        let kinds = [JsonType::String, JsonType::Number, JsonType::Boolean]
            .map(LoweredNode::typed)
            .into_iter();
        self.join(kinds.chain([LoweredNode::null(), text]).collect())
    }

    /// Lowers a value to its JSON text, which accepts any value and describes the schema in words only.
    pub fn text(
        &mut self,
        all: &[NodeRef<'s>],
        level: usize,
    ) -> Result<LoweredNode, LoweringError> {
        if level >= self.dialect.limits.levels {
            return Err(LoweringError::Deep);
        }
        self.count.properties += 1;
        let mut words = "The value as JSON text".to_owned();
        for schema in all.iter().filter(|schema| schema.keyword_count() > 0) {
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
