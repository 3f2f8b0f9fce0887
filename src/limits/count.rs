//! A count that cannot leak: it is the number of tokens alive.

use std::sync::Arc;

#[derive(Debug, Default)]
pub struct Count(Arc<()>);

/// Counted while it lives.
#[derive(Debug)]
pub struct Counted(#[expect(dead_code, reason = "held, not read")] Arc<()>);

impl Count {
    pub fn take(&self) -> Counted {
        Counted(Arc::clone(&self.0))
    }

    pub fn now(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }
}
