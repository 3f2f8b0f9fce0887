//! File formats of `extractd batch`: of its input, and of its output.

/// Format of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum InputFormat {
    /// One input per line: a JSON string, or an object with `input` and optionally `id` and
    /// `metadata`
    Ndjson,
    /// An array of inputs, or an object with `inputs` and optionally fields of the spec
    Json,
    /// A table with a header row
    Csv,
    /// A folder with *.txt and *.md files; an input's id is its path within the folder
    Folder,
}

/// Format of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum OutputFormat {
    /// One result per line
    Ndjson,
    /// An array of results
    Json,
    /// Columns index, id, status and error, those of the input, then one for each field of the results
    Csv,
}

/// Parses a number of things, of which there must be one.
///
/// # Errors
/// If it is no whole number of at least 1.
pub fn parse_count(text: &str) -> Result<u64, String> {
    let count = text.parse().ok().filter(|count| *count >= 1);
    count.ok_or_else(|| "expected a whole number of at least 1".to_owned())
}

/// Parses the value of `--delimiter`.
///
/// # Errors
/// If it is not one ASCII character, or its name.
pub fn parse_delimiter(text: &str) -> Result<char, String> {
    let named = match text {
        "\\t" | "tab" => Some('\t'),
        "comma" => Some(','),
        "semicolon" => Some(';'),
        _ => None,
    };
    let mut chars = text.chars();
    named
        .or_else(|| chars.next().filter(|_| chars.next().is_none()))
        .filter(|c| c.is_ascii() && !matches!(c, '"' | '\n' | '\r'))
        .ok_or_else(|| "expected one ASCII character, or `tab`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delimiter_may_be_named() {
        assert_eq!(parse_delimiter("tab"), Ok('\t'));
        assert_eq!(parse_delimiter("\\t"), Ok('\t'));
        assert_eq!(parse_delimiter(";"), Ok(';'));
        for text in ["", ";;", "ä", "\"", "\n"] {
            assert!(parse_delimiter(text).is_err(), "{text}");
        }
    }
}
