//! Lowering of arrays and tuples.

use serde_json::{Value, json};

use super::conjunction::Conjunction;
use super::description::{self, Description};
use super::lowered_node::{LoweredNode, LoweringError};
use super::lowering::Lowering;
use super::merged_schema::MergedSchema;
use crate::mapping::{TypeSet, ValueMapping};
use crate::tree::{JsonType, Keyword, NodeRef, Nodes};

/// Keywords that limit an array.
const LIMITS: [Keyword; 6] = [
    Keyword::MinItems,
    Keyword::MaxItems,
    Keyword::UniqueItems,
    Keyword::Contains,
    Keyword::MinContains,
    Keyword::MaxContains,
];

impl<'s> Lowering<'s> {
    /// Lowers an array.
    pub fn array(
        &mut self,
        gathered: &MergedSchema<'s>,
        level: usize,
    ) -> Result<LoweredNode, LoweringError> {
        let mut part = LoweredNode::typed(JsonType::Array);
        let mut words = Description::default();
        let mut tuples = gathered.parts.iter();
        let first = tuples.find_map(|part| part.prefix_items());
        let (mut shapes, mut parts) = (Vec::new(), Vec::new());
        for schema in first.into_iter().flat_map(Nodes::iter) {
            match self.part(&Conjunction::new(vec![schema], level)) {
                Ok(item) => {
                    shapes.push(item.shape.clone());
                    parts.push(item);
                }
                Err(LoweringError::Never) => break,
                Err(stop) => return Err(stop),
            }
        }
        let others = self.others(gathered, first.is_some(), level)?;
        let shape = others
            .as_ref()
            .map_or(ValueMapping::same(TypeSet::ALL), |part| part.shape.clone());
        if let Some(note) = others.as_ref().and_then(|part| part.note.clone()) {
            words.add_constraint(format!("items: {note}"));
        }
        if parts.is_empty() {
            // A list that must be empty: any schema of its items will do.
            let items = others.unwrap_or_else(|| LoweredNode::typed(JsonType::String));
            if matches!(items.shape, ValueMapping::Same(..))
                && gathered.children(Keyword::Items).any(NodeRef::is_false)
            {
                words.add_constraint("empty".to_owned());
            }
            part.json.insert("items".to_owned(), items.json.into());
        } else if self.dialect.supports_keyword(Keyword::PrefixItems) {
            let first: Vec<Value> = parts
                .into_iter()
                .map(|part| Value::Object(part.json))
                .collect();
            part.json.insert("prefixItems".to_owned(), first.into());
            if let Some(others) = others {
                part.json.insert("items".to_owned(), others.json.into());
            }
        } else {
            words.add_constraint(format!(
                "its first {} items, in this order: {}",
                parts.len(),
                describe_each(&parts)
            ));
            let items = self.join(parts.into_iter().chain(others).collect())?;
            part.json.insert("items".to_owned(), items.json.into());
        }
        self.limits(&mut part, &mut words, gathered, &LIMITS);
        part.shape = ValueMapping::Array(shapes, Box::new(shape));
        Ok(self.described(part, words))
    }

    /// Lowers the schema of the items after the first ones. `None`: there are none, or no schema for them.
    fn others(
        &mut self,
        gathered: &MergedSchema<'s>,
        has_first: bool,
        level: usize,
    ) -> Result<Option<LoweredNode>, LoweringError> {
        let all: Vec<_> = gathered.children(Keyword::Items).collect();
        if all.is_empty() && has_first {
            return Ok(None);
        }
        match self.part(&Conjunction::new(all, level)) {
            Ok(part) => Ok(Some(part)),
            Err(LoweringError::Never) => Ok(None),
            Err(stop) => Err(stop),
        }
    }
}

/// Describes each node in a few words.
fn describe_each(parts: &[LoweredNode]) -> String {
    let described = parts.iter().map(|part| {
        let description = part
            .json
            .get("description")
            .and_then(Value::as_str)
            .or(part.note.as_deref());
        match (description, part.json.get("enum"), part.json.get("type")) {
            (Some(words), ..) => words.to_owned(),
            (None, Some(values), _) => format!("one of {}", description::shown(values)),
            (None, None, Some(kind)) => description::shown(kind),
            _ => description::shown(&json!(part.json)),
        }
    });
    described.collect::<Vec<_>>().join(", ")
}
