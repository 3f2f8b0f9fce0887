//! Conversion between stored items and the extraction's inputs and outcomes.

use super::rendering;
use super::store::{FinishedItem, ItemStatus, PendingItem};
use crate::types::{Code, Error, Input, Item, ItemOutcome, Outcome, plain_message};

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

/// Returns the result `cancelled` of an item that did not run.
pub fn cancelled_result(pending: &PendingItem, request_id: &str) -> Option<FinishedItem> {
    let input = decode_input(pending);
    let outcome = Outcome::cancelled(input.index, input.id, input.metadata);
    encode_result(&outcome, request_id)
}

#[cfg(test)]
mod tests {
    use super::*;

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
