//! Tolerant recursive-descent parser for objects and arrays. Every repair is noted; anything
//! uncertain is an error. A truncated value is an error too, reported as [`UnclosedPolicy`] if it
//! lacks only braces.

use serde_json::{Map, Value};

use super::completion::Completion;
use super::cursor::{Cursor, is_elision, is_space};
use super::quote::{self, QuoteContext};
use super::reader::{IncompleteToken, LEFT_OUT, MAX_DEPTH, ParseFault, Reader, TOO_DEEP, Words};
use super::repair::{Repair, Repairs};

/// Error message of a code block that ends within a value.
const ENDS_EARLY: &str = "the code block ends before the JSON is closed";

/// A parsed value, its end, and the repairs in it.
pub struct RepairedValue {
    pub value: Value,
    /// Byte offset behind the value.
    pub end: usize,
    pub repairs: Repairs,
}

/// A failed parse.
pub struct Broken {
    pub fault: ParseFault,
    /// Byte offset that the parser reached.
    pub reached: usize,
    /// True if a quoted string or a key was parsed: the text was meant as JSON, so nothing inside
    /// it is an answer of its own.
    pub was_json: bool,
    /// Parsed content, if the only error is that some objects are not closed.
    pub left_open: Option<Box<UnclosedPolicy>>,
    /// Missing end, if the text ended first.
    pub ending: Option<Completion>,
}

/// An object that lacks only closing braces: the text ends behind a complete member, outside every
/// array.
pub struct UnclosedPolicy {
    pub value: Value,
    /// Number of open objects: the outermost one, its last member, and so on.
    pub levels: usize,
    pub repairs: Repairs,
}

/// Parses the object or array that begins at `at`. `room` is the number of values still allowed; it
/// decreases by the values parsed.
pub fn parse(
    text: &str,
    at: usize,
    words: Words,
    room: &mut usize,
) -> Result<RepairedValue, Broken> {
    let mut reader = Reader::new(text, at, words, room);
    let read = reader.value(QuoteContext::Element);
    let (end, levels) = (reader.cursor.offset(), reader.left_open);
    let ending = read.as_ref().err().and_then(|&fault| reader.ending(fault));
    let (repairs, was_json) = (reader.repairs, reader.was_json);
    match read {
        Ok(value) if levels > 0 => {
            let left_open = Some(Box::new(UnclosedPolicy {
                value,
                levels,
                repairs,
            }));
            let is_cut = text
                .get(end..)
                .unwrap_or_default()
                .trim_matches(is_space)
                .is_empty();
            let ending = is_cut.then(|| Completion {
                keep: end,
                rest: "}".repeat(levels),
            });
            let fault = if is_cut {
                ParseFault::cut(end)
            } else {
                ParseFault::new(end, ENDS_EARLY)
            };
            Err(Broken {
                fault,
                reached: end,
                was_json,
                left_open,
                ending,
            })
        }
        Ok(value) => Ok(RepairedValue {
            value,
            end,
            repairs,
        }),
        Err(fault) => Err(Broken {
            fault,
            reached: end,
            was_json,
            left_open: None,
            ending,
        }),
    }
}

/// Returns the string that `text` is as a whole, in quotes of any kind, or several strings joined
/// by `+`.
pub fn parse_string(text: &str) -> Option<String> {
    let mut room = 1;
    let mut reader = Reader::new(text, 0, Words::Prose, &mut room);
    let string = reader.joined(QuoteContext::Element).ok()?;
    reader.cursor.is_at_end().then_some(string)
}

