//! Length of the work to write an outcome as JSON.

use serde::Serialize;
use serde_json::Value;
use throttle::CallerId;

use crate::long_work::{LONG_TEXT_BYTES, Piece, run_off_worker};
use crate::types::{ItemOutcome, Outcome, written_size};

/// Returns the piece of long work that writing an outcome as JSON is; `None` if it is short.
#[must_use]
pub fn writing_piece(outcome: &Outcome, caller: CallerId) -> Option<Piece> {
    let answer = match &outcome.ending {
        ItemOutcome::Succeeded(success) => Some(&*success.data),
        ItemOutcome::Invalid(invalid) => Some(&*invalid.candidate),
        ItemOutcome::Failed(_) | ItemOutcome::Cancelled => None,
    };
    value_writing_piece(answer, outcome.bytes_beside_data(), caller)
}

/// Returns the piece of long work that writing a value is, with `bytes_beside` of other texts; `None` if it is short.
pub fn value_writing_piece(
    value: Option<&Value>,
    bytes_beside: usize,
    caller: CallerId,
) -> Option<Piece> {
    let bytes = value.map_or(0, text_size);
    Piece::if_long(caller, bytes.saturating_add(bytes_beside))
}

/// Returns the length of a value as JSON, in bytes. Nothing is written; only a long value is counted to its end, off the workers.
pub(super) fn text_size<T: Serialize + ?Sized>(value: &T) -> usize {
    written_size(value, LONG_TEXT_BYTES).unwrap_or_else(|| {
        run_off_worker(true, || written_size(value, usize::MAX)).unwrap_or_default()
    })
}
