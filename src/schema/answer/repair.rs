//! What was mended, in words for people. Each kind is noted once.

use std::borrow::Cow;

pub const AROUND: &str = "removed text around the JSON";
pub const BACKTICKS: &str = "replaced backticks around a string";
pub const BARE_KEY: &str = "quoted a key";
pub const BARE_TEXT: &str = "quoted a string";
pub const BYTE_ORDER_MARK: &str = "removed a byte order mark";
pub const CLOSED: &str = "closed an object that was left open";
pub const CALL: &str = "took the value out of a call";
pub const COLON: &str = "mended the colon behind a key";
pub const COMMENT: &str = "removed a comment";
pub const CONTROL: &str = "escaped a line break or control character in a string";
pub const ENDED: &str = "closed what was left open at the end";
pub const ESCAPE: &str = "mended an invalid escape in a string";
pub const ESCAPED: &str = "removed escapes around all the JSON";
pub const DOUBLED: &str = "removed doubled quotes";
pub const EARLY_BRACE: &str = "removed a closing brace between two members";
pub const EXTRA_COMMA: &str = "removed an extra comma";
pub const FENCED: &str = "read a block of code as a string";
pub const FENCE: &str = "removed a code fence";
pub const JOINED: &str = "joined strings";
pub const INNER_QUOTE: &str = "escaped quotes inside a string";
pub const LITERAL: &str = "replaced a Python or JavaScript literal";
pub const MISSING_COMMA: &str = "added a missing comma";
pub const NO_BRACKET: &str = "added a missing bracket";
pub const NO_QUOTE: &str = "added a missing quote";
pub const NO_VALUE: &str = "read a missing value as null";
pub const NUMBER: &str = "rewrote a number";
pub const ODD_SPACE: &str = "removed unusual white space";
pub const REASONING: &str = "removed reasoning";
pub const SEQUENCE: &str = "put the values into a list";
pub const SEVERAL: &str = "chose among several JSON values";
pub const SET: &str = "read a set as a list";
pub const SINGLE_QUOTES: &str = "replaced single quotes";
pub const STRAY: &str = "removed a word that is no member";
pub const SURROGATE: &str = "replaced half a surrogate pair";
pub const TRAILING_COMMA: &str = "removed a trailing comma";
pub const TRIPLE_QUOTES: &str = "replaced triple quotes";
pub const TYPOGRAPHIC_QUOTES: &str = "replaced typographic quotes";

const DUPLICATE: &str = "duplicate key ";
/// Characters of a duplicate key that are shown.
const SHOWN_KEY: usize = 40;

/// Repairs in the order in which they were first needed.
#[derive(Debug, Default)]
pub struct Repairs(Vec<Cow<'static, str>>);

impl Repairs {
    pub fn note(&mut self, repair: &'static str) {
        if !self.0.iter().any(|noted| noted == repair) {
            self.0.push(Cow::Borrowed(repair));
        }
    }

    pub fn has(&self, repair: &str) -> bool {
        self.0.iter().any(|noted| noted == repair)
    }

    pub fn has_duplicate(&self) -> bool {
        self.0.iter().any(|noted| noted.starts_with(DUPLICATE))
    }

    /// The last of two values with the same key wins, as in strict JSON; here it is said.
    pub fn note_duplicate(&mut self, key: &str) {
        if !self.has_duplicate() {
            let shown: String = key.chars().take(SHOWN_KEY).collect();
            self.0
                .push(Cow::Owned(format!("{DUPLICATE}{shown:?}: kept the last")));
        }
    }

    pub fn extend(&mut self, other: Self) {
        for repair in other.0 {
            if !self.0.contains(&repair) {
                self.0.push(repair);
            }
        }
    }

    pub fn into_vec(self) -> Vec<Cow<'static, str>> {
        self.0
    }
}
