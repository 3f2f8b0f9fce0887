//! A lowered part: its JSON, and how its values differ; and how several become one.

use serde_json::{Map, Value, json};

use super::Lowering;
use crate::types::{EnumRule, Extra, NullRule, TypeSet, ValueMapping};

/// Alternatives that are compared with each other, at most.
const MAX_COMPARED: usize = 64;

/// Reason for which a schema has no lowered node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoweringError {
    /// No value is valid.
    Never,
    /// It grew too large.
    Full,
    /// It would be an object within more objects than is allowed.
    Deep,
}

#[derive(Debug, Clone)]
pub struct LoweredNode {
    pub json: Map<String, Value>,
    pub shape: ValueMapping,
    /// It takes null as a value.
    pub null: bool,
    /// Constraints that the node cannot express.
    pub note: Option<String>,
}

impl LoweredNode {
    pub const fn new(json: Map<String, Value>, shape: ValueMapping) -> Self {
        Self {
            json,
            shape,
            null: false,
            note: None,
        }
    }

    pub fn or_null(self) -> Self {
        Self { null: true, ..self }
    }

    /// Any value of a type.
    pub fn typed(name: &str) -> Self {
        let mut json = Map::new();
        json.insert("type".to_owned(), name.into());
        Self::new(
            json,
            ValueMapping::same(TypeSet::named(name).unwrap_or(TypeSet::ALL)),
        )
    }

    pub fn null() -> Self {
        Self::typed("null").or_null()
    }

    /// A reference, beside which nothing may stand.
    pub fn is_bare(&self) -> bool {
        self.json.contains_key("$ref")
    }

    fn is_null(&self) -> bool {
        self.json.get("type").is_some_and(|kind| kind == "null")
    }
}

impl Lowering<'_> {
    /// One of these.
    pub fn join(&mut self, mut parts: Vec<LoweredNode>) -> Result<LoweredNode, LoweringError> {
        let takes_null = parts.iter().any(|part| part.null);
        let flag = self.subset.null == NullRule::Flag;
        if let Some(at) = parts.iter().position(LoweredNode::is_null)
            && (parts.len() > 1 || flag)
        {
            parts.remove(at);
            parts.retain(|part| !part.is_null());
            let rest = match parts.len() {
                // Nothing but null: a type beside which it can stand, and the word for it.
                0 => LoweredNode {
                    note: None,
                    ..LoweredNode::typed("string")
                },
                1 => parts.remove(0),
                _ => self.join(parts)?,
            };
            let shape =
                ValueMapping::Either(vec![ValueMapping::same(TypeSet(1)), rest.shape.clone()]);
            let shape = if let ValueMapping::Same(kinds, values) = &rest.shape {
                let values = if values.is_empty() {
                    Vec::new()
                } else {
                    values.iter().cloned().chain([Value::Null]).collect()
                };
                ValueMapping::Same(TypeSet(kinds.0 | 1), values)
            } else {
                shape
            };
            return Ok(LoweredNode {
                shape,
                ..self.nullable(rest)
            });
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
        let mut choices: Vec<Value> = Vec::new();
        let (mut shapes, mut notes) = (Vec::new(), Vec::new());
        // Few are compared with each other.
        let are_few = parts.len() <= MAX_COMPARED;
        for mut part in parts {
            let only_choices = part.json.len() == 1 && part.json.contains_key("anyOf");
            let inner = match part.json.get_mut("anyOf") {
                Some(Value::Array(inner)) if only_choices => std::mem::take(inner),
                _ => vec![Value::Object(part.json)],
            };
            if only_choices {
                // It is no union of its own any more.
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
        let note = Some(notes.join(" ")).filter(|note| !note.is_empty());
        Ok(LoweredNode {
            json,
            shape,
            null: takes_null,
            note,
        })
    }

    /// The object without members. Beside lists a map that is a list too has to be told apart from them even if it is empty.
    fn nothing(&mut self) -> LoweredNode {
        if self.subset.empty_objects {
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
                    // What leads on from there was told apart there.
                    ValueMapping::Either(shapes) => shapes.iter().any(such),
                    named => such(named),
                })
            }
            shape => such(shape),
        }
    }

    /// The same, or null.
    pub fn nullable(&mut self, mut part: LoweredNode) -> LoweredNode {
        if part.null || part.json.is_empty() {
            return part.or_null();
        }
        if self.subset.null == NullRule::Flag {
            match part.json.get_mut("anyOf") {
                // Beside a choice nothing may stand.
                Some(Value::Array(choices)) => {
                    for choice in choices.iter_mut().filter_map(Value::as_object_mut) {
                        choice.insert("nullable".to_owned(), true.into());
                    }
                }
                _ => drop(part.json.insert("nullable".to_owned(), true.into())),
            }
            return part.or_null();
        }
        let enum_takes_null = matches!(self.subset.enums, EnumRule::Any | EnumRule::Scalars);
        let kind = part
            .json
            .get("type")
            .and_then(Value::as_str)
            .filter(|_| self.subset.type_lists)
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
