//! What a text lacks that ends in the middle of its JSON, if it was meant to end there. Whether it was, the provider knows.

use super::cursor::{Cursor, is_space};
use super::quote;
use super::scalar::LITERALS;
use super::tolerant_parser::{ParseFault, Reader};

/// The longest name without a value that a text may end in, in bytes.
const MAX_NAME: usize = quote::LOOKAHEAD;

/// How a text would end that breaks off: kept up to `keep`, with `rest` behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    pub(super) keep: usize,
    pub(super) rest: String,
}

impl Completion {
    /// The text with its end.
    #[must_use]
    pub fn of(&self, text: &str) -> String {
        [text.get(..self.keep).unwrap_or_default(), &self.rest].concat()
    }
}

/// The member around the cursor, by the places where it begins.
#[derive(Debug, Clone, Copy)]
pub struct IncompleteToken {
    pub name: usize,
    /// `None`: its name or its colon is still to come.
    pub value: Option<usize>,
}

impl Reader<'_> {
    /// What would close the string, the lists and the objects that are open where the text ends. A name without a value, an empty
    /// string and a lone sign say nothing and are left out. `None` where what is open holds more than a value of its own.
    pub(super) fn ending(&self, fault: ParseFault) -> Option<Completion> {
        let text = self.cursor.whole();
        let begun = text.get(fault.at..).filter(|_| fault.cut)?;
        let bracket = |level: usize| {
            if self.open >> level & 1 == 1 {
                '}'
            } else {
                ']'
            }
        };
        let brackets: String = (0..self.depth).map(bracket).collect();
        let close = |keep: usize, rest: &str| {
            Some(Completion {
                keep,
                rest: format!("{rest}{brackets}"),
            })
        };
        let nothing = || match self.begun {
            Some(IncompleteToken { name, value })
                if value.is_none_or(|value| value == fault.at) =>
            {
                close(name, "")
            }
            _ => close(fault.at, ""),
        };
        if begun.trim_matches(is_space).is_empty()
            && self.begun.is_none_or(|member| member.value.is_some())
        {
            return close(self.trailing.unwrap_or(fault.at), "");
        }
        if let Some(IncompleteToken { name, value: None }) = self.begun {
            let end = self.trailing.map_or(name, |trailing| trailing.min(name));
            return if is_name(text.get(name..)?) {
                close(end, "")
            } else {
                None
            };
        }
        let Some(mark) = begun.chars().next().filter(|&mark| quote::is_quote(mark)) else {
            return match begun.trim_end_matches(is_space) {
                "-" | "+" => nothing(),
                word => close(fault.at + word.len(), rest_of_literal(word)),
            };
        };
        let triple = ["\"\"\"", "'''"]
            .into_iter()
            .find(|triple| begun.starts_with(triple));
        let closer = quote::closers(mark)
            .first()
            .copied()
            .unwrap_or(mark)
            .to_string();
        let start = fault.at + triple.map_or(mark.len_utf8(), str::len);
        let content = text.get(start..)?;
        let content = if triple.is_some() {
            content
        } else {
            own_content(content, &brackets)?
        };
        let content = without_broken_escape(content);
        if content.is_empty() {
            nothing()
        } else {
            close(start + content.len(), triple.unwrap_or(&closer))
        }
    }
}

/// A name, perhaps with its colon, and nothing that would be lost with it.
fn is_name(text: &str) -> bool {
    let name = text.trim_end_matches(|c| is_space(c) || c == ':');
    text.len() <= MAX_NAME && !name.contains([':', '=', ',', '{', '}', '[', ']', '\n'])
}

/// `tru`: what completes the beginning of a literal.
fn rest_of_literal(word: &str) -> &'static str {
    let completed = LITERALS
        .iter()
        .filter(|_| word.len() > 1)
        .find_map(|literal| literal.strip_prefix(word));
    completed.unwrap_or_default()
}

/// What an open string says. `value}]`: one that runs over just the brackets that are missing was to end before them. `None` where
/// something else follows within it: lines, or brackets that may be its own or not.
fn own_content<'t>(string: &'t str, brackets: &str) -> Option<&'t str> {
    let end = string.trim_end_matches(is_space);
    let unfenced = end
        .strip_suffix("```")
        .map_or(string, |block| block.trim_end_matches(is_space));
    let mut before = Some(unfenced.trim_end_matches(is_space));
    for bracket in brackets.chars().rev() {
        before = before
            .and_then(|text| text.strip_suffix(bracket))
            .map(|text| text.trim_end_matches(is_space));
    }
    let foreign: &[char] = if before.is_some() {
        &['{', '[', '}', ']', '\n']
    } else {
        &['}', ']', '\n']
    };
    let content = before.unwrap_or(unfenced);
    (!content.trim_end_matches(is_space).contains(foreign)).then_some(content)
}

/// The text without an escape that it ends in.
fn without_broken_escape(string: &str) -> &str {
    let tail = string.floor_char_boundary(string.len().saturating_sub(8));
    let last = string
        .get(tail..)
        .and_then(|end| end.rfind('\\'))
        .map(|at| tail + at);
    let Some(last) = last else { return string };
    let backslashes = string
        .get(..=last)
        .unwrap_or_default()
        .bytes()
        .rev()
        .take_while(|&byte| byte == b'\\')
        .count();
    let mut escape = Cursor::new(string, last + 1);
    let is_unicode = escape.eat("u") && escape.rest().len() < 4;
    let is_broken = backslashes % 2 == 1 && (last + 1 == string.len() || is_unicode);
    if is_broken {
        string.get(..last).unwrap_or_default()
    } else {
        string
    }
}
