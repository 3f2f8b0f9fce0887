//! Answer of a model, after it is decoded from a wire format.

use throttle::RemainingQuota;

use crate::types::{Mode, Usage};

/// Answer of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub text: String,
    pub finish: Finish,
    /// Token usage; `None`: not reported.
    pub usage: Option<Usage>,
    /// Mode of the call; never `Auto`.
    pub mode: Mode,
    /// Quota of the API key after the call, from the rate limit headers.
    pub remaining_quota: RemainingQuota,
    /// True if the text was JSON values that the provider parsed itself, such as the arguments of a tool call. A truncated answer
    /// is valid JSON then, because the provider closed it.
    pub is_parsed: bool,
    /// Remark for the result's `repairs`, if the text was found in an unusual place.
    pub remark: Option<&'static str>,
}

/// Finish reason: why the model stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finish {
    /// The model ended its answer by itself.
    Stop,
    /// The provider reported no finish reason, or an unknown one.
    Unknown,
    /// The answer was truncated at the output token limit.
    Length,
    /// The provider says that the answer is not valid; with its explanation.
    Invalid(String),
    /// The model refused, or a content filter stopped it; with the provider's explanation.
    Refusal(String),
}

impl Finish {
    /// Returns the refusal of a content filter that gave no explanation.
    #[must_use]
    pub fn content_filtered() -> Self {
        Self::Refusal("the provider's content filter stopped the answer".to_owned())
    }
}
