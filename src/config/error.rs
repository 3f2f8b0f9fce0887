//! Configuration errors, and "did you mean" suggestions.

use std::{io, path::PathBuf};

use super::setting::Origin;

/// Reason why the configuration was rejected. Never contains the value of a secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that the configuration names cannot be read.
    #[error("{place}: cannot read the file {}", path.display())]
    Read {
        /// Source of the file's path: `extractd.toml:12:1`, or the name of a variable or flag.
        place: String,
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// A key or a value is invalid.
    #[error("{place}: {message}")]
    Invalid {
        /// Source of the key: `extractd.toml:12:1`, or the name of a variable or flag.
        place: String,
        /// Description of the error and of what is allowed.
        message: String,
    },
}

impl Error {
    /// Returns the error for a key or value that was set at `origin`.
    pub(super) fn new(origin: &Origin, message: impl Into<String>) -> Self {
        Self::Invalid {
            place: origin.place(),
            message: message.into(),
        }
    }
}

/// Returns " did you mean `x`?" for the nearest of `candidates`; empty if none is near.
pub(super) fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> String {
    nearest(word, candidates).map_or_else(String::new, |name| format!(" did you mean `{name}`?"))
}

/// Returns the candidate with the smallest edit distance. `None` if that exceeds a third of the
/// word, or four.
pub(super) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
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
