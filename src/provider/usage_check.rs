//! Check of the token counts that a provider reports: a count that no call can have is not counted, paid or stored.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::types::Usage;

/// Largest plausible number of tokens of one call: ten times the largest context window of a model in 2026.
const MAX_TOKENS: u64 = 100_000_000;

/// Checks the usage that each call reports, and warns of the first that is implausible.
#[derive(Debug, Default)]
pub struct UsageCheck {
    has_warned: AtomicBool,
}

impl UsageCheck {
    /// Returns the usage, or `None` if a count is implausible: it is treated as not reported. `address` is the provider's, for
    /// the log.
    pub fn check(&self, usage: Option<Usage>, address: &str) -> Option<Usage> {
        let usage = usage?;
        if is_plausible(&usage) {
            return Some(usage);
        }
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                address,
                input_tokens = usage.input_tokens,
                output_tokens = usage.output_tokens,
                max_tokens = MAX_TOKENS,
                "the provider reports a number of tokens that no call can have; such usage is ignored, and the calls are counted by their estimate"
            );
        }
        None
    }
}

fn is_plausible(usage: &Usage) -> bool {
    let is_small = |tokens: Option<std::num::NonZeroU64>| {
        tokens.is_none_or(|tokens| tokens.get() <= MAX_TOKENS)
    };
    usage.input_tokens <= MAX_TOKENS
        && usage.output_tokens <= MAX_TOKENS
        && is_small(usage.cached_input_tokens)
        && is_small(usage.reasoning_tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_that_no_call_can_have_is_not_reported() {
        let check = UsageCheck::default();
        let good = Usage::new(MAX_TOKENS, 3).with_details(Some(5), Some(3));
        assert_eq!(check.check(Some(good), "a"), Some(good));
        assert_eq!(check.check(None, "a"), None);
        for bad in [
            Usage::new(u64::MAX, 1),
            Usage::new(1, MAX_TOKENS + 1),
            Usage::new(1, 1).with_details(Some(u64::MAX), None),
            Usage::new(1, 1).with_details(None, Some(i64::MAX.unsigned_abs())),
        ] {
            assert_eq!(check.check(Some(bad), "a"), None, "{bad:?}");
        }
    }
}
