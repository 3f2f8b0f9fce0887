//! NDJSON response of a batch: one line per result, the summary last.

use bytes::{BufMut, BytesMut};

use super::response_stream::{BatchEnd, Encoder, ResponseContext};
use crate::contract::{ItemResult, NdjsonSummary, Problem, append_json};
use crate::types::{Error, Outcome};

/// Encoder of a batch: a line per result in completion order; the summary is the last line. A response without it is incomplete.
#[derive(Debug, Default)]
pub struct NdjsonEncoder;

impl Encoder for NdjsonEncoder {
    fn outcome(&mut self, context: &ResponseContext, outcome: &Outcome, out: &mut BytesMut) {
        append_json(out, &ItemResult::of_batch(outcome, &context.request_id));
        out.put_u8(b'\n');
    }

    fn end(&mut self, context: &ResponseContext, end: BatchEnd, out: &mut BytesMut) {
        append_json(
            out,
            &NdjsonSummary {
                status: end.status,
                summary: end.summary,
                error: end
                    .error
                    .as_ref()
                    .map(|error| Problem::new(error, &context.request_id)),
                metadata: context.metadata.as_ref(),
            },
        );
        out.put_u8(b'\n');
    }

    fn fail(&mut self, context: &ResponseContext, error: &Error, out: &mut BytesMut) {
        append_json(
            out,
            &serde_json::json!({"error": Problem::new(error, &context.request_id)}),
        );
        out.put_u8(b'\n');
    }
}
