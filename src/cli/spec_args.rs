//! Flags of the spec, which `extractd batch` and `extractd extract` share.

use std::path::PathBuf;

/// Fields of the spec; the server validates them.
#[derive(Debug, Clone, Default, clap::Args)]
#[expect(clippy::doc_markdown, reason = "a terminal shows these texts verbatim")]
#[command(next_help_heading = "Spec")]
pub struct SpecArgs {
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
}
