//! Estimates the tokens of a call from its text, corrected by what earlier calls of the model used.

use crate::types::TokenUsage;

/// Tokens of an answer while nothing is known of the model's answers.
const UNKNOWN_OUTPUT: u32 = 256;
/// Upper bound of a call's tokens, whatever a provider reports.
const MAX_BELIEVED: u64 = 10_000_000;
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

/// Actual usage of a model's last calls, relative to the estimates.
#[derive(Debug, Default)]
pub struct TokenEstimator {
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
    pub fn estimate(&self, text_tokens: u64, max_output: Option<u32>) -> TokenUsage {
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

    /// Records the actual usage of a call whose prompt was estimated at `text_tokens` tokens.
    #[expect(clippy::cast_precision_loss, reason = "tokens of one call")]
    pub fn record(&mut self, text_tokens: u64, usage: TokenUsage) {
        let (input, output) = (
            usage.input.min(MAX_BELIEVED),
            usage.output.min(MAX_BELIEVED),
        );
        for (sum, new) in [
            (&mut self.estimated_input, text_tokens as f64),
            (&mut self.input, input as f64),
            (&mut self.calls, 1.0),
            (&mut self.output, output as f64),
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
}
