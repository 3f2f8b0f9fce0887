//! The flags of `extractd batch`.

use std::path::PathBuf;

use super::format::{InputFormat, OutputFormat};

/// What to read, how to extract, and what to write.
#[derive(Debug, Clone, clap::Args)]
#[expect(
    clippy::doc_markdown,
    reason = "a terminal shows these texts as they stand"
)]
pub struct Args {
    /// What to read: NDJSON, JSON, CSV, a folder of text files, or - for standard input
    pub file: PathBuf,
    /// Server to ask, its key in EXTRACTD_API_KEY; without it one runs within this process, configured as `extractd serve` is
    #[arg(long, env = "EXTRACTD_SERVER", value_name = "URL")]
    pub server: Option<String>,

    /// File to write; without it results go to standard output
    #[arg(long, short, value_name = "FILE", help_heading = "Reading and writing")]
    pub output: Option<PathBuf>,
    /// How the input is written [default: by its name; ndjson for -]
    #[arg(
        long,
        value_enum,
        value_name = "FORM",
        help_heading = "Reading and writing"
    )]
    pub input_format: Option<InputFormat>,
    /// How the output is written [default: by its name; ndjson on standard output]
    #[arg(
        long,
        value_enum,
        value_name = "FORM",
        help_heading = "Reading and writing"
    )]
    pub output_format: Option<OutputFormat>,
    /// CSV: the column of the text [default: text, input, or the only one]
    #[arg(long, value_name = "NAME", help_heading = "Reading and writing")]
    pub text_column: Option<String>,
    /// CSV: the column of an id that the result shows [default: id, if there is one]
    #[arg(long, value_name = "NAME", help_heading = "Reading and writing")]
    pub id_column: Option<String>,
    /// CSV: what stands between columns [default: a comma; a tab for .tsv]
    #[arg(long, value_name = "CHARACTER", help_heading = "Reading and writing")]
    pub delimiter: Option<char>,
    /// Where results are kept until all are there, so that the same command can go on [default: the output's name and .partial]
    #[arg(long, value_name = "FILE", help_heading = "Reading and writing")]
    pub journal: Option<PathBuf>,
    /// Begin anew: forget the results that are kept, and replace the output
    #[arg(long, help_heading = "Reading and writing")]
    pub restart: bool,
    /// Ask those again that failed before
    #[arg(long, help_heading = "Reading and writing")]
    pub retry_failed: bool,
    /// Say nothing but what went wrong
    #[arg(long, short, help_heading = "Reading and writing")]
    pub quiet: bool,

    #[command(flatten)]
    pub spec: Spec,
}

/// The spec's fields, each checked by the server.
#[derive(Debug, Clone, Default, clap::Args)]
#[expect(
    clippy::doc_markdown,
    reason = "a terminal shows these texts as they stand"
)]
#[command(next_help_heading = "How to extract")]
pub struct Spec {
    /// JSON Schema of the results: a file (NAME.json or a path), the schema itself, or the name of a registered one
    #[arg(long, value_name = "SCHEMA")]
    pub schema: Option<String>,
    /// What to extract and how, in words; @FILE reads them
    #[arg(long, value_name = "TEXT")]
    pub instructions: Option<String>,
    /// Worked examples: a JSON file with [{"input": …, "output": …}]
    #[arg(long, value_name = "FILE")]
    pub examples: Option<PathBuf>,
    /// What holds beyond the schema, in CEL: a JSON file with [{"expression": …, "message": …}]
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,
    /// How structure is asked of the model: auto, json_schema, tools, json_object or text [default: auto]
    #[arg(long, value_name = "MODE")]
    pub mode: Option<String>,
    /// How often the model is asked for one item, 1 to 10 [default: 3]
    #[arg(long, value_name = "N")]
    pub max_attempts: Option<String>,
    /// One item's time in calls and backoff [default: 120000]
    #[arg(long, value_name = "MS")]
    pub timeout_ms: Option<String>,
    /// Sampling temperature, 0 to 2 [default: 0]
    #[arg(long, value_name = "T")]
    pub temperature: Option<String>,
    /// Most tokens that an answer may have [default: the provider's own limit]
    #[arg(long, value_name = "N")]
    pub max_output_tokens: Option<String>,
    /// Passed on to the provider
    #[arg(long, value_name = "N")]
    pub seed: Option<String>,
    /// Whether an equal item's result may answer: use, refresh or off [default: use]
    #[arg(long, value_name = "USE")]
    pub cache: Option<String>,
    /// Whether an answer may be mended toward the schema: true or false [default: true]
    #[arg(long, value_name = "BOOL")]
    pub coerce: Option<String>,
    /// best: an item whose attempts are used up keeps its nearest object instead of failing [default: error]
    #[arg(long, value_name = "WHAT")]
    pub on_failure: Option<String>,
    /// stop: the first failed item ends the run [default: continue]
    #[arg(long, value_name = "WHAT")]
    pub on_error: Option<String>,
    /// Most items of this run in flight [default: as many as the server allows]
    #[arg(long, value_name = "N")]
    pub concurrency: Option<String>,
}
