//! Quotes: which characters are some, and whether one of them ends the string that it is in.

use super::cursor::{Cursor, is_elision};
use super::scalar;

/// Bytes that are looked at behind a quote or a word: enough for a key and its colon. Where they are not, what was seen decides as if
/// the text ended there. Without a limit, text of nothing but quotes and comments takes quadratic time.
pub const LOOKAHEAD: usize = 128;

/// Characters of a key that are looked at to find its colon. A longer key is taken to have one.
const MAX_KEY_LOOKED_AT: usize = 64;

/// Where a string stands, which decides what may follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuoteContext {
    Key,
    Member,
    Element,
}

/// What a quote inside a string is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuoteRole {
    /// It ends the string.
    Ends,
    /// It belongs to the text, like an apostrophe.
    Text,
    /// It begins or ends a quotation inside the string: `"he said "no" to me"`.
    Opens,
    Closes,
    /// A key's closing quote, so the string that we believe to be in has ended long before.
    Key,
}

pub fn is_quote(c: char) -> bool {
    !closers(c).is_empty()
}

/// The characters that can end a string begun with `opener`.
pub fn closers(opener: char) -> &'static [char] {
    match opener {
        '"' => &['"'],
        '\'' => &['\''],
        '`' | '´' => &['`', '´'],
        '“' | '”' | '„' | '‟' => &['”', '“', '‟', '"'],
        '‘' | '’' | '‚' => &['’', '‘', '\''],
        '«' => &['»'],
        _ => &[],
    }
}

/// What may be in a key without quotes.
pub fn is_bare_key(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$' | '-' | '.' | '@')
}

/// The role of the quote at `here`, in a string whose content begins at `start`. `open`: within a quotation inside the string.
///
/// What follows a closing quote in correct JSON always ends the string. Only when it does not may a quote be text, and then only one
/// that looks like it: a quotation has space before and none after its opening quote, and must be closed.
pub fn role(here: Cursor<'_>, start: usize, place: QuoteContext, open: bool) -> QuoteRole {
    let previous = here.previous().filter(|_| here.at() > start);
    let mut after = here.window(LOOKAHEAD);
    let quote = after.bump();
    let next = after.peek();
    let is_single = matches!(quote, Some('\'' | '’' | '‘'));
    let between_letters =
        previous.is_some_and(char::is_alphanumeric) && next.is_some_and(char::is_alphabetic);
    if is_single && between_letters {
        return QuoteRole::Text;
    }
    // `"some"thing"`: nothing that may follow a string begins like this.
    let is_inside = match place {
        QuoteContext::Key => false,
        QuoteContext::Member => !begins_member(after),
        QuoteContext::Element => true,
    };
    if between_letters && !open && is_inside && !ends_string(after, place, false) {
        return QuoteRole::Text;
    }
    if place == QuoteContext::Key
        && quote == Some('"')
        && between_letters
        && !open
        && is_quotation_in_key(after)
    {
        return QuoteRole::Opens;
    }
    if open {
        return match previous {
            _ if is_key_quote(after) => QuoteRole::Key,
            Some(c) if c.is_whitespace() => QuoteRole::Ends,
            _ => QuoteRole::Closes,
        };
    }
    let opens = place != QuoteContext::Key
        && previous.is_none_or(|c| {
            c.is_whitespace() || matches!(c, '(' | '[' | '{' | '-' | '–' | '—' | '/' | ':' | '=')
        })
        && next.is_some_and(|c| !c.is_whitespace());
    let plural =
        is_single && place != QuoteContext::Key && previous == Some('s') && next == Some(' ');
    let inches = quote == Some('"')
        && place != QuoteContext::Key
        && previous.is_some_and(|c| c.is_ascii_digit())
        && (place == QuoteContext::Member || is_measure(here.since(start)))
        && next.is_some_and(|c| c != '\n');
    if !opens && !plural && !inches || ends_string(after, place, opens) {
        QuoteRole::Ends
    } else if opens {
        QuoteRole::Opens
    } else {
        QuoteRole::Text
    }
}

/// `6`, `1/2`, `5'11` at the end of `text`, but not `item6`.
fn is_measure(text: &str) -> bool {
    let word = text
        .chars()
        .rev()
        .take(LOOKAHEAD)
        .take_while(|c| !c.is_whitespace());
    !word.take(2).any(char::is_alphabetic)
}

/// Whether what follows a quote is what follows a string. At the end of the text it is.
pub fn ends_string(after: Cursor<'_>, place: QuoteContext, opens: bool) -> bool {
    if after.rest().starts_with('#') || after.rest().starts_with("//") {
        return false; // "ranked "#1" of all": a comment has space before it
    }
    let mut ahead = after;
    ahead.trivia();
    let gap = ahead.at() > after.at();
    let Some(c) = ahead.peek() else { return true };
    if ahead.rest().starts_with("```") {
        return !opens; // the end of the block of code
    }
    let close = if place == QuoteContext::Element {
        ']'
    } else {
        '}'
    };
    if c == close {
        ahead.bump();
        return !(opens && ahead.peek().is_some_and(is_quote)); // "a "}" is a brace"
    }
    match place {
        QuoteContext::Key => matches!(c, ':' | '='),
        // ["a"}, "b": 1}: the list's own bracket is missing
        QuoteContext::Element if c == '}' => {
            ahead.bump();
            ahead.trivia();
            !opens && ahead.peek().is_none_or(|c| matches!(c, ',' | '}' | ']'))
        }
        QuoteContext::Member if ahead.eat(",") => begins_member(ahead),
        QuoteContext::Member => gap && c != '}' && begins_member(ahead),
        QuoteContext::Element if ahead.eat(",") => {
            ahead.trivia();
            ahead.is_at_end()
                || ahead.peek() == Some(']')
                || is_elision(ahead.rest())
                || begins_value(ahead)
        }
        QuoteContext::Element => gap && begins_value(ahead),
    }
}

