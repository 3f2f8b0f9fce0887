//! Flags of `extractd batch`.

use std::path::PathBuf;

use super::format::{InputFormat, OutputFormat, parse_count, parse_delimiter};
use super::server_args::ServerArgs;
use super::spec_args::SpecArgs;

/// Arguments of `extractd batch`: input, output, and the spec.
#[derive(Debug, Clone, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct Args {
    /// Input: an NDJSON, JSON or CSV file, a folder of text files, or - for standard input
    pub file: PathBuf,
    #[command(flatten)]
    pub server: ServerArgs,

    /// Output file; without it results go to standard output
    #[arg(long, short, value_name = "FILE", help_heading = "Input and output")]
    pub output: Option<PathBuf>,
    /// Format of the input [default: by its file name; ndjson for -]
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        help_heading = "Input and output"
    )]
    pub input_format: Option<InputFormat>,
    /// Format of the output [default: by its file name; ndjson on standard output]
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        help_heading = "Input and output"
    )]
    pub output_format: Option<OutputFormat>,
    /// CSV: column with the text; several, given one by one, are joined as `name: cell` lines [default: text, input, or the only column]
    #[arg(long, value_name = "NAME", help_heading = "Input and output")]
    pub text_column: Vec<String>,
    /// CSV: text with cells, such as "Subject: {subject}\n{body}"; {{ and }} are braces
    #[arg(
        long,
        value_name = "TEXT",
        conflicts_with = "text_column",
        help_heading = "Input and output"
    )]
    pub template: Option<String>,
    /// CSV: column with an id, which is copied to the result [default: id, if there is one]
    #[arg(long, value_name = "NAME", help_heading = "Input and output")]
    pub id_column: Option<String>,
    /// CSV: delimiter of columns, one character or `tab` [default: that of the first rows; a tab for .tsv]
    #[arg(long, value_name = "CHARACTER", value_parser = parse_delimiter, help_heading = "Input and output")]
    pub delimiter: Option<char>,
    /// CSV: leave the input's columns out of the output; by default they stand before the results, and in `metadata` of NDJSON and JSON
    #[arg(long, help_heading = "Input and output")]
    pub drop_columns: bool,
    /// Process only the first N inputs
    #[arg(long, value_name = "N", value_parser = parse_count, help_heading = "Input and output")]
    pub limit: Option<u64>,
    /// Call no model: show the request for the first input, and estimate the tokens and the cost of all
    #[arg(long, help_heading = "Input and output")]
    pub dry_run: bool,
    /// Folder that makes the run resumable, until the output is written: it names the run's jobs, and holds their inputs and results if no server is used [default: the output's name with .partial]
    #[arg(
        long,
        alias = "journal",
        value_name = "FOLDER",
        help_heading = "Input and output"
    )]
    pub checkpoint: Option<PathBuf>,
    /// Start over: discard the results so far and replace the output
    #[arg(long, help_heading = "Input and output")]
    pub restart: bool,
    /// Run the items again that failed before
    #[arg(long, help_heading = "Input and output")]
    pub retry_failed: bool,
    /// Write a page of HTML that shows each text with its values, and those that the text does not state; implies --grounding report
    #[arg(long, value_name = "FILE", help_heading = "Input and output")]
    pub html: Option<PathBuf>,
    /// Print only errors
    #[arg(long, short, help_heading = "Input and output")]
    pub quiet: bool,

    #[command(flatten)]
    pub spec: SpecArgs,
    /// After the first failed item: continue or stop [default: continue]
    #[arg(long, value_name = "ACTION", help_heading = "Spec")]
    pub on_error: Option<String>,
    /// Maximum number of items in flight [default: the server's limit]
    #[arg(long, value_name = "N", help_heading = "Spec")]
    pub concurrency: Option<String>,
}

impl Args {
    /// Returns the fields of the spec that only a batch has, by their names in the API.
    #[must_use]
    pub fn batch_fields(&self) -> [(&'static str, Option<&str>); 2] {
        [
            ("on_error", self.on_error.as_deref()),
            ("concurrency", self.concurrency.as_deref()),
        ]
    }

    /// Returns the flags that are given and have a meaning only for tables.
    #[must_use]
    pub fn table_flags(&self) -> Vec<&'static str> {
        let given = [
            ("--text-column", !self.text_column.is_empty()),
            ("--template", self.template.is_some()),
            ("--id-column", self.id_column.is_some()),
            ("--delimiter", self.delimiter.is_some()),
            ("--drop-columns", self.drop_columns),
        ];
        let given = given.into_iter().filter(|(_, is_given)| *is_given);
        given.map(|(flag, _)| flag).collect()
    }
}
