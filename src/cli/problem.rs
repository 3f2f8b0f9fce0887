//! Messages of the server's problems, for the user of the command line.

use serde_json::{Map, Value};

/// Returns the detail of a problem.
pub fn problem_detail(problem: &Map<String, Value>) -> &str {
    let detail = problem.get("detail").and_then(Value::as_str);
    detail.unwrap_or("the server rejected the request")
}

/// Returns the message of a problem, whose detail is `detail`.
pub fn rejection(problem: &Map<String, Value>, detail: &str) -> String {
    let errors = problem.get("errors").and_then(Value::as_array);
    let errors = errors.map(Vec::as_slice).unwrap_or_default();
    let errors: Vec<_> = errors.iter().filter_map(flag_error).collect();
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
