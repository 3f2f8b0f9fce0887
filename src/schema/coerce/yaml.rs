//! Parsing of an answer in a subset of YAML: indented maps and lists with a scalar on each line.
//!
//! Only a closed code block is parsed, because nothing else marks the end of YAML. Anchors, tags and multi-line text are not
//! supported.

use serde_json::{Map, Value};

use super::written_value::parse_scalar;

/// Maximum nesting of maps and lists.
const MAX_DEPTH: usize = 64;
/// Maximum length of a key, in bytes.
const MAX_KEY: usize = 64;

/// Parses the map or list in the only code block of `text`.
pub fn parse(text: &str) -> Option<Value> {
    let mut lines = Lines {
        list: lines(block(text)?)?,
        at: 0,
    };
    let value = lines.block(0, 0)?;
    (lines.at == lines.list.len()).then_some(value)
}

/// Returns the content of the code block. `None`: there is no block, or it is not closed.
fn block(text: &str) -> Option<&str> {
    let mut parts = text.split("```");
    let (_, block, _) = (parts.next()?, parts.next()?, parts.next()?);
    let (info, inside) = block.split_once('\n')?;
    let is_yaml = ["", "yaml", "yml"]
        .iter()
        .any(|name| info.trim().eq_ignore_ascii_case(name));
    (parts.next().is_none() && is_yaml && block.ends_with('\n')).then_some(inside)
}

/// Line that is neither blank nor a comment.
#[derive(Clone, Copy)]
struct Line<'t> {
    indent: usize,
    text: &'t str,
}

/// Splits a block into lines. `None`: there are none, or one is indented with a tab.
fn lines(text: &str) -> Option<Vec<Line<'_>>> {
    let mut lines = Vec::new();
    for whole in text.trim_end().lines() {
        let text = whole.trim_start_matches(' ').trim_end();
        let is_mark = lines.is_empty() && text == "---";
        if text.starts_with('\t') {
            return None;
        }
        if !text.is_empty() && !text.starts_with('#') && !is_mark {
            lines.push(Line {
                indent: whole.len() - whole.trim_start_matches(' ').len(),
                text,
            });
        }
    }
    // The whole block may be indented.
    let least = lines.iter().map(|line| line.indent).min()?;
    for line in &mut lines {
        line.indent -= least;
    }
    Some(lines)
}

struct Lines<'t> {
    list: Vec<Line<'t>>,
    at: usize,
}

impl<'t> Lines<'t> {
    fn next(&self) -> Option<Line<'t>> {
        self.list.get(self.at).copied()
    }

    /// Parses the map or list that begins at the next line, which is indented by `least` or more.
    fn block(&mut self, least: usize, depth: usize) -> Option<Value> {
        let first = self
            .next()
            .filter(|line| line.indent >= least && depth < MAX_DEPTH)?;
        if element(first.text).is_some() {
            self.list(first.indent, depth)
        } else {
            self.map(first.indent, depth)
        }
    }

    fn map(&mut self, indent: usize, depth: usize) -> Option<Value> {
        let mut members = Map::new();
        while let Some(line) = self
            .next()
            .filter(|line| line.indent == indent && element(line.text).is_none())
        {
            let (key, text) = member(line.text)?;
            self.at += 1;
            let value = if text.is_empty() {
                // A list may have the indentation of its key.
                let is_list = self
                    .next()
                    .is_some_and(|next| next.indent == indent && element(next.text).is_some());
                self.block(if is_list { indent } else { indent + 1 }, depth + 1)?
            } else {
                scalar(text)?
            };
            if members.insert(key.to_owned(), value).is_some() {
                return None;
            }
        }
        self.ends(indent).then_some(Value::Object(members))
    }

    fn list(&mut self, indent: usize, depth: usize) -> Option<Value> {
        let mut items = Vec::new();
        while let Some((line, text)) = self
            .next()
            .and_then(|line| Some((line, element(line.text)?)))
        {
            if line.indent != indent {
                break;
            }
            let is_block = element(text).is_some() || member(text).is_some();
            items.push(if is_block {
                // The text after the dash is the first line of the element.
                let inner = indent + line.text.len() - text.len();
                if let Some(place) = self.list.get_mut(self.at) {
                    *place = Line {
                        indent: inner,
                        text,
                    };
                }
                self.block(inner, depth + 1)?
            } else {
                self.at += 1;
                if text.is_empty() {
                    self.block(indent + 1, depth + 1)?
                } else {
                    scalar(text)?
                }
            });
        }
        self.ends(indent).then_some(Value::Array(items))
    }

    /// Returns true if the following lines belong to an outer level.
    fn ends(&self, indent: usize) -> bool {
        self.next().is_none_or(|line| line.indent <= indent)
    }
}

/// Returns the text after the dash of an element.
fn element(text: &str) -> Option<&str> {
    let text = text.strip_prefix('-')?;
    (text.is_empty() || text.starts_with(' ')).then(|| text.trim_start())
}

/// Splits a line into its key and the text after the colon.
fn member(text: &str) -> Option<(&str, &str)> {
    let (key, value) = text
        .split_once(": ")
        .or_else(|| Some((text.strip_suffix(':')?, "")))?;
    let unquoted = ['"', '\'']
        .iter()
        .find_map(|&mark| key.strip_prefix(mark)?.strip_suffix(mark))
        .unwrap_or(key);
    let is_key = !unquoted.is_empty()
        && unquoted.len() <= MAX_KEY
        && unquoted
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ' | '/'));
    is_key.then(|| (unquoted, without_comment(value.trim_start())))
}

/// Removes a comment at the end of a line.
fn without_comment(text: &str) -> &str {
    if text.starts_with('#') {
        return "";
    }
    let is_quoted = text.starts_with(['"', '\'']);
    text.split_once(" #")
        .filter(|_| !is_quoted)
        .map_or(text, |(text, _)| text)
        .trim_end()
}

/// Parses a scalar on one line. `None`: YAML would read the text differently.
fn scalar(text: &str) -> Option<Value> {
    let text = without_comment(text);
    if let Some(inside) = text.strip_prefix('\'') {
        let inside = inside.strip_suffix('\'')?.replace("''", "\u{0}");
        return (!inside.contains('\'')).then(|| Value::String(inside.replace('\u{0}', "'")));
    }
    if text.starts_with('"') {
        return serde_json::from_str(text).ok().map(Value::String);
    }
    if let Some(inside) = text.strip_prefix('[') {
        let inside = inside.strip_suffix(']')?;
        if inside.contains(['[', ']', '{', '}', '"', '\'', ':', '#']) {
            return None;
        }
        return inside
            .split(',')
            .map(|item| scalar(item.trim()))
            .collect::<Option<_>>()
            .map(Value::Array);
    }
    let is_plain = !text.is_empty()
        && !text.starts_with(|c| "|>&*!%@`{}]?,".contains(c))
        && !text.contains(": ")
        && !text.ends_with(':')
        && !text.contains("...")
        && !text.contains('…');
    is_plain.then(|| {
        if text == "~" {
            Value::Null
        } else {
            parse_scalar(text)
        }
    })
}
