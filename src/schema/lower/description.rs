//! Descriptions in words of the constraints that a dialect cannot express.

use serde_json::{Map, Value};

use super::merged_schema::MergedSchema;
use crate::schema::error_messages;
use schema_dialect::is_annotation;

/// Maximum length of a quoted part of a schema, in bytes.
const MAX_SHOWN_BYTES: usize = 300;
/// Maximum length of a node's description, in bytes. The caller's own description comes first.
const MAX_TEXT_BYTES: usize = 4000;

/// Description of a node: the caller's own, and constraints in words.
#[derive(Debug, Default, Clone)]
pub struct Description {
    /// Descriptions of the caller.
    said: Vec<String>,
    /// Constraints that the dialect cannot express.
    limits: Vec<String>,
}

impl Description {
    /// Adds a description of the caller, unless it is there already.
    pub fn add_text(&mut self, words: &str) {
        if !words.is_empty() && !self.said.iter().any(|said| said == words) {
            self.said.push(words.to_owned());
        }
    }

    /// Adds a constraint, unless it is there already.
    pub fn add_constraint(&mut self, words: String) {
        if !self.limits.contains(&words) {
            self.limits.push(words);
        }
    }

    /// Describes the constraints of any type: the caller's description, and keywords that no
    /// dialect has.
    pub fn general(gathered: &MergedSchema<'_>) -> Self {
        let mut words = Self::default();
        gathered
            .description()
            .into_iter()
            .for_each(|text| words.add_text(text));
        for part in &gathered.parts {
            for (keyword, value) in *part {
                if let Some(limit) = general(keyword, value, part) {
                    words.add_constraint(limit);
                }
            }
        }
        for choices in gathered
            .choices
            .iter()
            .filter(|choices| !choices.is_structural())
        {
            let how = if choices.keyword == "oneOf" {
                "exactly one"
            } else {
                "at least one"
            };
            words.add_constraint(format!("{how} of these holds: {}", shown(choices.array)));
        }
        words
    }

    /// Joins the parts with the existing description. `None`: all are empty.
    pub fn into_text(self, already: Option<&str>) -> Option<String> {
        let mut text = self.said.join(" ");
        let already = already
            .filter(|already| !already.is_empty() && *already != text)
            .map(str::to_owned);
        let limits = already
            .into_iter()
            .chain(self.limits)
            .collect::<Vec<_>>()
            .join("; ");
        if text.is_empty() {
            text = limits;
        } else if !limits.is_empty() {
            text = format!("{text} ({limits})");
        }
        text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
        Some(text).filter(|text| !text.is_empty())
    }
}

/// Returns a schema or a value as JSON text, truncated for a description.
pub fn shown(value: &Value) -> String {
    error_messages::shortened(value, MAX_SHOWN_BYTES)
}

/// Describes a keyword that no dialect has. `None`: it needs no description.
fn general(keyword: &str, value: &Value, part: &Map<String, Value>) -> Option<String> {
    Some(match keyword {
        "not" => format!("must not be valid against {}", shown(value)),
        "if" => {
            let side = |keyword| part.get(keyword).map(shown);
            match (side("then"), side("else")) {
                (None, None) => return None,
                (Some(then), None) => format!(
                    "if valid against {}, then valid against {then}",
                    shown(value)
                ),
                (None, Some(other)) => format!(
                    "valid against {other}, unless valid against {}",
                    shown(value)
                ),
                (Some(then), Some(other)) => {
                    format!(
                        "if valid against {}, then valid against {then}, else against {other}",
                        shown(value)
                    )
                }
            }
        }
        "dependentRequired" | "dependentSchemas" | "dependencies" => {
            let dependent = value
                .as_object()?
                .iter()
                .map(|(name, what)| match what.as_array() {
                    Some(names) => {
                        let names: Vec<_> = names
                            .iter()
                            .filter_map(Value::as_str)
                            .map(|name| format!("`{name}`"))
                            .collect();
                        format!("with `{name}` comes {}", names.join(", "))
                    }
                    None => format!("with `{name}` it is valid against {}", shown(what)),
                });
            dependent.collect::<Vec<_>>().join("; ")
        }
        "default" => format!("default: {}", shown(value)),
        "examples" => {
            let some: Vec<_> = value.as_array()?.iter().take(3).map(shown).collect();
            format!("for example {}", some.join(", "))
        }
        "contentEncoding" => format!("encoded as {}", value.as_str()?),
        "contentMediaType" => format!("of media type {}", value.as_str()?),
        "unevaluatedItems" if value != &Value::Bool(true) => "no further items".to_owned(),
        _ => return None,
    })
}

/// Describes a constraint of one type. `None`: the keyword is no such constraint.
pub fn limit(keyword: &str, value: &Value) -> Option<String> {
    let text = || {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    debug_assert!(!is_annotation(keyword), "{keyword}");
    Some(match keyword {
        "minLength" => format!("at least {value} characters"),
        "maxLength" => format!("at most {value} characters"),
        "pattern" => format!("matches the regular expression {}", text()),
        "format" => format!(
            "format: {}",
            schema_dialect::format::describe(value.as_str().unwrap_or_default())
                .map_or_else(text, str::to_owned)
        ),
        "minimum" => format!("at least {value}"),
        "maximum" => format!("at most {value}"),
        "exclusiveMinimum" => format!("greater than {value}"),
        "exclusiveMaximum" => format!("less than {value}"),
        "multipleOf" => format!("a multiple of {value}"),
        "minItems" => format!("at least {value} items"),
        "maxItems" => format!("at most {value} items"),
        "uniqueItems" if value == &Value::Bool(true) => "no item twice".to_owned(),
        "contains" => format!("has an item that is valid against {}", shown(value)),
        "minContains" => format!("at least {value} such items"),
        "maxContains" => format!("at most {value} such items"),
        "minProperties" => format!("at least {value} members"),
        "maxProperties" => format!("at most {value} members"),
        "propertyNames" => format!("each name is valid against {}", shown(value)),
        _ => return None,
    })
}
