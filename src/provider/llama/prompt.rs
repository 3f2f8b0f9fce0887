//! The words around a text when a small model is to make it into JSON.
//!
//! Found by trial with SmolLM2-135M on some thirty texts: at this size a schema in the prompt is not understood, and a
//! worked example with the schema's own properties is. So two are made up for any schema, unless the caller brings some. Everything but the text at the end is the same for a batch, and computed once.

use std::sync::Arc;

use serde_json::Value;

use super::{ChatTurn, Role};
use crate::types::Example;

/// "Word for word" keeps the model from writing `Software Engineer` for "software engineer".
const TASK: &str = "Copy the facts of each text into JSON, word for word.";

/// Property descriptions in the prompt, at most.
const LONGEST_NOTES_CHARS: usize = 1000;

/// What the model is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// The task.
    pub system: Arc<str>,
    /// Worked examples, and the text at the end.
    pub turns: Vec<ChatTurn>,
}

/// The prompt for one text, with texts and their right answers as examples.
#[must_use]
pub fn prompt<'e>(
    schema: &Value,
    instructions: Option<&str>,
    examples: impl Iterator<Item = &'e Example>,
    text: &str,
) -> Prompt {
    let worked = examples.flat_map(|example| {
        [
            question(&example.input.0),
            turn(Role::Assistant, example.output.to_string()),
        ]
    });
    let turns = worked.chain([question(text)]).collect();
    Prompt {
        system: system(schema, instructions).into(),
        turns,
    }
}

fn system(schema: &Value, instructions: Option<&str>) -> String {
    let mut system = TASK.to_owned();
    for (name, description) in descriptions(schema) {
        let note = format!("\n- {name}: {description}");
        if system.len() + note.len() > LONGEST_NOTES_CHARS {
            break;
        }
        system.push_str(&note);
    }
    if let Some(instructions) = instructions {
        system.push('\n');
        system.push_str(instructions);
    }
    system
}

fn question(text: &str) -> ChatTurn {
    turn(Role::User, format!("Text: {text}\nJSON:"))
}

fn turn(role: Role, text: String) -> ChatTurn {
    ChatTurn {
        role,
        text: text.into(),
    }
}

/// The described properties of the outermost object (or of the objects of an outermost array).
fn descriptions(schema: &Value) -> Vec<(&str, &str)> {
    let object = schema
        .get("items")
        .filter(|_| schema.get("properties").is_none())
        .unwrap_or(schema);
    let properties = object
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten();
    properties
        .filter_map(|(name, property)| {
            Some((name.as_str(), property.get("description")?.as_str()?))
        })
        .collect()
}
