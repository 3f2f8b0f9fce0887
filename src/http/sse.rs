//! Server-Sent Events: framing, and the event streams of a batch and of a single extraction.

use bytes::{BufMut, BytesMut};
use serde::Serialize;

use super::response_stream::{BatchEnd, Encoder, ResponseContext};
use crate::contract::{
    ItemResult, ListItem, PartialResult, Problem, Progress, SingleDone, SseDone, append_json,
    to_json,
};
use crate::extraction::PartialEvent;
use crate::long_work::{LONG_TEXT_BYTES, run_off_worker};
use crate::types::{Error, ItemOutcome, Outcome, written_size};

/// First line of the first event of every stream: the delay before a client reconnects, in milliseconds. A block of its own
/// would be an event without data to some clients.
const RETRY: &[u8] = b"retry: 2000\n";

/// Writer of one event stream.
#[derive(Debug, Default)]
pub struct EventWriter {
    has_sent_retry: bool,
}

impl EventWriter {
    /// Appends an event. Compact JSON has no line breaks, so its data is one line.
    pub fn append(
        &mut self,
        out: &mut BytesMut,
        name: &str,
        id: Option<u64>,
        data: &impl Serialize,
    ) {
        self.append_frame(out, name, id, |out| append_json(out, data));
    }

    /// Appends an event whose data is JSON already.
    pub fn append_recorded(
        &mut self,
        out: &mut BytesMut,
        name: &str,
        id: Option<u64>,
        data: &[u8],
    ) {
        self.append_frame(out, name, id, |out| out.put_slice(data));
    }

    fn append_frame(
        &mut self,
        out: &mut BytesMut,
        name: &str,
        id: Option<u64>,
        data: impl FnOnce(&mut BytesMut),
    ) {
        if !std::mem::replace(&mut self.has_sent_retry, true) {
            out.put_slice(RETRY);
        }
        append_frame(out, name, id, data);
    }
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

/// Appends a comment, which keeps an idle connection open.
pub fn append_comment(out: &mut BytesMut) {
    out.put_slice(b": still at work\n\n");
}

/// Encoder of a batch: a `result` event per item, numbered from 1, `progress` about once per second, `done` last.
#[derive(Debug, Default)]
pub struct SseEncoder {
    events: EventWriter,
    number: u64,
}

impl Encoder for SseEncoder {
    fn outcome(&mut self, context: &ResponseContext, outcome: &Outcome, out: &mut BytesMut) {
        self.number += 1;
        self.events.append(
            out,
            "result",
            Some(self.number),
            &ItemResult::of_batch(outcome, &context.request_id),
        );
    }

    fn progress(&mut self, progress: Progress, out: &mut BytesMut) {
        self.events.append(out, "progress", None, &progress);
    }

    fn keep_alive(&mut self, out: &mut BytesMut) {
        append_comment(out);
    }

    fn end(&mut self, context: &ResponseContext, end: BatchEnd, out: &mut BytesMut) {
        if let Some(error) = &end.error {
            self.fail(context, error, out);
        }
        self.events.append(
            out,
            "done",
            None,
            &SseDone {
                status: end.status,
                summary: end.summary,
                metadata: context.metadata.as_ref(),
            },
        );
    }

