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
    /// Columns index, id, status and error, then one for each field of the results
    Csv,
}
