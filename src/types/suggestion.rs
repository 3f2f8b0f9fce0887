//! "Did you mean" suggestions for names that are not known.

/// Maximum length of a word that has suggestions, in bytes. Callers may send any.
const MAX_WORD_BYTES: usize = 100;
/// Maximum number of candidates of about the word's length that are looked at.
const MAX_CANDIDATES: usize = 200;
/// More edits than any two words need.
const FAR: usize = usize::MAX / 2;

/// Returns " did you mean `x`?" for the nearest of `candidates`; empty if none is near.
#[must_use]
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, candidates).map_or_else(String::new, |name| format!(" did you mean `{name}`?"))
}

/// Returns the candidate with the smallest edit distance. `None` if that exceeds a third of the
/// word, or four. A word above 100 bytes has none, and only the first 200 candidates of about its
/// length are looked at: the time is bounded, whatever a caller sends.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > MAX_WORD_BYTES {
        return None;
    }
    let word: Vec<char> = word.chars().collect();
    let max_edits = ((word.len() + 1) / 3).clamp(1, 4);
    let longest = word.len() + max_edits;
    let similar = candidates.into_iter().filter_map(|name| {
        let letters: Vec<char> = name.chars().take(longest + 1).collect();
        (letters.len().abs_diff(word.len()) <= max_edits).then_some((letters, name))
    });
    let near = similar
        .take(MAX_CANDIDATES)
        .filter_map(|(letters, name)| Some((distance_within(&word, &letters, max_edits)?, name)));
    near.min().map(|(_, name)| name)
}

/// Returns the number of letters to insert, delete or replace, or of neighbours to swap, to turn `a` into `b`. `None` if it exceeds
/// `max_edits`.
fn distance_within(a: &[char], b: &[char], max_edits: usize) -> Option<usize> {
    // Rows of the matrix: for the letters of `a` up to the last but one, the last, and this one.
    let (mut before, mut row): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
    let mut above: Vec<usize> = (0..=b.len()).collect();
    let mut last = None;
    for (i, from) in a.iter().enumerate() {
        // Beginnings whose lengths differ by more than `max_edits` are further apart than that.
        let first = i.saturating_sub(max_edits);
        row.clear();
        row.resize(first + 1, i + 1);
        for (j, to) in b.iter().enumerate().take(i + max_edits + 1).skip(first) {
            let cell = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(FAR);
            let mut edits = (cell(&above, j) + usize::from(from != to))
                .min(cell(&above, j + 1) + 1)
                .min(cell(&row, j) + 1);
            let is_swap = last == Some(to) && j > 0 && b.get(j - 1) == Some(from);
            if is_swap {
                edits = edits.min(cell(&before, j - 1) + 1);
            }
            row.push(edits);
        }
        if row.iter().skip(first).all(|edits| *edits > max_edits) {
            return None;
        }
        std::mem::swap(&mut before, &mut above);
        std::mem::swap(&mut above, &mut row);
        last = Some(from);
    }
    above
        .get(b.len())
        .copied()
        .filter(|edits| *edits <= max_edits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distance(a: &str, b: &str, max_edits: usize) -> Option<usize> {
        let [a, b] = [a, b].map(|word| word.chars().collect::<Vec<_>>());
        distance_within(&a, &b, max_edits)
    }

    #[test]
    fn distance_counts_edits_up_to_a_maximum() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("max", "max", 0),
            ("frist", "first", 1),
            ("inptu", "input", 1),
            ("ab", "ba", 1),
            ("abcd", "dcba", 3),
        ] {
            for max_edits in 0..5 {
                let within = Some(expected).filter(|expected| *expected <= max_edits);
                assert_eq!(distance(a, b, max_edits), within, "{a} {b}");
            }
        }
    }

    #[test]
    fn only_a_near_name_is_suggested() {
        assert_eq!(
            did_you_mean("lisen", ["model", "listen"]),
            " did you mean `listen`?"
        );
        assert_eq!(did_you_mean("colour", ["model", "listen"]), "");
        assert_eq!(nearest("größe", ["grösse", "groesse"]), Some("grösse"));
    }

    #[test]
    fn a_long_word_has_no_suggestion_and_a_long_candidate_is_none() {
        for (length, expected) in [(99, true), (100, true), (101, false)] {
            let word = "a".repeat(length);
            let (near, long) = (format!("{word}b"), word.repeat(10));
            let found = nearest(&word, ["x", &near, &long]);
            assert_eq!(found, Some(near.as_str()).filter(|_| expected), "{length}");
        }
    }

    #[test]
    fn only_the_first_candidates_of_about_the_words_length_are_looked_at() {
        let short = vec!["a"; 10_000];
        let others = |count| vec!["lzzzzn"; count];
        let suggested = |others: Vec<&'static str>| {
            let candidates = [short.clone(), others, vec!["listen"]].concat();
            nearest("lisen", candidates).is_some()
        };
        assert!(suggested(others(MAX_CANDIDATES - 1)));
        assert!(!suggested(others(MAX_CANDIDATES)));
    }
}
