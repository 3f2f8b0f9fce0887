//! Events that the service turns into metrics and log lines.

use std::fmt::Debug;

use crate::money::Usd;
use crate::types::TokenUsage;

/// Receiver of the crate's events.
pub trait Observer: Debug + Send + Sync {
    /// Returns the receiver for one model. `label` is `provider/model`.
    fn model(&self, label: &str) -> Box<dyn ModelObserver>;

    /// Reports that the circuit breaker of a model has opened. `label` is `provider/model`.
    fn circuit_opened(&self, label: &str);
}

/// Receiver of one model's events.
pub trait ModelObserver: Debug + Send + Sync {
    /// Reports that a call has ended.
    fn call_ended(&self, usage: TokenUsage, cost: Usd);
}

/// An observer that ignores every event.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ignore;

impl Observer for Ignore {
    fn model(&self, _label: &str) -> Box<dyn ModelObserver> {
        Box::new(Self)
    }

    fn circuit_opened(&self, _label: &str) {}
}

impl ModelObserver for Ignore {
    fn call_ended(&self, _usage: TokenUsage, _cost: Usd) {}
}
