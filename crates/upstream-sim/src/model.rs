//! Plays the model: "X is a N-year-old Y" becomes the name, age and occupation of X, whatever else is in the prompt; any other
//! text gets a small fixed value that suits the schema asked for.

use serde_json::{Map, Value, json};

use crate::chat::ChatRequest;
use crate::instance;

const AGE: &str = "-year-old ";

/// Returns the answer to a question, as the text of a JSON value.
pub fn answer(question: &ChatRequest) -> String {
    let person = question.user_texts().find_map(|text| person(&text));
    let schema = question
        .schema()
        .and_then(|schema| serde_json::from_str::<Value>(schema).ok());
    let value = match (schema, person) {
        (None, Some(person)) => Value::Object(person),
        (None, None) => json!({"value": "fixed"}),
        (Some(schema), person) => fill(
            instance::valid_instance(&schema),
            person.unwrap_or_default(),
        ),
    };
    value.to_string()
}

/// Puts what is known of the person in the place of what was made up.
fn fill(mut made_up: Value, person: Map<String, Value>) -> Value {
    if let Some(object) = made_up.as_object_mut() {
        for (key, value) in person {
            object.entry(key).and_modify(|known| *known = value);
        }
    }
    made_up
}

/// Returns the last person that a text mentions. `None`: it mentions nobody.
pub fn person(text: &str) -> Option<Map<String, Value>> {
    let (before, after) = text.rsplit_once(AGE)?;
    let (before, age) = before.rsplit_once(' ')?;
    let before = before
        .strip_suffix(" is a")
        .or_else(|| before.strip_suffix(" is an"))?;
    let name = capitalised(before);
    let occupation = after.split(['\n', '.', '"', '<', '\\', '`']).next()?.trim();
    let person = json!({"name": name, "age": age.parse::<u32>().ok()?, "occupation": occupation});
    (!name.is_empty())
        .then(|| person.as_object().cloned())
        .flatten()
}

/// Returns the capitalised words that a text ends with.
fn capitalised(text: &str) -> String {
    let letters = |c: char| c.is_alphabetic() || matches!(c, ' ' | '-' | '\'');
    let words = text
        .get(text.trim_end_matches(letters).len()..)
        .unwrap_or_default();
    let mut name: Vec<&str> = words
        .rsplit(' ')
        .take_while(|word| word.starts_with(char::is_uppercase))
        .collect();
    name.reverse();
    name.join(" ")
}
