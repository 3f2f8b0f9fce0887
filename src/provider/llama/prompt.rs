//! The words around a text when a small model is to make it into JSON.
//!
//! Found by trial with SmolLM2-135M on some thirty texts: at this size a schema in the prompt is not understood, and a
//! worked example with the schema's own properties is. So two are made up for any schema ([`super::example`]), unless the
//! caller brings some. Everything but the text at the end is the same for a batch, and computed once.

use std::sync::Arc;

use serde_json::Value;

use super::example;
use super::{Role, Turn};

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
    pub turns: Vec<Turn>,
}

/// The prompt for one text. `examples` are texts with their right answers; two are made up when there are none.
#[must_use]
pub fn prompt(schema: &Value, instructions: Option<&str>, examples: &[(String, Value)], text: &str) -> Prompt {
    let made_up;
    let examples = if examples.is_empty() {
        made_up = example::pair(schema);
        &made_up
    } else {
        examples
    };
    let worked = examples.iter().flat_map(|(text, answer)| [question(text), turn(Role::Assistant, answer.to_string())]);
    let turns = worked.chain([question(text)]).collect();
    Prompt { system: system(schema, instructions).into(), turns }
}

fn system(schema: &Value, instructions: Option<&str>) -> String {
    let mut system = TASK.to_owned();
    for (name, description) in example::descriptions(schema) {
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

fn question(text: &str) -> Turn {
    turn(Role::User, format!("Text: {text}\nJSON:"))
}

fn turn(role: Role, text: String) -> Turn {
    Turn { role, text: text.into() }
}
