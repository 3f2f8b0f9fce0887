//! Strings: any kind of quotes, quotes and line breaks inside, and escapes that JSON does not have.

use super::cursor::Cursor;
use super::quote::{self, QuoteContext, QuoteRole};
use super::reader::{ParseFault, Reader};
use super::repair::Repair;

impl Reader<'_> {
    /// Parses the string whose opening quote is next.
    pub(super) fn string(&mut self, place: QuoteContext) -> Result<String, ParseFault> {
        let opened = self.cursor.offset();
        for triple in ["\"\"\"", "'''"] {
            if place != QuoteContext::Key && self.cursor.eat(triple) {
                self.repairs.note(Repair::TripleQuotes);
                let string = self.triple_quoted(opened, triple);
                return string.map(block).map_err(|fault| fault.or_cut_at(opened));
            }
        }
        if place == QuoteContext::Member
            && let Some(string) = self.quoted_fence()
        {
            return Ok(string);
        }
        if let Some(string) = self.doubly_quoted(place) {
            return Ok(string);
        }
        let Some(mark) = self.cursor.bump() else {
            return Err(ParseFault::cut(opened));
        };
        match mark {
            '"' => {}
            '\'' => self.repairs.note(Repair::SingleQuotes),
            '`' => self.repairs.note(Repair::Backticks),
            _ => self.repairs.note(Repair::TypographicQuotes),
        }
        self.quoted(opened, quote::closers(mark), place)
            .map_err(|fault| fault.or_cut_at(opened))
    }

    fn quoted(
        &mut self,
        opened: usize,
        closers: &[char],
        place: QuoteContext,
    ) -> Result<String, ParseFault> {
        let start = self.cursor.offset();
        let mut string = String::new();
        let mut in_quotation = false;
        let mut had_quotation = false;
        while self.text_until(closers, &mut string)? {
            if place == QuoteContext::Member
                && string.trim_end().ends_with(',')
                && quote::begins_member_for_certain(self.cursor)
            {
                // `"New York, "zip": "…"`: the closing quote is missing, and the comma separates
                // the members.
                self.repairs.note(Repair::MissingQuote);
                self.was_json = true;
                string.truncate(string.trim_end().len() - 1);
                return if in_quotation {
                    Err(ambiguous(opened))
                } else {
                    Ok(string)
                };
            }
            match quote::role(self.cursor, start, place, in_quotation) {
                QuoteRole::Ends => {
                    self.cursor.bump();
                    // A key is known by its colon; `the "x" axis` in prose has none.
                    self.was_json |= place != QuoteContext::Key;
                    return if in_quotation {
                        Err(ambiguous(opened))
                    } else {
                        Ok(string)
                    };
                }
                QuoteRole::Key => return Err(ambiguous(opened)),
                QuoteRole::Opens
                    if place == QuoteContext::Element && ends_line_with_comma(&string) =>
                {
                    self.repairs.note(Repair::MissingQuote);
                    self.was_json = true;
                    string.truncate(string.trim_end().len() - 1);
                    return Ok(string);
                }
                QuoteRole::Opens => in_quotation = true,
                QuoteRole::Closes => in_quotation = false,
                QuoteRole::Text => {}
            }
            had_quotation = true;
            self.repairs.note(Repair::InnerQuote);
            string.extend(self.cursor.bump());
        }
        if !had_quotation && let Some(string) = self.string_before_braces(start, place) {
            return Ok(string);
        }
        // A string with stray quotes that runs over the last bracket was misread, not truncated.
        let whole = self
            .cursor
            .since(0)
            .trim_end_matches([' ', '\t', '\r', '\n', '`', '~']);
        Err(if had_quotation && whole.ends_with(['}', ']']) {
            ambiguous(opened)
        } else {
            ParseFault::cut(opened)
        })
    }

    fn triple_quoted(&mut self, opened: usize, triple: &str) -> Result<String, ParseFault> {
        let mut string = String::new();
        while self.text_until(&['"', '\''], &mut string)? {
            if self.cursor.eat(triple) {
                self.was_json = true;
                return Ok(string);
            }
            string.extend(self.cursor.bump());
        }
        Err(ParseFault::cut(opened))
    }

    /// Parses a fenced code block in place of a string, up to a fence behind which the object
    /// continues or ends.
    pub(super) fn fenced(&mut self) -> Option<String> {
        let mut ahead = self.cursor;
        ahead.eat("```").then_some(())?;
        let info = ahead.skip_while(|c| !matches!(c, '\n' | '`'));
        (info.len() < quote::LOOKAHEAD && ahead.peek() == Some('\n')).then_some(())?;
        let start = ahead.offset();
        let whole = self.cursor.whole();
        let line_ends = ahead
            .rest()
            .match_indices('\n')
            .map(|(at, _)| start + at + 1);
        let end = line_ends
            .skip(1)
            .find(|&at| {
                whole
                    .get(at..)
                    .is_some_and(|line| line.trim_start_matches([' ', '\t']).starts_with("```"))
            })
            .unwrap_or(whole.len());
        // Bytes looked at count as read.
        self.cursor = Cursor::new(whole, end);
        let text = whole.get(start..end)?.to_owned();
        let mut behind = self.cursor;
        behind.skip_while(|c| matches!(c, ' ' | '\t' | '`'));
        let mut next = behind.window(quote::LOOKAHEAD);
        next.skip_while(char::is_whitespace);
        matches!(next.peek(), Some(',' | '}')).then(|| {
            self.repairs.note(Repair::CodeBlockString);
            self.was_json = true;
            self.cursor = behind;
            block(text)
        })
    }

    /// Parses a code block with unescaped quotes, up to the fence followed by the string's own
    /// quote: `"```json {"a": 1}```"`.
    fn quoted_fence(&mut self) -> Option<String> {
        let mut ahead = self.cursor;
        let start = ahead.offset() + 1;
        (ahead.eat("\"```") && start >= self.fences_sought).then_some(())?;
        let text = ahead.rest();
        let length = text.find("```\"");
        // No byte is read twice.
        self.fences_sought = length.map_or(usize::MAX, |length| ahead.offset() + length);
        ahead = Cursor::new(self.cursor.whole(), ahead.offset() + length?);
        ahead.eat("```");
        let block = ahead.since(start);
        ahead.eat("\"");
        let ends = |at| {
            quote::ends_string(
                Cursor::new(self.cursor.whole(), at).window(quote::LOOKAHEAD),
                QuoteContext::Member,
                false,
            )
        };
        let is_block = block
            .find('"')
            .is_some_and(|inner| !ends(start + inner + 1))
            && !block.contains('\\');
        (is_block && ends(ahead.offset())).then(|| {
            self.repairs.note(Repair::InnerQuote);
            self.was_json = true;
            self.cursor = ahead;
            block.to_owned()
        })
    }

    /// Parses `""key""`, a value like it in an object with such keys, or `""value"` with one extra
    /// quote.
    fn doubly_quoted(&mut self, place: QuoteContext) -> Option<String> {
        let mut ahead = self.cursor.window(quote::LOOKAHEAD);
        let mark = ahead.peek().filter(|mark| matches!(mark, '"' | '\''))?;
        ahead.bump();
        let is_doubled = |ahead: &mut Cursor<'_>| ahead.bump() == Some(mark);
        is_doubled(&mut ahead).then_some(())?;
        let text = ahead.skip_while(|c| c >= ' ' && c != '\\' && c != mark);
        let is_text =
            text.starts_with(char::is_alphanumeric) && text.ends_with(|c: char| !c.is_whitespace());
        is_doubled(&mut ahead).then_some(())?;
        let is_single = ahead.peek() != Some(mark);
        if !is_single {
            ahead.bump();
        }
        let is_usual = is_single && mark == '"'
            || place == QuoteContext::Key
            || self.repairs.has(&Repair::DoubledQuotes);
        let is_end = if is_single {
            !ahead.is_at_end() && quote::ends_string(ahead, place, false)
        } else {
            let mut behind = ahead;
            behind.trivia();
            matches!(behind.peek(), Some(',' | '}' | ']' | ':'))
        };
        (is_text && is_usual && is_end).then(|| {
            self.repairs.note(Repair::DoubledQuotes);
            self.cursor = Cursor::new(self.cursor.whole(), ahead.offset());
            text.to_owned()
        })
    }

    /// Appends the text before the next one of `closers` to `string`. Returns false at the end of
    /// the text.
    fn text_until(&mut self, closers: &[char], string: &mut String) -> Result<bool, ParseFault> {
        loop {
            string.push_str(
                self.cursor
                    .skip_while(|c| c >= ' ' && c != '\\' && !closers.contains(&c)),
            );
            match self.cursor.peek() {
                None => return Ok(false),
                Some('\\') => self.escape(string)?,
                Some(c) if c < ' ' => {
                    self.repairs.note(Repair::ControlCharacter);
                    string.extend(self.cursor.bump());
                }
                Some(_) => return Ok(true),
            }
        }
    }

    fn escape(&mut self, string: &mut String) -> Result<(), ParseFault> {
        let at = self.cursor.offset();
        self.cursor.bump();
        let Some(c) = self.cursor.peek() else {
            return Err(ParseFault::cut(at));
        };
        let meant = match c {
            '"' | '\\' | '/' => c,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                self.unicode_escape(string);
                return Ok(());
            }
            _ if quote::is_quote(c) => {
                self.repairs.note(Repair::InvalidEscape);
                c
            }
            // A pattern (`\d+`) or a path (`C:\dir`): the backslash is meant literally.
            _ => {
                self.repairs.note(Repair::InvalidEscape);
                string.push('\\');
                return Ok(());
            }
        };
        self.cursor.bump();
        string.push(meant);
        Ok(())
    }

    /// Parses a Unicode escape; the cursor is at the `u`.
    fn unicode_escape(&mut self, string: &mut String) {
        self.cursor.bump();
        let Some(unit) = self.hex4() else {
            self.repairs.note(Repair::InvalidEscape);
            string.push_str("\\u");
            return;
        };
        let mut code = unit;
        if (0xd800..0xdc00).contains(&unit) {
            let first_only = self.cursor;
            match self.cursor.eat("\\u").then(|| self.hex4()).flatten() {
                Some(low @ 0xdc00..0xe000) => {
                    code = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                }
                _ => self.cursor = first_only,
            }
        }
        string.push(char::from_u32(code).unwrap_or_else(|| {
            self.repairs.note(Repair::LoneSurrogate);
            char::REPLACEMENT_CHARACTER
        }));
    }

    fn hex4(&mut self) -> Option<u32> {
        let digits = self
            .cursor
            .rest()
            .get(..4)
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        let code = u32::from_str_radix(digits, 16).ok()?;
        self.cursor.eat(digits);
        Some(code)
    }
}

/// Returns the text of a block that begins on the line behind its marks, without surrounding line
/// breaks and common indentation.
fn block(text: String) -> String {
    let Some((_, lines)) = text
        .split_once('\n')
        .filter(|(first, _)| first.trim().is_empty())
    else {
        return text;
    };
    let lines: Vec<_> = lines.trim_end().lines().collect();
    let indentation = |line: &&str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let common = lines
        .iter()
        .filter(|line| !line.trim().is_empty())
        .map(indentation)
        .min()
        .unwrap_or(0);
    let outdented: Vec<_> = lines
        .iter()
        .map(|line| line.get(common..).unwrap_or_default())
        .collect();
    outdented.join("\n")
}

/// Returns true for an element on a line of its own with its closing quote missing and a comma
/// behind it.
fn ends_line_with_comma(string: &str) -> bool {
    let text = string.trim_end();
    text.ends_with(',')
        && string
            .get(text.len()..)
            .is_some_and(|space| space.contains('\n'))
        && !text.contains('\n')
}

fn ambiguous(opened: usize) -> ParseFault {
    ParseFault::new(
        opened,
        "this string has quotes in it that are not escaped, and it is not clear where it ends",
    )
}
