//! Text of an answer while the model writes it: of each version of the object, the part that the following versions only extend.

use serde_json::Value;

/// Text that was sent so far.
#[derive(Debug, Default)]
pub struct LiveText {
    sent: String,
}

/// An answer that does not begin with the text that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contradiction;

impl LiveText {
    /// Returns the new text of the next version of the object; `None` if there is none yet.
    pub fn advance(&mut self, version: &Value) -> Option<String> {
        let mut text = String::new();
        append(version, true, &mut text);
        let new = text.strip_prefix(&self.sent)?.to_owned();
        self.sent = text;
        (!new.is_empty()).then_some(new)
    }

    /// Returns the rest of the answer.
    ///
    /// # Errors
    /// If the answer contradicts the text that was sent.
    pub fn finish(self, answer: &str) -> Result<&str, Contradiction> {
        answer.strip_prefix(&*self.sent).ok_or(Contradiction)
    }
}

/// Appends the certain part of a value. `is_last`: more of the value may follow. Returns false at the end of what is certain: a
/// null may be absent from the answer, if the provider's schema had to allow it.
fn append(value: &Value, is_last: bool, text: &mut String) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(_) | Value::Number(_) => {
            text.push_str(&value.to_string());
            true
        }
        Value::String(_) => {
            let json = value.to_string();
            let open = json.strip_suffix('"').filter(|_| is_last);
            text.push_str(open.unwrap_or(&json));
            true
        }
        Value::Array(items) => {
            text.push('[');
            let count = items.len();
            let is_certain = items.iter().enumerate().all(|(index, item)| {
                append_member(index, "", item, is_last && index + 1 == count, text)
            });
            close(is_certain, is_last, ']', text)
        }
        Value::Object(members) => {
            text.push('{');
            let count = members.len();
            let is_certain = members.iter().enumerate().all(|(index, (name, member))| {
                let key = [&*Value::from(name.as_str()).to_string(), ":"].concat();
                append_member(index, &key, member, is_last && index + 1 == count, text)
            });
            close(is_certain, is_last, '}', text)
        }
    }
}

/// Appends a member with its comma and key, unless it begins with what is not certain.
fn append_member(index: usize, key: &str, value: &Value, is_last: bool, text: &mut String) -> bool {
    if value.is_null() {
        return false;
    }
    if index > 0 {
        text.push(',');
    }
    text.push_str(key);
    append(value, is_last, text)
}

fn close(is_certain: bool, is_last: bool, bracket: char, text: &mut String) -> bool {
    if is_certain && !is_last {
        text.push(bracket);
    }
    is_certain
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_pieces_add_up_to_the_answer() {
        let versions = [
            json!({}),
            json!({"name": ""}),
            json!({"name": "A \""}),
            json!({"name": "A \"b\""}),
            json!({"name": "A \"b\"", "tags": []}),
            json!({"name": "A \"b\"", "tags": ["x"]}),
            json!({"name": "A \"b\"", "tags": ["xy", {"n": 1}]}),
            json!({"name": "A \"b\"", "tags": ["xy", {"n": 1}], "ok": true}),
        ];
        let (mut live, mut sent) = (LiveText::default(), String::new());
        for version in &versions {
            sent.extend(live.advance(version));
        }
        let answer = json!({"name": "A \"b\"", "tags": ["xy", {"n": 1}], "ok": true, "more": null});
        let answer = answer.to_string();
        assert!(sent.ends_with("\"ok\":true"), "{sent}");
        sent.push_str(live.finish(&answer).unwrap());
        assert_eq!(sent, answer);
    }

    #[test]
    fn nothing_is_certain_after_a_null() {
        let mut live = LiveText::default();
        let version = json!({"a": 1, "b": {"c": null}, "d": 2});
        assert_eq!(live.advance(&version).as_deref(), Some("{\"a\":1,\"b\":{"));
        assert_eq!(live.finish("{\"a\":1,\"d\":2}"), Err(Contradiction));
    }

    #[test]
    fn a_version_that_contradicts_is_not_sent() {
        let mut live = LiveText::default();
        live.advance(&json!({"a": "one"}));
        assert_eq!(live.advance(&json!({"a": "two"})), None);
        assert_eq!(
            live.advance(&json!({"a": "one more"})).as_deref(),
            Some(" more")
        );
    }
}
