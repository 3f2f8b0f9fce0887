//! Memory of a provider's answer while it is read, parsed and validated, against the share of the item's caller.

use std::sync::{Mutex, PoisonError};

use crate::types::parsed_size;
use throttle::{MemoryReservation, NoMemory};

/// Size up to which an answer is not counted: its share of the work in progress is bounded by the number of calls.
const UNCOUNTED_BYTES: usize = 64 * 1024;

/// Memory reserved for one item's current answer.
#[derive(Debug)]
pub struct AnswerMemory(Mutex<MemoryReservation>);

impl AnswerMemory {
    /// Wraps an empty reservation.
    #[must_use]
    pub const fn new(reservation: MemoryReservation) -> Self {
        Self(Mutex::new(reservation))
    }

    /// Reserves memory for an answer of which this many bytes have been received: as they came, and as text.
    ///
    /// # Errors
    /// [`NoMemory`] if there is no room.
    pub fn received(&self, bytes: usize) -> Result<(), NoMemory> {
        self.resize(bytes, bytes * 2)
    }

    /// Reserves memory for a whole answer: its text, and the values that are parsed from it and converted.
    ///
    /// # Errors
    /// [`NoMemory`] if there is no room.
    pub fn decoded(&self, text: &str) -> Result<(), NoMemory> {
        if text.len() <= UNCOUNTED_BYTES {
            return self.resize(0, 0);
        }
        self.resize(text.len(), text.len() + parsed_size(text.as_bytes()) * 2)
    }

    fn resize(&self, received: usize, bytes: usize) -> Result<(), NoMemory> {
        let mut reservation = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = if received <= UNCOUNTED_BYTES {
            0
        } else {
            bytes
        };
        if bytes == reservation.bytes() {
            return Ok(());
        }
        reservation.resize(bytes)
    }
}

#[cfg(test)]
mod tests {
    use throttle::{CallerId, MemoryLedger, MemoryUse};

    use super::*;

    #[test]
    fn large_answers_are_counted_until_they_are_dropped() {
        let ledger = MemoryLedger::new(10 << 20, 10 << 20);
        let memory = AnswerMemory::new(ledger.empty(CallerId(1), MemoryUse::Responses));
        memory.received(UNCOUNTED_BYTES).unwrap();
        assert_eq!(ledger.snapshot().held, 0);
        memory.received(1 << 20).unwrap();
        assert_eq!(ledger.snapshot().held, 2 << 20);
        // 300,000 values take more than their text by far.
        let values = format!("[{}0]", "0,".repeat(300_000));
        assert!(memory.decoded(&values).is_err());
        assert!(memory.received(6 << 20).is_err());
        memory.decoded("{}").unwrap();
        assert_eq!(ledger.snapshot().held, 0);
    }
}
