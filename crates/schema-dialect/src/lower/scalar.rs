//! Lowering of strings, numbers, booleans and enumerated values.

use serde_json::{Map, Value};

use super::description::{self, Description};
use super::lowered_node::{LoweredNode, LoweringError};
use super::lowering::Lowering;
use super::merged_schema::MergedSchema;
use crate::dialect::EnumRule;
use crate::mapping::{TypeSet, ValueMapping};
use crate::tree::{HeldRef, JsonType, Keyword};

/// Keywords that limit a string.
const OF_STRING: [Keyword; 4] = [
    Keyword::MinLength,
    Keyword::MaxLength,
    Keyword::Pattern,
    Keyword::Format,
];
/// Keywords that limit a number.
const OF_NUMBER: [Keyword; 5] = [
    Keyword::Minimum,
    Keyword::Maximum,
    Keyword::ExclusiveMinimum,
    Keyword::ExclusiveMaximum,
    Keyword::MultipleOf,
];

impl<'s> Lowering<'s> {
    /// Lowers a scalar of one type.
    pub fn scalar(&mut self, kind: JsonType, gathered: &MergedSchema<'s>) -> LoweredNode {
        let mut part = LoweredNode::typed(kind);
        let mut words = Description::default();
        let keywords: &[Keyword] = match kind {
            JsonType::String => &OF_STRING,
            JsonType::Integer | JsonType::Number => &OF_NUMBER,
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
        keywords: &[Keyword],
    ) {
        let is_integer = part.json.get("type").is_some_and(|kind| kind == "integer");
        for keyword in keywords.iter().copied() {
            let name = keyword.name();
            for value in gathered.parts.iter().filter_map(|part| part.get(keyword)) {
                let said = part.json.get(name);
                let is_free = said.is_none_or(|said| *said == value.to_json());
                if is_free && self.takes(keyword, value, is_integer) {
                    part.json.insert(name.to_owned(), value.to_json());
                } else if let Some(limit) = description::limit(keyword, value) {
                    words.add_constraint(limit);
                    if is_free
                        && keyword == Keyword::MinItems
                        && self.dialect.supports_keyword(keyword)
                    {
                        part.json
                            .insert(name.to_owned(), self.dialect.max_min_items.into());
                    }
                }
            }
        }
    }

    /// Returns true if the dialect accepts a keyword with this value.
    fn takes(&self, keyword: Keyword, value: HeldRef<'_>, is_integer: bool) -> bool {
        self.dialect.supports_keyword(keyword)
            && match keyword {
                Keyword::Format => value
                    .as_text()
                    .is_some_and(|format| self.dialect.formats.contains(&format)),
                Keyword::Pattern => {
                    let is_anchored =
                        |pattern: &str| pattern.starts_with('^') && pattern.ends_with('$');
                    value.as_text().is_some_and(|pattern| {
                        !self.dialect.anchored_patterns || is_anchored(pattern)
                    })
                }
                Keyword::Minimum
                | Keyword::Maximum
                | Keyword::ExclusiveMinimum
                | Keyword::ExclusiveMaximum => is_integer || !self.dialect.integer_limits_only,
                Keyword::MinItems => value
                    .as_u64()
                    .is_some_and(|least| least <= self.dialect.max_min_items),
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
        if self.dialect.enums == EnumRule::Any && values.iter().any(|value| is_container(value)) {
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
            (JsonType::String, of(Value::is_string)),
            (JsonType::Number, of(Value::is_number)),
            (JsonType::Boolean, of(Value::is_boolean)),
        ] {
            let kind = if kind == JsonType::Number
                && values.iter().all(|value| value.is_i64() || value.is_u64())
            {
                JsonType::Integer
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
    fn listed(&mut self, kind: JsonType, values: &[&Value]) -> LoweredNode {
        let mut part = LoweredNode::typed(kind);
        let is_taken = match self.dialect.enums {
            EnumRule::Any | EnumRule::Scalars => true,
            EnumRule::StringsAndNumbers => kind != JsonType::Boolean,
            EnumRule::Strings => kind == JsonType::String,
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
        let limits = &self.dialect.limits;
        let (many, most) = limits.long_enum;
        // Null may be added to them.
        let fits = self.count.enum_values + owned.len() < limits.enum_values
            && self.count.characters + characters <= limits.characters
            && (kind != JsonType::String || owned.len() <= many || characters <= most);
        if is_taken && fits {
            self.count.enum_values += owned.len() + 1;
            self.count.characters += characters;
            part.json.insert("enum".to_owned(), owned.into());
            return part;
        }
        let has_all = kind == JsonType::Boolean && owned.len() > 1;
        let mut words = Description::default();
        if !has_all {
            let shown: Vec<_> = owned.iter().map(text).collect();
            words.add_constraint(format!("one of: {}", shown.join(", ")));
        }
        self.described(part, words)
    }
}
