//! A counter that cannot leak: its value is the number of guards alive.

use std::sync::Arc;

#[derive(Debug, Default)]
pub struct RaiiCounter(Arc<()>);

/// A guard, counted while it lives.
#[derive(Debug)]
pub struct CountGuard(#[expect(dead_code, reason = "held, not read")] Arc<()>);

impl RaiiCounter {
    pub fn take(&self) -> CountGuard {
        CountGuard(Arc::clone(&self.0))
    }

    pub fn now(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }
}
