//! Prompt of the built-in model, for a small model that is to turn a text into JSON.
//!
//! Found by trial with SmolLM2-135M: a model of this size does not understand a schema in the prompt,
//! but it does understand a worked example with the schema's properties. Unless the caller gives
//! examples, it sees the schema's skeleton: a text of placeholders and the object that copies them. [`super::copy_bias`] makes
//! its answer copy the text in the same way. Everything but the text at the end is the same for a batch, and is computed once.

use std::sync::Arc;

use schema_dialect::{Named, NodeRef, Tree};

use super::chat::{ChatTurn, Role};
use crate::types::Example;

/// Task of the model. "Word for word" keeps the model from writing `Software Engineer` for
/// "software engineer".
const TASK: &str = "Copy the facts of each text into JSON, word for word.";

/// Maximum length of the system prompt with property descriptions, in bytes.
const MAX_NOTES_BYTES: usize = 1000;

/// System prompt and chat turns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// System prompt: task, property descriptions and the caller's instructions.
    pub system: Arc<str>,
    /// Worked examples, and the text at the end.
    pub turns: Vec<ChatTurn>,
}

/// Returns the prompt for one text, with worked examples.
#[must_use]
pub fn prompt(tree: &Tree, instructions: Option<&str>, examples: &[Example], text: &str) -> Prompt {
    let example_turns = examples.iter().flat_map(|example| {
        [
            question(&example.input.0),
            turn(Role::Assistant, example.output.to_string()),
        ]
    });
    let turns = example_turns.chain([question(text)]).collect();
    Prompt {
        system: system_prompt(tree, instructions).into(),
        turns,
    }
}

fn system_prompt(tree: &Tree, instructions: Option<&str>) -> String {
    let mut system = TASK.to_owned();
    for (name, description) in descriptions(tree.root()) {
        let note = format!("\n- {name}: {description}");
        if system.len() + note.len() > MAX_NOTES_BYTES {
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

/// Returns names and descriptions of the properties of the root object, or of the objects of a root
/// array.
fn descriptions(root: NodeRef<'_>) -> Vec<(&str, &str)> {
    let object = root
        .items()
        .filter(|_| root.properties().is_none())
        .unwrap_or(root);
    let properties = object.properties().into_iter();
    properties
        .flat_map(Named::iter)
        .filter_map(|(name, property)| Some((name, property.description()?)))
        .collect()
}
