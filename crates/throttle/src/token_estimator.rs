//! Estimates the tokens of a call from its text, corrected by what earlier calls of the model used.

use std::collections::BTreeMap;

use crate::caller_id::CallerId;
use crate::types::TokenUsage;

/// Tokens of an answer while nothing is known of the model's answers.
const UNKNOWN_OUTPUT: u32 = 256;
/// Factor by which a reported number may exceed its estimate, and tokens beside that. More is not believed at once: one absurd number would
/// reserve a key's minute for hundreds of calls. Where all calls take so much, the estimate grows with each of them.
const MAX_FACTOR: u64 = 10;
const MARGIN: u64 = 4_096;
/// Maximum number of callers whose calls of a model are estimated by their own earlier calls.
const MAX_CALLERS: usize = 1_000;
/// Factor applied to the weight of older calls: about the last hundred count.
const DECAY: f64 = 0.99;

/// Estimates the tokens of a text from its bytes alone. Within a third for most languages and for
/// code. Close for text without words (base64, hashes), where four bytes per token would be wrong
/// by half.
///
/// Measured with OpenAI's o200k vocabulary: English prose has 4 to 4.5 bytes per token, base64 1.5.
#[must_use]
pub fn estimate_tokens(text: &str) -> u64 {
    // In twelfths of a token.
    let mut twelfths = 0_u64;
    let mut run = 0_u32;
    for byte in text.bytes() {
        twelfths += match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {
                run += 1;
                // No word is that long.
                if run > 24 { 8 } else { 2 }
            }
            b'0'..=b'9' => {
                run += 1;
                if run > 24 { 8 } else { 5 }
            }
            b' ' | b'\n' | b'\t' | b'\r' => {
                run = 0;
                2
            }
            b'+' | b'/' | b'=' | b'-' | b'_' => 6,
            0..=0x7f => {
                run = 0;
                6
            }
            0x80.. => 5,
        };
    }
    twelfths.div_ceil(12)
}

/// Estimates of a model's calls by what earlier calls of the same caller used, so that prompts with images, which no text shows, do not
/// change what is reserved for the calls of others. A caller without calls has the estimates of all, which count as one call of its own
/// afterwards.
#[derive(Debug, Default)]
pub struct TokenEstimators {
    all: TokenEstimator,
    by_caller: BTreeMap<CallerId, TokenEstimator>,
}

impl TokenEstimators {
    /// Returns the estimate for a prompt of `text_tokens` tokens and an answer of at most `max_output` tokens.
    pub fn estimate(
        &self,
        caller: CallerId,
        text_tokens: u64,
        max_output: Option<u32>,
    ) -> TokenUsage {
        let own = self.by_caller.get(&caller).unwrap_or(&self.all);
        own.estimate(text_tokens, max_output)
    }

    /// Records the actual usage of a caller's call whose prompt was estimated at `text_tokens` tokens.
    pub fn record(&mut self, caller: CallerId, text_tokens: u64, usage: TokenUsage) {
        if self.by_caller.len() < MAX_CALLERS || self.by_caller.contains_key(&caller) {
            let of_all = self.all.as_one_call();
            let own = self.by_caller.entry(caller).or_insert(of_all);
            own.record(text_tokens, usage);
        }
        self.all.record(text_tokens, usage);
    }
}

/// Actual usage of a model's last calls, relative to the estimates.
#[derive(Debug, Default)]
struct TokenEstimator {
    estimated_input: f64,
    input: f64,
    calls: f64,
    output: f64,
}

impl TokenEstimator {
    /// Returns the estimate for a prompt of `text_tokens` tokens and an answer of at most `max_output`
    /// tokens.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "tokens of one call"
    )]
    fn estimate(&self, text_tokens: u64, max_output: Option<u32>) -> TokenUsage {
        let ratio = if self.estimated_input > 0.0 {
            self.input / self.estimated_input
        } else {
            1.0
        };
        let max_output = u64::from(max_output.unwrap_or(u32::MAX));
        let output = if self.calls > 0.0 {
            (self.output / self.calls).ceil() as u64
        } else {
            max_output
        };
        let output = if output == u64::from(u32::MAX) {
            UNKNOWN_OUTPUT.into()
        } else {
            output
        };
        TokenUsage {
            input: (text_tokens as f64 * ratio).ceil() as u64,
            output: output.min(max_output),
        }
    }

    /// Returns the same estimates, which count as much as one call.
    fn as_one_call(&self) -> Self {
        let calls = self.calls.max(1.0);
        Self {
            estimated_input: self.estimated_input / calls,
            input: self.input / calls,
            calls: self.calls / calls,
            output: self.output / calls,
        }
    }

    /// Records the actual usage of a call whose prompt was estimated at `text_tokens` tokens.
    #[expect(clippy::cast_precision_loss, reason = "tokens of one call")]
    fn record(&mut self, text_tokens: u64, usage: TokenUsage) {
        let usual = self.estimate(text_tokens, None);
        let believed = |tokens: u64, usual: u64| {
            tokens.min(usual.saturating_mul(MAX_FACTOR).saturating_add(MARGIN)) as f64
        };
        for (sum, new) in [
            (&mut self.estimated_input, text_tokens as f64),
            (&mut self.input, believed(usage.input, usual.input)),
            (&mut self.calls, 1.0),
            (&mut self.output, believed(usage.output, usual.output)),
        ] {
            *sum = *sum * DECAY + new;
        }
    }
}

#[cfg(test)]
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the counts are small"
)]
mod tests {
    use super::*;

