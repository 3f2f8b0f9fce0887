//! Flags of `extractd batch`.

use std::path::PathBuf;

use super::format::{InputFormat, OutputFormat};

/// Arguments of `extractd batch`: input, output, and the spec.
#[derive(Debug, Clone, clap::Args)]
#[expect(clippy::doc_markdown, reason = "a terminal shows these texts verbatim")]
pub struct Args {
    /// Input: an NDJSON, JSON or CSV file, a folder of text files, or - for standard input
    pub file: PathBuf,
    /// Server to send the inputs to, with the key in EXTRACTD_API_KEY; without it a server runs within this process, configured like `extractd serve`
    #[arg(long, env = "EXTRACTD_SERVER", value_name = "URL")]
    pub server: Option<String>,

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
    /// CSV: column with the text [default: text, input, or the only column]
    #[arg(long, value_name = "NAME", help_heading = "Input and output")]
    pub text_column: Option<String>,
    /// CSV: column with an id, which is copied to the result [default: id, if there is one]
    #[arg(long, value_name = "NAME", help_heading = "Input and output")]
    pub id_column: Option<String>,
    /// CSV: delimiter of columns [default: a comma; a tab for .tsv]
    #[arg(long, value_name = "CHARACTER", help_heading = "Input and output")]
    pub delimiter: Option<char>,
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
    pub spec: Spec,
}

/// Fields of the spec; the server validates them.
#[derive(Debug, Clone, Default, clap::Args)]
#[expect(clippy::doc_markdown, reason = "a terminal shows these texts verbatim")]
#[command(next_help_heading = "Spec")]
pub struct Spec {
    /// JSON Schema of the results: a file (NAME.json or a path), an inline schema, or the name of a registered schema
    #[arg(long, value_name = "SCHEMA")]
    pub schema: Option<String>,
    /// Instructions that are added to the prompt; @FILE reads them from a file
    #[arg(long, value_name = "TEXT")]
    pub instructions: Option<String>,
    /// Examples for the model: a JSON file with [{"input": …, "output": …}]
    #[arg(long, value_name = "FILE")]
    pub examples: Option<PathBuf>,
    /// Rules beyond the schema, in CEL: a JSON file with [{"expression": …, "message": …}]
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,
    /// Output mode: auto, json_schema, tools, json_object or text [default: auto]
    #[arg(long, value_name = "MODE")]
    pub mode: Option<String>,
    /// Maximum number of attempts per item, validation retries included, 1 to 10 [default: 3]
    #[arg(long, value_name = "N")]
    pub max_attempts: Option<String>,
    /// Timeout of one item in calls and backoff; time in the queue does not count [default: 120000]
    #[arg(long, value_name = "MS")]
    pub timeout_ms: Option<String>,
    /// Sampling temperature, 0 to 2 [default: 0]
    #[arg(long, value_name = "T")]
    pub temperature: Option<String>,
    /// Maximum number of tokens of an answer [default: the provider's limit]
    #[arg(long, value_name = "N")]
    pub max_output_tokens: Option<String>,
    /// Seed for sampling, passed on to the provider
    #[arg(long, value_name = "N")]
    pub seed: Option<String>,
    /// Result cache: use, refresh (call the model and store the result) or off [default: use]
    #[arg(long, value_name = "MODE")]
    pub cache: Option<String>,
    /// Coerce answers that do not match the schema, such as "1,234" to 1234: true or false [default: true]
    #[arg(long, value_name = "BOOL")]
    pub coerce: Option<String>,
    /// Values that the text does not state: off, report (results have evidence), drop (they are removed) or require (the model is asked again) [default: off]
    #[arg(long, value_name = "MODE")]
    pub grounding: Option<String>,
    /// Items whose attempts are used up: error (they fail) or best (keep the candidate with the fewest errors) [default: error]
    #[arg(long, value_name = "ACTION")]
    pub on_failure: Option<String>,
    /// After the first failed item: continue or stop [default: continue]
    #[arg(long, value_name = "ACTION")]
    pub on_error: Option<String>,
    /// Maximum number of items in flight [default: the server's limit]
    #[arg(long, value_name = "N")]
    pub concurrency: Option<String>,
}
