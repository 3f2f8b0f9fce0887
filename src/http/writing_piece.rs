//! Long work that writing a response is.

use serde_json::Value;

use crate::long_work::{LONG_TEXT_BYTES, Piece, run_off_worker};
use crate::types::written_size;
use throttle::CallerId;

/// Returns the piece of long work that writing a value is, with `bytes_beside` of other texts; `None` if it is short.
pub fn writing_piece(value: &Value, bytes_beside: usize, caller: CallerId) -> Option<Piece> {
    // Nothing is written; only a long value is counted to its end.
    let bytes = written_size(value, LONG_TEXT_BYTES).unwrap_or_else(|| {
        run_off_worker(true, || written_size(value, usize::MAX)).unwrap_or_default()
    });
    let bytes = bytes.saturating_add(bytes_beside);
    (bytes > LONG_TEXT_BYTES).then_some(Piece { caller, bytes })
}
