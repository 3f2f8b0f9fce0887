//! Errors of deserialization in plain words: without the names of Rust types and the phrases of serde.

use std::borrow::Cow;

use super::suggestion::did_you_mean;

/// Message for text after a complete JSON value.
pub const MORE_TEXT: &str = "there is more text after the JSON value";
/// Maximum length of a value or name of the caller's in a message, in bytes.
const MAX_VALUE_BYTES: usize = 120;

/// Returns the message of an error, without its position, for someone who knows JSON and not Rust.
#[must_use]
pub fn plain_message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = match text.rfind(" at line ") {
        Some(end) if error.line() > 0 => text.get(..end).unwrap_or(&text),
        _ => &text,
    };
    plain_words(text)
}

/// Returns a message of serde or `serde_json` in plain words. Any other message stays as it is.
#[must_use]
pub fn plain_words(message: &str) -> String {
    if let Some(length) = message.strip_prefix("invalid length ")
        && let Some((count, expected)) = length.split_once(", expected ")
    {
        let expected = plain_type(expected);
        return format!("expected {expected}, found an array of length {count}");
    }
    if let Some(rest) = strip_kind(message)
        && let Some((found, expected)) = rest.rsplit_once(", expected ")
    {
        let found = plain_value(&shortened(found)).into_owned();
        return format!("expected {}, found {found}", plain_type(expected));
    }
    if let Some((name, known)) = named(message, "unknown variant `") {
        let name = shortened(name);
        let hint = hint(&name, known);
        return format!(
            "`{name}` is not allowed here;{hint} expected {}",
            quoted_names(known, 0)
        );
    }
    if let Some((name, known)) = named(message, "unknown field `") {
        let name = shortened(name);
        let hint = hint(&name, known);
        return format!(
            "unknown field `{name}`;{hint} the fields here are {}",
            quoted_names(known, 0)
        );
    }
    if let Some(name) = quoted(message, "missing field `") {
        return format!("the field `{name}` is required");
    }
    if let Some(name) = quoted(message, "duplicate field `") {
        return format!("the field `{name}` is given twice");
    }
    syntax(message).into()
}

/// Returns a message without the numbers of the operating system's errors, such as "(os error 2)".
#[must_use]
pub fn without_os_codes(message: &str) -> String {
    let mut parts = message.split(" (os error ");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        match rest.strip_prefix(')') {
            Some(rest) => plain.push_str(rest),
            None => plain.extend([" (os error ", part]),
        }
    }
    plain
}

/// Returns the name of the field that an error says is missing.
#[must_use]
pub fn missing_field(error: &serde_json::Error) -> Option<String> {
    let text = error.to_string();
    let rest = text.strip_prefix("missing field `")?;
    Some(rest.split_once('`')?.0.to_owned())
}

/// Returns the names in backticks of a message as a list with "or", without the first `skip`.
#[must_use]
pub fn quoted_names(message: &str, skip: usize) -> String {
    let names: Vec<_> = message.split('`').skip(1).step_by(2).skip(skip).collect();
    match names.as_slice() {
        [] => "nothing".to_owned(),
        [only] => format!("`{only}`"),
        [first @ .., last] => format!("`{}` or `{last}`", first.join("`, `")),
    }
}

/// Returns a text that may come from a caller, in a length for messages.
fn shortened(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_VALUE_BYTES {
        return text.into();
    }
    let head = text.get(..text.floor_char_boundary(MAX_VALUE_BYTES));
    let end = text.chars().next_back().filter(|c| matches!(c, '"' | '`'));
    let mut short = format!("{} …", head.unwrap_or_default());
    short.extend(end);
    short.into()
}

fn strip_kind(message: &str) -> Option<&str> {
    let rest = message.strip_prefix("invalid type: ");
    rest.or_else(|| message.strip_prefix("invalid value: "))
}

/// Splits a message such as "unknown field `a`, expected one of `b`, `c`" into the name and the rest.
fn named<'m>(message: &'m str, prefix: &str) -> Option<(&'m str, &'m str)> {
    let rest = message.strip_prefix(prefix)?;
    rest.split_once("`, ")
}

/// Returns the name in a message such as "missing field `a`".
fn quoted<'m>(message: &'m str, prefix: &str) -> Option<&'m str> {
    message.strip_prefix(prefix)?.strip_suffix('`')
}

/// Returns " did you mean `x`?" for the nearest of the names in backticks.
fn hint(name: &str, known: &str) -> String {
    did_you_mean(name, known.split('`').skip(1).step_by(2))
}

/// Returns an expected type in the words of JSON.
fn plain_type(expected: &str) -> Cow<'_, str> {
    let plain = match expected {
        "f64" | "f32" => "a number",
        "i64" => "a whole number of 64 bits",
        "u64" | "u32" | "u16" | "u8" | "usize" => "a whole number of at least 0",
        "i32" | "i16" | "i8" | "isize" => "a whole number",
        "a boolean" => "`true` or `false`",
        "a borrowed string" | "string" | "a character" => "a string",
        "a sequence" => "an array",
        "a map" => "an object",
        "unit" | "null" => "`null`",
        _ if expected.starts_with("struct ") || expected.contains(" struct ") => "an object",
        _ if expected.contains("tuple ") || expected.starts_with("an array of length") => {
            "an array"
        }
        _ if expected.contains("enum ") => "one of the documented names",
        _ => return expected.into(),
    };
    plain.into()
}

