//! Token usage of an item, in total and by model.

use std::num::NonZeroU64;
use std::sync::Arc;

use serde::Serialize;

use throttle::{Price, TokenUsage, Usd};

/// Token usage, summed over all attempts and retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, utoipa::ToSchema)]
pub struct Usage {
    /// Tokens of the prompts.
    pub input_tokens: u64,
    /// Tokens of the answers.
    pub output_tokens: u64,
    /// Sum of input and output tokens.
    pub total_tokens: u64,
    /// Part of `input_tokens` that the provider read from its prompt cache; absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub cached_input_tokens: Option<NonZeroU64>,
    /// Part of `output_tokens` spent on reasoning; absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub reasoning_tokens: Option<NonZeroU64>,
    /// Cost in US dollars; absent if the model has no configured price.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    pub cost_usd: Option<Usd>,
    /// True if one of these sums has reached the largest number (2⁶³ − 1 tokens, 9,223,372 US dollars): the usage is at least that.
    /// Absent otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub saturated: bool,
}

/// Largest sum of tokens: the largest integer of the job store.
const MAX_TOKENS: u64 = i64::MAX as u64;
/// Largest sum of costs: the same.
const MAX_COST: Usd = Usd(MAX_TOKENS);

impl Usage {
    /// Creates usage without details and cost.
    #[must_use]
    pub const fn new(input_tokens: u64, output_tokens: u64) -> Self {
        let (input_tokens, is_more_input) = limited(input_tokens);
        let (output_tokens, is_more_output) = limited(output_tokens);
        let (total_tokens, is_more) = limited(input_tokens.saturating_add(output_tokens));
        Self {
            input_tokens,
            output_tokens,
            total_tokens,
            cached_input_tokens: None,
            reasoning_tokens: None,
            cost_usd: None,
            saturated: is_more_input || is_more_output || is_more,
        }
    }

    /// Returns the tokens that limits and prices count.
    #[must_use]
    pub const fn tokens(self) -> TokenUsage {
        TokenUsage {
            input: self.input_tokens,
            output: self.output_tokens,
        }
    }

    /// Sets the cached input tokens and the reasoning tokens. `None` or 0: unknown.
    #[must_use]
    pub fn with_details(
        self,
        cached_input_tokens: Option<u64>,
        reasoning_tokens: Option<u64>,
    ) -> Self {
        let [cached_input_tokens, reasoning_tokens] =
            [cached_input_tokens, reasoning_tokens].map(|tokens| tokens.and_then(NonZeroU64::new));
        Self {
            cached_input_tokens,
            reasoning_tokens,
            ..self
        }
    }

    /// Sets the cost by the price of the model. `None`: no price.
    #[must_use]
    pub fn with_price(self, price: Option<Price>) -> Self {
        self.with_cost(price.map(|price| price.cost(self.tokens())))
    }

    /// Sets the cost. `None`: the model has no price.
    #[must_use]
    pub fn with_cost(self, cost_usd: Option<Usd>) -> Self {
        let is_saturated = cost_usd.is_some_and(|cost| cost >= MAX_COST);
        Self {
            cost_usd: cost_usd.map(|cost| cost.min(MAX_COST)),
            saturated: self.saturated || is_saturated,
            ..self
        }
    }
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        let cost_usd = match (self.cost_usd, other.cost_usd) {
            (Some(cost), Some(more)) => Some(cost.saturating_add(more)),
            (one, other) => one.or(other),
        };
        let sum = |one: Option<NonZeroU64>, other: Option<NonZeroU64>| match (one, other) {
            (Some(one), Some(other)) => Some(one.saturating_add(other.get())),
            (one, other) => one.or(other),
        };
        let cached_input_tokens = sum(self.cached_input_tokens, other.cached_input_tokens);
        let reasoning_tokens = sum(self.reasoning_tokens, other.reasoning_tokens);
        let input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        let output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        let sum = Self {
            cached_input_tokens,
            reasoning_tokens,
            ..Self::new(input_tokens, output_tokens)
        };
        let is_saturated = self.saturated || other.saturated;
        *self = sum.with_cost(cost_usd);
        self.saturated |= is_saturated;
    }
}

/// Returns a number of tokens, at most the largest sum, and true if it has reached that.
const fn limited(tokens: u64) -> (u64, bool) {
    if tokens < MAX_TOKENS {
        (tokens, false)
    } else {
        (MAX_TOKENS, true)
    }
}

/// Token usage of one model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ModelUsage {
    /// Model, as `provider/model`.
    #[schema(value_type = String)]
    pub model: Arc<str>,
    #[serde(flatten)]
    pub usage: Usage,
}

impl ModelUsage {
    /// Adds usage to the entry of the model, which is created if absent.
    pub fn add(all: &mut Vec<Self>, model: &Arc<str>, usage: Usage) {
        match all.iter_mut().find(|known| known.model == *model) {
            Some(known) => known.usage += usage,
            None => all.push(Self {
                model: Arc::clone(model),
                usage,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_has_its_price_and_is_summed_for_each_model() {
        let price = Price {
            input: Usd(2),
            output: Usd(10),
        };
        let usage = Usage::new(3, 4).with_price(Some(price));
        let tokens = TokenUsage {
            input: 3,
            output: 4,
        };
        assert_eq!((usage.tokens(), usage.cost_usd), (tokens, Some(Usd(46))));
        let [one, other] = ["p/one", "p/other"].map(Arc::from);
        let mut all = Vec::new();
        for model in [&one, &other, &one] {
            ModelUsage::add(&mut all, model, usage);
        }
        let sums = all.iter().map(|own| (&*own.model, own.usage.cost_usd));
        let expected = [("p/one", Some(Usd(92))), ("p/other", Some(Usd(46)))];
        assert_eq!(sums.collect::<Vec<_>>(), expected);
        let mut sum = Usage {
            saturated: true,
            ..usage
        };
        sum += usage;
        assert!(sum.saturated, "one of its parts is");
    }

    #[test]
    fn a_sum_that_stops_at_the_largest_number_says_so() {
        let shown = |usage: Usage| serde_json::to_value(usage).unwrap();
        let mut usage = Usage::new(MAX_TOKENS - 2, 1);
        assert_eq!(shown(usage).get("saturated"), None);
        usage += Usage::new(0, 1);
        assert_eq!(
            shown(usage),
            serde_json::json!({"input_tokens": MAX_TOKENS - 2, "output_tokens": 2, "total_tokens": MAX_TOKENS, "saturated": true})
        );

        let almost = Usage::new(1, 1).with_cost(Some(Usd(MAX_COST.0 - 1)));
        assert!(!almost.saturated);
        let mut sum = almost;
        sum += Usage::new(1, 1).with_cost(Some(Usd(1)));
        assert_eq!((sum.saturated, sum.cost_usd), (true, Some(MAX_COST)));
        let mut later = Usage::new(1, 1);
        later += sum;
        later += Usage::new(1, 1);
        assert_eq!((later.saturated, later.total_tokens), (true, 8));
    }
}
