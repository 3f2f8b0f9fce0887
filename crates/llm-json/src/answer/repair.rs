//! Repairs: what was changed so that an answer parsed. Each kind is noted once.

use std::fmt;

/// A change that made an answer parse. `Display` gives the sentence that callers see in `repairs`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Repair {
    /// Replaced backticks around a string.
    Backticks,
    /// Removed a byte order mark.
    ByteOrderMark,
    /// Closed what was left open at the end.
    ClosedAtEnd,
    /// Closed an object that was left open.
    ClosedObject,
    /// Read a block of code as a string.
    CodeBlockString,
    /// Removed a code fence.
    CodeFence,
    /// Mended the colon behind a key.
    Colon,
    /// Removed a comment.
    Comment,
    /// Escaped a line break or control character in a string.
    ControlCharacter,
    /// Removed doubled quotes.
    DoubledQuotes,
    /// Removed a closing brace between two members.
    EarlyBrace,
    /// Removed escapes around all the JSON.
    EscapedDocument,
    /// Removed an extra comma.
    ExtraComma,
    /// Replaced a Python or JavaScript literal.
    ForeignLiteral,
    /// Took the value out of a call.
    FunctionCall,
    /// Escaped quotes inside a string.
    InnerQuote,
    /// Mended an invalid escape in a string.
    InvalidEscape,
    /// Joined strings.
    JoinedStrings,
    /// Replaced half a surrogate pair.
    LoneSurrogate,
    /// Added a missing bracket.
    MissingBracket,
    /// Added a missing comma.
    MissingComma,
    /// Added a missing quote.
    MissingQuote,
    /// Read a missing value as null.
    MissingValue,
    /// Rewrote a number.
    Number,
    /// Removed reasoning.
    Reasoning,
    /// Put the values into a list.
    Sequence,
    /// Read a set as a list.
    Set,
    /// Chose among several JSON values.
    SeveralValues,
    /// Replaced single quotes.
    SingleQuotes,
    /// Removed a word that is no member.
    StrayWord,
    /// Removed text around the JSON.
    SurroundingText,
    /// Removed a trailing comma.
    TrailingComma,
    /// Replaced triple quotes.
    TripleQuotes,
    /// Replaced typographic quotes.
    TypographicQuotes,
    /// Quoted a key.
    UnquotedKey,
    /// Quoted a string.
    UnquotedString,
    /// Removed unusual white space.
    UnusualSpace,
    /// A key stands twice in an object; the last value is kept, as in strict JSON. Contains the start of the key.
    DuplicateKey(String),
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Backticks => "replaced backticks around a string",
            Self::ByteOrderMark => "removed a byte order mark",
            Self::ClosedAtEnd => "closed what was left open at the end",
            Self::ClosedObject => "closed an object that was left open",
            Self::CodeBlockString => "read a block of code as a string",
            Self::CodeFence => "removed a code fence",
            Self::Colon => "mended the colon behind a key",
            Self::Comment => "removed a comment",
            Self::ControlCharacter => "escaped a line break or control character in a string",
            Self::DoubledQuotes => "removed doubled quotes",
            Self::EarlyBrace => "removed a closing brace between two members",
            Self::EscapedDocument => "removed escapes around all the JSON",
            Self::ExtraComma => "removed an extra comma",
            Self::ForeignLiteral => "replaced a Python or JavaScript literal",
            Self::FunctionCall => "took the value out of a call",
            Self::InnerQuote => "escaped quotes inside a string",
            Self::InvalidEscape => "mended an invalid escape in a string",
            Self::JoinedStrings => "joined strings",
            Self::LoneSurrogate => "replaced half a surrogate pair",
            Self::MissingBracket => "added a missing bracket",
            Self::MissingComma => "added a missing comma",
            Self::MissingQuote => "added a missing quote",
            Self::MissingValue => "read a missing value as null",
            Self::Number => "rewrote a number",
            Self::Reasoning => "removed reasoning",
            Self::Sequence => "put the values into a list",
            Self::Set => "read a set as a list",
            Self::SeveralValues => "chose among several JSON values",
            Self::SingleQuotes => "replaced single quotes",
            Self::StrayWord => "removed a word that is no member",
            Self::SurroundingText => "removed text around the JSON",
            Self::TrailingComma => "removed a trailing comma",
            Self::TripleQuotes => "replaced triple quotes",
            Self::TypographicQuotes => "replaced typographic quotes",
            Self::UnquotedKey => "quoted a key",
            Self::UnquotedString => "quoted a string",
            Self::UnusualSpace => "removed unusual white space",
            Self::DuplicateKey(key) => return write!(f, "duplicate key {key:?}: kept the last"),
        })
    }
}

/// Maximum number of characters of a duplicate key that are shown.
const SHOWN_KEY: usize = 40;

/// Repairs in the order in which they were first needed.
#[derive(Debug, Default)]
pub struct Repairs(Vec<Repair>);

impl Repairs {
    /// Notes a repair, unless it was noted before.
    pub fn note(&mut self, repair: Repair) {
        if !self.0.contains(&repair) {
            self.0.push(repair);
        }
    }

    /// Returns true if the repair was noted.
    pub fn has(&self, repair: &Repair) -> bool {
        self.0.contains(repair)
    }

    /// Returns true if a duplicate key was noted.
    pub fn has_duplicate(&self) -> bool {
        self.0
            .iter()
            .any(|noted| matches!(noted, Repair::DuplicateKey(_)))
    }

    /// Notes the first duplicate key. The last of two values wins, as in strict JSON.
    pub fn note_duplicate(&mut self, key: &str) {
        if !self.has_duplicate() {
            let shown = key.chars().take(SHOWN_KEY).collect();
            self.0.push(Repair::DuplicateKey(shown));
        }
    }

    /// Adds the repairs of `other` that were not noted yet.
    pub fn extend(&mut self, other: Self) {
        for repair in other.0 {
            self.note(repair);
        }
    }

    /// Returns the repairs in the order in which they were first needed.
    pub fn into_vec(self) -> Vec<Repair> {
        self.0
    }
}
