//! Field `extractd` of a chat completion: what OpenAI's API has no field for.

use super::body::Fields;
use crate::types::{Error, member_pointer};

/// Fields of the extraction spec that `extractd` may have.
const WITH_SCHEMA: [&str; 13] = [
    "examples",
    "mode",
    "max_attempts",
    "timeout_ms",
    "cache",
    "coerce",
    "rules",
    "on_failure",
    "fallback_on",
    "extra_body",
    "trace",
    "grounding",
    "live",
];
/// Those that also hold for a completion that is passed through.
const PASSED_THROUGH: [&str; 3] = ["timeout_ms", "fallback_on", "extra_body"];
/// Fields of the spec that OpenAI's API has its own names for.
const OTHER_NAMES: [(&str, &str); 8] = [
    ("schema", "response_format.json_schema.schema"),
    ("instructions", "messages"),
    ("input", "messages"),
    ("model", "model"),
    ("temperature", "temperature"),
    ("max_output_tokens", "max_completion_tokens"),
    ("seed", "seed"),
    ("stream", "stream"),
];

/// Options of a request.
#[derive(Debug)]
pub struct Options {
    pub fields: Fields,
    /// True if a stream has the answer while it is written; false: once it is valid. `None`: not given.
    pub live: Option<bool>,
}

/// Takes the options out of a body.
///
/// # Errors
/// `invalid_request` at an option that is unknown, or has no effect.
pub fn take_options(fields: &mut Fields, has_schema: bool) -> Result<Options, Error> {
    let given = fields.take("extractd");
    let mut fields = match &given {
        Some(given) => {
            Fields::from_raw(given).map_err(|error| error.with_pointer_prefix("/extractd"))?
        }
        None => Fields::default(),
    };
    for (name, _) in fields.iter() {
        check(name, has_schema)?;
    }
    let live = fields
        .parse_field("live", "true or false")
        .map_err(|error| error.with_pointer_prefix("/extractd"))?;
    fields.take("live");
    Ok(Options { fields, live })
}

fn check(name: &str, has_schema: bool) -> Result<(), Error> {
    let at = member_pointer("/extractd", name);
    let message = if let Some((_, other)) = OTHER_NAMES.iter().find(|(own, _)| *own == name) {
        format!("use OpenAI's own field for it, `{other}`")
    } else if !WITH_SCHEMA.contains(&name) {
        let known = WITH_SCHEMA.join("`, `");
        format!("unknown field; the fields here are `{known}`")
    } else if !has_schema && !PASSED_THROUGH.contains(&name) {
        "has no effect on a request without a schema, which is passed through to the provider; add `response_format` with a \
         JSON Schema, or one forced tool"
            .to_owned()
    } else {
        return Ok(());
    };
    Err(Error::invalid(at, message))
}
