//! Texts of the storm: distinct, and of varying length, so that a call has a given number of tokens on average.

use std::fmt::Write;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::super::{bodies, recorder};

/// As `examples/upstream/tokens.rs` counts them.
const BYTES_A_TOKEN: f64 = 4.2;
/// Tokens of an answer, and of the feedback in validation retries, on average over all calls.
const TOKENS_BESIDE_THE_PROMPT: f64 = 5.0;
/// An item's time in calls: a stalled call is given up after it.
const TIMEOUT_MS: u64 = 15_000;

const WORDS: [&str; 16] = [
    "order", "arrived", "late", "again", "invoice", "was", "wrong", "please", "send", "the",
    "missing", "parts", "before", "Friday", "thank", "you",
];

/// Returns the parts of the body that are the same in each run. Small, so that the texts are a good part of a prompt.
fn spec() -> Value {
    json!({
        "schema": {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]},
        "examples": [{"input": "Al is 9", "output": {"age": 9}}],
        "max_attempts": 5, "timeout_ms": TIMEOUT_MS,
    })
}

/// Returns a whole request for a batch of so many texts, answered as NDJSON. On average a call for one comes to so many tokens.
///
/// # Errors
/// If the service does not show what it sends for a text.
pub fn batch(items: usize, tokens_a_call: usize) -> Result<Vec<u8>> {
    let beside = beside_the_text()? as f64;
    let wanted = ((tokens_a_call as f64 - TOKENS_BESIDE_THE_PROMPT) * BYTES_A_TOKEN - beside)
        .max(0.0) as usize;
    let mut body = spec();
    body["inputs"] = (0..items).map(|index| text(index, wanted)).collect();
    Ok(bodies::request(
        "/v1/extract/batch",
        "application/json",
        "application/x-ndjson",
        &body.to_string(),
    ))
}

/// Returns the result that the text of this index must have.
pub fn found(index: usize) -> Value {
    json!({"age": index + 1})
}

/// Returns a text of about `mean` bytes: from as short as can be to twice the mean less that, evenly spread.
fn text(index: usize, mean: usize) -> String {
    let mut random = fastrand::Rng::with_seed(index as u64);
    let mut text = format!("Al is a {}-year-old cook.", index + 1);
    let length = text.len() + random.usize(0..=2 * mean.saturating_sub(text.len()));
    while text.len() < length {
        // Writing to a string cannot fail.
        let _ = write!(text, " {}", WORDS[random.usize(0..WORDS.len())]);
    }
    text.truncate(length);
    text
}

/// Returns the bytes of a prompt without its text: what the service adds.
fn beside_the_text() -> Result<usize> {
    let sent = text(0, 100);
    let mut body = spec();
    body["input"] = json!(sent);
    let request = bodies::request(
        "/v1/extract",
        "application/json",
        "application/json",
        &body.to_string(),
    );
    let call: Value = serde_json::from_slice(&recorder::upstream_body_of(&request)?)
        .context("the service's call")?;
    let messages = call["messages"]
        .as_array()
        .context("the call has no messages")?;
    let prompt: usize = messages
        .iter()
        .filter_map(|message| message["content"].as_str())
        .map(str::len)
        .sum();
    Ok(prompt.saturating_sub(sent.len()))
}
