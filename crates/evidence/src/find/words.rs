//! Values that stand in the text word by word.

use memchr::memmem;

use super::contact::{is_part_of_address, whole_url};
use super::date::Words;
use crate::clusters::is_boundary;
use crate::fold::{Marks, decimal_digit, fold_into, fold_punctuation};
use crate::mention::{Mention, Status};
use crate::positions::Positions;
use crate::query::Query;
use crate::tokens::Tokens;

/// Difference between a value and the text, from none to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Difference {
    /// Case, white space, Unicode form, quotes, dashes.
    Form,
    Diacritics,
    /// A comma, a full stop or a hyphen between words.
    Punctuation,
    /// Other signs between words.
    Signs,
}

/// Words that all searches through a whole text may pass together: a tenth of a second of work.
pub const MOST_PASSED: usize = 20_000_000;
/// Bytes of text that a search for signs passes as fast as a word.
const BYTES_PER_WORD: usize = 8;
/// Places of a word that are looked at if no search through the whole text is left.
const FEWEST_ANCHORS: usize = 256;

/// Adds the mentions of a query's words to it, at most `limit`. `passed` are the words that searches through the whole text may still
/// pass: a value of signs or of frequent words needs one.
pub fn find(
    source: Words,
    query: &mut Query,
    values: &Tokens,
    positions: &Positions,
    limit: usize,
    passed: &mut usize,
) {
    let words = query.tokens.clone();
    if words.is_empty() {
        if spend(passed, source.text.len() / BYTES_PER_WORD) {
            find_literally(source.text, query, limit);
        }
        return;
    }
    let wanted = values.hashes().get(words.clone()).unwrap_or_default();
    let mut found = Vec::new();
    occurrences(source.tokens, wanted, positions, passed, &mut |token| {
        found.extend(compare(source, query, values, token));
        found.len() < limit
    });
    query.mentions.append(&mut found);
}

/// Spends the words of a search. Returns false if they are not left.
fn spend(passed: &mut usize, words: usize) -> bool {
    let left = passed.checked_sub(words);
    *passed = left.unwrap_or(*passed);
    left.is_some()
}

/// Finds a value without words: signs only.
fn find_literally(text: &str, query: &mut Query, limit: usize) {
    let value = query.text.trim();
    if value.is_empty() {
        return;
    }
    let found = memmem::find_iter(text.as_bytes(), value.as_bytes())
        .filter(|at| is_boundary(text, *at) && is_boundary(text, at + value.len()))
        .filter_map(|at| Mention::new(at, at + value.len(), Status::Exact, 0))
        .take(limit)
        .collect();
    query.mentions = found;
}

/// Calls `found` with the first token of each occurrence of words, in order, until it returns false.
fn occurrences(
    tokens: &Tokens,
    wanted: &[u32],
    positions: &Positions,
    passed: &mut usize,
    found: &mut impl FnMut(usize) -> bool,
) {
    let rarest = (0..)
        .zip(wanted)
        .map(|(place, hash)| (place, *hash, positions.count(*hash)))
        .min_by_key(|(_, _, count)| *count);
    let Some((place, rarest, count)) = rarest else {
        return;
    };
    let anchors = positions.first_places(rarest);
    let is_frequent = anchors.len() < count;
    let needs_search = is_frequent || count.saturating_mul(wanted.len()) > 4 * tokens.len() + 4096;
    if needs_search && spend(passed, tokens.len()) {
        search_linearly(tokens.hashes(), wanted, found);
        return;
    }
    let most = if needs_search {
        FEWEST_ANCHORS
    } else {
        anchors.len()
    };
    for anchor in anchors.iter().take(most) {
        let Some(first) = (*anchor as usize).checked_sub(place) else {
            continue;
        };
        let is_here = tokens.hashes().get(first..first + wanted.len()) == Some(wanted);
        if is_here && !found(first) {
            return;
        }
    }
}

/// Searches by the algorithm of Knuth, Morris and Pratt, which is linear even where near matches are everywhere.
fn search_linearly(text: &[u32], wanted: &[u32], found: &mut impl FnMut(usize) -> bool) {
    let mut borders = vec![0_usize; wanted.len()];
    let at = |place: usize| wanted.get(place);
    let mut border = 0;
    for place in 1..wanted.len() {
        while border > 0 && at(border) != at(place) {
            border = borders.get(border - 1).copied().unwrap_or_default();
        }
        border += usize::from(at(border) == at(place));
        if let Some(slot) = borders.get_mut(place) {
            *slot = border;
        }
    }
    let mut matched = 0;
    for (token, hash) in text.iter().enumerate() {
        while matched > 0 && at(matched) != Some(hash) {
            matched = borders.get(matched - 1).copied().unwrap_or_default();
        }
        matched += usize::from(at(matched) == Some(hash));
        if matched == wanted.len() {
            if !found(token + 1 - matched) {
                return;
            }
            matched = borders.get(matched - 1).copied().unwrap_or_default();
        }
    }
}

