//! Conversion between stored items and the extraction's inputs and outcomes.

use super::rendering;
use super::store::{FinishedItem, ItemStatus, PendingItem};
use crate::extraction::writing_piece;
use crate::long_work::{Piece, run_long};
use crate::types::{Code, Error, Input, Item, ItemOutcome, Outcome, plain_message};
use throttle::CallerId;

/// Returns the input of a stored item. A stored input that this version cannot parse becomes an input that fails.
pub fn decode_input(pending: &PendingItem) -> Input {
    let index = pending.index as usize;
    match serde_json::from_slice::<Item>(&pending.input) {
        Ok(item) => Input::new(index, item),
        Err(error) => {
            let detail = format!(
                "this version of the server cannot read the stored input: {}; create the job again",
                plain_message(&error)
            );
            Input::unreadable(index, Error::new(Code::Internal, detail))
        }
    }
}

/// Decodes an input of a caller as [`decode_input`] does, as long work if it is long.
pub async fn decode_in_turn(pending: &PendingItem, caller: CallerId) -> Input {
    let piece = Piece::if_long(caller, pending.input.len());
    run_long(piece, || decode_input(pending)).await
}

/// Returns the result to be recorded for an outcome; `None` for an item that only the shutdown ended, which runs again in the
/// next process. `request_id` is the ID of the request that created the job.
pub fn encode_result(outcome: &Outcome, request_id: &str) -> Option<FinishedItem> {
    let status = match &outcome.ending {
        ItemOutcome::Succeeded(_) => ItemStatus::Succeeded,
        ItemOutcome::Invalid(_) => ItemStatus::Invalid,
        ItemOutcome::Failed(error) if error.code == Code::ShuttingDown => return None,
        ItemOutcome::Failed(_) => ItemStatus::Failed,
        ItemOutcome::Cancelled => ItemStatus::Cancelled,
    };
    Some(FinishedItem {
        index: u32::try_from(outcome.index).unwrap_or(u32::MAX),
        status,
        body: rendering::result_json(outcome, request_id),
        usage: outcome.usage,
        grounding: outcome.evidence_counts(),
    })
}

/// Encodes the outcome of an item of a caller as [`encode_result`] does, as long work if it is long.
pub async fn encode_in_turn(
    outcome: &Outcome,
    request_id: &str,
    caller: CallerId,
) -> Option<FinishedItem> {
    let piece = writing_piece(outcome, caller);
    run_long(piece, || encode_result(outcome, request_id)).await
}

/// Returns the result `cancelled` of an item that did not run.
pub fn cancelled_result(pending: &PendingItem, request_id: &str) -> Option<FinishedItem> {
    let input = decode_input(pending);
    let outcome = Outcome::cancelled(input.index, input.id, input.metadata);
    encode_result(&outcome, request_id)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::time::Duration;

    use futures_util::FutureExt;
    use serde_json::Value;

    use super::super::store::CrashCount;
    use super::*;
    use crate::long_work::{LONG_TEXT_BYTES, take_all_permits};
    use crate::types::Invalid;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_long_input_waits_for_its_turn_to_be_decoded() {
        let caller = CallerId(43);
        let pending = |bytes| PendingItem {
            index: 3,
            input: format!("\"{}\"", "x".repeat(bytes - 2)).into_bytes(),
            crash_count: CrashCount::default(),
        };
        let (short, long) = (pending(LONG_TEXT_BYTES - 1), pending(LONG_TEXT_BYTES));
        let release = take_all_permits(caller);
        assert!(decode_in_turn(&short, caller).now_or_never().is_some());
        let mut decoded = pin!(decode_in_turn(&long, caller));
        assert!(decoded.as_mut().now_or_never().is_none(), "it has no turn");
        drop(release);
        let limit = Duration::from_secs(30);
        let decoded = tokio::time::timeout(limit, decoded).await.unwrap();
        let length = decoded.content.as_ref().map(String::len);
        assert_eq!((decoded.index, length), (3, Ok(LONG_TEXT_BYTES - 2)));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_long_result_waits_for_its_turn_to_be_encoded() {
        let caller = CallerId(45);
        let invalid = |bytes| Outcome {
            ending: ItemOutcome::Invalid(Invalid {
                candidate: Value::from("x".repeat(bytes)).into(),
                errors: Vec::new(),
                model: None,
            }),
            ..Outcome::cancelled(3, None, None)
        };
        let (short, long) = (invalid(LONG_TEXT_BYTES / 2), invalid(LONG_TEXT_BYTES));
        let release = take_all_permits(caller);
        let encoded = encode_in_turn(&short, "req_1", caller);
        assert!(encoded.now_or_never().is_some());
        let mut encoded = pin!(encode_in_turn(&long, "req_1", caller));
        assert!(encoded.as_mut().now_or_never().is_none(), "it has no turn");
        drop(release);
        let limit = Duration::from_secs(30);
        let encoded = tokio::time::timeout(limit, encoded).await.unwrap();
        assert_eq!(encoded, encode_result(&long, "req_1"));
    }

    #[test]
    fn an_item_that_only_the_shutdown_ended_has_no_result() {
        let failed = |code| Outcome {
            ending: ItemOutcome::Failed(Error::new(code, "a reason")),
            ..Outcome::cancelled(3, None, None)
        };
        assert_eq!(encode_result(&failed(Code::ShuttingDown), "req_1"), None);
        let result = encode_result(&failed(Code::Internal), "req_1").unwrap();
        assert_eq!((result.index, result.status), (3, ItemStatus::Failed));
    }
}
