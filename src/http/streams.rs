//! Replies in completion order: Server-Sent Events and NDJSON.

use bytes::{BufMut, BytesMut};
use serde::Serialize;

use super::response_stream::{Encoder, ResponseContext};
use crate::contract::{
    BatchStatus, ItemResult, ListItem, NdjsonSummary, PartialResult, Problem, Progress, SingleDone,
    SseDone, Summary, append_json,
};
use crate::extraction::PartialEvent;
use crate::types::{Error, ItemOutcome, Outcome};

/// How long a browser waits before it connects again, as the first line of every stream of events says.
const RETRY: &[u8] = b"retry: 2000\n\n";

/// Appends one event. JSON has no line breaks, so that its data is one line.
pub fn event(out: &mut BytesMut, name: &str, id: Option<u64>, data: &impl Serialize) {
    framed(out, name, id, |out| append_json(out, data));
}

/// Appends one whose data is JSON already.
pub fn recorded_event(out: &mut BytesMut, name: &str, id: u32, data: &[u8]) {
    framed(out, name, Some(id.into()), |out| out.put_slice(data));
}

fn framed(out: &mut BytesMut, name: &str, id: Option<u64>, data: impl FnOnce(&mut BytesMut)) {
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

/// Opens a stream of events.
pub fn open(out: &mut BytesMut) {
    out.put_slice(RETRY);
}

/// Keeps a quiet stream of events alive.
pub fn comment(out: &mut BytesMut) {
    out.put_slice(b": still at work\n\n");
}

/// An event for each outcome, numbered from 1; now and then the progress; `done` last.
#[derive(Debug, Default)]
pub struct SseEncoder {
    number: u64,
}

impl Encoder for SseEncoder {
    fn begin(&mut self, _: &ResponseContext, out: &mut BytesMut) {
        open(out);
    }

    fn outcome(&mut self, about: &ResponseContext, outcome: &Outcome, out: &mut BytesMut) {
        self.number += 1;
        event(
            out,
            "result",
            Some(self.number),
            &ItemResult::of_batch(outcome, &about.request_id),
        );
    }

    fn progress(&mut self, progress: Progress, out: &mut BytesMut) {
        event(out, "progress", None, &progress);
    }

    fn keep_alive(&mut self, out: &mut BytesMut) {
        comment(out);
    }

    fn end(
        &mut self,
        about: &ResponseContext,
        status: BatchStatus,
        summary: Summary,
        out: &mut BytesMut,
    ) {
        event(
            out,
            "done",
            None,
            &SseDone {
                status,
                summary,
                metadata: about.metadata.as_ref(),
            },
        );
    }

    fn fail(&mut self, about: &ResponseContext, error: &Error, out: &mut BytesMut) {
        event(out, "error", None, &Problem::new(error, &about.request_id));
    }
}

/// A line for each outcome; the last has the summary. A stream without it broke.
#[derive(Debug, Default)]
pub struct NdjsonEncoder;

impl Encoder for NdjsonEncoder {
    fn outcome(&mut self, about: &ResponseContext, outcome: &Outcome, out: &mut BytesMut) {
        append_json(out, &ItemResult::of_batch(outcome, &about.request_id));
        out.put_u8(b'\n');
    }

    fn end(
        &mut self,
        about: &ResponseContext,
        status: BatchStatus,
        summary: Summary,
        out: &mut BytesMut,
    ) {
        append_json(
            out,
            &NdjsonSummary {
                status,
                summary,
                metadata: about.metadata.as_ref(),
            },
        );
        out.put_u8(b'\n');
    }

    fn fail(&mut self, about: &ResponseContext, error: &Error, out: &mut BytesMut) {
        append_json(
            out,
            &serde_json::json!({"error": Problem::new(error, &about.request_id)}),
        );
        out.put_u8(b'\n');
    }
}

/// A single as events: `partial` and `item` while the answer is written, `result` or `error`, then `done`.
#[derive(Debug, Default)]
pub struct SingleSse {
    done: Option<SingleDone>,
}

impl Encoder for SingleSse {
    fn begin(&mut self, _: &ResponseContext, out: &mut BytesMut) {
        open(out);
    }

    fn news(&mut self, news: &PartialEvent, out: &mut BytesMut) {
        match news {
            PartialEvent::Partial { attempt, data } => event(
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
                event(
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

    fn outcome(&mut self, about: &ResponseContext, outcome: &Outcome, out: &mut BytesMut) {
        let result = about.single_result(outcome);
        self.done = Some(SingleDone {
            status: result.status,
            usage: outcome.usage,
            timing: outcome.timing.into(),
        });
        match &outcome.ending {
            ItemOutcome::Failed(error) => self.fail(about, error, out),
            ItemOutcome::Succeeded(_) | ItemOutcome::Invalid(_) | ItemOutcome::Cancelled => {
                event(out, "result", None, &result)
            }
        }
    }

    fn keep_alive(&mut self, out: &mut BytesMut) {
        comment(out);
    }

    fn end(&mut self, _: &ResponseContext, _: BatchStatus, _: Summary, out: &mut BytesMut) {
        if let Some(done) = &self.done {
            event(out, "done", None, done);
        }
    }

    fn fail(&mut self, about: &ResponseContext, error: &Error, out: &mut BytesMut) {
        event(out, "error", None, &Problem::new(error, &about.request_id));
    }
}