/// Compares a value with the text at a token where its words stand.
fn compare(source: Words, query: &Query, values: &Tokens, token: usize) -> Option<Mention> {
    let Words { text, tokens } = source;
    let value = query.searched();
    let (first, last) = (query.tokens.start, query.tokens.end - 1);
    let (start, end) = (tokens.start(token), tokens.end(token + last - first));
    let slice = text.get(start..end)?;
    let core = value.get(values.start(first)..values.end(last))?;
    if is_part_of_number(text, start, end) {
        return None;
    }
    if query.forms.is_email && is_part_of_address(text, start, end) {
        return None;
    }
    if query.forms.is_url {
        return compare_url(text, query, (start, end), slice == core);
    }
    let lead = values.start(first);
    let tail = value.len() - values.end(last);
    if let Some(whole) = start
        .checked_sub(lead)
        .and_then(|from| text.get(from..end + tail))
        && whole == value
        && (lead == 0 || is_boundary(text, start - lead))
        && (tail == 0 || is_boundary(text, end + tail))
    {
        return Mention::new(start - lead, end + tail, Status::Exact, 0);
    }
    if slice == core {
        let is_trimmed = value.trim() == core;
        let status = if is_trimmed {
            Status::Exact
        } else {
            Status::Normalized
        };
        return Mention::new(start, end, status, 0);
    }
    let difference = difference(source, token, value, values, first..last + 1)?;
    let (status, penalty) = match difference {
        Difference::Form => (Status::Normalized, 20),
        Difference::Diacritics => (Status::Normalized, 40),
        Difference::Punctuation => (Status::Normalized, 60),
        Difference::Signs => (Status::Fuzzy, 100),
    };
    let (start, end) = with_edges(
        text,
        (start, end),
        (value.get(..lead), value.get(value.len() - tail..)),
    );
    Mention::new(start, end, status, penalty)
}

/// Returns bytes of the text with the signs at their edges that the value has there as well, such as the full stop of "e. V.".
fn with_edges(
    text: &str,
    (start, end): (usize, usize),
    (lead, tail): (Option<&str>, Option<&str>),
) -> (usize, usize) {
    let is_same = |(ours, theirs): &(char, char)| {
        ours == theirs
            && matches!(
                theirs,
                '.' | '!' | '?' | '¡' | '¿' | '%' | '$' | '€' | '£' | '#' | '@' | '+'
            )
    };
    let bytes = |(ours, _): (char, char)| ours.len_utf8();
    let after = text.get(end..).unwrap_or_default().chars();
    let more: usize = after
        .zip(tail.unwrap_or_default().chars())
        .take_while(is_same)
        .map(bytes)
        .sum();
    let before = text.get(..start).unwrap_or_default().chars().rev();
    let less: usize = before
        .zip(lead.unwrap_or_default().chars().rev())
        .take_while(is_same)
        .map(bytes)
        .sum();
    let edge = |at: usize, otherwise: usize| if is_boundary(text, at) { at } else { otherwise };
    (edge(start - less, start), edge(end + more, end))
}

fn compare_url(
    text: &str,
    query: &Query,
    (start, end): (usize, usize),
    is_same: bool,
) -> Option<Mention> {
    let penalty = if is_part_of_address(text, start, end) {
        60
    } else {
        0
    };
    if text.get(start..end) == Some(query.text.trim()) {
        return Mention::new(start, end, Status::Exact, penalty);
    }
    let (start, end) = whole_url(text, start, end);
    let is_exact = text.get(start..end) == Some(query.text.trim());
    let status = if is_exact {
        Status::Exact
    } else {
        Status::Normalized
    };
    Mention::new(start, end, status, penalty + if is_same { 0 } else { 10 })
}

/// Returns true if digits at the edge of these bytes go on: "1" in "1,234".
fn is_part_of_number(text: &str, start: usize, end: usize) -> bool {
    let is_digit = |c: Option<char>| c.is_some_and(|c| decimal_digit(c).is_some());
    let joins = |c: Option<char>| matches!(c, Some('.' | ',' | '٫' | '٬'));
    let slice = text.get(start..end).unwrap_or_default();
    let mut after = text.get(end..).unwrap_or_default().chars();
    if is_digit(slice.chars().next_back()) && joins(after.next()) && is_digit(after.next()) {
        return true;
    }
    let mut before = text.get(..start).unwrap_or_default().chars().rev();
    is_digit(slice.chars().next()) && joins(before.next()) && is_digit(before.next())
}

