//! Adaptations of requests to what a server supports: hypotheses of one item, until a call without the feature succeeds.

use std::sync::{Mutex, PoisonError};

use super::request_shape::Unsupported;
use crate::types::Mode;

/// Feature that requests omit, and the requests that it concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adaptation {
    pub feature: Unsupported,
    /// Mode that is not used; `Auto` for features that do not depend on the mode.
    pub mode: Mode,
    /// True if it holds for all schemas; false for the schema of the request only.
    pub is_for_model: bool,
}

impl Adaptation {
    /// Returns what the adaptation holds for: `model`, or `schema`.
    #[must_use]
    pub const fn scope(self) -> &'static str {
        if self.is_for_model { "model" } else { "schema" }
    }
}

/// Adaptations that one item tries. They hold for this item only, until a call succeeds with them.
#[derive(Debug, Default)]
pub struct Trial(Mutex<TrialState>);

/// State of a [`Trial`].
#[derive(Debug, Default)]
pub struct TrialState {
    /// Target that the trial is about: hypotheses do not hold for a fallback.
    target: u64,
    /// Adaptations of the next call.
    pub hypotheses: Vec<Adaptation>,
    /// Adaptations that were tried, whether they helped or not.
    tried: Vec<Adaptation>,
    /// Words of the error of the last call.
    last_words: String,
    /// Words of an error that named no feature, after which the next mode was tried.
    pub unexplained: Option<String>,
    /// Output token limit that fits beside the item's input.
    pub output_limit: Option<u32>,
}

impl Trial {
    /// Uses the state for a target, by its hash. The state of another target is dropped.
    pub fn with<T>(&self, target: u64, use_state: impl FnOnce(&mut TrialState) -> T) -> T {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.target != target {
            *state = TrialState {
                target,
                ..TrialState::default()
            };
        }
        use_state(&mut state)
    }
}

impl TrialState {
    /// Records the words of an error. The same words again mean that the last adaptation did not help, and it is dropped; unless it
    /// was another mode, which a server may reject in the same words.
    pub fn hear(&mut self, own_words: &str) {
        if self.last_words == own_words {
            let is_mode = |last: &mut Adaptation| {
                matches!(last.feature, Unsupported::Mode | Unsupported::Schema)
            };
            self.hypotheses.pop_if(|last| !is_mode(last));
        } else {
            own_words.clone_into(&mut self.last_words);
        }
    }

    /// Adds an adaptation to the next call. Returns false if it was tried before.
    pub fn add(&mut self, adaptation: Adaptation) -> bool {
        let is_same = |known: &Adaptation| {
            known.feature == adaptation.feature && known.mode == adaptation.mode
        };
        let is_new = !self.tried.iter().any(is_same);
        if is_new {
            self.tried.push(adaptation);
            self.hypotheses.push(adaptation);
        }
        is_new
    }
}
