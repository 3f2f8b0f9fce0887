//! Regular expressions that JavaScript takes without its `u` flag, in the syntax that every engine takes.
//!
//! JavaScript reads `${` as two characters, `[\w-_]` as a set of word characters, `-` and `_`, and `\i` as `i`. Schemas in the
//! field rely on it.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::Chars;

use jsonschema::{Draft, PatternOptions};
use serde_json::json;

/// Letters and digits that mean something after a backslash.
const ESCAPES: &str = "dDwWsSbBtnrvfcxukpPAzZ0123456789";
/// Escapes of sets of characters, which cannot be the end of a range.
const SETS: &str = "dDwWsSpP";
/// Size of a compiled expression up to which any number is tried, in bytes.
const SMALL_BYTES: usize = 64 << 10;
/// Maximum size of a compiled expression, in bytes, as a validator takes it.
const MAX_BYTES: usize = 16 << 20;
/// Maximum number of expressions of a document that are tried with [`MAX_BYTES`]: each takes up to a tenth of a second.
const MAX_LARGE: usize = 16;

/// Rewriter of a document's expressions, each once.
#[derive(Debug)]
pub struct Rewriter {
    draft: Draft,
    known: HashMap<String, Option<String>>,
    /// Number of expressions that were tried with [`MAX_BYTES`].
    large: usize,
}

impl Rewriter {
    /// Creates a rewriter for a document of this draft.
    pub fn new(draft: Draft) -> Self {
        Self {
            draft,
            known: HashMap::new(),
            large: 0,
        }
    }

    /// Returns the expression in a syntax that compiles. `None`: it compiles as it is, or not at all.
    pub fn rewritten(&mut self, pattern: &str) -> Option<String> {
        if let Some(known) = self.known.get(pattern) {
            return known.clone();
        }
        let rewritten = self.strict(pattern);
        self.known.insert(pattern.to_owned(), rewritten.clone());
        rewritten
    }

    fn strict(&mut self, pattern: &str) -> Option<String> {
        let strict = rewrite(pattern);
        if strict == pattern {
            return None;
        }
        // jsonschema parses the whole expression again for each of them.
        if pattern.contains("\\c") {
            return Some(strict);
        }
        let mut max_bytes = SMALL_BYTES;
        if !self.compiles(&strict, max_bytes) {
            self.large += 1;
            max_bytes = MAX_BYTES;
            if self.large > MAX_LARGE || !self.compiles(&strict, max_bytes) {
                return None;
            }
        }
        // `\<` is the beginning of a word in Rust's syntax.
        let is_misread = pattern.contains("\\<") || pattern.contains("\\>");
        (is_misread || !self.compiles(pattern, max_bytes)).then_some(strict)
    }

    fn compiles(&self, pattern: &str, max_bytes: usize) -> bool {
        let options = jsonschema::options()
            .with_draft(self.draft)
            .with_pattern_options(PatternOptions::fancy_regex().size_limit(max_bytes));
        options.build(&json!({"pattern": pattern})).is_ok()
    }
}

fn rewrite(pattern: &str) -> String {
    let mut writer = Writer {
        rest: pattern.chars().peekable(),
        out: String::with_capacity(pattern.len() + 8),
        looked_at: 0,
    };
    writer.run();
    writer.out
}

struct Writer<'p> {
    rest: Peekable<Chars<'p>>,
    out: String,
    /// Number of characters that were looked at before their turn.
    looked_at: usize,
}

impl Writer<'_> {
    fn run(&mut self) {
        while let Some(next) = self.rest.next() {
            match next {
                '\\' => {
                    self.escape();
                }
                '[' => self.set(),
                '{' if !self.is_quantifier() => self.out.push_str("\\{"),
                '{' => self.quantifier(),
                '}' | ']' => self.out.extend(['\\', next]),
                other => self.out.push(other),
            }
        }
    }

    /// Writes what follows a backslash. Returns true if it is a set of characters.
    fn escape(&mut self) -> bool {
        match self.rest.next() {
            None => self.out.push_str("\\\\"),
            Some(next @ ('<' | '>')) => self.out.push(next),
            Some('c') => match self.rest.next_if(char::is_ascii_alphabetic) {
                // Writing to a string does not fail.
                Some(letter) => {
                    let _ = write!(self.out, "\\x{:02x}", letter as u32 % 32);
                }
                None => self.out.push_str("\\c"),
            },
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

    /// Returns true if `{` begins a quantifier: `{2}`, `{2,}` or `{2,3}`. Looks no further than its digits.
    fn is_quantifier(&mut self) -> bool {
        let (mut has_least, mut has_comma) = (false, false);
        for next in self.rest.clone() {
            self.looked_at += 1;
            match next {
                '0'..='9' => has_least = true,
                ',' if has_least && !has_comma => has_comma = true,
                '}' => return has_least,
                _ => return false,
            }
        }
        false
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
            (r"^\cA[\cz-]$", Some(r"^\x01[\x1a\-]$")),
            ("{,3}{2,3,4}{2", Some(r"\{,3\}\{2,3,4\}\{2")),
            ("(", None),
        ] {
            let found = Rewriter::new(Draft::Draft7).rewritten(pattern);
            assert_eq!(found.as_deref(), strict, "{pattern}");
        }
    }

    #[test]
    fn rewriting_looks_at_each_character_a_few_times() {
        for part in ["{", "{1", "{1,", "{1,2", "{1,2}", "{[", "\\c", "{\\"] {
            let pattern = part.repeat(100_000);
            let mut writer = Writer {
                rest: pattern.chars().peekable(),
                out: String::new(),
                looked_at: 0,
            };
            writer.run();
            assert!(writer.looked_at <= pattern.len(), "{part}");
        }
    }

    #[test]
    fn few_large_expressions_are_tried() {
        let mut rewriter = Rewriter::new(Draft::Draft7);
        for number in 0..2 * MAX_LARGE {
            for _ in 0..2 {
                assert_eq!(rewriter.rewritten(&format!("({number}]")), None);
            }
        }
        assert_eq!(rewriter.large, 2 * MAX_LARGE);
        let large = r"^(?:a|b|ab){3000}[\w-_]$";
        assert_eq!(rewriter.rewritten(large), None);
        let rewritten = Rewriter::new(Draft::Draft7).rewritten(large);
        assert_eq!(rewritten.as_deref(), Some(r"^(?:a|b|ab){3000}[\w\-_]$"));
        // Small ones are always tried.
        assert_eq!(rewriter.rewritten("]").as_deref(), Some(r"\]"));
    }
}