/// Returns the greatest difference between the words of a value and those at a token; `None` if only their hashes are equal.
fn difference(
    source: Words,
    token: usize,
    value: &str,
    values: &Tokens,
    words: std::ops::Range<usize>,
) -> Option<Difference> {
    let mut greatest = Difference::Form;
    let mut scratch = (String::new(), String::new());
    for (offset, word) in words.clone().enumerate() {
        let ours = source.tokens.text(source.text, token + offset);
        let theirs = value
            .get(values.start(word)..values.end(word))
            .unwrap_or_default();
        if ours != theirs {
            greatest = greatest.max(word_difference(ours, theirs, &mut scratch)?);
        }
        if offset > 0 {
            let gap = source.tokens.gap_before(source.text, token + offset);
            let wanted = value
                .get(values.end(word - 1)..values.start(word))
                .unwrap_or_default();
            let before = values.text(value, word - 1);
            let is_between_digits = before.ends_with(is_digit)
                && [ours, theirs].iter().all(|word| word.starts_with(is_digit));
            greatest = greatest.max(gap_difference(gap, wanted, is_between_digits));
        }
    }
    Some(greatest)
}

fn word_difference(ours: &str, theirs: &str, (a, b): &mut (String, String)) -> Option<Difference> {
    for (marks, difference) in [
        (Marks::Keep, Difference::Form),
        (Marks::Drop, Difference::Diacritics),
    ] {
        a.clear();
        b.clear();
        fold_into(ours, marks, a);
        fold_into(theirs, marks, b);
        // A word that was divided at the end of a line holds a hyphen and white space.
        a.retain(|c| !c.is_whitespace() && c != '-' && c != '\u{2010}');
        b.retain(|c| !c.is_whitespace() && c != '-' && c != '\u{2010}');
        if a == b {
            return Some(difference);
        }
    }
    None
}

fn gap_difference(ours: &str, theirs: &str, is_between_digits: bool) -> Difference {
    if ours == theirs {
        return Difference::Form;
    }
    let folded = |gap: &str| -> String { gap.chars().filter_map(fold_punctuation).collect() };
    let (ours, theirs) = (folded(ours), folded(theirs));
    let is_light =
        |c| matches!(c, '-' | '\'' | '_') || (!is_between_digits && matches!(c, ',' | '.'));
    if ours == theirs {
        Difference::Form
    } else if ours.chars().chain(theirs.chars()).all(is_light) {
        Difference::Punctuation
    } else {
        Difference::Signs
    }
}

fn is_digit(c: char) -> bool {
    decimal_digit(c).is_some()
}

#[cfg(test)]
mod tests {
    use crate::{Index, Options, Status};
    use serde_json::json;

    #[test]
    fn searches_through_the_whole_text_are_bounded_together() {
        // 100,000 words, of which each value has only frequent ones, or none.
        let text = "a b ".repeat(50_000) + "!!! a a a";
        let signs: Vec<_> = (0..1000).map(|n| "?!".repeat(n + 1)).collect();
        let words: Vec<_> = (0..200).map(|n| "a b ".repeat(n + 2) + "b").collect();
        let value = json!([["!!!", "a a a"], signs, words, "a b a"]);
        let evidence = Index::new(text.as_str()).align(&value, &Options::default());
        let status = |place: usize| evidence.get(place).map(|leaf| leaf.status);
        assert_eq!(status(0), Some(Status::Exact));
        assert_eq!(status(1), Some(Status::Exact));
        // Without a search, the first places of a word are looked at.
        assert_eq!(status(1202), Some(Status::Exact));
        let mut passed = 10;
        assert!(super::spend(&mut passed, 10) && !super::spend(&mut passed, 1));
    }

    #[test]
    fn a_value_of_signs_is_not_searched_for_without_end() {
        let text = "a ".repeat(100_000) + "~~~";
        let signs =
            (0..10_000).map(|n| format!("~{}", "!".repeat(n % 90 + 1) + &"?".repeat(n / 90)));
        let mut values: Vec<_> = signs.collect();
        values.push("~~~".to_owned());
        let evidence = Index::new(text.as_str()).align(&json!(values), &Options::default());
        // 20 million words are used up by 800 searches through 25,000 of them.
        assert_eq!(
            evidence.last().map(|leaf| leaf.status),
            Some(Status::Absent)
        );
    }
}
