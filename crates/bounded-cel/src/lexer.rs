//! Lexer: splits the text of an expression into tokens.

use std::borrow::Cow;

/// Syntax or type error of an expression, with its byte offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    pub offset: usize,
    pub message: Cow<'static, str>,
}

impl SyntaxError {
    pub fn new(offset: usize, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            offset,
            message: message.into(),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Token {
    Name(String),
    /// Integer without a sign; a minus is an operator.
    Int(u64),
    Uint(u64),
    Double(f64),
    Text(String),
    Sign(&'static str),
    End,
}

/// Operators and punctuation, longer ones first.
const SIGNS: [&str; 23] = [
    "==", "!=", "<=", ">=", "&&", "||", "(", ")", "[", "]", "{", "}", ",", ".", "?", ":", "<", ">",
    "+", "-", "*", "/", "%",
];

/// Splits an expression into tokens, each with the offset of its first byte. The last is [`Token::End`].
///
/// # Errors
/// If the text has an invalid token.
pub fn tokens(text: &str) -> Result<Vec<(usize, Token)>, SyntaxError> {
    let mut scan = Scanner { text, at: 0 };
    let mut tokens = Vec::new();
    loop {
        scan.skip_blanks();
        let (at, token) = (scan.at, scan.token()?);
        let is_end = token == Token::End;
        tokens.push((at, token));
        if is_end {
            return Ok(tokens);
        }
    }
}

struct Scanner<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Scanner<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, bytes: usize) -> &'t str {
        let (taken, _) = self.rest().split_at_checked(bytes).unwrap_or_default();
        self.at += taken.len();
        taken
    }

    fn take_while(&mut self, is_in: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        self.take(rest.find(|c| !is_in(c)).unwrap_or(rest.len()))
    }

    fn skip_blanks(&mut self) {
        loop {
            self.take_while(|c| matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0c'));
            if !self.rest().starts_with("//") {
                return;
            }
            self.take_while(|c| c != '\n');
        }
    }

    fn token(&mut self) -> Result<Token, SyntaxError> {
        let rest = self.rest();
        let mut chars = rest.chars();
        let Some(first) = chars.next() else {
            return Ok(Token::End);
        };
        let second = chars.next().unwrap_or_default();
        match first {
            '"' | '\'' => self.string(false),
            'r' | 'R' if matches!(second, '"' | '\'') => {
                self.take(1);
                self.string(true)
            }
            'b' | 'B' if matches!(second, '"' | '\'') => Err(SyntaxError::new(
                self.at,
                "bytes are not supported; JSON has none",
            )),
            'a'..='z' | 'A'..='Z' | '_' => {
                Ok(Token::Name(self.take_while(is_name_char).to_owned()))
            }
            '0'..='9' => self.number(),
            '.' if second.is_ascii_digit() => self.number(),
            // `!=` is in the table.
            '!' if second != '=' => {
                self.take(1);
                Ok(Token::Sign("!"))
            }
            _ => match SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
                Some(sign) => {
                    self.take(sign.len());
                    Ok(Token::Sign(sign))
                }
                None => Err(SyntaxError::new(
                    self.at,
                    format!("the character {first:?} has no meaning here{}", hint(first)),
                )),
            },
        }
    }

    fn number(&mut self) -> Result<Token, SyntaxError> {
        let start = self.at;
        let error = |what: &str| SyntaxError::new(start, format!("this number is {what}"));
        let rest = self.rest();
        if rest.starts_with("0x") || rest.starts_with("0X") {
            self.take(2);
            let digits = self.take_while(|c| c.is_ascii_hexdigit());
            let value = u64::from_str_radix(digits, 16)
                .map_err(|_| error("no hexadecimal number of 64 bits"))?;
            return self.integer(value, start);
        }
        let whole = self.take_while(|c| c.is_ascii_digit());
        let mut is_double = false;
        let rest = self.rest().as_bytes();
        if rest.first() == Some(&b'.') && rest.get(1).is_some_and(u8::is_ascii_digit) {
            is_double = true;
            self.take(1);
            self.take_while(|c| c.is_ascii_digit());
        }
        if self.rest().starts_with(['e', 'E']) {
            is_double = true;
            self.take(1);
            let signed = self.rest().starts_with(['+', '-']);
            self.take(usize::from(signed));
            if self.take_while(|c| c.is_ascii_digit()).is_empty() {
                return Err(error("without the digits of its exponent"));
            }
        }
        if is_double {
            let text = self.text.get(start..self.at).unwrap_or_default();
            let value = text.parse::<f64>().ok().filter(|value| value.is_finite());
            let value = value
                .ok_or_else(|| error("beyond what a 64-bit floating-point number can hold"))?;
            return self.finish_number(Token::Double(value), start);
        }
        let value = whole.parse().map_err(|_| error("beyond 64 bits"))?;
        self.integer(value, start)
    }

