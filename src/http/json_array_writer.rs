//! The reply in input order: results are held until all are there.

use bytes::{BufMut, BytesMut};

use super::response_stream::{Encoder, ResponseContext};
use crate::contract::{BatchStatus, ItemResult, Problem, Summary, append_json};
use crate::types::{Error, Outcome};

/// One JSON object at the end; white space before it while it takes long.
#[derive(Debug)]
pub struct JsonArrayWriter {
    /// Each result as JSON, at its index.
    results: Vec<Box<[u8]>>,
    bytes: usize,
    max_bytes: usize,
}

impl JsonArrayWriter {
    pub const fn new(max_bytes: usize) -> Self {
        Self {
            results: Vec::new(),
            bytes: 0,
            max_bytes,
        }
    }
}

impl Encoder for JsonArrayWriter {
    fn outcome(&mut self, about: &ResponseContext, outcome: &Outcome, _: &mut BytesMut) {
        let mut json = BytesMut::new();
        append_json(&mut json, &ItemResult::of_batch(outcome, &about.request_id));
        self.bytes += json.len();
        if self.results.len() <= outcome.index {
            self.results.resize_with(outcome.index + 1, Box::default);
        }
        if let Some(place) = self.results.get_mut(outcome.index) {
            *place = json.as_ref().into();
        }
    }

    fn keep_alive(&mut self, out: &mut BytesMut) {
        out.put_u8(b'\n');
    }

    fn end(
        &mut self,
        about: &ResponseContext,
        status: BatchStatus,
        summary: Summary,
        out: &mut BytesMut,
    ) {
        out.reserve(self.bytes + self.results.len() + 512);
        out.put_slice(b"{\"id\":");
        append_json(out, &about.id);
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
        if let Some(metadata) = &about.metadata {
            out.put_slice(b",\"metadata\":");
            append_json(out, metadata);
        }
        out.put_u8(b'}');
    }

    fn fail(&mut self, about: &ResponseContext, error: &Error, out: &mut BytesMut) {
        self.results = Vec::new();
        append_json(out, &Problem::new(error, &about.request_id));
    }

    fn held(&self) -> Option<(usize, usize)> {
        Some((self.bytes, self.max_bytes))
    }
}
