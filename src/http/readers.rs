//! Readers of request bytes, public for the fuzz targets.

use std::time::Duration;

use super::upload_monitor::UploadMonitor;
use crate::extraction::WaitingMemory;
use throttle::{CallerId, MemoryLedger, MemoryUse};

pub use super::json_body::parse;
pub use super::ndjson_reader::NdjsonReader;
pub use super::query::batch;
pub use crate::types::parsed_size;

/// Returns a reader of an NDJSON body that arrives in these chunks.
#[must_use]
pub fn lines(chunks: &[Vec<u8>], max_line_bytes: usize) -> NdjsonReader {
    let chunks: Vec<_> = chunks
        .iter()
        .cloned()
        .map(Ok::<_, std::io::Error>)
        .collect();
    let body = axum::body::Body::from_stream(futures_util::stream::iter(chunks));
    let ledger = MemoryLedger::new(usize::MAX, usize::MAX);
    let memory = ledger.empty(CallerId::default(), MemoryUse::Inputs);
    let memory = WaitingMemory::new(memory, Duration::MAX);
    NdjsonReader::new(
        body.into_data_stream(),
        max_line_bytes,
        std::sync::Arc::new(UploadMonitor::new(Duration::MAX)),
        memory,
    )
}