    fn fail(&mut self, context: &ResponseContext, error: &Error, out: &mut BytesMut) {
        self.events.append(
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
    events: EventWriter,
    /// True if `partial` events are left out.
    items_only: bool,
    budget: PartialBudget,
    done: Option<SingleDone>,
}

impl SingleSse {
    /// Creates an encoder. With `items_only`, it sends no `partial` events.
    pub fn new(items_only: bool) -> Self {
        Self {
            items_only,
            ..Self::default()
        }
    }

    fn append_partial(&mut self, partial: &PartialEvent, out: &mut BytesMut) {
        match partial {
            PartialEvent::Partial { attempt, data } => {
                let attempt = *attempt;
                let json = to_json(&PartialResult { data, attempt });
                if self.budget.admit(attempt, json.len()) {
                    self.events.append_recorded(out, "partial", None, &json);
                }
            }
            PartialEvent::Item {
                attempt,
                index,
                data,
                evidence,
            } => {
                let item = ListItem {
                    index: *index,
                    data,
                    evidence: evidence.as_deref(),
                    attempt: *attempt,
                };
                self.events.append(out, "item", None, &item);
            }
        }
    }
}

/// Budget of a stream's `partial` events: all of an attempt together have at most [`PartialBudget::FACTOR`] times the bytes of
/// its last one, plus [`PartialBudget::BASE_BYTES`]. A version of the object that exceeds it is skipped; a later one replaces it.
#[derive(Debug, Default)]
struct PartialBudget {
    attempt: u32,
    sent_bytes: usize,
}

impl PartialBudget {
    const FACTOR: usize = 8;
    /// Allowance that lets short answers be sent token by token.
    const BASE_BYTES: usize = 4096;

    /// Returns true, and charges the event, if the budget allows an event of this size.
    fn admit(&mut self, attempt: u32, bytes: usize) -> bool {
        if attempt != self.attempt {
            *self = Self {
                attempt,
                sent_bytes: 0,
            };
        }
        let total = self.sent_bytes.saturating_add(bytes);
        let is_admitted = total
            <= bytes
                .saturating_mul(Self::FACTOR)
                .saturating_add(Self::BASE_BYTES);
        if is_admitted {
            self.sent_bytes = total;
        }
        is_admitted
    }
}

impl Encoder for SingleSse {
    fn partial(&mut self, partial: &PartialEvent, out: &mut BytesMut) {
        let data = match partial {
            PartialEvent::Partial { .. } if self.items_only => return,
            PartialEvent::Partial { data, .. } | PartialEvent::Item { data, .. } => data,
        };
        let is_large = written_size(data, LONG_TEXT_BYTES).is_none();
        run_off_worker(is_large, || self.append_partial(partial, out));
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
            // Only the end of the server cancels a single extraction; `end` has its error.
            ItemOutcome::Cancelled => {}
            ItemOutcome::Succeeded(_) | ItemOutcome::Invalid(_) => {
                self.events.append(out, "result", None, &result);
            }
        }
    }

    fn keep_alive(&mut self, out: &mut BytesMut) {
        append_comment(out);
    }

    fn end(&mut self, context: &ResponseContext, end: BatchEnd, out: &mut BytesMut) {
        if let Some(error) = &end.error {
            self.fail(context, error, out);
        }
        if let Some(done) = &self.done {
            self.events.append(out, "done", None, done);
        }
    }

    fn fail(&mut self, context: &ResponseContext, error: &Error, out: &mut BytesMut) {
        self.events.append(
            out,
            "error",
            None,
            &Problem::new(error, &context.request_id),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_is_part_of_the_first_event() {
        let (mut events, mut out) = (EventWriter::default(), BytesMut::new());
        append_comment(&mut out);
        events.append(&mut out, "progress", None, &1);
        events.append_recorded(&mut out, "result", Some(1), b"{}");
        let expected = ": still at work\n\nretry: 2000\nevent: progress\ndata: 1\n\nevent: result\nid: 1\ndata: {}\n\n";
        assert_eq!(out, expected);
    }

    #[test]
    fn partial_events_stay_within_their_budget() {
        for step in [1, 7, 40, 3_000] {
            let mut budget = PartialBudget::default();
            let (mut sent, mut versions) = (0, 0);
            for length in (step..=9_000).step_by(step) {
                if budget.admit(1, length) {
                    sent += length;
                    versions += 1;
                }
            }
            let most = PartialBudget::FACTOR * 9_000 + PartialBudget::BASE_BYTES;
            assert!(sent <= most && versions >= 3, "{step}: {sent} {versions}");
            assert!(budget.admit(2, 10), "a new attempt starts anew");
        }
    }
}
