//! Lowering of strings, numbers, booleans and enumerated values.

use serde_json::{Map, Value};

use super::description::{self, Description};
use super::lowered_node::{LoweredNode, LoweringError};
use super::lowering::Lowering;
use super::merged_schema::MergedSchema;
use crate::types::{EnumRule, TypeSet, ValueMapping};

/// Keywords that limit a string.
const OF_STRING: [&str; 4] = ["minLength", "maxLength", "pattern", "format"];
/// Keywords that limit a number.
const OF_NUMBER: [&str; 5] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
];

impl<'s> Lowering<'s> {
    /// Lowers a scalar of one type.
    pub fn scalar(&mut self, name: &str, gathered: &MergedSchema<'s>) -> LoweredNode {
        let mut part = LoweredNode::typed(name);
        let mut words = Description::default();
        let keywords: &[&str] = match name {
            "string" => &OF_STRING,
            "integer" | "number" => &OF_NUMBER,
            _ => &[],
        };
        self.limits(&mut part, &mut words, gathered, keywords);
        self.described(part, words)
    }

    /// Copies the keywords that the dialect accepts, and describes the others in words.
    pub fn limits(
        &self,
        part: &mut LoweredNode,
        words: &mut Description,
        gathered: &MergedSchema<'s>,
        keywords: &[&'static str],
    ) {
        let is_integer = part.json.get("type").is_some_and(|kind| kind == "integer");
        for keyword in keywords {
            for value in gathered.all(keyword) {
                let is_free = part.json.get(*keyword).is_none_or(|said| said == value);
                if is_free && self.takes(keyword, value, is_integer) {
                    part.json.insert((*keyword).to_owned(), value.clone());
                } else if let Some(limit) = description::limit(keyword, value) {
                    words.add_constraint(limit);
                    if is_free && *keyword == "minItems" && self.subset.supports_keyword(keyword) {
                        part.json
                            .insert((*keyword).to_owned(), self.subset.max_min_items.into());
                    }
                }
            }
        }
    }

    /// Returns true if the dialect accepts a keyword with this value.
    fn takes(&self, keyword: &str, value: &Value, is_integer: bool) -> bool {
        self.subset.supports_keyword(keyword)
            && match keyword {
                "format" => value
                    .as_str()
                    .is_some_and(|format| self.subset.formats.contains(&format)),
                "pattern" => {
                    let is_anchored =
                        |pattern: &str| pattern.starts_with('^') && pattern.ends_with('$');
                    value.as_str().is_some_and(|pattern| {
                        !self.subset.anchored_patterns || is_anchored(pattern)
                    })
                }
                "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => {
                    is_integer || !self.subset.integer_limits_only
                }
                "minItems" => value
                    .as_u64()
                    .is_some_and(|least| least <= self.subset.max_min_items),
                _ => true,
            }
    }

    /// Lowers the enumerated values of a schema.
    pub fn values(
        &mut self,
        gathered: &MergedSchema<'s>,
        values: &[&'s Value],
        level: usize,
    ) -> Result<LoweredNode, LoweringError> {
        let words = Description::general(gathered);
        let of = |wanted: fn(&Value) -> bool| -> Vec<&'s Value> {
            values
                .iter()
                .copied()
                .filter(|value| wanted(value))
                .collect()
        };
        let is_container = |value: &Value| value.is_array() || value.is_object();
        let mut parts = Vec::new();
        if self.subset.enums == EnumRule::Any && values.iter().any(|value| is_container(value)) {
            let kinds = values
                .iter()
                .fold(0, |kinds, value| kinds | TypeSet::of_value(value).0);
            let mut json = Map::new();
            json.insert("enum".to_owned(), values.iter().copied().cloned().collect());
            let part = LoweredNode::new(json, ValueMapping::Same(TypeSet(kinds), Vec::new()));
            let part = LoweredNode {
                null: values.iter().any(|value| value.is_null()),
                ..part
            };
            return Ok(self.described(part, words));
        }
        for (kind, values) in [
            ("string", of(Value::is_string)),
            ("number", of(Value::is_number)),
            ("boolean", of(Value::is_boolean)),
        ] {
            let kind = if kind == "number"
                && values.iter().all(|value| value.is_i64() || value.is_u64())
            {
                "integer"
            } else {
                kind
            };
            if !values.is_empty() {
                parts.push(self.listed(kind, &values));
            }
        }
        if values.iter().any(|value| value.is_null()) {
            parts.push(LoweredNode::null());
        }
        let containers = of(|value| value.is_array() || value.is_object());
        if !containers.is_empty() {
            let text = self.text(&[], level)?;
            let mut words = Description::default();
            let shown: Vec<_> = containers.into_iter().map(description::shown).collect();
            words.add_constraint(format!("one of: {}", shown.join(", ")));
            parts.push(self.described(text, words));
        }
        let part = self.join(parts)?;
        Ok(self.described(part, words))
    }

    /// Lowers the enumerated values of one type.
    fn listed(&mut self, kind: &str, values: &[&Value]) -> LoweredNode {
        let mut part = LoweredNode::typed(kind);
        let is_taken = match self.subset.enums {
            EnumRule::Any | EnumRule::Scalars => true,
            EnumRule::StringsAndNumbers => kind != "boolean",
            EnumRule::Strings => kind == "string",
        };
        let owned: Vec<Value> = values.iter().copied().cloned().collect();
        if let ValueMapping::Same(_, known) = &mut part.shape {
            known.clone_from(&owned);
        }
        let text = |value: &Value| {
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned)
        };
        let characters: usize = owned.iter().map(|value| text(value).chars().count()).sum();
        let limits = &self.subset.limits;
        let (many, most) = limits.long_enum;
        // Null may be added to them.
        let fits = self.count.enum_values + owned.len() < limits.enum_values
            && self.count.characters + characters <= limits.characters
            && (kind != "string" || owned.len() <= many || characters <= most);
        if is_taken && fits {
            self.count.enum_values += owned.len() + 1;
            self.count.characters += characters;
            part.json.insert("enum".to_owned(), owned.into());
            return part;
        }
        let has_all = kind == "boolean" && owned.len() > 1;
        let mut words = Description::default();
        if !has_all {
            let shown: Vec<_> = owned.iter().map(text).collect();
            words.add_constraint(format!("one of: {}", shown.join(", ")));
        }
        self.described(part, words)
    }
}
