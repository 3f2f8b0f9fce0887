//! An answer without JSON: `name: value` in lines, elements of XML, or a scalar in prose.

use serde_json::{Map, Value};

use super::matcher::{Coercer, Coercion, Match, Shapes, wanted};
use super::path::Path;
use super::text_normalize::{bare, is_refusal, key_form};
use super::{xml, yaml};
use llm_json::answer;
use schema_dialect::Tree;

/// The longest text that is looked at, in bytes.
const MAX_TEXT: usize = 64 << 10;
/// The longest that may be a scalar.
const MAX_SCALAR: usize = 600;
const FROM_TEXT: u32 = 4;
const XML: &str = "read from XML elements";
const YAML: &str = "read from YAML";

/// Reads `text` as a value of the schema's root.
pub fn read(tree: &Tree, text: &str) -> Option<Match> {
    let whole = unfenced(text);
    let answer = text;
    let text = inner(whole);
    if text.is_empty() || text.len() > MAX_TEXT {
        return None;
    }
    let root = tree.target(tree.root());
    let (value, note) = if let Some(properties) = root.get("properties").and_then(Value::as_object)
    {
        let elements = || xml::read(tree, whole).map(|value| (value, XML));
        elements()
            .or_else(|| lines(properties, text))
            .or_else(|| Some((yaml::read(answer)?, YAML)))?
    } else if let Some(list) = xml::read(tree, whole) {
        (list, XML)
    } else if let Some(list) = wanted(root)
        .any(|kind| kind == "array")
        .then(|| yaml::read(answer))
        .flatten()
    {
        (list, YAML)
    } else {
        if text.len() > MAX_SCALAR || is_refusal(text) {
            return None;
        }
        (scalar(root, text)?, "read from the text")
    };
    let mut work = Coercer::new(tree, &value);
    let note = Path::ROOT.note(note);
    match work.fit(tree.root(), &value, &Path::ROOT, Shapes::None)? {
        Match::AsIs => Some(Match::Mended(Coercion::new(value, FROM_TEXT, note))),
        Match::Mended(mended) => {
            let notes = [vec![note], mended.notes].concat();
            Some(Match::Mended(Coercion {
                value: mended.value,
                cost: mended.cost.saturating_add(FROM_TEXT),
                notes,
            }))
        }
    }
}

/// The text without a fence around all of it, or a prolog of XML before it.
fn unfenced(text: &str) -> &str {
    let mut text = text.trim();
    if let Some((_, rest)) = text
        .split_once("?>")
        .filter(|(prolog, _)| prolog.starts_with("<?xml"))
    {
        text = rest.trim_start();
    }
    for fence in ["```", "~~~"] {
        if let Some(inside) = text
            .strip_prefix(fence)
            .and_then(|text| text.strip_suffix(fence))
        {
            text = inside
                .split_once('\n')
                .map_or(inside, |(_, inside)| inside)
                .trim();
        }
    }
    text
}

/// The text without one element around all of it.
fn inner(text: &str) -> &str {
    match element(text) {
        Some((_, inside, rest)) if rest.trim().is_empty() && !inside.contains('<') => inside.trim(),
        _ => text,
    }
}

/// Text that may be one scalar: the schema says which. What may be free text is one line.
fn scalar(schema: &Value, text: &str) -> Option<Value> {
    let value = Value::String(text.to_owned());
    if super::enum_match::listed(schema).is_some()
        || schema.get("anyOf").is_some()
        || schema.get("oneOf").is_some()
    {
        return Some(value);
    }
    let is_line = !text.contains('\n');
    let text = called(text);
    let value = Value::String(text.to_owned());
    match wanted(schema)
        .find(|kind| *kind != "null")
        .or_else(|| wanted(schema).next())?
    {
        "null" => Some(value),
        "array" => numbers(text),
        "string" => (is_line && text.contains(char::is_alphanumeric)).then(|| {
            Value::String(answer::quoted(text).unwrap_or_else(|| bare_text(text).to_owned()))
        }),
        "number" | "integer" => Some(Value::String(last_number(text)?.to_owned())),
        "boolean" => truth_in(text)
            .filter(|_| is_line)
            .map(|word| Value::String(word.to_owned())),
        _ => None,
    }
}

/// `1, 2, 3`, where the commas cannot be those of one number.
fn numbers(text: &str) -> Option<Value> {
    let parts: Vec<_> = text.split(',').map(str::trim).collect();
    let is_grouped = parts
        .iter()
        .skip(1)
        .all(|part| part.split('.').next().is_some_and(|whole| whole.len() == 3));
    let is_list = parts.len() > 2 && !is_grouped || parts.len() == 2 && text.contains(", ");
    let numbers = parts
        .into_iter()
        .map(|part| serde_json::from_str(part).ok().map(Value::Number));
    numbers
        .collect::<Option<Vec<_>>>()
        .filter(|_| is_list)
        .map(Value::Array)
}

