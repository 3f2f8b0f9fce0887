//! Message about a field that a request does not have, with the one that was probably meant.

use super::suggestion::did_you_mean;

/// Names that people use for a field, and its name here.
const SYNONYMS: [(&str, &str); 21] = [
    ("text", "input"),
    ("texts", "inputs"),
    ("prompt", "instructions"),
    ("system", "instructions"),
    ("content", "input"),
    ("document", "input"),
    ("documents", "inputs"),
    ("items", "inputs"),
    ("data", "input"),
    ("json_schema", "schema"),
    ("response_model", "schema"),
    ("response_format", "schema"),
    ("response_schema", "schema"),
    ("max_tokens", "max_output_tokens"),
    ("max_completion_tokens", "max_output_tokens"),
    ("max_retries", "max_attempts"),
    ("retries", "max_attempts"),
    ("timeout", "timeout_ms"),
    ("max_concurrency", "concurrency"),
    ("few_shot", "examples"),
    ("validators", "rules"),
];

/// Returns the message about a field, where `known` are those of the request.
pub fn unknown_field_message(name: &str, known: &[&str]) -> String {
    let synonym = SYNONYMS
        .into_iter()
        .find(|(synonym, meant)| *synonym == name && known.contains(meant));
    let hint = match synonym {
        Some((_, meant)) => format!(" did you mean `{meant}`?"),
        None => did_you_mean(name, known.iter().copied()),
    };
    format!(
        "unknown field;{hint} the fields here are `{}`",
        known.join("`, `")
    )
}
