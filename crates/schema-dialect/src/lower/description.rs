//! Descriptions in words of the constraints that a dialect cannot express.

use std::fmt::Display;

use super::merged_schema::MergedSchema;
use crate::format;
use crate::short_text;
use crate::tree::{HeldRef, Keyword, NodeRef};

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
        // The rest would be cut off at last.
        let (words, _) = words.split_at(words.floor_char_boundary(MAX_TEXT_BYTES));
        if !words.is_empty() && !self.said.iter().any(|said| said == words) {
            self.said.push(words.to_owned());
        }
    }

    /// Adds a constraint, unless it is there already.
    pub fn add_constraint(&mut self, mut words: String) {
        truncate(&mut words);
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
            for keyword in part.keywords() {
                if let Some(limit) = general(keyword, *part) {
                    words.add_constraint(limit);
                }
            }
        }
        for choices in gathered
            .choices
            .iter()
            .filter(|choices| !choices.is_structural())
        {
            let how = if choices.keyword == Keyword::OneOf {
                "exactly one"
            } else {
                "at least one"
            };
            let list = choices.schema.get(choices.keyword);
            let list = list.as_ref().map(shown).unwrap_or_default();
            words.add_constraint(format!("{how} of these holds: {list}"));
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
        truncate(&mut text);
        Some(text).filter(|text| !text.is_empty())
    }
}

/// Cuts a text off at the maximum, and returns the memory of the rest.
fn truncate(text: &mut String) {
    if text.len() > MAX_TEXT_BYTES {
        text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
        text.shrink_to_fit();
    }
}

/// Returns a schema or a value as JSON text, truncated for a description.
pub fn shown(value: &impl Display) -> String {
    short_text::shortened(value, MAX_SHOWN_BYTES)
}

/// Describes a keyword that no dialect has. `None`: it needs no description.
fn general(keyword: Keyword, part: NodeRef<'_>) -> Option<String> {
    let child = |keyword| part.child(keyword).as_ref().map(shown);
    Some(match keyword {
        Keyword::Not => format!("must not be valid against {}", child(keyword)?),
        Keyword::If => {
            let condition = child(keyword)?;
            match (child(Keyword::Then), child(Keyword::Else)) {
                (None, None) => return None,
                (Some(then), None) => {
                    format!("if valid against {condition}, then valid against {then}")
                }
                (None, Some(other)) => {
                    format!("valid against {other}, unless valid against {condition}")
                }
                (Some(then), Some(other)) => format!(
                    "if valid against {condition}, then valid against {then}, else against {other}"
                ),
            }
        }
        Keyword::DependentRequired => {
            let dependent = part.dependent_required().iter().map(|(name, names)| {
                let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
                format!("with `{name}` comes {}", names.join(", "))
            });
            dependent.collect::<Vec<_>>().join("; ")
        }
        Keyword::DependentSchemas => {
            let dependent = part.named(keyword)?.iter();
            let dependent = dependent.map(|(name, schema)| {
                format!("with `{name}` it is valid against {}", shown(&schema))
            });
            dependent.collect::<Vec<_>>().join("; ")
        }
        Keyword::Default => format!("default: {}", shown(part.value(keyword)?)),
        Keyword::Examples => {
            let some: Vec<_> = part.values(keyword)?.iter().take(3).map(shown).collect();
            format!("for example {}", some.join(", "))
        }
        Keyword::ContentEncoding => format!("encoded as {}", part.text(keyword)?),
        Keyword::ContentMediaType => format!("of media type {}", part.text(keyword)?),
        Keyword::UnevaluatedItems if !part.child(keyword)?.is_true() => {
            "no further items".to_owned()
        }
        _ => return None,
    })
}

/// Describes a constraint of one type. `None`: the keyword is no such constraint.
pub fn limit(keyword: Keyword, value: HeldRef<'_>) -> Option<String> {
    Some(match keyword {
        Keyword::MinLength => format!("at least {value} characters"),
        Keyword::MaxLength => format!("at most {value} characters"),
        Keyword::Pattern => format!("matches the regular expression {}", value.as_text()?),
        Keyword::Format => {
            let format = value.as_text()?;
            format!("format: {}", format::describe(format).unwrap_or(format))
        }
        Keyword::Minimum => format!("at least {value}"),
        Keyword::Maximum => format!("at most {value}"),
        Keyword::ExclusiveMinimum => format!("greater than {value}"),
        Keyword::ExclusiveMaximum => format!("less than {value}"),
        Keyword::MultipleOf => format!("a multiple of {value}"),
        Keyword::MinItems => format!("at least {value} items"),
        Keyword::MaxItems => format!("at most {value} items"),
        Keyword::UniqueItems if value.is_true() => "no item twice".to_owned(),
        Keyword::Contains => format!("has an item that is valid against {}", shown(&value)),
        Keyword::MinContains => format!("at least {value} such items"),
        Keyword::MaxContains => format!("at most {value} such items"),
        Keyword::MinProperties => format!("at least {value} members"),
        Keyword::MaxProperties => format!("at most {value} members"),
        Keyword::PropertyNames => format!("each name is valid against {}", shown(&value)),
        _ => return None,
    })
}
