//! Request with a schema and its answer, for tests of how answers are written.

use std::sync::Arc;

use serde_json::{Value, json};
use throttle::CallerId;

use super::body::Fields;
use super::plan::plan;
use crate::extraction::{Extractor, PreparedRequest, RequestClass};
use crate::types::{ItemOutcome, Outcome, Success};

/// Prepares a chat completion with a schema.
pub async fn prepare(extractor: &Extractor) -> Arc<PreparedRequest> {
    let schema = json!({"name": "A", "schema": {"type": "object"}});
    let body = json!({
        "messages": [{"role": "user", "content": "a text"}],
        "response_format": {"type": "json_schema", "json_schema": schema},
    });
    let fields = Fields::parse(body.to_string().as_bytes()).unwrap();
    let plan = plan(fields, extractor.models()).unwrap();
    let (caller, class) = (CallerId::default(), RequestClass::Single);
    let prepared = extractor.prepare(caller, plan.spec, class, None).await;
    Arc::new(prepared.unwrap())
}

/// Returns the outcome whose answer is a string of this many bytes.
pub fn answer_of(bytes: usize) -> Outcome {
    let success = Success {
        data: Value::from("x".repeat(bytes)).into(),
        model: "test/m".into(),
        repairs: Vec::new(),
        cached: false,
    };
    Outcome {
        ending: ItemOutcome::Succeeded(success),
        ..Outcome::cancelled(0, None, None)
    }
}
