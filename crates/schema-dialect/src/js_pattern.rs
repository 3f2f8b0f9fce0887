//! Regular expressions that JavaScript takes without its `u` flag, in the syntax that every engine takes.
//!
//! JavaScript reads `${` as two characters, `[\w-_]` as a set of word characters, `-` and `_`, and `\i` as `i`. Schemas in the
//! field rely on it.

use std::iter::Peekable;
use std::str::Chars;

use jsonschema::{Draft, PatternOptions};
use serde_json::json;

/// Letters and digits that mean something after a backslash.
const ESCAPES: &str = "dDwWsSbBtnrvfcxukpPAzZ0123456789";
/// Escapes of sets of characters, which cannot be the end of a range.
const SETS: &str = "dDwWsSpP";

/// Returns the expression in a syntax that compiles. `None`: it compiles as it is, or not at all.
pub fn rewritten(pattern: &str, draft: Draft) -> Option<String> {
    // `\<` is the beginning of a word in Rust's syntax.
    let is_misread = pattern.contains("\\<") || pattern.contains("\\>");
    if !is_misread && compiles(pattern, draft) {
        return None;
    }
    let strict = rewrite(pattern);
    (strict != pattern && compiles(&strict, draft)).then_some(strict)
}

fn compiles(pattern: &str, draft: Draft) -> bool {
    let options = jsonschema::options()
        .with_draft(draft)
        .with_pattern_options(PatternOptions::fancy_regex().size_limit(16 << 20));
    options.build(&json!({"pattern": pattern})).is_ok()
}

fn rewrite(pattern: &str) -> String {
    let mut writer = Writer {
        rest: pattern.chars().peekable(),
        out: String::with_capacity(pattern.len() + 8),
    };
    while let Some(next) = writer.rest.next() {
        match next {
            '\\' => {
                writer.escape();
            }
            '[' => writer.set(),
            '{' if !writer.is_quantifier() => writer.out.push_str("\\{"),
            '{' => writer.quantifier(),
            '}' | ']' => writer.out.extend(['\\', next]),
            other => writer.out.push(other),
        }
    }
    writer.out
}

struct Writer<'p> {
    rest: Peekable<Chars<'p>>,
    out: String,
}

impl Writer<'_> {
    /// Writes what follows a backslash. Returns true if it is a set of characters.
    fn escape(&mut self) -> bool {
        match self.rest.next() {
            None => self.out.push_str("\\\\"),
            Some(next @ ('<' | '>')) => self.out.push(next),
            Some(next) if next.is_ascii_alphanumeric() && !ESCAPES.contains(next) => {
                self.out.push(next);
            }
            Some(next) => {
                self.out.extend(['\\', next]);
                return SETS.contains(next);
            }
        }
        false
    }

    /// Returns true if `{` begins a quantifier: `{2}`, `{2,}` or `{2,3}`.
    fn is_quantifier(&self) -> bool {
        let inner: String = self.rest.clone().take_while(|next| *next != '}').collect();
        let is_closed = self.rest.clone().any(|next| next == '}');
        let (least, most) = inner.split_once(',').unwrap_or((&inner, ""));
        let is_number = |text: &str| text.chars().all(|digit| digit.is_ascii_digit());
        is_closed && !least.is_empty() && is_number(least) && is_number(most)
    }

    fn quantifier(&mut self) {
        self.out.push('{');
        for next in self.rest.by_ref() {
            self.out.push(next);
            if next == '}' {
                break;
            }
        }
    }

    /// Writes a set in brackets, whose opening bracket was read.
    fn set(&mut self) {
        self.out.push('[');
        if self.rest.next_if_eq(&'^').is_some() {
            self.out.push('^');
        }
        let (mut is_first, mut after_set) = (true, false);
        while let Some(next) = self.rest.next() {
            match next {
                ']' => {
                    self.out.push(']');
                    return;
                }
                '[' => self.out.push_str("\\["),
                '-' => {
                    let before_set = self.is_before_set();
                    let is_last = self.rest.peek() == Some(&']');
                    if is_first || is_last || after_set || before_set {
                        self.out.push('\\');
                    }
                    self.out.push('-');
                }
                '\\' if self.rest.peek() == Some(&'b') => {
                    self.rest.next();
                    self.out.push_str("\\x08");
                }
                '\\' => {
                    after_set = self.escape();
                    is_first = false;
                    continue;
                }
                other => self.out.push(other),
            }
            (is_first, after_set) = (false, false);
        }
    }

    /// Returns true if an escape of a set comes next.
    fn is_before_set(&self) -> bool {
        let mut rest = self.rest.clone();
        rest.next() == Some('\\') && rest.next().is_some_and(|next| SETS.contains(next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_javascript_takes_compiles() {
        for (pattern, strict) in [
            (r"^\${.*?}$", Some(r"^\$\{.*?\}$")),
            (r"^[\w-_.]+$", Some(r"^[\w\-_.]+$")),
            (r"[a-\d]", Some(r"[a\-\d]")),
            (r"^\${{\s*if(.*?)\s*}}$", Some(r"^\$\{\{\s*if(.*?)\s*\}\}$")),
            (r"^\i{2,3}$", Some(r"^i{2,3}$")),
            (r"^\<a\>$", Some("^<a>$")),
            (r"^[^[\]]*$", None),
            (r"^a{2}$", None),
            (r"(?=a)b", None),
            ("(", None),
        ] {
            let found = rewritten(pattern, Draft::Draft7);
            assert_eq!(found.as_deref(), strict, "{pattern}");
        }
    }
}
