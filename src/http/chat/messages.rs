//! Messages of a chat: the system's and developer's are instructions, the others are the text.

use std::fmt::Write;

use serde_json::Value;

use crate::types::{Error, truncate_for_display};

/// Messages as an extraction takes them.
#[derive(Debug, PartialEq, Eq)]
pub struct Conversation {
    /// Messages of the roles `system` and `developer`; empty if there are none.
    pub instructions: String,
    /// Messages of the other roles; with their speakers if the user is not the only one.
    pub text: String,
}

/// One message of another role than `system` and `developer`.
struct Turn {
    speaker: &'static str,
    text: String,
}

/// Reads messages, whose texts are moved rather than copied.
///
/// # Errors
/// `invalid_request` at the message or part that cannot be read, or that has no text.
pub fn conversation(messages: Vec<Value>) -> Result<Conversation, Error> {
    let (mut instructions, mut turns) = (Vec::new(), Vec::new());
    for (index, mut message) in messages.into_iter().enumerate() {
        let at = format!("/messages/{index}");
        let Some(role) = message.get("role").and_then(Value::as_str) else {
            let message = "must be an object with `role` and `content`";
            return Err(Error::invalid(at, message));
        };
        let speaker = match role {
            "system" | "developer" => None,
            "user" => Some("User"),
            "assistant" => Some("Assistant"),
            "tool" | "function" => Some("Tool result"),
            _ => {
                let role = truncate_for_display(role);
                let message = format!(
                    "the role \"{role}\" is not known; known are system, developer, user, assistant, tool and function"
                );
                return Err(Error::invalid(format!("{at}/role"), message));
            }
        };
        let sent = message.get_mut("content").map(Value::take);
        let mut text = content(sent.unwrap_or_default(), &format!("{at}/content"))?;
        append_calls(&message, &mut text);
        if text.trim().is_empty() {
            continue;
        }
        match speaker {
            None => instructions.push(text),
            Some(speaker) => turns.push(Turn { speaker, text }),
        }
    }
    // Some programs send nothing but a system message.
    if turns.is_empty() {
        let text = std::mem::take(&mut instructions);
        turns.extend(text.into_iter().map(|text| Turn {
            speaker: "User",
            text,
        }));
    }
    if turns.is_empty() {
        let message = "must contain a message with text";
        return Err(Error::invalid("/messages", message));
    }
    Ok(Conversation {
        instructions: join(instructions),
        text: transcript(turns),
    })
}

/// Writes all texts of the messages, by which the number of tokens is estimated.
pub fn write_texts(messages: &[Value], text: &mut String) {
    for message in messages {
        match message.get("content") {
            Some(Value::String(content)) => text.push_str(content),
            Some(Value::Array(parts)) => {
                let texts = parts
                    .iter()
                    .filter_map(|part| part.get("text").and_then(Value::as_str));
                texts.for_each(|part| text.push_str(part));
            }
            _ => {}
        }
        append_calls(message, text);
        text.push('\n');
    }
}

fn transcript(turns: Vec<Turn>) -> String {
    if turns.iter().all(|turn| turn.speaker == "User") {
        return join(turns.into_iter().map(|turn| turn.text).collect());
    }
    let bytes = |turn: &Turn| turn.speaker.len() + turn.text.len() + ":\n\n\n".len();
    let mut transcript = String::with_capacity(turns.iter().map(bytes).sum());
    for Turn { speaker, text } in turns {
        let gap = if transcript.is_empty() { "" } else { "\n\n" };
        // Writing to a string cannot fail.
        let _ = write!(transcript, "{gap}{speaker}:\n{text}");
    }
    transcript
}

/// Joins texts with empty lines. A text alone is not copied.
fn join(mut texts: Vec<String>) -> String {
    match texts.as_mut_slice() {
        [text] => std::mem::take(text),
        _ => texts.join("\n\n"),
    }
}

