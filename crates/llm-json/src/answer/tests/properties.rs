//! Invariants that hold for every text.

use std::cell::Cell;

use proptest::prelude::*;
use serde_json::Value;

use super::super::{cursor::BYTES_READ, parse};

fn scalar() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "\\PC{0,12}",
        "[a-z \"'`{}\\[\\]:,/#\\\\\n\t]{0,16}",
        Just("</think> ```json\n{\"a\":1}\n``` // # \\d".to_owned()),
        Just("he said \"no\", \"b\": 1".to_owned()),
    ];
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        // Without `float_roundtrip`, serde_json is off by a bit for floats of many digits.
        any::<i32>().prop_map(|number| Value::from(f64::from(number) / 64.0)),
        text.prop_map(Value::from),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec(("[a-zé]{0,5}|\\PC{0,8}|[a-z\"':,}{ ]{0,6}", inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn container() -> impl Strategy<Value = Value> {
    value().prop_filter("objects and arrays", |value| {
        value.is_object() || value.is_array()
    })
}

/// Style in which a model writes a value.
#[derive(Debug, Clone, Copy)]
struct Style {
    quote: char,
    python: bool,
    trailing_comma: bool,
    comment: &'static str,
    bare_keys: bool,
    raw_lines: bool,
    comma: &'static str,
}

fn style() -> impl Strategy<Value = Style> {
    let comments = prop::sample::select(vec![
        "",
        " ",
        "\n",
        " // it's \"one\"\n",
        "/* [two, { */",
        " # three\n",
        "\u{a0}",
    ]);
    (
        prop::sample::select(vec!['"', '\'', '`', '“']),
        any::<[bool; 4]>(),
        comments,
        prop::sample::select(vec![",", " , ", ",\n"]),
    )
        .prop_map(
            |(quote, [python, trailing_comma, bare_keys, raw_lines], comment, comma)| Style {
                quote,
                python,
                trailing_comma,
                comment,
                bare_keys,
                raw_lines,
                comma,
            },
        )
}

impl Style {
    fn write(&self, value: &Value, out: &mut String) {
        match value {
            Value::Null if self.python => out.push_str("None"),
            Value::Bool(bool) if self.python => out.push_str(if *bool { "True" } else { "False" }),
            Value::String(text) => self.string(text, out),
            Value::Array(items) => {
                out.push('[');
                for item in items {
                    out.push_str(self.comment);
                    self.write(item, out);
                    out.push_str(self.comma);
                }
                self.close(items.is_empty(), ']', out);
            }
            Value::Object(members) => {
                out.push('{');
                for (key, value) in members {
                    out.push_str(self.comment);
                    if self.bare_keys && !key.is_empty() && key.chars().all(char::is_alphabetic) {
                        out.push_str(key);
                    } else {
                        self.string(key, out);
                    }
                    out.push(':');
                    out.push_str(self.comment);
                    self.write(value, out);
                    out.push_str(self.comma);
                }
                self.close(members.is_empty(), '}', out);
            }
            other => out.push_str(&other.to_string()),
        }
    }

    fn close(&self, is_empty: bool, bracket: char, out: &mut String) {
        if !is_empty && !self.trailing_comma {
            out.truncate(out.len() - self.comma.len());
        }
        out.push_str(self.comment);
        out.push(bracket);
    }

    fn string(&self, text: &str, out: &mut String) {
        out.push(self.quote);
        for c in text.chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '\n' if !self.raw_lines => out.push_str("\\n"),
                '"' | '”' | '“' | '‟' if matches!(self.quote, '"' | '“') => {
                    out.extend(['\\', c]);
                }
                '`' | '´' if self.quote == '`' => out.extend(['\\', c]),
                _ if c == self.quote => out.extend(['\\', c]),
                _ => out.push(c),
            }
        }
        out.push(if self.quote == '“' {
            '”'
        } else {
            self.quote
        });
    }
}

