//! Bodies of requests, and the same in a query.

use std::fmt::Write;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{check_places, plain};
use extractd::http::readers;
use extractd::types::{Batch, Code, Error, Item, JobRequest, Single, Spec, field_is_text};

/// Reads the bytes as each body there is and as a query: what is wrong is told by its place, JSON is never said to be none, and a
/// query means what the same body means.
pub fn body(data: &[u8]) {
    let document = plain(data);
    parse_body::<Single>(data, document.as_ref());
    parse_body::<Item>(data, document.as_ref());
    parse_body::<JobRequest>(data, document.as_ref());
    if let Some(batch) = parse_body::<Batch>(data, document.as_ref())
        && let Some(query) = document.as_ref().and_then(as_query)
    {
        let other = readers::batch(&query)
            .unwrap_or_else(|error| panic!("{error:?}: taken as a body, and not as {query}"));
        assert_eq!(meaning(&batch), meaning(&other), "{query}");
    }
    if let Err(error) = readers::batch(&String::from_utf8_lossy(data)) {
        assert_eq!(error.code, Code::InvalidRequest, "{error:?}");
        check_places(&error, None);
    }
}

fn parse_body<T: DeserializeOwned>(data: &[u8], document: Option<&Value>) -> Option<T> {
    readers::parse(data)
        .map_err(|error| check(&error, document))
        .ok()
}

fn check(error: &Error, document: Option<&Value>) {
    match error.code {
        Code::InvalidJson => assert!(document.is_none(), "it is JSON: {error:?}"),
        Code::InvalidRequest => assert!(!error.errors.is_empty(), "no place is told: {error:?}"),
        other => panic!("{other:?}: {error:?}"),
    }
    check_places(error, document);
}

/// Returns the body of a batch as a query; `None` if it has what a query cannot say.
fn as_query(document: &Value) -> Option<String> {
    let mut query = String::new();
    for (name, value) in document
        .as_object()?
        .iter()
        .filter(|(name, _)| *name != "inputs")
    {
        let text = match value {
            Value::Null => return None,
            // Text that begins like a schema is one.
            Value::String(text) if name == "schema" => {
                (!text.trim_start().starts_with('{')).then(|| text.clone())?
            }
            Value::String(text) if field_is_text(name) => text.clone(),
            other => other.to_string(),
        };
        let encoded = utf8_percent_encode(&text, NON_ALPHANUMERIC);
        write!(query, "{name}={encoded}&").expect("a string takes everything");
    }
    Some(query)
}

/// Returns the content of a batch without its inputs and the white space in its schema.
fn meaning(batch: &Batch) -> String {
    let spec = &batch.spec;
    let Spec {
        instructions,
        model,
        mode,
        seed,
        metadata,
        examples,
        ..
    } = spec;
    let numbers = (
        spec.max_attempts(),
        spec.timeout(),
        spec.temperature(),
        spec.max_output_tokens(),
        batch.concurrency(),
    );
    format!(
        "{instructions:?} {model:?} {mode:?} {seed:?} {metadata:?} {examples:?} {numbers:?} {:?} {}",
        batch.on_error, batch.stream
    )
}