/// Appends the tool calls of an assistant's message.
fn append_calls(message: &Value, text: &mut String) {
    let calls = message.get("tool_calls").and_then(Value::as_array);
    let functions = calls
        .into_iter()
        .flatten()
        .filter_map(|call| call.get("function"))
        .chain(message.get("function_call"));
    for function in functions {
        let part = |name| function.get(name).and_then(Value::as_str);
        let name = part("name").unwrap_or_default();
        let arguments = part("arguments").unwrap_or_default();
        if !text.is_empty() {
            text.push('\n');
        }
        // Writing to a string cannot fail.
        let _ = write!(text, "{name}({arguments})");
    }
}

fn content(content: Value, at: &str) -> Result<String, Error> {
    match content {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text),
        Value::Array(parts) => {
            let texts: Result<Vec<_>, _> = parts
                .iter()
                .enumerate()
                .map(|(index, part)| part_text(part, &format!("{at}/{index}")))
                .collect();
            Ok(texts?.join("\n\n"))
        }
        _ => Err(Error::invalid(at, "must be a string or an array of parts")),
    }
}

fn part_text<'a>(part: &'a Value, at: &str) -> Result<&'a str, Error> {
    let kind = part.get("type").and_then(Value::as_str);
    let field = match kind {
        Some("text" | "input_text" | "output_text") => "text",
        Some("refusal") => "refusal",
        Some(kind) => {
            let kind = truncate_for_display(kind);
            let message = format!(
                "a part of the type \"{kind}\" cannot be used together with a schema, which extracts from text only; \
                 send its text, or leave out the schema to pass the request through"
            );
            return Err(Error::invalid(at, message));
        }
        None => {
            let message =
                "must be an object with `type`, such as {\"type\": \"text\", \"text\": \"…\"}";
            return Err(Error::invalid(at, message));
        }
    };
    part.get(field)
        .and_then(Value::as_str)
        .ok_or_else(|| Error::invalid(format!("{at}/{field}"), "must be a string"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(messages: &Value) -> Result<Conversation, Error> {
        conversation(messages.as_array().unwrap().clone())
    }

    #[test]
    fn a_monologue_is_the_text_itself() {
        let read = read(&json!([
            {"role": "system", "content": "Be exact."},
            {"role": "user", "content": [{"type": "text", "text": "Ada is 36."}]},
            {"role": "developer", "content": "Names only."},
            {"role": "user", "content": "Bob is 40."},
        ]));
        let expected = Conversation {
            instructions: "Be exact.\n\nNames only.".to_owned(),
            text: "Ada is 36.\n\nBob is 40.".to_owned(),
        };
        assert_eq!(read.unwrap(), expected);
    }

    #[test]
    fn a_dialogue_names_its_speakers_and_calls() {
        let call = json!({"id": "c", "type": "function", "function": {"name": "Person", "arguments": "{}"}});
        let read = read(&json!([
            {"role": "user", "content": "Ada is 36."},
            {"role": "assistant", "content": null, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": "name is missing"},
        ]));
        let text = "User:\nAda is 36.\n\nAssistant:\nPerson({})\n\nTool result:\nname is missing";
        assert_eq!(read.unwrap().text, text);
    }

    #[test]
    fn a_system_message_alone_is_the_text() {
        let read = read(&json!([{"role": "system", "content": "Ada is 36."}])).unwrap();
        assert_eq!((&*read.instructions, &*read.text), ("", "Ada is 36."));
    }

    #[test]
    fn a_text_alone_is_moved() {
        let text = "Ada is 36.".repeat(100);
        let address = text.as_ptr();
        let message = [
            ("role", Value::from("user")),
            ("content", Value::String(text)),
        ];
        let read = conversation(vec![message.into_iter().collect()]).unwrap();
        assert_eq!(read.text.as_ptr(), address);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (messages, at, words) in [
            (json!([]), "/messages", "a message with text"),
            (json!(["a"]), "/messages/0", "role"),
            (
                json!([{"role": "robot", "content": "a"}]),
                "/messages/0/role",
                "robot",
            ),
            (
                json!([{"role": "user", "content": 3}]),
                "/messages/0/content",
                "a string",
            ),
            (
                json!([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}]}]),
                "/messages/0/content/1",
                "image_url",
            ),
        ] {
            let error = read(&messages).unwrap_err();
            assert_eq!(error.errors[0].pointer, at, "{messages}");
            assert!(error.detail.contains(words), "{}", error.detail);
        }
    }
}