/// Returns a value that was found in the words of JSON.
fn plain_value(found: &str) -> Cow<'_, str> {
    let quoted = |prefix: &str| {
        let rest = found.strip_prefix(prefix)?;
        rest.strip_prefix('`')?.strip_suffix('`')
    };
    match found {
        "map" => "an object".into(),
        "sequence" => "an array".into(),
        "null" | "unit value" | "Option value" => "`null`".into(),
        "number" => "a number".into(),
        _ => ["integer ", "floating point ", "boolean ", "character "]
            .into_iter()
            .find_map(quoted)
            .map_or_else(
                || match found.strip_prefix("string ") {
                    Some(text) => format!("the string {text}").into(),
                    None => found.into(),
                },
                |value| format!("`{value}`").into(),
            ),
    }
}

/// Returns a message of the JSON parser with the names of its grammar in common words.
fn syntax(message: &str) -> &str {
    match message {
        "expected value" => "a value is expected here",
        "expected ident" => "expected `true`, `false` or `null`",
        "key must be a string" => "a field's name must be in double quotes",
        "trailing characters" => MORE_TEXT,
        "trailing comma" => "a comma must not be the last character before a closing bracket",
        "EOF while parsing a value" => "it ends where a value is expected",
        "EOF while parsing a list" => "it ends within an array: a `]` is missing",
        "EOF while parsing an object" => "it ends within an object: a `}` is missing",
        "EOF while parsing a string" => "it ends within a string: a closing `\"` is missing",
        "invalid escape" => "there is no such escape in JSON; write a backslash as `\\\\`",
        "control character (\\u0000-\\u001F) found while parsing a string" => {
            "a string contains a line break or another control character; write a line break as `\\n`"
        }
        "invalid unicode code point" => "a string is not UTF-8; convert the text to UTF-8 first",
        "lone leading surrogate in hex escape" | "unexpected end of hex escape" => {
            "half of a surrogate pair is missing after a `\\u` escape"
        }
        message => message,
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "deserialized only")]
    struct Sample {
        number: Option<f64>,
        count: Option<u32>,
        whole: Option<i64>,
        flag: Option<bool>,
        list: Option<Vec<String>>,
        map: Option<std::collections::BTreeMap<String, String>>,
        choice: Option<Choice>,
        inner: Option<Inner>,
        pair: Option<(u8, u8)>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Choice {
        First,
        Second,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "deserialized only")]
    struct Inner {
        name: String,
    }

    fn message(json: &str) -> String {
        plain_message(&serde_json::from_str::<Sample>(json).unwrap_err())
    }

    #[test]
    fn no_message_speaks_rust() {
        let fields = [
            "number", "count", "whole", "flag", "list", "map", "choice", "inner", "pair",
        ];
        let values = [
            "\"a\"",
            "3",
            "-1",
            "0.5",
            "1e30",
            "true",
            "[]",
            "[3]",
            "{}",
            "{\"a\": 3}",
            "{\"name\": []}",
            "{\"First\": 1}",
        ];
        for field in fields {
            for value in values {
                let json = format!("{{\"{field}\": {value}}}");
                let Err(error) = serde_json::from_str::<Sample>(&json) else {
                    continue;
                };
                let message = plain_message(&error);
                for word in [
                    "f64",
                    "u32",
                    "i64",
                    "u8",
                    "struct",
                    "enum",
                    "variant",
                    "map",
                    "sequence",
                    "invalid type",
                    "invalid value",
                    "missing field",
                    "Option",
                    "tuple",
                    "unit",
                    "at line",
                ] {
                    assert!(!message.contains(word), "{json}: {message}");
                }
            }
        }
    }

    #[test]
    fn numbers_of_the_operating_system_are_left_out() {
        for (message, expected) in [
            (
                "cannot read a: No such file or directory (os error 2)",
                "cannot read a: No such file or directory",
            ),
            ("a (os error 2): b (os error 111); c", "a: b; c"),
            ("a (os error x)", "a (os error x)"),
            ("", ""),
        ] {
            assert_eq!(without_os_codes(message), expected);
        }
    }

    #[test]
    fn messages_name_what_was_found_and_what_is_expected() {
        for (json, expected) in [
            (
                r#"{"number": "a"}"#,
                "expected a number, found the string \"a\"",
            ),
            (r#"{"flag": 3}"#, "expected `true` or `false`, found "),
            (r#"{"list": {}}"#, "expected an array, found an object"),
            (r#"{"map": []}"#, "expected an object, found an array"),
            (r#"{"inner": true}"#, "expected an object, found `true`"),
            (r#"{"inner": {}}"#, "the field `name` is required"),
            (
                r#"{"choice": "frist"}"#,
                "`frist` is not allowed here; did you mean `first`? expected `first` or `second`",
            ),
            (
                r#"{"lsit": []}"#,
                "unknown field `lsit`; did you mean `list`? the fields here are `number`, ",
            ),
            (
                r#"{"flag": true, "flag": true}"#,
                "the field `flag` is given twice",
            ),
            (
                "{\"list\": [\"a\"",
                "it ends within an array: a `]` is missing",
            ),
            ("{\"flag\": tru}", "expected `true`, `false` or `null`"),
        ] {
            let message = message(json);
            assert!(message.starts_with(expected), "{json}: {message}");
        }
    }
}
