//! Memory of results until they are written. What is made of a result that the item did not pay for is reserved before it is made: one
//! call may have any number of such items.

use std::time::Duration;

use ::evidence::EvidenceSize;
use serde_json::Value;

use super::prepared_request::PreparedRequest;
use super::request_class::RequestClass;
use super::waiting_memory::WaitingMemory;
use super::writing_piece::text_size;
use crate::long_work::run_off_worker;
use crate::types::{Code, Error, Grounding, ItemOutcome, size_beside_text};
use throttle::{
    CallerId, MemoryLedger, MemoryPool, MemoryReservation, MemoryUse, NoMemory, PooledMemory,
    RETRY_SOON,
};

/// Size up to which a result is not counted, in bytes: the number of results that are not read is bounded by the window.
const UNCOUNTED_RESULT_BYTES: usize = 4 * 1024;

/// Size up to which a shared result is read, or written, without reserving its memory first, in bytes: 64 KiB, as for a call.
pub(super) const UNRESERVED_RESULT_BYTES: usize = 64 * 1024;

/// Length of a value as JSON from which its leaves are counted off the workers, in bytes.
const LONG_WALK_BYTES: usize = 16 * 1024;

/// Records the memory of a part of a result, until the result is encoded.
pub(super) fn hold_result(results: &MemoryPool, bytes: usize) -> Option<PooledMemory> {
    (bytes > UNCOUNTED_RESULT_BYTES).then(|| results.hold(bytes))
}

/// Returns the time for which an item waits for the memory of a shared result: a single no longer than for a page of results, another one
/// as long as a client may read nothing.
const fn shared_result_wait(class: RequestClass) -> Duration {
    Duration::from_secs(match class {
        RequestClass::Single => 2,
        RequestClass::Batch | RequestClass::Job => 60,
    })
}

fn no_result_memory(refused: &NoMemory) -> Error {
    let detail = format!(
        "there is no memory for the cached result: {refused} (`limits.max_memory_bytes`); read the responses that are open, and retry in 1 s"
    );
    Error::new(Code::Overloaded, detail).retry_after(RETRY_SOON)
}

/// Memory that is reserved for what is made of a shared result.
#[derive(Debug)]
pub(super) struct SharedResultMemory {
    reserved: MemoryReservation,
    /// Part of it that is for the text of the response.
    text: usize,
}

impl SharedResultMemory {
    /// Reserves the memory of what is made of a result that was shared: its evidence and the text of its response, at once, so that no
    /// item waits for one while it has the other. `None` for a small result.
    ///
    /// # Errors
    /// `overloaded` if there was no room in time.
    pub async fn reserve(
        ledger: &MemoryLedger,
        caller: CallerId,
        request: &PreparedRequest,
        ending: &ItemOutcome,
    ) -> Result<Option<Self>, Error> {
        let size = ResultSize::estimate(ending, request.grounding());
        // The results of a job are written a few at a time.
        let copies = match request.class {
            RequestClass::Job => 0,
            RequestClass::Single | RequestClass::Batch => request.text_copies,
        };
        let text = size.text.saturating_mul(copies);
        let bytes = size.beside_data.saturating_add(text);
        if bytes <= UNRESERVED_RESULT_BYTES {
            return Ok(None);
        }
        let reserved = reserve_result(ledger, caller, request.class, bytes).await?;
        Ok(Some(Self { reserved, text }))
    }

    /// Holds the memory of the outcome that was made, of so many bytes beside its data, and that of its text.
    pub fn hold(mut self, results: &MemoryPool, bytes_beside_data: usize) -> PooledMemory {
        self.reserved
            .record(self.text.saturating_add(bytes_beside_data));
        results.hold_reserved(self.reserved)
    }
}

/// Waits until memory is reserved for a part of a result that no call of its item paid for.
///
/// # Errors
/// `overloaded` if there was no room in time.
pub(super) async fn reserve_result(
    ledger: &MemoryLedger,
    caller: CallerId,
    class: RequestClass,
    bytes: usize,
) -> Result<MemoryReservation, Error> {
    let empty = ledger.empty(caller, MemoryUse::Responses);
    // A larger one could never be reserved, and the item that was called has as much. At most two of them are made at a time.
    let room = bytes.min(empty.max_bytes() / 2);
    let mut memory = WaitingMemory::new(empty, shared_result_wait(class));
    match memory.reserve(room).await {
        Ok(()) => {
            let mut reserved = memory.split(room);
            reserved.record(bytes);
            Ok(reserved)
        }
        Err(refused) => Err(no_result_memory(&refused)),
    }
}

/// Estimated size of what is made of a result, in bytes.
#[derive(Debug, Default)]
struct ResultSize {
    /// Memory beside the data that is shared.
    beside_data: usize,
    /// Length as JSON.
    text: usize,
}

