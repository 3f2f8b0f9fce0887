//! Batch: a window of tasks turns a stream of inputs into a stream of outcomes, whatever the response format.
//!
//! The tasks are in a `JoinSet`. Inputs are pulled as the window moves, never faster than outcomes are taken: this is the
//! backpressure. Dropping [`Outcomes`] cancels the tasks, which release their permits and leave the queue.

use std::collections::{BTreeMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::{FutureExt, Stream, StreamExt};
use tokio::task::JoinSet;

use super::extractor::Extractor;
use super::outages::Outage;
use super::prepared_request::PreparedRequest;
use crate::long_work::{Piece, poll_long, run_long};
use crate::turn;
use crate::types::{Code, Error, Input, ItemOutcome, OnError, Outcome, SentMetadata};
use throttle::{Admission, MemoryPool, MemoryReservation, MemoryUse, PendingPermit};

/// Units of a task's turn that one outcome takes: at most sixteen follow each other, for about a tenth of a millisecond.
const OUTCOME_UNITS: u32 = 8;

/// Units of a task's turn that an input takes beside those for its text: a batch may start thousands of items.
const INPUT_UNITS: u32 = 1;

/// Memory of finished results that are not read, in bytes, from which a batch starts no further items: 16 MiB, thousands of ordinary
/// results.
const MAX_UNREAD_BYTES: usize = 16 * 1024 * 1024;

/// Stream of a request's inputs, in order.
pub trait Inputs: Stream<Item = Input> + Send + Unpin {}

impl<S: Stream<Item = Input> + Send + Unpin> Inputs for S {}

/// Stream of outcomes, one for each input, in completion order.
#[derive(Debug)]
pub struct Outcomes<S> {
    extractor: Arc<Extractor>,
    request: Arc<PreparedRequest>,
    admission: Arc<Admission>,
    /// `None` once the stream has ended or the batch drains.
    inputs: Option<S>,
    tasks: JoinSet<Outcome>,
    on_error: OnError,
    /// Identity of each started item, for the outcomes of cancelled ones.
    started: BTreeMap<usize, (Option<String>, Option<SentMetadata>)>,
    /// Outcomes that are still to be returned after a stop.
    cancelled: VecDeque<Outcome>,
    stopped: bool,
    pulled: usize,
    /// Units of the task's turn that the last input takes. They are taken before the next one is read, so that none is kept back.
    owed_units: u32,
    results: MemoryPool,
}

/// Extracts from one input within the current task: a task of its own would cost two wake-ups of another thread.
pub(super) async fn extract_in_place(
    extractor: &Extractor,
    request: &Arc<PreparedRequest>,
    admission: &Admission,
    input: Input,
) -> Outcome {
    let results = result_memory(extractor, admission);
    enter_and_run(extractor, request, admission, &results, input).await
}

/// Puts an item into the queue, and extracts from it.
async fn enter_and_run(
    extractor: &Extractor,
    request: &Arc<PreparedRequest>,
    admission: &Admission,
    results: &MemoryPool,
    input: Input,
) -> Outcome {
    let piece = long_piece(&input, admission);
    let pending = run_long(piece, || extractor.enter(request, admission, &input)).await;
    run_item_catching_panics(extractor, request, admission, results, pending, input).await
}

/// Returns the memory of a request's results, from their validation until they are encoded.
fn result_memory(extractor: &Extractor, admission: &Admission) -> MemoryPool {
    let ledger = extractor.limits.memory();
    MemoryPool::new(ledger.empty(admission.caller(), MemoryUse::Responses))
}

/// Returns the piece of long work that an input is; `None` if it is short.
fn long_piece(input: &Input, admission: &Admission) -> Option<Piece> {
    let bytes = input.content.as_ref().map_or(0, String::len);
    let caller = admission.caller();
    Piece::if_long(caller, bytes)
}

/// Returns the size of what was read for an input, in bytes: its text, or its line.
fn read_bytes(input: &Input) -> usize {
    let text = input.content.as_ref().map_or(0, String::len);
    let held = input.memory.as_ref().map_or(0, MemoryReservation::bytes);
    text.max(held)
}

/// Extracts from one input. A panic becomes the outcome `internal`.
async fn run_item_catching_panics(
    extractor: &Extractor,
    request: &Arc<PreparedRequest>,
    admission: &Admission,
    results: &MemoryPool,
    pending: Option<PendingPermit>,
    input: Input,
) -> Outcome {
    let (index, id, metadata) = (input.index, input.id.clone(), input.metadata.clone());
    let piece = long_piece(&input, admission);
    let extraction = extractor.extract_item(request, admission, results, pending, input);
    // On the heap: a future is moved with its whole size, and this one takes kilobytes.
    let mut extraction = Box::pin(AssertUnwindSafe(extraction).catch_unwind());
    poll_long(piece, extraction.as_mut())
        .await
        .unwrap_or_else(|_| panicked(index, id, metadata))
}

impl<S> Outcomes<S> {
    pub(super) fn new(
        extractor: Arc<Extractor>,
        request: Arc<PreparedRequest>,
        admission: Admission,
        on_error: OnError,
        inputs: S,
    ) -> Self {
        Self {
            results: result_memory(&extractor, &admission),
            extractor,
            request,
            admission: Arc::new(admission),
            inputs: Some(inputs),
            tasks: JoinSet::new(),
            on_error,
            started: BTreeMap::new(),
            cancelled: VecDeque::new(),
            stopped: false,
            pulled: 0,
            owed_units: 0,
        }
    }

    /// Returns true if a failed item, or [`Outcomes::interrupt`], has stopped the batch.
    pub const fn stopped(&self) -> bool {
        self.stopped
    }

    /// Ends the batch now: completed items keep their outcomes, calls in flight are aborted, and every other input is
    /// cancelled. With `keeps_inputs` false, inputs that were not read yet are dropped instead: those of an upload may never end.
    pub fn interrupt(&mut self, keeps_inputs: bool) {
        if !keeps_inputs {
            self.inputs = None;
        }
        if !self.stopped {
            self.stop();
        }
    }

    /// Returns true if all inputs were read.
    pub const fn has_read_all(&self) -> bool {
        self.inputs.is_none()
    }

    /// Stops the batch: completed items keep their outcomes, the others are cancelled.
    fn stop(&mut self) {
        self.stopped = true;
        while let Some(joined) = self.tasks.try_join_next() {
            if let Ok(outcome) = joined {
                self.started.remove(&outcome.index);
                self.cancelled.push_back(outcome);
            }
        }
        self.admission.cancel_all();
        self.admission.release_places_above(0);
        // The set keeps the aborted tasks until it is dropped, so that none runs without an owner.
        self.tasks.abort_all();
        let started = std::mem::take(&mut self.started);
        self.cancelled.extend(
            started
                .into_iter()
                .map(|(index, (id, metadata))| Outcome::cancelled(index, id, metadata)),
        );
    }

    /// Stops starting items. Unstarted items end as `shutting_down`; in-flight items complete.
    pub fn drain(&mut self) {
        self.inputs = None;
        self.admission.reject_unstarted();
    }

    /// Returns the number of calls in flight.
    pub fn in_flight(&self) -> usize {
        self.admission.in_flight()
    }

    /// Returns true if an item is in progress, or its outcome was not taken yet.
    pub fn has_items(&self) -> bool {
        !self.tasks.is_empty() || !self.cancelled.is_empty()
    }

    /// Returns true if the outcomes have evidence.
    pub fn has_evidence(&self) -> bool {
        self.request.grounding().is_on()
    }

    /// Returns the outage that keeps all items from being called, if there is one.
    pub fn outage(&self) -> Option<Outage> {
        let caller = self.admission.caller();
        self.extractor.outage_of(&self.request, caller)
    }

    /// Returns the number of inputs that were read so far.
    pub const fn pulled(&self) -> usize {
        self.pulled
    }
}

/// Removes the waiting items from the queue first: else each cancelled call would pass its slot to an item that is about to be
/// cancelled.
impl<S> Drop for Outcomes<S> {
    fn drop(&mut self) {
        self.admission.cancel_all();
    }
}

impl<S: Inputs> Outcomes<S> {
    fn poll_input(&mut self, cx: &mut Context<'_>) -> Poll<Option<Input>> {
        let Some(inputs) = &mut self.inputs else {
            return Poll::Ready(None);
        };
        let owed = std::mem::take(&mut self.owed_units);
        ready!(turn::poll_take(cx, owed));
        let input = ready!(inputs.poll_next_unpin(cx));
        match &input {
            Some(input) => {
                self.pulled += 1;
                self.owed_units = INPUT_UNITS + turn::units_for(read_bytes(input));
            }
            None => self.inputs = None,
        }
        Poll::Ready(input)
    }

    /// Starts tasks until the window is full, no input is ready, or the turn of this task is used up. A completed task counts until its outcome is taken.
    fn fill(&mut self, cx: &mut Context<'_>) {
        while self.tasks.len() < self.admission.window()
            && (self.tasks.is_empty() || self.results.held() < MAX_UNREAD_BYTES)
            && self.admission.reserve_place(self.tasks.len() + 1)
        {
            let Poll::Ready(Some(input)) = self.poll_input(cx) else {
                // Places belong to items that exist.
                self.admission.release_places_above(self.tasks.len());
                return;
            };
            self.started
                .insert(input.index, (input.id.clone(), input.metadata.clone()));
            let (extractor, request, admission, results) = (
                Arc::clone(&self.extractor),
                Arc::clone(&self.request),
                Arc::clone(&self.admission),
                self.results.clone(),
            );
            if long_piece(&input, &admission).is_some() {
                self.tasks.spawn(async move {
                    enter_and_run(&extractor, &request, &admission, &results, input).await
                });
                continue;
            }
            // Here and not in the task, so that short items enter the queue in input order.
            let pending = extractor.enter(&request, &admission, &input);
            self.tasks.spawn(async move {
                run_item_catching_panics(&extractor, &request, &admission, &results, pending, input)
                    .await
            });
        }
    }

    fn complete(&mut self, outcome: Outcome) -> Outcome {
        self.started.remove(&outcome.index);
        let has_failed = matches!(&outcome.ending, ItemOutcome::Failed(error) if error.code != Code::ShuttingDown);
        if self.on_error == OnError::Stop && has_failed {
            self.stop();
        }
        outcome
    }
}

impl<S: Inputs> Stream for Outcomes<S> {
    type Item = Outcome;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Outcome>> {
        let this = &mut *self;
        ready!(turn::poll_take(cx, OUTCOME_UNITS));
        if this.stopped {
            if let Some(outcome) = this.cancelled.pop_front() {
                return Poll::Ready(Some(outcome));
            }
            let Some(input) = ready!(this.poll_input(cx)) else {
                return Poll::Ready(None);
            };
            let outcome = Outcome::cancelled(input.index, input.id, input.metadata);
            this.extractor.meters.ended(&outcome);
            return Poll::Ready(Some(outcome));
        }
        this.fill(cx);
        match ready!(this.tasks.poll_join_next(cx)) {
            Some(Ok(outcome)) => Poll::Ready(Some(this.complete(outcome))),
            // Tasks catch panics themselves, and none is aborted before a stop.
            Some(Err(error)) => std::panic::resume_unwind(Box::new(error.to_string())),
            None if this.inputs.is_none() => Poll::Ready(None),
            // `fill` has registered the waker with the inputs.
            None => Poll::Pending,
        }
    }
}

fn panicked(index: usize, id: Option<String>, metadata: Option<SentMetadata>) -> Outcome {
    tracing::error!(
        index,
        "the extraction of an item panicked; this is a bug in the server"
    );
    let error = Error::new(
        Code::Internal,
        "a bug in the server failed this item; the other items are not affected",
    );
    Outcome {
        ending: ItemOutcome::Failed(error),
        ..Outcome::cancelled(index, id, metadata)
    }
}
