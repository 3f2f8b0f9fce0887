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
    let max_edits = (word.chars().count() / 3).clamp(1, 4);
    let (edits, name) = candidates
        .into_iter()
        .map(|name| (distance(word, name), name))
        .min()?;
    (edits <= max_edits).then_some(name)
}

/// Returns the Levenshtein distance: the number of letters to insert, delete or replace to turn `a`
/// into `b`.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, to) in row
            .iter_mut()
            .zip(std::iter::once(None).chain(b.chars().map(Some)))
        {
            let above = *cell;
            if let Some(to) = to {
                left = (diagonal + usize::from(from != to))
                    .min(above + 1)
                    .min(left + 1);
            }
            *cell = left;
            diagonal = above;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{did_you_mean, distance};

    #[test]
    fn distance_counts_edits() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("max", "max", 0),
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
