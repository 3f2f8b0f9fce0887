//! Incremental lexer: turns characters into tokens, one character at a time.

use serde_json::Value;

use crate::strict_json::parse_number;

/// A token of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// A bracket, a colon or a comma.
    Mark(char),
    String(String),
    /// A number, a literal, or an unquoted name.
    Word(String),
    /// Text that is no token: an unknown character or escape, or a word that is too long.
    Lost,
}

/// Maximum length of an unquoted word, in bytes. Longer ones are neither numbers nor names.
const MAX_WORD: usize = 400;

#[derive(Debug, Default)]
enum State {
    #[default]
    Between,
    String {
        quote: char,
        escape: Escape,
    },
    /// After a quote that may end the string or belong to it, with the white space that follows.
    AfterQuote {
        quote: char,
        space: String,
    },
    Word,
    /// After a `/`.
    Slash,
    LineComment,
    BlockComment {
        star: bool,
    },
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    /// After a backslash.
    Begun,
    /// Number of hexadecimal digits of `\u` read so far, and their value.
    Unicode { digits: u8, unit: u16 },
}

/// The lexer's state between two characters.
#[derive(Debug, Default)]
pub struct Lexer {
    state: State,
    /// Text of the unfinished string or word.
    text: String,
    /// First half of a surrogate pair.
    high: Option<u16>,
    /// A character that ended a token and is, or begins, the next one.
    held: Option<char>,
}

impl Lexer {
    /// Reads one character. Returns the token that it completes.
    pub fn step(&mut self, c: char) -> Option<Token> {
        match &mut self.state {
            State::Between => self.between(c),
            State::String { quote, escape } => {
                let (quote, escape) = (*quote, *escape);
                self.in_string_step(c, quote, escape)
            }
            State::AfterQuote { quote, space } => {
                if c.is_whitespace() && c != '\n' {
                    space.push(c);
                    return None;
                }
                if matches!(c, ',' | ':' | '}' | ']' | '\n' | '/' | '#') {
                    self.state = State::Between;
                    self.held = Some(c);
                    return Some(Token::String(std::mem::take(&mut self.text)));
                }
                // The quote belongs to the string.
                self.text.push(*quote);
                let (quote, space) = (*quote, std::mem::take(space));
                self.text.push_str(&space);
                self.state = State::String {
                    quote,
                    escape: Escape::None,
                };
                self.in_string_step(c, quote, Escape::None)
            }
            State::Word => {
                if c.is_alphanumeric() || matches!(c, '_' | '-' | '+' | '.' | '$') {
                    self.text.push(c);
                    return (self.text.len() > MAX_WORD).then_some(Token::Lost);
                }
                self.state = State::Between;
                self.held = Some(c);
                Some(Token::Word(std::mem::take(&mut self.text)))
            }
            State::Slash => {
                self.state = match c {
                    '/' => State::LineComment,
                    '*' => State::BlockComment { star: false },
                    _ => return Some(Token::Lost),
                };
                None
            }
            State::LineComment => {
                if c == '\n' {
                    self.state = State::Between;
                }
                None
            }
            State::BlockComment { star } => {
                if *star && c == '/' {
                    self.state = State::Between;
                } else {
                    *star = c == '*';
                }
                None
            }
        }
    }

    /// Returns the token that the held character forms by itself.
    pub fn again(&mut self) -> Option<Token> {
        let held = self.held.take()?;
        self.step(held)
    }

    /// Returns true if a string is unfinished.
    pub const fn in_string(&self) -> bool {
        matches!(self.state, State::String { .. })
    }

    /// Returns the length of the unfinished string or word, in bytes.
    pub const fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Returns the unfinished string, as far as it was read.
    pub fn string(&self) -> Option<&str> {
        matches!(self.state, State::String { .. } | State::AfterQuote { .. }).then_some(&self.text)
    }

    fn between(&mut self, c: char) -> Option<Token> {
        match c {
            '{' | '}' | '[' | ']' | ':' | ',' => Some(Token::Mark(c)),
            '"' | '\'' => {
                self.state = State::String {
                    quote: c,
                    escape: Escape::None,
                };
                None
            }
            '\u{201c}' => {
                self.state = State::String {
                    quote: '\u{201d}',
                    escape: Escape::None,
                };
                None
            }
            '/' => {
                self.state = State::Slash;
                None
            }
            '#' => {
                self.state = State::LineComment;
                None
            }
            _ if c.is_whitespace() => None,
            _ if c.is_alphanumeric() || matches!(c, '_' | '-' | '+' | '.' | '$') => {
                self.state = State::Word;
                self.text.push(c);
                None
            }
            _ => Some(Token::Lost),
        }
    }

    fn in_string_step(&mut self, c: char, quote: char, escape: Escape) -> Option<Token> {
        let mut next = Escape::None;
        match escape {
            Escape::None if c == '\\' => next = Escape::Begun,
            Escape::None if c == quote => {
                self.end_pair();
                self.state = State::AfterQuote {
                    quote,
                    space: String::new(),
                };
                return None;
            }
            Escape::None => self.push(c),
            Escape::Begun => match c {
                'u' => next = Escape::Unicode { digits: 0, unit: 0 },
                'n' => self.push('\n'),
                't' => self.push('\t'),
                'r' => self.push('\r'),
                'b' => self.push('\u{8}'),
                'f' => self.push('\u{c}'),
                '"' | '\\' | '/' | '\'' => self.push(c),
                _ => return Some(Token::Lost),
            },
            Escape::Unicode { digits, unit } => {
                let Some(digit) = c.to_digit(16).and_then(|digit| u16::try_from(digit).ok()) else {
                    return Some(Token::Lost);
                };
                let unit = (unit << 4) | digit;
                if digits < 3 {
                    next = Escape::Unicode {
                        digits: digits + 1,
                        unit,
                    };
                } else {
                    self.push_unit(unit);
                }
            }
        }
        self.state = State::String {
            quote,
            escape: next,
        };
        None
    }

    fn push(&mut self, c: char) {
        self.end_pair();
        self.text.push(c);
    }

    fn push_unit(&mut self, unit: u16) {
        match (self.high.take(), unit) {
            (Some(high), 0xdc00..=0xdfff) => {
                self.text.extend(
                    char::decode_utf16([high, unit])
                        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)),
                );
            }
            (before, 0xd800..=0xdbff) => {
                self.text
                    .extend(before.map(|_| char::REPLACEMENT_CHARACTER));
                self.high = Some(unit);
            }
            (before, unit) => {
                self.text
                    .extend(before.map(|_| char::REPLACEMENT_CHARACTER));
                self.text
                    .push(char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
        }
    }

    /// Replaces a lone first half of a surrogate pair.
    fn end_pair(&mut self) {
        self.text
            .extend(self.high.take().map(|_| char::REPLACEMENT_CHARACTER));
    }
}

/// Returns the value of an unquoted word; `None` if it is neither a literal nor a number.
pub fn literal(word: &str) -> Option<Value> {
    match word {
        "true" | "True" => Some(Value::Bool(true)),
        "false" | "False" => Some(Value::Bool(false)),
        "null" | "None" | "undefined" => Some(Value::Null),
        _ => parse_number(word).map(Value::Number),
    }
}
