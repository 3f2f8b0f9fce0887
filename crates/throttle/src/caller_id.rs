//! Identifier of a caller.

/// Identifier of a caller: the first level of the fair queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct CallerId(pub u64);
