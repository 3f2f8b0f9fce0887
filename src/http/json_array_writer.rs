//! Ordered JSON response of a batch: results are buffered until all items have ended.

use bytes::{BufMut, BytesMut};

use super::response_stream::{Encoder, ResponseContext};
use crate::contract::{BatchStatus, ItemResult, Problem, Summary, append_json};
use crate::types::{Error, Outcome};

/// Encoder of one JSON object in input order. Sends white space before it to keep an idle connection open.
#[derive(Debug)]
pub struct JsonArrayWriter {
    /// Results as JSON, by index.
    results: Vec<Box<[u8]>>,
    size_bytes: usize,
    max_bytes: usize,
}

impl JsonArrayWriter {
    /// Creates a writer that buffers up to this many bytes.
    pub const fn new(max_bytes: usize) -> Self {
        Self {
            results: Vec::new(),
            size_bytes: 0,
            max_bytes,
        }
    }
}

impl Encoder for JsonArrayWriter {
    fn outcome(&mut self, context: &ResponseContext, outcome: &Outcome, _: &mut BytesMut) {
        let mut json = BytesMut::new();
        append_json(
            &mut json,
            &ItemResult::of_batch(outcome, &context.request_id),
        );
        self.size_bytes += json.len();
        if self.results.len() <= outcome.index {
            self.results.resize_with(outcome.index + 1, Box::default);
        }
        if let Some(result) = self.results.get_mut(outcome.index) {
            *result = json.as_ref().into();
        }
    }

    fn keep_alive(&mut self, out: &mut BytesMut) {
        out.put_u8(b'\n');
    }

    fn end(
        &mut self,
        context: &ResponseContext,
        status: BatchStatus,
        summary: Summary,
        out: &mut BytesMut,
    ) {
        out.reserve(self.size_bytes + self.results.len() + 512);
        out.put_slice(b"{\"id\":");
        append_json(out, &context.id);
        out.put_slice(b",\"status\":");
        append_json(out, &status);
        out.put_slice(b",\"results\":[");
        for (index, result) in std::mem::take(&mut self.results).iter().enumerate() {
            if index > 0 {
                out.put_u8(b',');
            }
            out.put_slice(result);
        }
        out.put_slice(b"],\"summary\":");
        append_json(out, &summary);
        if let Some(metadata) = &context.metadata {
            out.put_slice(b",\"metadata\":");
            append_json(out, metadata);
        }
        out.put_u8(b'}');
    }

    fn fail(&mut self, context: &ResponseContext, error: &Error, out: &mut BytesMut) {
        self.results = Vec::new();
        append_json(out, &Problem::new(error, &context.request_id));
    }

    fn buffered(&self) -> Option<(usize, usize)> {
        Some((self.size_bytes, self.max_bytes))
    }
}
