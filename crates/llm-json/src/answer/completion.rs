//! Missing end of a truncated answer. The provider's stop reason decides if the text was meant to
//! end there.

use super::cursor::{Cursor, is_space};
use super::literal::LITERALS;
use super::quote;
use super::reader::{IncompleteToken, ParseFault, Reader};

/// Maximum length of a trailing name without a value, in bytes.
const MAX_NAME: usize = quote::LOOKAHEAD;

/// End of a truncated text: the text is kept up to `keep`, and `rest` follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// Length of the kept text, in bytes.
    pub(super) keep: usize,
    /// Text that is appended.
    pub(super) rest: String,
}

impl Completion {
    /// Returns the text with its end added.
    #[must_use]
    pub fn complete(&self, text: &str) -> String {
        [text.get(..self.keep).unwrap_or_default(), &self.rest].concat()
    }
}

impl Reader<'_> {
    /// Returns the text that closes the open string, lists and objects where the text ends.
    ///
    /// A name without a value, an empty string and a lone sign are dropped. Returns `None` if the
    /// open string holds more than its own value.
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

/// Returns true if the text is only a name, perhaps with its colon, so that dropping it loses
/// nothing else.
fn is_name(text: &str) -> bool {
    let name = text.trim_end_matches(|c| is_space(c) || c == ':');
    text.len() <= MAX_NAME && !name.contains([':', '=', ',', '{', '}', '[', ']', '\n'])
}

/// Returns the rest of a literal that has begun, such as `e` for `tru`.
fn rest_of_literal(word: &str) -> &'static str {
    let completed = LITERALS
        .iter()
        .filter(|_| word.len() > 1)
        .find_map(|literal| literal.strip_prefix(word));
    completed.unwrap_or_default()
}

/// Returns the content of an open string. `value}]`: a string that ends in exactly the missing
/// brackets was meant to end before them. Returns `None` if other lines or brackets follow within
/// the string.
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

/// Returns the text without an incomplete escape at its end.
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
