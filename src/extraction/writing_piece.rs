//! Writing of outcomes and errors as JSON: that of a large one takes milliseconds, for which the other tasks of the worker do not wait.

use serde::Serialize;
use throttle::CallerId;

use crate::long_work::{LONG_TEXT_BYTES, Piece, run_off_worker};
use crate::turn;
use crate::types::{Error, Outcome, written_size};

/// Returns the piece of long work that writing an outcome is; `None` if it is short.
#[must_use]
pub fn writing_piece(outcome: &Outcome, caller: CallerId) -> Option<Piece> {
    piece(caller, |max| outcome.written_size(max))
}

/// Returns the piece of long work that writing an error is; `None` if it is short.
#[must_use]
pub fn error_writing_piece(error: &Error, caller: CallerId) -> Option<Piece> {
    piece(caller, |max| error.written_size(max))
}

fn piece(caller: CallerId, written_size: impl Fn(usize) -> Option<usize>) -> Option<Piece> {
    Piece::if_long(caller, whole_size(written_size))
}

/// Returns the length of a value as JSON, in bytes.
pub(super) fn text_size<T: Serialize + ?Sized>(value: &T) -> usize {
    whole_size(|max| written_size(value, max))
}

/// Returns the size that a function of the maximum counts. Nothing is written; only a large value is counted to its end, off the workers.
fn whole_size(written_size: impl Fn(usize) -> Option<usize>) -> usize {
    written_size(LONG_TEXT_BYTES)
        .or_else(|| run_off_worker(true, || written_size(usize::MAX)))
        .unwrap_or(usize::MAX)
}

/// Writes an outcome within a poll, off the worker if it is large. Returns the units of the task's turn that this takes.
pub fn write_in_turn(outcome: &Outcome, write: impl FnOnce()) -> u32 {
    let bytes = outcome.written_size(LONG_TEXT_BYTES);
    run_off_worker(bytes.is_none(), write);
    turn::units_for(bytes.unwrap_or(LONG_TEXT_BYTES))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::types::{AttemptInfo, Code, Error, Invalid, ItemOutcome, SharedValue};

    const LIMIT: Duration = Duration::from_secs(30);

    fn outcome(ending: ItemOutcome) -> Outcome {
        Outcome {
            ending,
            ..Outcome::cancelled(0, None, None)
        }
    }

    /// Returns an invalid answer and a failed one, each with a text of this size.
    fn outcomes(bytes: usize) -> [Outcome; 2] {
        let candidate: SharedValue = json!({"text": "x".repeat(bytes)}).into();
        let mut error = Error::new(Code::ExtractionFailed, "a reason");
        error.attempted = Some(Arc::new(AttemptInfo {
            attempts: 1,
            raw: None,
            candidate: Some(candidate.clone()),
            model: None,
        }));
        let invalid = Invalid {
            candidate,
            errors: Vec::new(),
            model: None,
        };
        [ItemOutcome::Invalid(invalid), ItemOutcome::Failed(error)].map(outcome)
    }

    #[test]
    fn a_long_answer_is_long_work_also_if_it_is_invalid() {
        let caller = CallerId(1);
        for small in outcomes(LONG_TEXT_BYTES / 2) {
            assert!(writing_piece(&small, caller).is_none());
            let units = write_in_turn(&small, || ());
            assert_eq!(units, turn::units_for(LONG_TEXT_BYTES / 2));
        }
        for large in outcomes(2 * LONG_TEXT_BYTES) {
            let piece = writing_piece(&large, caller).unwrap();
            let text = 2 * LONG_TEXT_BYTES;
            assert!((text..text + 100).contains(&piece.bytes), "{piece:?}");
        }
        assert!(writing_piece(&outcome(ItemOutcome::Cancelled), caller).is_none());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn other_tasks_run_while_a_large_outcome_is_written() {
        let task = tokio::spawn(async {
            for large in outcomes(2 * LONG_TEXT_BYTES) {
                let (sender, receiver) = mpsc::channel();
                let other = tokio::spawn(async move { sender.send(()).unwrap() });
                let _ = write_in_turn(&large, || receiver.recv_timeout(LIMIT).unwrap());
                other.await.unwrap();
            }
        });
        task.await.unwrap();
    }
}
