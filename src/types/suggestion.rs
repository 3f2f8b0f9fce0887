//! "Did you mean" suggestions for names that are not known.

/// Returns " did you mean `x`?" for the nearest of `candidates`; empty if none is near.
#[must_use]
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, candidates).map_or_else(String::new, |name| format!(" did you mean `{name}`?"))
}

/// Returns the candidate with the smallest edit distance. `None` if that exceeds a third of the
/// word, or four.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    let max_edits = ((length + 1) / 3).clamp(1, 4);
    let (edits, name) = candidates
        .into_iter()
        // Each edit changes the length by one at most; a caller's word may have megabytes.
        .filter(|name| name.chars().count().abs_diff(length) <= max_edits)
        .map(|name| (distance(word, name), name))
        .min()?;
    (edits <= max_edits).then_some(name)
}

/// Returns the number of letters to insert, delete or replace, or of neighbours to swap, to turn `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<_> = b.chars().collect();
    // Rows of the matrix: for the letters of `a` up to the last but one, the last, and this one.
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    let mut last = None;
    for (i, from) in a.chars().enumerate() {
        let mut row = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let cell = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX / 2);
            let mut edits = (cell(&above, j) + usize::from(from != *to))
                .min(cell(&above, j + 1) + 1)
                .min(cell(&row, j) + 1);
            let is_swap = last == Some(*to) && j > 0 && b.get(j - 1) == Some(&from);
            if is_swap {
                edits = edits.min(cell(&before, j - 1) + 1);
            }
            row.push(edits);
        }
        before = std::mem::replace(&mut above, row);
        last = Some(from);
    }
    above.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{did_you_mean, distance, nearest};

    #[test]
    fn a_word_that_is_far_longer_is_not_compared() {
        // Its matrix would have 16 million rows for each name.
        assert_eq!(nearest(&"a".repeat(1 << 24), ["a"; 1000]), None);
        assert_eq!(nearest("inputtss", ["input", "inputs"]), Some("inputs"));
        assert_eq!(nearest("extractttt", ["extract"]), Some("extract"));
    }

    #[test]
    fn distance_counts_edits() {
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
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn only_a_near_name_is_suggested() {
        assert_eq!(
            did_you_mean("lisen", ["model", "listen"]),
            " did you mean `listen`?"
        );
        assert_eq!(did_you_mean("colour", ["model", "listen"]), "");
    }
}