    fn integer(&mut self, value: u64, start: usize) -> Result<Token, SyntaxError> {
        if self.rest().starts_with(['u', 'U']) {
            self.take(1);
            return self.finish_number(Token::Uint(value), start);
        }
        self.finish_number(Token::Int(value), start)
    }

    fn finish_number(&self, token: Token, start: usize) -> Result<Token, SyntaxError> {
        if self.rest().starts_with(is_name_char) {
            return Err(SyntaxError::new(start, "a number is followed by a letter"));
        }
        Ok(token)
    }

    fn string(&mut self, is_raw: bool) -> Result<Token, SyntaxError> {
        let start = self.at;
        let rest = self.rest();
        let quote = if rest.starts_with('"') { "\"" } else { "'" };
        let triple = quote.repeat(3);
        let end = if rest.starts_with(&triple) {
            triple.as_str()
        } else {
            quote
        };
        self.take(end.len());
        let mut text = String::new();
        loop {
            let rest = self.rest();
            if rest.starts_with(end) {
                self.take(end.len());
                return Ok(Token::Text(text));
            }
            match rest.chars().next() {
                None => return Err(SyntaxError::new(start, "this string has no end")),
                Some('\n' | '\r') if end.len() == 1 => {
                    return Err(SyntaxError::new(
                        start,
                        "this string has no end on its line; three quotes allow line breaks",
                    ));
                }
                Some('\\') if !is_raw => text.push(self.escape()?),
                // In a raw string, a backslash protects a quote and is kept.
                Some('\\') => {
                    let next = rest.chars().nth(1).map_or(0, char::len_utf8);
                    text.push_str(self.take(1 + next));
                }
                Some(c) => text.push_str(self.take(c.len_utf8())),
            }
        }
    }

    fn escape(&mut self) -> Result<char, SyntaxError> {
        let at = self.at;
        self.take(1);
        let first = self.rest().chars().next().unwrap_or_default();
        if matches!(first, '0'..='3') {
            return self.character_code(at, 3, 8);
        }
        self.take(first.len_utf8().min(self.rest().len()));
        Ok(match first {
            'a' => '\x07',
            'b' => '\x08',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0b',
            '\\' | '?' | '"' | '\'' | '`' => first,
            'x' | 'X' => return self.character_code(at, 2, 16),
            'u' => return self.character_code(at, 4, 16),
            'U' => return self.character_code(at, 8, 16),
            _ => {
                return Err(SyntaxError::new(
                    at,
                    "this backslash begins no escape; a backslash itself is \\\\",
                ));
            }
        })
    }

    fn character_code(
        &mut self,
        at: usize,
        digits: usize,
        radix: u32,
    ) -> Result<char, SyntaxError> {
        let digits = self
            .rest()
            .get(..digits)
            .filter(|digits| digits.chars().all(|c| c.is_digit(radix)))
            .unwrap_or_default();
        self.take(digits.len());
        let code = u32::from_str_radix(digits, radix)
            .ok()
            .and_then(char::from_u32);
        code.ok_or_else(|| SyntaxError::new(at, "this escape names no character"))
    }
}

const fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

const fn hint(c: char) -> &'static str {
    match c {
        '=' => "; equality is `==`",
        '&' => "; and is `&&`",
        '|' => "; or is `||`",
        _ => "",
    }
}
