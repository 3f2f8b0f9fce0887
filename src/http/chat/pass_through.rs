//! Messages of a provider that are passed through, as JSON texts.
//!
//! Only what their servers leave out is added. Their values are copied as they are: parsed, they could take a hundred times their text.

use serde_json::Value;

use super::completion::Identity;
use crate::provider::{JsonText, Node};
use crate::types::{Code, Error};

/// Fields of a completion and of its chunks that a server may leave out.
const IDENTITY_FIELDS: [&str; 4] = ["id", "object", "created", "model"];
/// Field that is extractd's own.
const DETAILS_FIELD: &str = "extractd";
/// Maximum length of a field of the identity, as JSON, in bytes. A longer one counts as left out: each event of a response repeats it.
const MAX_IDENTITY_BYTES: usize = 1024;
/// Room for the fields that are added to a message, in bytes.
const ADDED_BYTES: usize = 1024;

/// Returns the provider's completion, with the fields that its server left out, and with extractd's own.
///
/// # Errors
/// `upstream_error` if the completion is not JSON.
pub fn completion(identity: &Identity, message: &[u8], details: &str) -> Result<Vec<u8>, Error> {
    let text = JsonText::parse(message).map_err(|error| unreadable(&error))?;
    let is_dropped = |name: &str| name == DETAILS_FIELD;
    let mut completed = with_identity(identity, "chat.completion", text.root(), is_dropped);
    completed.push(DETAILS_FIELD, details);
    Ok(completed.finish().into_bytes())
}

/// Returns a chunk of the provider on one line, with the fields that its server left out. `None`: the client gets nothing
/// of it, because it is not JSON, or has only the usage, which was asked for because of limits and costs.
pub fn chunk(identity: &Identity, message: &[u8], include_usage: bool) -> Option<String> {
    let text = JsonText::parse(message).ok()?;
    let members = text.members();
    if !include_usage
        && !members.get("usage").is_null()
        && members.get("choices").first_items(1).is_empty()
    {
        return None;
    }
    let is_dropped = |name: &str| name == DETAILS_FIELD || name == "usage" && !include_usage;
    let chunk = with_identity(identity, "chat.completion.chunk", text.root(), is_dropped);
    Some(on_one_line(chunk.finish()))
}

/// Returns the error for a provider's message that is not JSON.
pub fn unreadable(error: &serde_json::Error) -> Error {
    let detail = format!(
        "the provider's completion is not JSON: {error}; send the request again, or ask another model"
    );
    Error::new(Code::UpstreamError, detail)
}

/// Returns a JSON text on one line, as an event has to be. Valid JSON has line breaks only between its values.
pub fn on_one_line(json: String) -> String {
    match memchr::memchr2(b'\n', b'\r', json.as_bytes()) {
        Some(_) => json.replace(['\n', '\r'], " "),
        None => json,
    }
}

/// Begins a copy of a message with its fields, apart from those that are dropped, and those that its server left out.
fn with_identity(
    identity: &Identity,
    object: &str,
    message: Node<'_>,
    is_dropped: impl Fn(&str) -> bool,
) -> ObjectText {
    let own = [
        Value::from(&*identity.id),
        object.into(),
        identity.created.into(),
        Value::from(&*identity.model),
    ];
    let mut missing: Vec<_> = IDENTITY_FIELDS.into_iter().zip(own).collect();
    let mut copy = ObjectText::with_capacity(message.json().len() + ADDED_BYTES);
    message.each_member(|name, value| {
        let is_left_out = IDENTITY_FIELDS.contains(&name)
            && (matches!(value.json(), "null" | "\"\"") || value.json().len() > MAX_IDENTITY_BYTES);
        if is_left_out || is_dropped(name) {
            return;
        }
        missing.retain(|(missing, _)| *missing != name);
        copy.push(name, value.json());
    });
    for (name, value) in missing {
        copy.push(name, &value.to_string());
    }
    copy
}

/// JSON object under construction, whose values are JSON texts.
struct ObjectText(String);

impl ObjectText {
    fn with_capacity(bytes: usize) -> Self {
        let mut text = String::with_capacity(bytes);
        text.push('{');
        Self(text)
    }

    fn push(&mut self, name: &str, json: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.push_str(&Value::from(name).to_string());
        self.0.push(':');
        self.0.push_str(json);
    }

    fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            id: "chatcmpl_1".to_owned(),
            created: 7,
            model: "m".to_owned(),
        }
    }

    #[test]
    fn what_a_server_left_out_is_added_and_its_values_stay_as_they_are() {
        let identity = identity();
        let own = r#""object":"chat.completion","created":7,"extractd":{}}"#;
        let long = format!("\"{}\"", "x".repeat(MAX_IDENTITY_BYTES));
        for (message, expected) in [
            (
                r#"{"x": [1.50, {"id": ""}], "id": "theirs", "model": "n", "extractd": 1}"#
                    .to_owned(),
                format!(r#"{{"x":[1.50, {{"id": ""}}],"id":"theirs","model":"n",{own}"#),
            ),
            (
                format!(r#"{{"id": "", "model": {long}, "a\"": NaN}}"#),
                format!(
                    r#"{{"a\"":null,"id":"chatcmpl_1",{},"model":"m","extractd":{{}}}}"#,
                    r#""object":"chat.completion","created":7"#
                ),
            ),
        ] {
            let completed = completion(&identity, message.as_bytes(), "{}").unwrap();
            assert_eq!(String::from_utf8(completed).unwrap(), expected);
        }
        let broken = completion(&identity, b"{\"a\":****}", "{}").unwrap_err();
        assert_eq!(broken.code, Code::UpstreamError);
    }

    /// As values, these take a hundred times their text.
    #[test]
    fn a_message_of_many_values_is_copied_as_text() {
        let zeros = "0,".repeat(1_000_000);
        let message =
            format!(r#"{{"id":"a","object":"o","created":1,"model":"m","x":[{zeros}0]}}"#);
        let completed = completion(&identity(), message.as_bytes(), "{}").unwrap();
        let start = message.len() - 1;
        assert_eq!(completed.get(..start), message.as_bytes().get(..start));
        assert!(completed.capacity() < message.len() + 2 * ADDED_BYTES);
    }

    #[test]
    fn a_chunk_is_on_one_line_and_has_no_usage_that_was_not_asked_for() {
        let identity = identity();
        let chunk = |message: &str, include_usage| {
            super::chunk(&identity, message.as_bytes(), include_usage)
        };
        let message = "{\"id\":\"a\",\r\n\"model\":\"m\",\"created\":1,\"object\":\"o\",\"choices\":[{\n}],\"usage\":{\"a\":1}}";
        let start = r#"{"id":"a","model":"m","created":1,"object":"o","choices":[{ }]"#;
        assert_eq!(chunk(message, false), Some(format!("{start}}}")));
        let with_usage = format!(r#"{start},"usage":{{"a":1}}}}"#);
        assert_eq!(chunk(message, true), Some(with_usage));
        let only_usage = r#"{"choices": [], "usage": {"total_tokens": 5}}"#;
        assert_eq!(chunk(only_usage, false), None);
        assert!(chunk(only_usage, true).is_some());
        assert!(chunk(r#"{"choices": [], "usage": null}"#, false).is_some());
        assert_eq!(chunk("{", true), None);
    }
}
