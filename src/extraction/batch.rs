//! Many items: one loop for every reply there is.
//!
//! A window of tasks in a `JoinSet`; inputs are pulled from their stream as the window moves, and so never faster than
//! outcomes are taken: that is the backpressure. Dropping [`Outcomes`] drops the tasks, and they give back what they hold:
//! that is the whole of cancellation.

use std::collections::{BTreeMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::{FutureExt, Stream, StreamExt};
use tokio::task::JoinSet;

use super::{Extractor, PreparedRequest};
use crate::types::{Code, Error, Input, ItemOutcome, Metadata, OnError, Outcome, Timing, Usage};
use throttle::{Admission, PendingPermit};

/// Where the inputs of a request come from, in their order.
pub trait Inputs: Stream<Item = Input> + Send + Unpin {}

impl<S: Stream<Item = Input> + Send + Unpin> Inputs for S {}

/// The outcomes of a request's inputs, exactly one each, in the order in which they are done.
#[derive(Debug)]
pub struct Outcomes<S> {
    extractor: Arc<Extractor>,
    plan: Arc<PreparedRequest>,
    lane: Arc<Admission>,
    /// `None` once it has ended.
    inputs: Option<S>,
    tasks: JoinSet<Outcome>,
    on_error: OnError,
    /// Those under way, to be named when they are cancelled; kept only where that can happen.
    under_way: BTreeMap<usize, (Option<String>, Option<Metadata>)>,
    /// After a stop: what was under way.
    cancelled: VecDeque<Outcome>,
    stopped: bool,
    pulled: usize,
}

/// A batch of one: the same work, without a task of its own, which would cost two wake-ups of another thread.
pub(super) async fn extract_in_place(
    extractor: &Extractor,
    plan: &PreparedRequest,
    lane: &Admission,
    input: Input,
) -> Outcome {
    let place = extractor.enter(plan, lane, &input);
    // On the heap: the layers above move their futures, and this one has kilobytes.
    Box::pin(run_item_catching_panics(
        extractor, plan, lane, place, input,
    ))
    .await
}

/// One item, whatever happens to it.
async fn run_item_catching_panics(
    extractor: &Extractor,
    plan: &PreparedRequest,
    lane: &Admission,
    place: Option<PendingPermit>,
    input: Input,
) -> Outcome {
    let (index, id, metadata) = (input.index, input.id.clone(), input.metadata.clone());
    let work = AssertUnwindSafe(extractor.extract_item(plan, lane, place, input)).catch_unwind();
    work.await.unwrap_or_else(|_| panicked(index, id, metadata))
}

impl<S> Outcomes<S> {
    pub(super) fn new(
        extractor: Arc<Extractor>,
        plan: Arc<PreparedRequest>,
        lane: Admission,
        on_error: OnError,
        inputs: S,
    ) -> Self {
        Self {
            extractor,
            plan,
            lane: Arc::new(lane),
            inputs: Some(inputs),
            tasks: JoinSet::new(),
            on_error,
            under_way: BTreeMap::new(),
            cancelled: VecDeque::new(),
            stopped: false,
            pulled: 0,
        }
    }

    /// Whether a failed item has ended the batch.
    pub const fn stopped(&self) -> bool {
        self.stopped
    }

    /// Takes up no more: what was not called yet ends as `shutting_down`, what was called ends as it does.
    pub fn drain(&mut self) {
        self.inputs = None;
        self.lane.reject_unstarted();
    }

    /// Calls in flight.
    pub fn in_flight(&self) -> usize {
        self.lane.in_flight()
    }

    /// Inputs read so far.
    pub const fn pulled(&self) -> usize {
        self.pulled
    }
}

/// The waiting ones leave first: else each task that ends would hand its slot to one that is about to.
impl<S> Drop for Outcomes<S> {
    fn drop(&mut self) {
        self.lane.cancel_all();
    }
}

impl<S: Inputs> Outcomes<S> {
    fn poll_input(&mut self, cx: &mut Context<'_>) -> Poll<Option<Input>> {
        let Some(inputs) = &mut self.inputs else {
            return Poll::Ready(None);
        };
        let input = ready!(inputs.poll_next_unpin(cx));
        match input {
            Some(_) => self.pulled += 1,
            None => self.inputs = None,
        }
        Poll::Ready(input)
    }

    /// Starts tasks until the window is full or no input is there. A task that is done keeps its place in the window until
    /// its outcome is taken.
    fn fill(&mut self, cx: &mut Context<'_>) {
        while self.tasks.len() < self.lane.window() {
            let Poll::Ready(Some(input)) = self.poll_input(cx) else {
                return;
            };
            if self.on_error == OnError::Stop {
                self.under_way
                    .insert(input.index, (input.id.clone(), input.metadata.clone()));
            }
            let (extractor, plan, lane) = (
                Arc::clone(&self.extractor),
                Arc::clone(&self.plan),
                Arc::clone(&self.lane),
            );
            // Here and not in the task, so that items have their turns in the order of the inputs.
            let place = extractor.enter(&plan, &lane, &input);
            self.tasks.spawn(async move {
                run_item_catching_panics(&extractor, &plan, &lane, place, input).await
            });
        }
    }

    /// Ends the batch: what is done already still counts, the rest is cancelled.
    fn stop(&mut self) {
        self.stopped = true;
        while let Some(done) = self.tasks.try_join_next() {
            if let Ok(outcome) = done {
                self.under_way.remove(&outcome.index);
                self.cancelled.push_back(outcome);
            }
        }
        self.lane.cancel_all();
        // The set keeps the aborted tasks until it is dropped, so that none runs without an owner.
        self.tasks.abort_all();
        let under_way = std::mem::take(&mut self.under_way);
        self.cancelled.extend(
            under_way
                .into_iter()
                .map(|(index, (id, metadata))| Outcome::cancelled(index, id, metadata)),
        );
    }

    fn done(&mut self, outcome: Outcome) -> Outcome {
        self.under_way.remove(&outcome.index);
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
            Some(Ok(outcome)) => Poll::Ready(Some(this.done(outcome))),
            // Tasks neither panic, which is caught within, nor are they aborted before the stop.
            Some(Err(error)) => std::panic::resume_unwind(Box::new(error.to_string())),
            None if this.inputs.is_none() => Poll::Ready(None),
            // `fill` has left its waker with the inputs.
            None => Poll::Pending,
        }
    }
}

fn panicked(index: usize, id: Option<String>, metadata: Option<Metadata>) -> Outcome {
    tracing::error!(index, "an extraction panicked; this is a bug");
    let error = Error::new(
        Code::Internal,
        "a bug in the server ended this item; the others are not affected",
    );
    Outcome {
        index,
        id,
        metadata,
        ending: ItemOutcome::Failed(error),
        attempts: 0,
        usage: Usage::default(),
        spent: Vec::new(),
        timing: Timing::default(),
    }
}
