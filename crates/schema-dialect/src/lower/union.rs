//! Unions: several nodes combined into one, and null added to a node.

use serde_json::{Map, Value, json};

use super::lowered_node::{LoweredNode, LoweringError};
use super::lowering::Lowering;
use crate::dialect::{EnumRule, NullRule};
use crate::mapping::{Extra, TypeSet, ValueMapping};
use crate::tree::JsonType;

/// Maximum number of nodes among which duplicates are removed.
const MAX_COMPARED: usize = 64;

impl Lowering<'_> {
    /// Combines nodes into one that accepts the values of each.
    pub fn join(&mut self, mut parts: Vec<LoweredNode>) -> Result<LoweredNode, LoweringError> {
        let is_flag = self.dialect.null == NullRule::Flag;
        if parts.iter().any(LoweredNode::is_null) && (parts.len() > 1 || is_flag) {
            return self.join_with_null(parts);
        }
        if parts.len() < 2 {
            return parts.pop().ok_or(LoweringError::Never);
        }
        if parts.iter().any(|part| self.may_be(&part.shape, is_map))
            && parts.iter().any(|part| self.may_be(&part.shape, is_list))
        {
            let nothing = self.nothing();
            parts.push(nothing);
        }
        Ok(self.any_of(parts))
    }

    /// Combines nodes of which one accepts only null.
    fn join_with_null(
        &mut self,
        mut parts: Vec<LoweredNode>,
    ) -> Result<LoweredNode, LoweringError> {
        parts.retain(|part| !part.is_null());
        let rest = match parts.len() {
            // Only null is left: a type that can be nullable stands for it.
            0 => LoweredNode {
                note: None,
                ..LoweredNode::typed(JsonType::String)
            },
            1 => parts.remove(0),
            _ => self.join(parts)?,
        };
        let shape = if let ValueMapping::Same(kinds, values) = &rest.shape {
            let values = if values.is_empty() {
                Vec::new()
            } else {
                values.iter().cloned().chain([Value::Null]).collect()
            };
            ValueMapping::Same(TypeSet(kinds.0 | 1), values)
        } else {
            ValueMapping::Either(vec![ValueMapping::same(TypeSet(1)), rest.shape.clone()])
        };
        Ok(LoweredNode {
            shape,
            ..self.nullable(rest)
        })
    }

    /// Combines nodes with `anyOf`, unless all are equal.
    fn any_of(&mut self, parts: Vec<LoweredNode>) -> LoweredNode {
        let takes_null = parts.iter().any(|part| part.null);
        let mut choices: Vec<Value> = Vec::new();
        let (mut shapes, mut notes) = (Vec::new(), Vec::new());
        // Duplicates are removed only among few nodes: the comparison is quadratic.
        let are_few = parts.len() <= MAX_COMPARED;
        for mut part in parts {
            let only_choices = part.json.len() == 1 && part.json.contains_key("anyOf");
            let inner = match part.json.get_mut("anyOf") {
                Some(Value::Array(inner)) if only_choices => std::mem::take(inner),
                _ => vec![Value::Object(part.json)],
            };
            if only_choices {
                // The inner union becomes part of this one.
                self.count.unions = self.count.unions.saturating_sub(1);
            }
            for choice in inner {
                if !are_few || !choices.contains(&choice) {
                    choices.push(choice);
                }
            }
            if !are_few || !shapes.contains(&part.shape) {
                shapes.push(part.shape);
            }
            notes.extend(part.note);
        }
        let shape = if shapes.len() == 1 {
            shapes.remove(0)
        } else {
            ValueMapping::Either(shapes)
        };
        let json = if let [Value::Object(only)] = choices.as_mut_slice() {
            std::mem::take(only)
        } else {
            self.count.unions += 1;
            let mut json = Map::new();
            json.insert("anyOf".to_owned(), choices.into());
            json
        };
        LoweredNode {
            json,
            shape,
            null: takes_null,
            note: Some(notes.join(" ")).filter(|note| !note.is_empty()),
        }
    }

    /// Lowers the object without members. A map is lowered to a list, and beside lists an empty one would be ambiguous.
    fn nothing(&mut self) -> LoweredNode {
        if self.dialect.empty_objects {
            return LoweredNode::new(
                self.exactly([]),
                ValueMapping::Object(Vec::new(), Extra::None),
            );
        }
        self.count.properties += 1;
        let text = json!({"type": "string", "description": "The value as JSON text"});
        LoweredNode::new(self.exactly([("json", text)]), ValueMapping::Text)
    }

    /// Returns true if one of the mappings that a value may have is of this kind.
    fn may_be(&self, shape: &ValueMapping, such: fn(&ValueMapping) -> bool) -> bool {
        match shape {
            ValueMapping::Either(shapes) => shapes.iter().any(|shape| self.may_be(shape, such)),
            ValueMapping::Named(index) => {
                self.shapes.get(*index).is_some_and(|named| match named {
                    // References within it are checked where they are lowered.
                    ValueMapping::Either(shapes) => shapes.iter().any(such),
                    named => such(named),
                })
            }
            shape => such(shape),
        }
    }

    /// Makes a node accept null.
    pub fn nullable(&mut self, mut part: LoweredNode) -> LoweredNode {
        if part.null || part.json.is_empty() {
            return part.or_null();
        }
        if self.dialect.null == NullRule::Flag {
            match part.json.get_mut("anyOf") {
                // `anyOf` permits no siblings.
                Some(Value::Array(choices)) => {
                    for choice in choices.iter_mut().filter_map(Value::as_object_mut) {
                        choice.insert("nullable".to_owned(), true.into());
                    }
                }
                _ => drop(part.json.insert("nullable".to_owned(), true.into())),
            }
            return part.or_null();
        }
        let enum_takes_null = matches!(self.dialect.enums, EnumRule::Any | EnumRule::Scalars);
        let kind = part
            .json
            .get("type")
            .and_then(Value::as_str)
            .filter(|_| self.dialect.type_lists)
            .map(str::to_owned);
        match kind {
            Some(kind) if enum_takes_null || !part.json.contains_key("enum") => {
                self.count.unions += 1;
                part.json.insert("type".to_owned(), json!([kind, "null"]));
                if let Some(Value::Array(values)) = part.json.get_mut("enum") {
                    values.push(Value::Null);
                }
            }
            _ => {
                if let Some(Value::Array(choices)) = part.json.get_mut("anyOf") {
                    choices.push(json!({"type": "null"}));
                } else {
                    self.count.unions += 1;
                    let json = std::mem::take(&mut part.json);
                    part.json
                        .insert("anyOf".to_owned(), json!([json, {"type": "null"}]));
                }
            }
        }
        part.or_null()
    }
}

const fn is_map(shape: &ValueMapping) -> bool {
    matches!(shape, ValueMapping::Entries(_))
}

const fn is_list(shape: &ValueMapping) -> bool {
    match shape {
        ValueMapping::Array(..) => true,
        ValueMapping::Same(kinds, _) => kinds.has(TypeSet::LIST),
        _ => false,
    }
}
