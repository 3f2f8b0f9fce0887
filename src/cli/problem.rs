//! Messages of the server's problems, for the user of the command line.

use serde_json::{Map, Value};

/// Names of invalid fields in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldNames {
    /// Flags of the command, which has one for each field.
    Flags,
    /// JSON Pointers.
    Pointers,
}

/// Returns the detail of a problem.
pub fn problem_detail(problem: &Map<String, Value>) -> &str {
    let detail = problem.get("detail").and_then(Value::as_str);
    detail.unwrap_or("the server rejected the request")
}

/// Returns the message of a problem, whose detail is `detail`.
pub fn rejection(problem: &Map<String, Value>, detail: &str, names: FieldNames) -> String {
    let errors = problem.get("errors").and_then(Value::as_array);
    let errors = errors.map(Vec::as_slice).unwrap_or_default();
    let errors: Vec<_> = match names {
        FieldNames::Flags => errors.iter().filter_map(flag_error).collect(),
        // A single error is the problem's detail.
        FieldNames::Pointers if errors.len() < 2 => Vec::new(),
        FieldNames::Pointers => errors.iter().filter_map(pointer_error).collect(),
    };
    match errors.as_slice() {
        [] => detail.to_owned(),
        // The problem's detail would repeat a single error.
        [error] => error.clone(),
        errors => format!("{detail}\n  {}", errors.join("\n  ")),
    }
}

/// Converts an error about a field to one about its flag: `/max_attempts` is `--max-attempts`.
fn flag_error(error: &Value) -> Option<String> {
    let pointer = error.get("pointer")?.as_str()?.strip_prefix('/')?;
    let message = error.get("message")?.as_str()?;
    let (field, within) = pointer.split_once('/').unwrap_or((pointer, ""));
    let within = if within.is_empty() {
        String::new()
    } else {
        format!(", at /{within}")
    };
    Some(format!("--{}{within}: {message}", field.replace('_', "-")))
}

/// Returns an error with its JSON Pointer.
fn pointer_error(error: &Value) -> Option<String> {
    let pointer = error.get("pointer")?.as_str()?;
    let message = error.get("message")?.as_str()?;
    Some(format!("{pointer}: {message}"))
}