impl ResultSize {
    fn estimate(ending: &ItemOutcome, grounding: Grounding) -> Self {
        let mut size = Self::default();
        match ending {
            ItemOutcome::Succeeded(success) => {
                size.text += text_size(&success.repairs);
                size.add_grounded(&success.data, grounding);
            }
            ItemOutcome::Invalid(invalid) => {
                size.text += text_size(&invalid.errors);
                size.add_grounded(&invalid.candidate, grounding);
            }
            ItemOutcome::Failed(error) => {
                size.text += text_size(&error.errors);
                if let Some(attempted) = &error.attempted {
                    size.beside_data += attempted.raw.as_ref().map_or(0, String::capacity);
                    size.text += text_size(&attempted.raw);
                    size.text += attempted.candidate.as_deref().map_or(0, text_size);
                }
            }
            ItemOutcome::Cancelled => {}
        }
        size
    }

    /// Adds the data of a result, and its evidence.
    fn add_grounded(&mut self, data: &Value, grounding: Grounding) {
        let data_text = text_size(data);
        self.text += data_text;
        if !grounding.is_on() {
            return;
        }
        let is_long = data_text > LONG_WALK_BYTES;
        let evidence = run_off_worker(is_long, || EvidenceSize::estimate(data));
        self.text += evidence.json;
        self.beside_data += evidence.memory;
        if grounding == Grounding::Drop {
            // The data is copied before absent values are removed from it, and what is left is searched again.
            let copy = run_off_worker(is_long, || size_beside_text(data));
            self.beside_data += data_text + copy + evidence.memory;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::types::Success;

    fn succeeded(data: Value) -> ItemOutcome {
        ItemOutcome::Succeeded(Success {
            data: data.into(),
            model: "p/m".into(),
            repairs: Vec::new(),
            cached: true,
        })
    }

    #[test]
    fn evidence_is_estimated_where_it_is_made() {
        let ending = succeeded(json!(vec![7; 1_000]));
        let estimate = |grounding| ResultSize::estimate(&ending, grounding);
        let off = estimate(Grounding::Off);
        assert_eq!((off.beside_data, off.text), (0, 2_001 + 2));
        let report = estimate(Grounding::Report);
        assert!(report.beside_data > 100_000 && report.text > 100_000);
        let dropped = estimate(Grounding::Drop);
        assert!(dropped.beside_data > 2 * report.beside_data && dropped.text == report.text);
    }

    #[tokio::test(start_paused = true)]
    async fn a_single_waits_two_seconds_for_the_memory_of_a_shared_result() {
        let (caller, class) = (CallerId(1), RequestClass::Single);
        let ledger = MemoryLedger::new(1_000_000, 1_000_000);
        let reserve = || reserve_result(&ledger, caller, class, 400_000);
        let held = [reserve().await.unwrap(), reserve().await.unwrap()];
        let began = tokio::time::Instant::now();
        let error = reserve().await.unwrap_err();
        assert_eq!(error.code, Code::Overloaded);
        assert!((2_000..2_200).contains(&began.elapsed().as_millis()));
        let (waiting, ()) = tokio::join!(reserve(), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            drop(held);
        });
        assert_eq!(waiting.unwrap().bytes(), 400_000);
        assert_eq!(ledger.snapshot().held, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_shared_result_larger_than_all_memory_is_made_while_little_is_held() {
        let ledger = MemoryLedger::new(1_000_000, 1_000_000);
        let reserve = || reserve_result(&ledger, CallerId(1), RequestClass::Single, 5_000_000);
        let first = reserve().await.unwrap();
        assert_eq!(
            (first.bytes(), ledger.snapshot().held),
            (5_000_000, 5_000_000)
        );
        assert_eq!(reserve().await.unwrap_err().code, Code::Overloaded);
    }

    #[test]
    fn what_is_reserved_is_held_until_the_response_is_made() {
        let ledger = MemoryLedger::new(1_000_000, 1_000_000);
        let reserve = |bytes| ledger.reserve(CallerId(1), MemoryUse::Responses, bytes);
        let results = MemoryPool::new(ledger.empty(CallerId(1), MemoryUse::Responses));
        let memory = SharedResultMemory {
            reserved: reserve(500_000).unwrap(),
            text: 200_000,
        };
        let memory = memory.hold(&results, 100_000);
        assert_eq!((results.held(), ledger.snapshot().held), (300_000, 300_000));
        let reserved = memory.into_reservation().unwrap();
        assert_eq!((results.held(), reserved.bytes()), (0, 300_000));
        drop(reserved);
        assert_eq!(ledger.snapshot().held, 0);
    }

    #[test]
    fn the_candidate_of_a_shared_failure_is_text() {
        let error = Error {
            attempted: Some(std::sync::Arc::new(crate::types::AttemptInfo {
                candidate: Some(json!("x".repeat(5_000)).into()),
                raw: Some("\n".repeat(1_000)),
                ..crate::types::AttemptInfo::default()
            })),
            ..Error::new(Code::ExtractionFailed, "no")
        };
        let size = ResultSize::estimate(&ItemOutcome::Failed(error), Grounding::Report);
        assert!(size.text >= 7_000 && size.beside_data >= 1_000, "{size:?}");
    }
}
