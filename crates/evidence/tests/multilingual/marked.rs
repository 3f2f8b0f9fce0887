//! Texts in which the marks stand.
//!
//! A text is one line, with `\n` for line breaks: `[[pointer|text]]` marks a string that stands there exactly,
//! `[[pointer = value|text]]` another exact value, `~` a normalised and `?` a fuzzy one. A line `- pointer value` adds a value that
//! the text does not have. An empty line ends the text; "#" begins a comment.

use std::collections::BTreeMap;
use std::path::Path;

use evidence::Status;
use serde_json::{Map, Value, json};

use super::{Case, Mark};

pub fn cases() -> Vec<(String, Case)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/marked");
    let mut cases = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let lines = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = lines.lines().filter(|l| !l.starts_with('#')).collect();
        for part in lines
            .split(|line| line.is_empty())
            .filter(|p| !p.is_empty())
        {
            cases.push((name.clone(), case(part)));
        }
    }
    cases
}

fn case(lines: &[&str]) -> Case {
    let (mut text, mut at) = (String::new(), 0);
    let (mut value, mut marks) = (Value::Null, BTreeMap::new());
    let marked = lines[0].replace("\\n", "\n");
    let mut rest = marked.as_str();
    let mut push = |part: &str| {
        let start = at;
        at += part.chars().count();
        text.push_str(part);
        (start, at)
    };
    while let Some((before, mark)) = rest.split_once("[[") {
        push(before);
        let (mark, after) = mark.split_once("]]").expect("an end of the mark");
        let (head, part) = mark.split_once('|').expect("a text of the mark");
        let (pointer, status, stated) = head_of(head, part);
        insert(&mut value, pointer, stated);
        let mark = marks.entry(format!("/{pointer}"));
        // A second mark is a second place: the time of a date.
        match mark.or_insert_with(|| Mark::Spans(status, Vec::new())) {
            Mark::Spans(_, spans) => spans.push(push(part)),
            Mark::Text(_) => {}
        }
        rest = after;
    }
    push(rest);
    for line in &lines[1..] {
        let absent = line.strip_prefix("- ").expect("an absent value");
        let (pointer, stated) = absent.split_once(' ').expect("a value");
        insert(&mut value, pointer, literal(stated));
        marks.insert(
            format!("/{pointer}"),
            Mark::Spans(Status::Absent, Vec::new()),
        );
    }
    let kinds = BTreeMap::new();
    Case {
        text,
        value,
        marks,
        kinds,
    }
}

fn head_of<'h>(head: &'h str, part: &str) -> (&'h str, Status, Value) {
    for (sign, status) in [
        (" = ", Status::Exact),
        (" ~ ", Status::Normalized),
        (" ? ", Status::Fuzzy),
    ] {
        if let Some((pointer, stated)) = head.split_once(sign) {
            return (pointer, status, literal(stated));
        }
    }
    (head, Status::Exact, json!(part))
}

fn literal(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| json!(text))
}

/// Puts a value at a pointer without the first slash, with the objects and lists around it.
fn insert(into: &mut Value, pointer: &str, value: Value) {
    let (first, rest) = pointer.split_once('/').unwrap_or((pointer, ""));
    let slot = if let Ok(index) = first.parse::<usize>() {
        if into.is_null() {
            *into = json!([]);
        }
        let list = into.as_array_mut().expect("a list");
        if list.len() <= index {
            list.resize(index + 1, Value::Null);
        }
        &mut list[index]
    } else {
        if into.is_null() {
            *into = Value::Object(Map::new());
        }
        let members = into.as_object_mut().expect("an object");
        members.entry(first).or_insert(Value::Null)
    };
    if rest.is_empty() {
        *slot = value;
    } else {
        insert(slot, rest, value);
    }
}