/// Pieces of which hostile texts are made.
fn shards() -> impl Strategy<Value = String> {
    let shard = prop::sample::select(vec![
        "{", "}", "[", "]", ",", ":", "\"", "'", "`", "```", "\n```\n", "~~~", "“", "”", "\\",
        "\\u", "d83d", "\n", "\n\n", " ", "\u{a0}", "\u{feff}", "a", "\"a\"", "\"a\":", "1", "-",
        ".", "...", "e9", "true", "None", "//", "/*", "*/", "#", "<think>", "</think>", "<",
        "\"\"\"", "'''", "é", "😀", "=>", "\0",
    ]);
    prop::collection::vec(shard, 0..60).prop_map(|shards| shards.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn valid_json_comes_back_unchanged(value in value(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let answer = parse(&text, |_| false).unwrap();
        prop_assert_eq!(answer.value, value);
        prop_assert!(answer.repairs.is_empty());
    }

    #[test]
    fn valid_json_is_found_in_prose(value in container(), pretty: bool, before in "[a-zA-Z.,:'\" \n]{0,30}", after in "[a-zA-Z.:'\" \n]{0,30}", fence in 0..4) {
        let json = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let wrapped = match fence {
            0 => json,
            1 => format!("\n```json\n{json}\n```\n"),
            2 => format!("\n~~~\n{json}\n"),
            _ => format!("<think>{{\"draft\": [1, {{</think>{json}"),
        };
        prop_assert_eq!(parse(&format!("So {before}{wrapped}{after}"), |_| true).unwrap().value, value);
    }

    #[test]
    fn mended_json_means_the_same(value in container(), style in style()) {
        let mut text = String::new();
        style.write(&value, &mut text);
        match parse(&text, |_| false) {
            Ok(answer) => prop_assert_eq!(answer.value, value, "{}", text),
            Err(error) => prop_assert!(false, "{}\n{}", text, error),
        }
    }

    #[test]
    fn a_prefix_is_truncated(value in container(), pretty: bool, prose: bool) {
        let json = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        for end in 1..json.len() {
            let cut = String::from_utf8_lossy(&json.as_bytes()[..end]);
            let cut = if prose { format!("Here:\n```json\n{cut}") } else { cut.into_owned() };
            match parse(&cut, |_| true) {
                Ok(answer) => prop_assert!(false, "{}\n{:?}", cut, answer),
                Err(error) => prop_assert!(error.truncated, "{}\n{}", cut, error),
            }
        }
    }

    #[test]
    fn a_prefix_of_mended_json_is_no_value(value in container(), style in style()) {
        let mut text = String::new();
        style.write(&value, &mut text);
        for cut in (1..text.len()).filter_map(|end| text.get(..end)) {
            match parse(cut, |_| true) {
                Ok(answer) => prop_assert!(false, "{}\n{:?}", cut, answer),
                Err(error) => prop_assert!(error.truncated, "{}\n{}", cut, error),
            }
        }
    }

    #[test]
    fn nothing_panics_and_few_values_are_checked(text in prop_oneof![shards(), "\\PC{0,60}", any::<String>()]) {
        let calls = Cell::new(0);
        let _ = parse(&text, |_| { calls.set(calls.get() + 1); false });
        prop_assert!(calls.get() <= 32);
    }

    #[test]
    fn mutated_json_never_panics(value in container(), edits in prop::collection::vec((any::<prop::sample::Index>(), shards()), 1..4)) {
        let mut text = value.to_string();
        for (index, edit) in edits {
            let at = (0..=index.index(text.len() + 1)).rev().find(|&at| text.is_char_boundary(at)).unwrap();
            let end = (at + 3..=text.len()).find(|&end| text.is_char_boundary(end)).unwrap_or(text.len());
            text.replace_range(at..end, &edit[..edit.char_indices().nth(3).map_or(edit.len(), |(end, _)| end)]);
        }
        let _ = parse(&text, |_| false);
    }

    /// The bytes that are read do not grow faster than the text.
    #[test]
    fn work_is_linear(shards in shards(), repeat in 1..400usize) {
        let text = shards.repeat(repeat);
        BYTES_READ.set(0);
        let _ = parse(&text, |_| false);
        let read = BYTES_READ.get();
        prop_assert!(read <= 64 * text.len() + 4096, "{} of {}: {}", read, text.len(), shards);
    }
}
