//! What can be wrong with a configuration, and "did you mean".

use std::{io, path::PathBuf};

use super::setting::Origin;

/// Why the configuration was refused. Never shows a secret's value.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that the configuration names cannot be read.
    #[error("{place}: cannot read the file {}", path.display())]
    Read {
        /// Where the file was named.
        place: String,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A key or a value is wrong.
    #[error("{place}: {message}")]
    Invalid {
        /// Where it was set: `extractd.toml:12:1`, a variable's or a flag's name.
        place: String,
        /// What is wrong and what is allowed.
        message: String,
    },
}

impl Error {
    pub(super) fn new(origin: &Origin, message: impl Into<String>) -> Self {
        Self::Invalid {
            place: origin.place(),
            message: message.into(),
        }
    }
}

/// " did you mean `x`?" for the nearest of `candidates`, or nothing when none is near.
pub(super) fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> String {
    nearest(word, candidates).map_or_else(String::new, |name| format!(" did you mean `{name}`?"))
}

/// The candidate with the fewest edits, if these are at most a third of the word, and at most four.
pub(super) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let near = (word.chars().count() / 3).clamp(1, 4);
    let (edits, name) = candidates
        .into_iter()
        .map(|name| (distance(word, name), name))
        .min()?;
    (edits <= near).then_some(name)
}

/// How many letters to insert, delete or replace to make `a` into `b` (Levenshtein's distance), row by row.
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
