//! Quotes: the characters that count as quotes, and the rules that decide if one of them ends its
//! string.

use super::cursor::{Cursor, is_elision};
use super::literal::begins_with_known;

/// Maximum lookahead behind a quote or a word, in bytes: enough for a key and its colon. Beyond it,
/// the decision is made as if the text ended there. Without a limit, text of only quotes and
/// comments takes quadratic time.
pub const LOOKAHEAD: usize = 128;

/// Maximum number of characters of a key searched for its colon. A longer key is assumed to have
/// one.
const MAX_KEY_LOOKED_AT: usize = 64;

/// Context of a string, which decides what may follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuoteContext {
    Key,
    Member,
    Element,
}

/// Role of a quote inside a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuoteRole {
    /// The quote ends the string.
    Ends,
    /// The quote belongs to the text, like an apostrophe.
    Text,
    /// The quote begins a quotation inside the string: `"he said "no" to me"`.
    Opens,
    /// The quote ends a quotation inside the string.
    Closes,
    /// The quote closes a key, so the string that seems open has ended long before.
    Key,
}

/// Returns true if a character can begin or end a string.
pub fn is_quote(c: char) -> bool {
    !closers(c).is_empty()
}

/// Returns the characters that can end a string begun with `opener`.
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

/// Returns true for characters allowed in an unquoted key.
pub fn is_bare_key(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$' | '-' | '.' | '@')
}

/// Returns the role of the quote at `here`, in a string whose content begins at `start`. `open` is
/// true within a quotation inside the string.
///
/// A quote followed by what follows a closing quote in correct JSON always ends the string. Any
/// other quote may be text, but only if it looks like a quotation. An opening quote has space
/// before it and none behind it, and must be closed.
pub fn role(here: Cursor<'_>, start: usize, place: QuoteContext, open: bool) -> QuoteRole {
    let previous = here.previous().filter(|_| here.offset() > start);
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

/// Returns true for a measure at the end of `text`: `6`, `1/2`, `5'11`, but not `item6`.
fn is_measure(text: &str) -> bool {
    let word = text
        .chars()
        .rev()
        .take(LOOKAHEAD)
        .take_while(|c| !c.is_whitespace());
    !word.take(2).any(char::is_alphabetic)
}

/// Returns true if the text behind a quote may follow a complete string. The end of the text may.
pub fn ends_string(after: Cursor<'_>, place: QuoteContext, opens: bool) -> bool {
    if after.rest().starts_with('#') || after.rest().starts_with("//") {
        return false; // "ranked "#1" of all": a comment has space before it
    }
    let mut ahead = after;
    ahead.trivia();
    let gap = ahead.offset() > after.offset();
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
        // `["a"}, "b": 1}`: the list's own bracket is missing.
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

/// Returns true if a key and its colon, or the object's end, come next.
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

/// Returns true if a quoted key and its colon certainly come next.
pub fn begins_quoted_key(ahead: Cursor<'_>) -> bool {
    let mut ahead = ahead.window(LOOKAHEAD);
    if !ahead.peek().is_some_and(is_quote) || skip_quoted(&mut ahead) != Some(true) {
        return false;
    }
    ahead.trivia();
    ahead.eat(":")
}

/// Returns true for a set whose first two elements are short strings: `{"a", "b"}`.
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

/// Returns true for `"key" "value"}`: a quoted key and a short quoted value that lack only the
/// colon, then the end of the object.
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

/// Returns true for a word with only its closing quote and the end of the element: `["one" two",
/// "three"]`.
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

/// Returns true if a second inner quote, the key's own quote and its colon follow: `"k"e"y": 1`.
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

/// Returns true if a quoted key, its colon and a value certainly come next.
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

/// Skips a short quoted string. Returns `Some(false)` if it is too long to decide, `None` if a line
/// ends in it.
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

/// Returns true if a value that contains no prose can begin here.
pub fn begins_value(ahead: Cursor<'_>) -> bool {
    match ahead.peek() {
        Some('`') => !ahead.rest().starts_with("```"),
        Some('{' | '[') => true,
        Some(c) if is_quote(c) => true,
        _ => begins_with_known(ahead),
    }
}

/// Returns true if the quote before `after` ends a key: a colon and a value follow.
fn is_key_quote(mut after: Cursor<'_>) -> bool {
    after.skip_while(char::is_whitespace);
    if !after.eat(":") {
        return false;
    }
    after.skip_while(char::is_whitespace);
    begins_value(after)
}
