//! Text of an answer that has arrived, for the charge of a call that ends without a report of its usage.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of text for each token that is charged: fewer tokens than most texts have.
const BYTES_PER_TOKEN: u64 = 4;

/// Counter of the text of a call's answer that has arrived so far ([`Permit::received_text`](crate::Permit::received_text)).
#[derive(Debug, Clone, Default)]
pub struct ReceivedText(Arc<AtomicU64>);

impl ReceivedText {
    /// Adds text of this many bytes.
    pub fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Returns the tokens that the text has at least.
    pub(crate) fn tokens(&self) -> u64 {
        self.0.load(Ordering::Relaxed) / BYTES_PER_TOKEN
    }
}
