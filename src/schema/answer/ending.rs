//! What a text lacks that ends in the middle of its JSON, if it was meant to end there. Whether it was, the provider knows.

use super::cursor::{Cursor, is_space};
use super::object::{Fault, Reader};
use super::quote;
use super::scalar::LITERALS;

/// The longest name without a value that a text may end in, in bytes.
const MAX_NAME: usize = quote::LOOKAHEAD;

/// How a text would end that breaks off: kept up to `keep`, with `rest` behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    keep: usize,
    rest: String,
}

impl Ending {
    /// The text with its end.
    #[must_use]
    pub fn of(&self, text: &str) -> String {
        [text.get(..self.keep).unwrap_or_default(), &self.rest].concat()
    }
}

impl Reader<'_> {
    /// What would close the string, the lists and the objects that are open where the text ends. A name without a value, and a string
    /// without a character, say nothing and are left out.
    pub(super) fn ending(&self, fault: Fault) -> Option<Ending> {
        let text = self.cursor.whole();
        let bracket = |level: usize| if self.open >> level & 1 == 1 { '}' } else { ']' };
        let brackets: String = (0..self.depth).map(bracket).collect();
        let begun = text.get(fault.at..).filter(|_| fault.cut)?;
        let close = |keep: usize, quotes: &str| Some(Ending { keep, rest: format!("{quotes}{brackets}") });
        if let Some(at) = self.nameless {
            return if text.len() - at <= MAX_NAME { close(at, "") } else { None };
        }
        let triple = ["\"\"\"", "'''"].into_iter().find(|triple| begun.starts_with(triple));
        let mark = begun.chars().next().filter(|&mark| quote::is_quote(mark));
        let Some(mark) = mark else {
            return match begun.trim_end_matches(is_space) {
                "" => close(self.trailing.unwrap_or(fault.at), ""),
                "-" | "+" => close(fault.at, ""),
                word => close(fault.at + word.len(), rest_of_literal(word)),
            };
        };
        let closer = quote::closers(mark).first().copied().unwrap_or(mark).to_string();
        let quotes = triple.unwrap_or(&closer);
        let start = fault.at + triple.map_or(mark.len_utf8(), str::len);
        let content = text.get(start..)?;
        let content = without_brackets(content, &brackets).unwrap_or(content);
        let content = without_broken_escape(content);
        if content.is_empty() { close(fault.at, "") } else { close(start + content.len(), quotes) }
    }
}

/// `tru`: what completes the beginning of a literal.
fn rest_of_literal(word: &str) -> &'static str {
    let completed = LITERALS.iter().filter(|_| word.len() > 1).find_map(|literal| literal.strip_prefix(word));
    completed.unwrap_or_default()
}

/// `value}]`: a string that runs over just the brackets that are missing, and the end of its block of code, was to end before them.
fn without_brackets<'t>(string: &'t str, brackets: &str) -> Option<&'t str> {
    let string = string.trim_end_matches(is_space);
    let mut string = string.strip_suffix("```").unwrap_or(string).trim_end_matches(is_space);
    for bracket in brackets.chars().rev() {
        string = string.strip_suffix(bracket)?.trim_end_matches(is_space);
    }
    Some(string)
}

/// The text without an escape that it ends in.
fn without_broken_escape(string: &str) -> &str {
    let tail = string.floor_char_boundary(string.len().saturating_sub(8));
    let last = string.get(tail..).and_then(|end| end.rfind('\\')).map(|at| tail + at);
    let Some(last) = last else { return string };
    let backslashes = string.get(..=last).unwrap_or_default().bytes().rev().take_while(|&byte| byte == b'\\').count();
    let mut escape = Cursor::new(string, last + 1);
    let is_unicode = escape.eat("u") && escape.rest().len() < 4;
    let is_broken = backslashes % 2 == 1 && (last + 1 == string.len() || is_unicode);
    if is_broken { string.get(..last).unwrap_or_default() } else { string }
}
