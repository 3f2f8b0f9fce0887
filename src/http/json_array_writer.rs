//! Ordered JSON response of a batch: results are buffered until all items have ended.

use bytes::{BufMut, Bytes, BytesMut};

use super::request_memory::{no_memory, too_large_to_buffer};
use super::response_stream::{BatchEnd, Encoder, ResponseContext};
use crate::contract::{ItemResult, Problem, append_json};
use crate::types::{Error, Outcome};
use throttle::{MemoryReservation, NoMemory};

/// Approximate size of a part of the response, in bytes.
const PART_BYTES: usize = 32 * 1024;

/// Encoder of one JSON object in input order. Sends white space before it to keep an idle connection open.
#[derive(Debug)]
pub struct JsonArrayWriter {
    /// Results as JSON, by index.
    results: Vec<Box<[u8]>>,
    size_bytes: usize,
    /// Size of the blocks that the allocator gives for the results, in bytes.
    block_bytes: usize,
    max_bytes: usize,
    /// Memory of the results until they are sent.
    memory: MemoryReservation,
    refused: Option<NoMemory>,
    /// Number of results that were sent, and what follows the last; `None` before the end.
    sending: Option<(usize, Bytes)>,
}

impl JsonArrayWriter {
    /// Creates a writer that buffers up to this many bytes, in memory that it reserves.
    pub const fn new(max_bytes: usize, memory: MemoryReservation) -> Self {
        Self {
            results: Vec::new(),
            size_bytes: 0,
            block_bytes: 0,
            max_bytes,
            memory,
            refused: None,
            sending: None,
        }
    }

    /// Returns the memory that the buffered results take, in bytes.
    const fn held_bytes(&self) -> usize {
        self.block_bytes + self.results.capacity() * size_of::<Box<[u8]>>()
    }

    /// Gives back the memory of what was sent.
    fn release(&mut self) {
        self.memory.shrink(self.held_bytes());
    }

    fn reserve(&mut self) {
        let needed = self.held_bytes();
        // In steps, so that the ledger is not asked for each result.
        if needed > self.memory.bytes() {
            self.refused = self.memory.resize(needed + PART_BYTES).err();
        }
    }
}

/// Returns the size of the block that jemalloc gives for so many bytes: there are four sizes for each doubling.
const fn block_bytes(bytes: usize) -> usize {
    let step = bytes.next_power_of_two() / 8;
    bytes.next_multiple_of(if step > 16 { step } else { 16 })
}

impl Encoder for JsonArrayWriter {
    fn outcome(&mut self, context: &ResponseContext, outcome: &Outcome, _: &mut BytesMut) {
        let mut json = BytesMut::new();
        append_json(
            &mut json,
            &ItemResult::of_batch(outcome, &context.request_id),
        );
        self.size_bytes += json.len();
        self.block_bytes += block_bytes(json.len());
        if self.results.len() <= outcome.index {
            self.results.resize_with(outcome.index + 1, Box::default);
        }
        if let Some(result) = self.results.get_mut(outcome.index) {
            *result = json.as_ref().into();
        }
        self.reserve();
    }

    fn keep_alive(&mut self, out: &mut BytesMut) {
        out.put_u8(b'\n');
    }

    fn end(&mut self, context: &ResponseContext, end: BatchEnd, out: &mut BytesMut) {
        out.put_slice(b"{\"id\":");
        append_json(out, &context.id);
        out.put_slice(b",\"status\":");
        append_json(out, &end.status);
        out.put_slice(b",\"results\":[");
        let mut last = BytesMut::new();
        last.put_slice(b"],\"summary\":");
        append_json(&mut last, &end.summary);
        if let Some(error) = &end.error {
            last.put_slice(b",\"error\":");
            append_json(&mut last, &Problem::new(error, &context.request_id));
        }
        if let Some(metadata) = &context.metadata {
            last.put_slice(b",\"metadata\":");
            append_json(&mut last, metadata);
        }
        last.put_u8(b'}');
        self.sending = Some((0, last.freeze()));
        self.next_part(out);
    }

    fn next_part(&mut self, out: &mut BytesMut) -> bool {
        let Some((sent, last)) = &mut self.sending else {
            return false;
        };
        let first = *sent;
        for result in self.results.iter_mut().skip(first) {
            if out.len() >= PART_BYTES {
                self.release();
                return true;
            }
            if *sent > 0 {
                out.put_u8(b',');
            }
            // Taken, so that what was sent is no longer held.
            let result = std::mem::take(result);
            out.put_slice(&result);
            self.size_bytes -= result.len();
            self.block_bytes -= block_bytes(result.len());
            *sent += 1;
        }
        out.put_slice(last);
        self.sending = None;
        self.results = Vec::new();
        self.release();
        true
    }

    fn fail(&mut self, context: &ResponseContext, error: &Error, out: &mut BytesMut) {
        self.results = Vec::new();
        self.size_bytes = 0;
        self.block_bytes = 0;
        self.release();
        append_json(out, &Problem::new(error, &context.request_id));
    }

    fn buffer_error(&self) -> Option<Error> {
        if self.size_bytes > self.max_bytes {
            return Some(too_large_to_buffer());
        }
        self.refused.as_ref().map(no_memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_counts_as_the_block_that_it_takes() {
        for (bytes, block) in [
            (1, 16),
            (17, 32),
            (129, 160),
            (512, 512),
            (513, 640),
            (550, 640),
            (1025, 1280),
            (2000, 2048),
        ] {
            assert_eq!(block_bytes(bytes), block, "{bytes}");
        }
    }
}
