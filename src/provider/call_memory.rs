//! Memory of a call, against the share of the item's caller: of its request while it is sent, then of the provider's answer while it
//! is read, parsed and validated.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::long_work::Piece;
use crate::types::parsed_size;
use throttle::{MemoryReservation, NoMemory};

/// Size up to which a request or an answer is not counted: their share of the work in progress is bounded by the number of calls.
const UNCOUNTED_BYTES: usize = 64 * 1024;
/// Copies of an input while its request is encoded: one in its fence, and one in the body.
const INPUT_COPIES: usize = 2;

/// Size up to which the values of such an answer are not counted, in bytes as estimated: about 900 values.
const UNCOUNTED_PARSED_BYTES: usize = 256 * 1024;

/// Memory reserved for one item's current call.
#[derive(Debug)]
pub struct CallMemory(Mutex<MemoryReservation>);

impl CallMemory {
    /// Wraps an empty reservation.
    #[must_use]
    pub const fn new(reservation: MemoryReservation) -> Self {
        Self(Mutex::new(reservation))
    }

    /// Reserves memory to encode a request with an input text and a prompt around it of these lengths: of the input a copy in its
    /// fence, and the body; of the prompt its text, the template, and the body.
    ///
    /// # Errors
    /// [`NoMemory`] if there is no room.
    pub fn encoding(&self, input_bytes: usize, prompt_bytes: usize) -> Result<(), NoMemory> {
        self.resize(
            input_bytes + prompt_bytes,
            encoding_bytes(input_bytes) + prompt_bytes * 3,
        )
    }

    /// Reserves memory for a request body while it is sent, and for the template with the prompt, which is kept for further calls.
    ///
    /// # Errors
    /// [`NoMemory`] if there is no room.
    pub fn sending(&self, body_bytes: usize, prompt_bytes: usize) -> Result<(), NoMemory> {
        self.resize(body_bytes, body_bytes + prompt_bytes)
    }

    /// Reserves memory for an answer of which this many bytes have been received: as they came, and as text. The request has been
    /// sent.
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
        let parsed = parsed_size(text.as_bytes());
        let is_small = text.len() <= UNCOUNTED_BYTES && parsed <= UNCOUNTED_PARSED_BYTES;
        let size = if is_small { 0 } else { parsed.max(text.len()) };
        self.resize(size, text.len() + parsed * 2)
    }

    /// Returns the piece of long work that it is to work on a request or an answer of this size; `None` if it is short.
    #[must_use]
    pub fn long_piece(&self, bytes: usize) -> Option<Piece> {
        let caller = self.lock().caller();
        Piece::if_long(caller, bytes)
    }

    fn lock(&self) -> MutexGuard<'_, MemoryReservation> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the reservation to `needed` bytes, or to none for data of `size` bytes that is not counted.
    fn resize(&self, size: usize, needed: usize) -> Result<(), NoMemory> {
        let mut reservation = self.lock();
        let bytes = if size <= UNCOUNTED_BYTES { 0 } else { needed };
        if bytes == reservation.bytes() {
            return Ok(());
        }
        reservation.resize(bytes)
    }
}

/// Returns the memory that a call takes for an input of this length, beside that for its prompt, in bytes; 0 for one that is not counted.
#[must_use]
pub const fn call_room(input_bytes: usize) -> usize {
    if input_bytes <= UNCOUNTED_BYTES {
        0
    } else {
        encoding_bytes(input_bytes)
    }
}

const fn encoding_bytes(input_bytes: usize) -> usize {
    input_bytes * INPUT_COPIES
}

#[cfg(test)]
mod tests {
    use throttle::{CallerId, MemoryLedger, MemoryUse};

    use super::*;
    use crate::long_work::LONG_TEXT_BYTES;

    #[test]
    fn a_large_request_is_counted_until_it_is_answered() {
        let ledger = MemoryLedger::new(10 << 20, 10 << 20);
        let memory = CallMemory::new(ledger.empty(CallerId(1), MemoryUse::Responses));
        let held = || ledger.snapshot().held;
        memory.encoding(UNCOUNTED_BYTES - 100, 100).unwrap();
        assert_eq!(held(), 0);
        memory.encoding(3 << 20, 0).unwrap();
        assert_eq!(held(), 6 << 20);
        memory.encoding(1 << 20, 2 << 20).unwrap();
        assert_eq!(held(), 8 << 20);
        memory.sending(4 << 20, 2 << 20).unwrap();
        assert_eq!(held(), 6 << 20);
        assert!(memory.encoding(6 << 20, 0).is_err());
        memory.received(1).unwrap();
        assert_eq!(held(), 0);
    }

    #[test]
    fn large_answers_are_counted_until_they_are_dropped() {
        let ledger = MemoryLedger::new(10 << 20, 10 << 20);
        let memory = CallMemory::new(ledger.empty(CallerId(1), MemoryUse::Responses));
        memory.received(UNCOUNTED_BYTES).unwrap();
        assert_eq!(ledger.snapshot().held, 0);
        memory.received(1 << 20).unwrap();
        assert_eq!(ledger.snapshot().held, 2 << 20);
        // 300,000 values take more than their text by far.
        let values = format!("[{}0]", "0,".repeat(300_000));
        assert!(memory.decoded(&values).is_err());
        assert!(memory.received(6 << 20).is_err());
        memory.received(1).unwrap();
        // So do a few in a short text.
        memory
            .decoded(&format!("[{}0]", "0,".repeat(5_000)))
            .unwrap();
        assert!(ledger.snapshot().held > 2 << 20);
        memory.decoded("{}").unwrap();
        assert_eq!(ledger.snapshot().held, 0);
        assert!(memory.long_piece(LONG_TEXT_BYTES - 1).is_none());
        let piece = memory.long_piece(LONG_TEXT_BYTES).unwrap();
        assert_eq!((piece.caller, piece.bytes), (CallerId(1), LONG_TEXT_BYTES));
    }
}
