//! Samples the next token from the model's logits: greedy or by temperature, within a mask. Must
//! not know the mask's origin.

use llama_cpp_2::token::LlamaToken;
use toktrie::SimpleVob;

/// Sampler of one sequence.
#[derive(Debug)]
pub struct Sampler {
    temperature: f32,
    random_state: u64,
}

impl Sampler {
    /// Creates a sampler. With a temperature of 0, less, or NaN it is greedy, and the seed does not
    /// matter.
    pub fn new(temperature: f32, seed: u64) -> Self {
        Self {
            temperature,
            random_state: seed,
        }
    }

    /// Returns the next token among those that the mask allows; without a mask, among all. `None`:
    /// the mask allows none.
    pub fn sample(&mut self, logits: &[f32], mask: Option<&SimpleVob>) -> Option<LlamaToken> {
        let (best, highest) = Self::likeliest(logits, mask)?;
        let id = if self.temperature > 0.0 {
            self.draw(logits, mask, highest).unwrap_or(best)
        } else {
            best
        };
        i32::try_from(id).ok().map(LlamaToken)
    }

    /// Returns the likeliest allowed token and its logit; the first of equals.
    fn likeliest(logits: &[f32], mask: Option<&SimpleVob>) -> Option<(usize, f32)> {
        let mut best = None;
        Self::each_allowed(logits, mask, |id, logit| {
            if best.is_none_or(|(_, highest)| logit > highest) {
                best = Some((id, logit));
            }
        });
        best
    }

    /// Draws a token by the softmax at the sampler's temperature. `None`: rounding leaves nothing
    /// to draw from.
    fn draw(&mut self, logits: &[f32], mask: Option<&SimpleVob>, highest: f32) -> Option<usize> {
        let temperature = self.temperature;
        let weight = |logit: f32| f64::from(((logit - highest) / temperature).exp());
        let mut total = 0.0;
        Self::each_allowed(logits, mask, |_, logit| total += weight(logit));
        let target = self.random_fraction() * total;
        let (mut cumulated, mut drawn) = (0.0, None);
        Self::each_allowed(logits, mask, |id, logit| {
            cumulated += weight(logit);
            if drawn.is_none() && cumulated > target {
                drawn = Some(id);
            }
        });
        drawn
    }

    /// Calls `visit` with each allowed token and its logit.
    fn each_allowed(logits: &[f32], mask: Option<&SimpleVob>, mut visit: impl FnMut(usize, f32)) {
        match mask {
            Some(mask) => mask.iter_set_entries(|id| {
                if let Some(logit) = logits.get(id) {
                    visit(id, *logit);
                }
            }),
            None => logits
                .iter()
                .enumerate()
                .for_each(|(id, logit)| visit(id, *logit)),
        }
    }

    /// Returns a random number in `0..1`, by `SplitMix64` (<https://prng.di.unimi.it/splitmix64.c>,
    /// public domain, read 2026-11-22).
    fn random_fraction(&mut self) -> f64 {
        self.random_state = self.random_state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.random_state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^= bits >> 31;
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit the mantissa")]
        let fraction = (bits >> 11) as f64 / (1_u64 << 53) as f64;
        fraction
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 4] = [0.5, 2.0, 1.0, -1.0];

    #[test]
    fn greedy_sampling_returns_the_likeliest_token_within_the_mask() {
        let mut greedy = Sampler::new(0.0, 0);
        assert_eq!(greedy.sample(&LOGITS, None), Some(LlamaToken(1)));
        let mask = SimpleVob::from_slice(&[true, false, true, true]);
        assert_eq!(greedy.sample(&LOGITS, Some(&mask)), Some(LlamaToken(2)));
        assert_eq!(greedy.sample(&LOGITS, Some(&SimpleVob::alloc(4))), None);
    }

    #[test]
    fn sampling_is_repeatable_with_a_seed_and_stays_within_the_mask() {
        let mask = SimpleVob::from_slice(&[true, false, true, false]);
        let draw = |seed| {
            let mut sampler = Sampler::new(1.0, seed);
            (0..50)
                .map(|_| sampler.sample(&LOGITS, Some(&mask)))
                .collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert!(draw(7).contains(&Some(LlamaToken(0))));
        assert!(!draw(7).contains(&Some(LlamaToken(1))));
    }
}