    #[test]
    fn estimates_of_several_kinds_of_text_are_close() {
        // Counts of OpenAI's o200k vocabulary lie within these.
        for (text, least, most) in [
            ("John Smith is a 30-year-old software engineer", 8, 16),
            (
                "The patient was admitted with chest pain and shortness of breath lasting three days.",
                13,
                22,
            ),
            (
                "Wir bestätigen hiermit den Eingang Ihrer Kündigung zum nächstmöglichen Termin.",
                13,
                27,
            ),
            ("{\"name\": \"Ada\", \"age\": 36}", 9, 20),
            ("", 0, 0),
        ] {
            assert!(
                (least..=most).contains(&estimate_tokens(text)),
                "{text}: {}",
                estimate_tokens(text)
            );
        }
        let base64 = "QmFzZTY0IGlzIG5vdCB0ZXh0IGFuZCBoYXMgbm8gd29yZHMgaW4gaXQgYXQgYWxs".repeat(20);
        let real = base64.len() as f64 / 1.5;
        let text_tokens = estimate_tokens(&base64) as f64;
        assert!(
            (0.7..1.3).contains(&(text_tokens / real)),
            "{text_tokens} of {real}"
        );
    }

    #[test]
    fn what_is_too_long_for_a_word_counts_as_data() {
        for (letters, tokens) in [(24, 4), (25, 5), (36, 12)] {
            assert_eq!(estimate_tokens(&"a".repeat(letters)), tokens);
        }
        for (digits, tokens) in [(24, 10), (36, 18)] {
            assert_eq!(estimate_tokens(&"1".repeat(digits)), tokens);
        }
        assert_eq!(estimate_tokens(&"abcdefg hijk\n".repeat(12)), 26, "words");
    }

    #[test]
    fn older_calls_lose_their_weight() {
        let mut estimate = TokenEstimator::default();
        for output in [10, 100] {
            for _ in 0..500 {
                estimate.record(100, TokenUsage { input: 100, output });
            }
            let guess = estimate.estimate(100, None).output;
            assert!((output..=output + 1).contains(&guess), "{guess}");
        }
    }

    #[test]
    fn the_first_answer_corrects_the_estimate_and_later_ones_stabilize_it() {
        let mut estimate = TokenEstimator::default();
        assert_eq!(
            estimate.estimate(100, None),
            TokenUsage {
                input: 100,
                output: 256
            }
        );
        assert_eq!(
            estimate.estimate(100, Some(4_000)),
            TokenUsage {
                input: 100,
                output: 4_000
            }
        );
        estimate.record(
            100,
            TokenUsage {
                input: 150,
                output: 20,
            },
        );
        assert_eq!(
            estimate.estimate(100, Some(4_000)),
            TokenUsage {
                input: 150,
                output: 20
            }
        );
        assert_eq!(estimate.estimate(100, Some(7)).output, 7);
        for n in 0..1000 {
            let usage = TokenUsage {
                input: 130 + n % 3,
                output: 30 + n % 11,
            };
            estimate.record(100, usage);
        }
        let guess = estimate.estimate(100, None);
        assert!(
            (130..=132).contains(&guess.input) && (34..=37).contains(&guess.output),
            "{guess:?}"
        );
    }

    #[test]
    fn one_absurd_number_hardly_changes_the_estimate() {
        let mut estimate = TokenEstimator::default();
        let usual = TokenUsage {
            input: 110,
            output: 50,
        };
        for _ in 0..200 {
            estimate.record(100, usual);
        }
        let absurd = TokenUsage {
            input: 90_000_000,
            output: 50,
        };
        estimate.record(100, absurd);
        assert!(estimate.estimate(100, None).input < 170);
        for _ in 0..150 {
            estimate.record(100, absurd);
        }
        let input = estimate.estimate(100, None).input;
        assert!(input > 1_000_000, "{input}: all calls take so much");
    }

    #[test]
    fn the_estimates_of_all_count_as_one_call_of_a_new_caller() {
        let (known, new) = (CallerId(1), CallerId(2));
        let mut estimates = TokenEstimators::default();
        let usage = |input, output| TokenUsage { input, output };
        for _ in 0..100 {
            estimates.record(known, 100, usage(100, 50));
        }
        estimates.record(new, 100, usage(300, 151));
        let estimate = estimates.estimate(new, 100, None);
        // The older half has lost little of its weight.
        assert!((198..=203).contains(&estimate.input), "{estimate:?}");
        assert!((100..=103).contains(&estimate.output), "{estimate:?}");
    }

    #[test]
    fn the_calls_of_one_caller_do_not_change_the_estimates_of_another_with_calls() {
        let (with_images, other, new) = (CallerId(1), CallerId(2), CallerId(3));
        let mut estimates = TokenEstimators::default();
        let usage = |input| TokenUsage { input, output: 50 };
        estimates.record(other, 100, usage(110));
        for _ in 0..100 {
            estimates.record(with_images, 100, usage(3_000));
        }
        let estimate = |caller| estimates.estimate(caller, 100, None).input;
        assert!((110..=111).contains(&estimate(other)));
        assert!((2_900..=3_001).contains(&estimate(with_images)));
        assert!((1_000..3_000).contains(&estimate(new)));
        for caller in 4..2_000 {
            estimates.record(CallerId(caller), 100, usage(100));
        }
        assert_eq!(estimates.by_caller.len(), MAX_CALLERS);
        let input = estimates.estimate(other, 100, None).input;
        assert!((110..=111).contains(&input));
    }
}
