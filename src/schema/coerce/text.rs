//! Parsing of an answer without JSON: `name: value` lines, XML elements, or a scalar in prose.

use std::sync::Arc;

use schema_dialect::{JsonType, Keyword, Named, NodeRef};
use serde_json::{Map, Value};

use super::choices::Choices;
use super::coercer::Coercer;
use super::coercion::{Coercion, Match, Shapes};
use super::path::Path;
use super::text_normalize::{bare, is_refusal};
use super::written_value::{bare_text, parse_scalar, property};
use super::{xml, yaml};
use llm_json::answer;

/// Maximum length of a text that is parsed, in bytes.
const MAX_TEXT: usize = 64 << 10;
/// Maximum length of a scalar, in bytes.
const MAX_SCALAR: usize = 600;
/// Cost of parsing a text.
const FROM_TEXT: u32 = 4;
const XML: &str = "read from XML elements";
const YAML: &str = "read from YAML";

/// Parses `text` as a value of a schema.
pub fn parse(choices: &Arc<Choices>, schema: NodeRef<'_>, text: &str) -> Option<Match> {
    let whole = unfenced(text);
    let answer = text;
    let text = without_element(whole);
    if text.is_empty() || text.len() > MAX_TEXT {
        return None;
    }
    let root = schema.target();
    let (value, note) = if let Some(properties) = root.properties() {
        let elements = || xml::parse(root, whole).map(|value| (value, XML));
        elements()
            .or_else(|| lines(properties, text))
            .or_else(|| Some((yaml::parse(answer)?, YAML)))?
    } else if let Some(list) = xml::parse(root, whole) {
        (list, XML)
    } else if let Some(list) = root
        .types()
        .contains(&JsonType::Array)
        .then(|| yaml::parse(answer))
        .flatten()
    {
        (list, YAML)
    } else {
        if text.len() > MAX_SCALAR || is_refusal(text) {
            return None;
        }
        (scalar(root, text)?, "read from the text")
    };
    let mut coercer = Coercer::new(choices, &value);
    let note = Path::ROOT.note(note);
    match coercer.fit(schema, &value, &Path::ROOT, Shapes::None)? {
        Match::AsIs => Some(Match::Coerced(Coercion::new(value, FROM_TEXT, note))),
        Match::Coerced(coercion) => Some(Match::Coerced(coercion.after(FROM_TEXT, note))),
    }
}

/// Returns the text without a fence around all of it, or an XML prolog before it.
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

/// Returns the text without one element around all of it.
fn without_element(text: &str) -> &str {
    match element(text) {
        Some((_, inside, rest)) if rest.trim().is_empty() && !inside.contains('<') => inside.trim(),
        _ => text,
    }
}

/// Parses a text as a scalar of the schema's type. Free text must be one line.
fn scalar(schema: NodeRef<'_>, text: &str) -> Option<Value> {
    let value = Value::String(text.to_owned());
    if schema.listed_values().is_some()
        || Keyword::CHOICES
            .into_iter()
            .any(|keyword| schema.has(keyword))
    {
        return Some(value);
    }
    let is_line = !text.contains('\n');
    let text = call_argument(text);
    let value = Value::String(text.to_owned());
    let types = schema.types();
    let named = types.iter().find(|kind| **kind != JsonType::Null);
    match named.or(types.first())? {
        JsonType::Null => Some(value),
        JsonType::Array => numbers(text),
        JsonType::String => (is_line && text.contains(char::is_alphanumeric)).then(|| {
            Value::String(answer::quoted(text).unwrap_or_else(|| bare_text(text).to_owned()))
        }),
        JsonType::Number | JsonType::Integer => Some(Value::String(last_number(text)?.to_owned())),
        JsonType::Boolean => boolean_word(text)
            .filter(|_| is_line)
            .map(|word| Value::String(word.to_owned())),
        JsonType::Object => None,
    }
}

/// Parses a list of numbers such as `1, 2, 3`, unless the commas can belong to one number.
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

/// Returns the only yes or no of a sentence, if it is its first or last word.
fn boolean_word(text: &str) -> Option<&str> {
    let said = || super::text_normalize::words(text).map(|(_, word)| word);
    let mut truths = said().filter(|word| super::scalar::parse_boolean(word).is_some());
    let (truth, other) = (truths.next()?, truths.next());
    let has_doubt = said().any(|word| word != truth && super::text_normalize::is_doubt(word));
    let is_at_an_end = said().next() == Some(truth) || said().last() == Some(truth);
    (other.is_none() && !has_doubt && is_at_an_end).then_some(truth)
}

/// Returns the text in the parentheses of a call: `callback(42);`.
fn call_argument(text: &str) -> &str {
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

/// Returns the text itself, or the part after "is", ":" or "=" if there is no other number.
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

/// Splits the element at the beginning of `text` into its name, its content and the rest.
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

/// Parses `name: value` lines, each property once. `None`: a line may continue the value before it.
fn lines(properties: Named<'_>, text: &str) -> Option<(Value, &'static str)> {
    let mut members = Map::new();
    let mut is_inside = false;
    for line in text.lines().map(str::trim) {
        let member = line_member(properties, line);
        match member {
            Some((name, value)) => {
                is_inside = true;
                if value.is_empty()
                    || members
                        .insert(name.to_owned(), parse_scalar(value))
                        .is_some()
                {
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

/// Splits a `name: value` line into the property and the text of its value.
fn line_member<'p, 't>(properties: Named<'p>, line: &'t str) -> Option<(&'p str, &'t str)> {
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