/// A key and its colon come next, or the object's end.
pub fn begins_member(mut ahead: Cursor<'_>) -> bool {
    ahead.trivia();
    match ahead.peek() {
        None | Some('}') => return true,
        Some(c) if is_quote(c) => {
            let Some(is_short) = skip_quoted(&mut ahead) else {
                return false;
            };
            if !is_short {
                return true;
            }
        }
        Some(_) if is_elision(ahead.rest()) => return true,
        Some(_) if ahead.skip_while(is_bare_key).is_empty() => return false,
        Some(_) => {}
    }
    ahead.trivia();
    ahead.is_at_end() || matches!(ahead.peek(), Some(':' | '='))
}

/// A key in quotes and its colon come next, for certain.
pub fn begins_quoted_key(ahead: Cursor<'_>) -> bool {
    let mut ahead = ahead.window(LOOKAHEAD);
    if !ahead.peek().is_some_and(is_quote) || skip_quoted(&mut ahead) != Some(true) {
        return false;
    }
    ahead.trivia();
    ahead.eat(":")
}

/// `{"a", "b"}`: a set, of which the first two elements are short strings.
pub fn begins_set(ahead: Cursor<'_>) -> bool {
    let mut ahead = ahead.window(LOOKAHEAD);
    ahead.bump();
    ahead.skip_while(char::is_whitespace);
    let is_string = ahead.peek().is_some_and(is_quote) && skip_quoted(&mut ahead) == Some(true);
    ahead.skip_while(char::is_whitespace);
    let has_comma = is_string && ahead.eat(",");
    ahead.skip_while(char::is_whitespace);
    has_comma && ahead.peek().is_some_and(is_quote) && skip_quoted(&mut ahead) == Some(true) && {
        ahead.skip_while(char::is_whitespace);
        matches!(ahead.peek(), Some(',' | '}'))
    }
}

/// `"key" "value"}`: a key and a short value in quotes, with nothing but the colon missing, and the end of the object.
pub fn begins_last_member(ahead: Cursor<'_>) -> bool {
    let mut ahead = ahead.window(LOOKAHEAD);
    let is_string = |ahead: &mut Cursor<'_>| {
        let is_short = ahead.peek() == Some('"') && skip_quoted(ahead) == Some(true);
        is_short && !ahead.skip_while(char::is_whitespace).is_empty()
    };
    is_string(&mut ahead) && ahead.peek() == Some('"') && skip_quoted(&mut ahead) == Some(true) && {
        ahead.skip_while(char::is_whitespace);
        ahead.peek() == Some('}')
    }
}

/// `["one" two", "three"]`: a word with its closing quote alone, and the end of the element.
pub fn begins_unquoted_element(ahead: Cursor<'_>) -> bool {
    let mut ahead = ahead.window(LOOKAHEAD);
    let has_word = !ahead
        .skip_while(|c| c.is_alphanumeric() || matches!(c, '_' | '-'))
        .is_empty();
    has_word && ahead.eat("\"") && {
        ahead.skip_while(char::is_whitespace);
        matches!(ahead.peek(), Some(',' | ']'))
    }
}

/// `"k"e"y": 1`: behind a quote inside a key are the other one, the key's own and its colon.
fn is_quotation_in_key(after: Cursor<'_>) -> bool {
    let mut ahead = after.window(LOOKAHEAD);
    let mut ends_part = || {
        !ahead
            .skip_while(|c| c.is_alphanumeric() || c == '_')
            .is_empty()
            && ahead.eat("\"")
    };
    ends_part() && ends_part() && {
        ahead.skip_while(char::is_whitespace);
        ahead.peek() == Some(':')
    }
}

/// A key in quotes, its colon and a value come next, for certain.
pub fn begins_member_for_certain(ahead: Cursor<'_>) -> bool {
    let mut ahead = ahead.window(LOOKAHEAD);
    let mut name = ahead;
    let is_opening = name.bump().is_some_and(is_quote)
        && name.peek().is_some_and(|c| c.is_alphanumeric() || c == '_');
    if !is_opening || skip_quoted(&mut ahead) != Some(true) {
        return false;
    }
    ahead.trivia();
    ahead.eat(":") && {
        ahead.trivia();
        !ahead.is_at_end() && begins_value(ahead)
    }
}

/// Skips a short string. `Some(false)` if it is too long to know, `None` if it is none (a line ends in it).
fn skip_quoted(ahead: &mut Cursor<'_>) -> Option<bool> {
    let closers = ahead.bump().map(closers)?;
    for _ in 0..MAX_KEY_LOOKED_AT {
        match ahead.bump() {
            None => return Some(true),
            Some('\n') => return None,
            Some('\\') => {
                ahead.bump();
            }
            Some(c) if closers.contains(&c) => return Some(true),
            Some(_) => {}
        }
    }
    Some(false)
}

/// A value without prose in it could begin here.
pub fn begins_value(ahead: Cursor<'_>) -> bool {
    match ahead.peek() {
        Some('`') => !ahead.rest().starts_with("```"),
        Some('{' | '[') => true,
        Some(c) if is_quote(c) => true,
        _ => scalar::begins_with_known(ahead),
    }
}

/// The quote before `after` ends a key: a colon and a value follow.
fn is_key_quote(mut after: Cursor<'_>) -> bool {
    after.skip_while(char::is_whitespace);
    if !after.eat(":") {
        return false;
    }
    after.skip_while(char::is_whitespace);
    begins_value(after)
}
