//! Cache key: digest of everything that an item's result depends on. Equal keys share a result, by cache or single flight.

use sha2::{Digest, Sha256};

use super::PreparedRequest;
use crate::types::CacheUse;
use throttle::CallerId;

/// SHA-256 digest of a request and one of its texts.
pub type CacheKey = [u8; 32];

/// Digest of a request without its texts.
#[derive(Debug, Clone)]
pub struct RequestIdentity(Sha256);

impl RequestIdentity {
    /// Returns the identity of a request; `None` if it uses no cache, or if its model may answer differently each time
    /// (a temperature above 0 without a seed).
    ///
    /// `caller` is the only caller whose equal items share a result; `None`: all callers' do.
    pub fn new(request: &PreparedRequest, caller: Option<CallerId>) -> Option<Self> {
        let is_deterministic = request.temperature <= 0.0 || request.seed.is_some();
        if request.cache == CacheUse::Off || !is_deterministic {
            return None;
        }
        let mut identity = Self(Sha256::new());
        identity.add(&format!("{caller:?}"));
        identity.add_prompt(request);
        for rule in request.rules.sources() {
            identity.add(&rule.expression);
            identity.add(&rule.message);
        }
        for target in request.targets() {
            identity.add(&target.label);
            identity.add(target.mode.as_str());
            identity.add(&target.extra_body.to_string());
        }
        identity.add_settings(request);
        Some(identity)
    }

    fn add_prompt(&mut self, request: &PreparedRequest) {
        self.add(request.schema.raw().get());
        self.add(request.instructions.as_deref().unwrap_or_default());
        for example in &*request.examples {
            self.add(&example.input.0);
            self.add(&example.output.to_string());
        }
    }

    /// Adds all numbers and flags. Not `on_failure`: it only decides how the same outcome is presented.
    fn add_settings(&mut self, request: &PreparedRequest) {
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
        self.add(&format!(
            "{has_instructions} {} {} {numbers:?}",
            request.coerce, request.is_conversation
        ));
    }

    /// Adds one part, preceded by its length, so that different lists of parts have different digests.
    fn add(&mut self, part: &str) {
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
    }

    /// Returns the key of an item with this text.
    pub fn key(&self, text: &str) -> CacheKey {
        let mut digest = self.0.clone();
        digest.update(text);
        digest.finalize().into()
    }
}
