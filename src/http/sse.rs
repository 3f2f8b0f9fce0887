//! Server-Sent Events: framing, and the event streams of a batch and of a single extraction.

use bytes::{BufMut, BytesMut};
use serde::Serialize;

use super::response_stream::{Encoder, ResponseContext};
use crate::contract::{
    BatchStatus, ItemResult, ListItem, PartialResult, Problem, Progress, SingleDone, SseDone,
    Summary, append_json,
};
use crate::extraction::PartialEvent;
use crate::types::{Error, ItemOutcome, Outcome};

/// First line of every event stream: the delay before a browser reconnects, in milliseconds.
const RETRY: &[u8] = b"retry: 2000\n\n";

/// Appends an event. Compact JSON has no line breaks, so its data is one line.
pub fn append_event(out: &mut BytesMut, name: &str, id: Option<u64>, data: &impl Serialize) {
    append_frame(out, name, id, |out| append_json(out, data));
}

/// Appends an event whose data is JSON already.
pub fn append_recorded_event(out: &mut BytesMut, name: &str, id: u32, data: &[u8]) {
    append_frame(out, name, Some(id.into()), |out| out.put_slice(data));
}

fn append_frame(out: &mut BytesMut, name: &str, id: Option<u64>, data: impl FnOnce(&mut BytesMut)) {
    out.put_slice(b"event: ");
    out.put_slice(name.as_bytes());
    if let Some(id) = id {
        out.put_slice(b"\nid: ");
        out.put_slice(id.to_string().as_bytes());
    }
    out.put_slice(b"\ndata: ");
    data(out);
    out.put_slice(b"\n\n");
}

/// Appends the first line of an event stream.
pub fn append_retry(out: &mut BytesMut) {
    out.put_slice(RETRY);
}

/// Appends a comment, which keeps an idle connection open.
pub fn append_comment(out: &mut BytesMut) {
    out.put_slice(b": still at work\n\n");
}

/// Encoder of a batch: a `result` event per item, numbered from 1, `progress` about once per second, `done` last.
#[derive(Debug, Default)]
pub struct SseEncoder {
    number: u64,
}

impl Encoder for SseEncoder {
    fn begin(&mut self, _: &ResponseContext, out: &mut BytesMut) {
        append_retry(out);
    }

    fn outcome(&mut self, context: &ResponseContext, outcome: &Outcome, out: &mut BytesMut) {
        self.number += 1;
        append_event(
            out,
            "result",
            Some(self.number),
            &ItemResult::of_batch(outcome, &context.request_id),
        );
    }

    fn progress(&mut self, progress: Progress, out: &mut BytesMut) {
        append_event(out, "progress", None, &progress);
    }

    fn keep_alive(&mut self, out: &mut BytesMut) {
        append_comment(out);
    }

    fn end(
        &mut self,
        context: &ResponseContext,
        status: BatchStatus,
        summary: Summary,
        out: &mut BytesMut,
    ) {
        append_event(
            out,
            "done",
            None,
            &SseDone {
                status,
                summary,
                metadata: context.metadata.as_ref(),
            },
        );
    }

    fn fail(&mut self, context: &ResponseContext, error: &Error, out: &mut BytesMut) {
        append_event(
            out,
            "error",
            None,
            &Problem::new(error, &context.request_id),
        );
    }
}

/// Encoder of a single extraction: `partial` and `item` while the model writes, `result` or `error`, then `done`.
#[derive(Debug, Default)]
pub struct SingleSse {
    done: Option<SingleDone>,
}

impl Encoder for SingleSse {
    fn begin(&mut self, _: &ResponseContext, out: &mut BytesMut) {
        append_retry(out);
    }

    fn partial(&mut self, partial: &PartialEvent, out: &mut BytesMut) {
        match partial {
            PartialEvent::Partial { attempt, data } => append_event(
                out,
                "partial",
                None,
                &PartialResult {
                    data,
                    attempt: *attempt,
                },
            ),
            PartialEvent::Item {
                attempt,
                index,
                data,
            } => {
                append_event(
                    out,
                    "item",
                    None,
                    &ListItem {
                        index: *index,
                        data,
                        attempt: *attempt,
                    },
                );
            }
        }
    }

    fn outcome(&mut self, context: &ResponseContext, outcome: &Outcome, out: &mut BytesMut) {
        let result = context.single_result(outcome);
        self.done = Some(SingleDone {
            status: result.status,
            usage: outcome.usage,
            timing: outcome.timing.into(),
        });
        match &outcome.ending {
            ItemOutcome::Failed(error) => self.fail(context, error, out),
            ItemOutcome::Succeeded(_) | ItemOutcome::Invalid(_) | ItemOutcome::Cancelled => {
                append_event(out, "result", None, &result);
            }
        }
    }

    fn keep_alive(&mut self, out: &mut BytesMut) {
        append_comment(out);
    }

    fn end(&mut self, _: &ResponseContext, _: BatchStatus, _: Summary, out: &mut BytesMut) {
        if let Some(done) = &self.done {
            append_event(out, "done", None, done);
        }
    }

    fn fail(&mut self, context: &ResponseContext, error: &Error, out: &mut BytesMut) {
        append_event(
            out,
            "error",
            None,
            &Problem::new(error, &context.request_id),
        );
    }
}
