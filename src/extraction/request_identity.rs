//! Identity of a prepared request: everything that its results depend on, apart from the texts.

use super::cache_key::RequestIdentity;
use super::prepared_request::PreparedRequest;
use crate::types::{CacheUse, Grounding};
use throttle::CallerId;

/// Returns the identity of a request; `None` if it uses no cache, or if its model may answer differently each time
/// (a temperature above 0 without a seed).
///
/// `caller` is the only caller whose equal items share a result; `None`: all callers' do.
pub fn identify(request: &PreparedRequest, caller: Option<CallerId>) -> Option<RequestIdentity> {
    let is_deterministic = request.temperature <= 0.0 || request.seed.is_some();
    if request.cache == CacheUse::Off || !is_deterministic {
        return None;
    }
    let mut identity = RequestIdentity::new();
    identity.add(&format!("{caller:?}"));
    add_prompt(&mut identity, request);
    for rule in request.rules.sources() {
        identity.add(&rule.expression);
        identity.add(&rule.message);
    }
    for target in request.targets() {
        identity.add(&target.label);
        identity.add(target.mode.as_str());
        identity.add(&target.extra_body.to_string());
    }
    add_settings(&mut identity, request);
    Some(identity)
}

/// Adds the schema, the instructions and the examples.
fn add_prompt(identity: &mut RequestIdentity, request: &PreparedRequest) {
    identity.add(request.schema.raw().get());
    identity.add(request.instructions.as_deref().unwrap_or_default());
    for example in &*request.examples {
        identity.add(&example.input.0);
        identity.add(&example.output.to_string());
    }
}

/// Adds all numbers and flags. Not `on_failure`: it only decides how the same outcome is presented.
fn add_settings(identity: &mut RequestIdentity, request: &PreparedRequest) {
    let lengths = (request.examples.len(), request.rules.sources().count());
    let numbers = (
        lengths,
        request.max_attempts,
        request.timeout,
        request.temperature.to_bits(),
        request.max_output_tokens,
        request.seed,
        request.fallback_on.bits(),
    );
    let has_instructions = request.instructions.is_some();
    // Evidence itself is computed for each item after its result is shared.
    let may_be_copied = request
        .targets()
        .any(|target| !target.example_values.is_empty());
    match request.grounding() {
        Grounding::Require => identity.add("require"),
        Grounding::Report | Grounding::Drop if may_be_copied => identity.add("report"),
        Grounding::Off | Grounding::Report | Grounding::Drop => {}
    }
    identity.add(&format!(
        "{has_instructions} {} {} {numbers:?}",
        request.coerce, request.is_conversation
    ));
}