/// The only yes or no of a sentence, where it begins or ends it.
fn truth_in(text: &str) -> Option<&str> {
    let said = || super::text_normalize::words(text).map(|(_, word)| word);
    let mut truths = said().filter(|word| super::scalar::truth(word).is_some());
    let (truth, other) = (truths.next()?, truths.next());
    let has_doubt = said().any(|word| word != truth && super::text_normalize::is_doubt(word));
    let is_at_an_end = said().next() == Some(truth) || said().last() == Some(truth);
    (other.is_none() && !has_doubt && is_at_an_end).then_some(truth)
}

/// Returns the text in the parentheses of a call: `callback(42);`.
fn called(text: &str) -> &str {
    let inside = text
        .trim_end_matches(';')
        .strip_suffix(')')
        .and_then(|text| text.split_once('('));
    match inside {
        Some((name, inside))
            if !name.is_empty()
                && name
                    .chars()
                    .all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '$')) =>
        {
            inside.trim()
        }
        _ => text,
    }
}

/// The text itself, or what stands behind "is", ":" or "=" if there is no other number.
fn last_number(text: &str) -> Option<&str> {
    let is_digit = |c: char| c.is_ascii_digit();
    let start = [" is ", ": ", "= ", "=", " are "]
        .iter()
        .filter_map(|mark| text.rfind(mark).map(|at| at + mark.len()))
        .max()
        .unwrap_or(0);
    let (before, said) = text.split_at_checked(start)?;
    (!before.contains(is_digit)
        && !said.contains('\n')
        && !super::text_normalize::words(before)
            .any(|(_, word)| super::text_normalize::is_doubt(word)))
    .then_some(said)
}

/// The element with which `text` begins: its name, what is in it, and what is behind it.
fn element(text: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = text.strip_prefix('<')?.split_once('>')?;
    let is_name = !name.is_empty()
        && name.len() <= 64
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
    let closing = format!("</{name}>");
    let end = rest.find(&closing).filter(|_| is_name)?;
    Some((name, rest.get(..end)?, rest.get(end + closing.len()..)?))
}

/// `Name: value` in lines of their own, each property once. A line that could go on a value makes it unclear.
fn lines(properties: &Map<String, Value>, text: &str) -> Option<(Value, &'static str)> {
    let mut members = Map::new();
    let mut is_inside = false;
    for line in text.lines().map(str::trim) {
        let member = line_member(properties, line);
        match member {
            Some((name, value)) => {
                is_inside = true;
                if value.is_empty() || members.insert(name.to_owned(), told(value)).is_some() {
                    return None;
                }
            }
            None if line.is_empty()
                || line
                    .chars()
                    .all(|c| matches!(c, '-' | '=' | '*' | '`' | '~')) =>
            {
                is_inside = false;
            }
            None if is_inside => return None,
            None => {}
        }
    }
    let is_clear =
        members.len() > 1 || (members.len() == properties.len() && text.lines().count() == 1);
    is_clear.then_some((Value::Object(members), "read from lines of text"))
}

fn line_member<'p, 't>(
    properties: &'p Map<String, Value>,
    line: &'t str,
) -> Option<(&'p str, &'t str)> {
    let line = line.trim_start_matches(['-', '*', '•', '>', ' ']);
    let line = line
        .trim_start_matches(|c: char| c.is_ascii_digit())
        .trim_start_matches(['.', ')'])
        .trim_start();
    let line = line.trim_end_matches(',');
    let (key, value) = line.split_once(':').or_else(|| line.split_once(" = "))?;
    let value = value.trim_start_matches('*').trim();
    Some((property(properties, bare(key))?, value))
}

pub fn property<'p>(properties: &'p Map<String, Value>, name: &str) -> Option<&'p str> {
    if let Some((exact, _)) = properties.get_key_value(name) {
        return Some(exact);
    }
    let form = key_form(name);
    let mut alike = properties.keys().filter(|known| key_form(known) == form);
    alike
        .next()
        .filter(|_| alike.next().is_none())
        .map(String::as_str)
}

/// `null`, a list, an object or a quoted string as JSON writes it; anything else is text, of which the schema says what it is.
pub fn told(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Null | Value::Array(_) | Value::Object(_) | Value::String(_))) => value,
        _ => Value::String(bare_text(text).to_owned()),
    }
}

/// Without the quotes or marks of emphasis around all of it.
fn bare_text(text: &str) -> &str {
    for (open, close) in [
        ("**", "**"),
        ("\"", "\""),
        ("'", "'"),
        ("`", "`"),
        ("`", "´"),
        ("`", "'"),
        ("“", "”"),
        ("‘", "’"),
    ] {
        if let Some(inside) = text
            .strip_prefix(open)
            .and_then(|text| text.strip_suffix(close))
            && !inside.contains(close)
        {
            return inside;
        }
    }
    text
}