impl Reader<'_> {
    /// Parses the value at the cursor.
    fn value(&mut self, place: QuoteContext) -> Result<Value, ParseFault> {
        let at = self.cursor.offset();
        let Some(left) = self.room.checked_sub(1) else {
            self.was_json = true;
            return Err(ParseFault::new(at, "there are too many values"));
        };
        *self.room = left;
        if place == QuoteContext::Member
            && let Some(text) = self.type_in_braces()
        {
            return Ok(Value::String(text));
        }
        match self.cursor.peek() {
            None => Err(ParseFault::cut(at)),
            Some('{' | '[') if self.depth == MAX_DEPTH => {
                self.was_json = true;
                Err(ParseFault::new(at, TOO_DEEP))
            }
            Some('{') if self.words == Words::Elements && quote::begins_set(self.cursor) => {
                self.repairs.note(Repair::Set);
                self.nested(0, |reader| reader.array('}'))
            }
            Some('{') => self.nested(1, Self::object),
            Some('[') => self.nested(0, |reader| reader.array(']')),
            Some(',' | '}' | ']') => Err(ParseFault::new(at, "a value is missing")),
            Some(_) if self.cursor.rest().starts_with("```") => {
                let string = if place == QuoteContext::Member {
                    self.fenced()
                } else {
                    None
                };
                string
                    .map(Value::String)
                    .ok_or_else(|| ParseFault::new(at, ENDS_EARLY))
            }
            Some(c) if quote::is_quote(c) => self.joined(place).map(Value::String),
            Some(_) if is_elision(self.cursor.rest()) => Err(ParseFault::new(at, LEFT_OUT)),
            Some(_) => self.scalar(place),
        }
    }

    /// Parses a string, or several joined by `+`: `"a" + "b"`.
    fn joined(&mut self, place: QuoteContext) -> Result<String, ParseFault> {
        let mut whole = self.string(place)?;
        loop {
            let mut ahead = self.cursor.window(quote::LOOKAHEAD);
            ahead.trivia();
            let is_sum = ahead.eat("+");
            ahead.trivia();
            if !is_sum || !ahead.peek().is_some_and(quote::is_quote) {
                return Ok(whole);
            }
            self.cursor = Cursor::new(self.cursor.whole(), ahead.offset());
            self.repairs.note(Repair::JoinedStrings);
            whole.push_str(&self.string(place)?);
        }
    }

    /// Parses a nested container; `kind` is 1 for an object and 0 for an array.
    fn nested(
        &mut self,
        kind: u128,
        read: impl FnOnce(&mut Self) -> Result<Value, ParseFault>,
    ) -> Result<Value, ParseFault> {
        self.cursor.bump();
        self.within(kind, read)
    }

    /// Parses a container whose opening bracket, if it has one, is behind the cursor.
    pub(super) fn within(
        &mut self,
        kind: u128,
        read: impl FnOnce(&mut Self) -> Result<Value, ParseFault>,
    ) -> Result<Value, ParseFault> {
        self.depth += 1;
        self.open = self.open << 1 | kind;
        let value = read(self)?;
        self.open >>= 1;
        self.depth -= 1;
        Ok(value)
    }

    /// Parses the elements up to and over the closing bracket.
    fn array(&mut self, close: char) -> Result<Value, ParseFault> {
        let mut items = Vec::new();
        self.trivia()?;
        let opened = self.cursor.offset();
        if close == ']' && self.closes_around(close) {
            return Ok(Value::Array(items));
        }
        while self.cursor.peek() != Some(close) {
            items.push(if self.lacks_brace(close) {
                self.unopened()?
            } else {
                self.value(QuoteContext::Element)?
            });
            if close == ']' && self.closes_around(close) {
                return Ok(Value::Array(items));
            }
            self.separator(close)?;
        }
        self.cursor.bump();
        if self.in_objects == 0
            && matches!(items.as_slice(), [Value::String(_)])
            && self.repairs.has(&Repair::UnquotedString)
        {
            return Err(ParseFault::new(opened, "expected a JSON value"));
        }
        Ok(Value::Array(items))
    }

    /// Parses the members up to and over the closing brace.
    pub(super) fn object(&mut self) -> Result<Value, ParseFault> {
        self.in_objects += 1;
        let mut members = Map::new();
        if self.closes_around('}') {
            self.in_objects -= 1;
            return Ok(Value::Object(members));
        }
        self.extra_commas()?;
        self.stray_word();
        while !self.ends_object(&members) {
            let name = self.cursor.offset();
            self.begun = Some(IncompleteToken { name, value: None });
            let key = self.name()?;
            if self.is_reopened && members.contains_key(&key) {
                return Err(ParseFault::new(
                    self.cursor.offset(),
                    "a member that was there before follows behind the closing bracket",
                ));
            }
            self.trivia()?;
            if !self.cursor.is_at_end() {
                self.begun = Some(IncompleteToken {
                    name,
                    value: Some(self.cursor.offset()),
                });
            }
            let value = if matches!(self.cursor.peek(), Some(',' | '}')) {
                self.repairs.note(Repair::MissingValue);
                Value::Null
            } else {
                self.value(QuoteContext::Member)?
            };
            if members.contains_key(&key) {
                self.repairs.note_duplicate(&key);
            }
            let is_new = members.insert(key, value).is_none();
            if is_new && self.is_left_open() {
                self.repairs.note(Repair::ClosedObject);
                self.left_open += 1;
                break;
            }
            if self.closes_around('}') {
                break;
            }
            self.separator('}')?;
            self.extra_commas()?;
            self.stray_word();
        }
        self.in_objects -= 1;
        Ok(Value::Object(members))
    }

    /// Parses the separator between two values, or between the last value and `close`.
    fn separator(&mut self, close: char) -> Result<(), ParseFault> {
        let before = self.cursor;
        self.trivia()?;
        let at = self.cursor.offset();
        if self.cursor.eat(",") {
            self.trivia()?;
            if self.cursor.peek() == Some(close) {
                self.repairs.note(Repair::TrailingComma);
            }
            return Ok(());
        }
        match self.cursor.peek() {
            None => Err(ParseFault::cut(at)),
            Some(c) if c == close => Ok(()),
            // The object's key and its colon, which must follow, decide.
            Some(c) if close == '}' && (quote::is_quote(c) || quote::is_bare_key(c)) => {
                self.repairs.note(Repair::MissingComma);
                Ok(())
            }
            Some(_) if close == ']' && lost_its_quote(before, self.cursor) => {
                self.repairs.note(Repair::MissingComma);
                Ok(())
            }
            Some(_)
                if close == ']'
                    && quote::begins_value(self.cursor)
                    && !is_digit_group(before, self.cursor) =>
            {
                self.repairs.note(Repair::MissingComma);
                Ok(())
            }
            Some(_) if close == '}' => {
                Err(ParseFault::new(at, "expected ',' or '}' after a value"))
            }
            Some(_) => Err(ParseFault::new(at, "expected ',' or ']' after a value")),
        }
    }

    /// Skips extra commas between the members of an object, where they mean nothing. Not for arrays:
    /// there a comma may stand for an element.
    fn extra_commas(&mut self) -> Result<(), ParseFault> {
        self.trivia()?;
        while self.cursor.eat(",") {
            self.repairs.note(Repair::ExtraComma);
            self.trivia()?;
        }
        Ok(())
    }

    /// Skips white space and comments.
    pub(super) fn trivia(&mut self) -> Result<(), ParseFault> {
        let start = self.cursor.offset();
        let trivia = self.cursor.trivia();
        if self.cursor.is_at_end() {
            self.trailing.get_or_insert(start);
        }
        if let Some(at) = trivia.elision {
            return Err(ParseFault::new(at, LEFT_OUT));
        }
        if trivia.comment {
            self.repairs.note(Repair::Comment);
        }
        if trivia.odd_space {
            self.repairs.note(Repair::UnusualSpace);
        }
        Ok(())
    }
}

/// Returns true if an element behind another lacks its comma and its opening quote: `["one" two",
/// "three"]`.
fn lost_its_quote(before: Cursor<'_>, next: Cursor<'_>) -> bool {
    let had_comma = before.since(0).ends_with(",\"");
    before.previous() == Some('"')
        && !had_comma
        && next.offset() > before.offset()
        && quote::begins_unquoted_element(next)
}

/// Returns true for digits that may be one number or two: `[12 000]`.
fn is_digit_group(before: Cursor<'_>, mut next: Cursor<'_>) -> bool {
    let follows_digit = before.previous().is_some_and(|c| c.is_ascii_digit());
    let same_line = !next.since(before.offset()).contains('\n');
    follows_digit && same_line && next.skip_while(|c| c.is_ascii_digit()).len() == 3
}
