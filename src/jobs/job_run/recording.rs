//! Recording of a run's outcomes as they arrive, until there is a reason for which its items no longer run.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt};

use super::{JobRun, RunEnd, RunSignals};
use crate::extraction::{AdmittedRequest, Outcomes};
use crate::jobs::input_stream::InputStream;
use crate::jobs::item_codec::encode_in_turn;
use crate::jobs::result_recorder::ResultRecorder;
use crate::jobs::store::StoreError;
use crate::types::{OnError, Outcome};

/// Interval at which the calls in flight are counted.
const COUNT_INTERVAL: Duration = Duration::from_millis(200);
/// While the run is paused: consecutive counts of zero calls in flight after which it ends. The remaining items wait for a
/// provider, and can do so in a later run.
const MAX_IDLE_COUNTS: u32 = 5;
/// While the server drains: time after which a run no longer waits for a store that cannot write.
const STUCK_STORE_TIMEOUT: Duration = Duration::from_secs(1);
/// Number of these waits after which a run ends while the server drains, although the store works: a large result may wait for room.
const MAX_STUCK_WAITS: u32 = 5;

impl JobRun<'_> {
    /// Extracts the admitted items, and waits until their results are recorded.
    pub(super) async fn extract(
        &mut self,
        admitted: AdmittedRequest,
        on_error: OnError,
    ) -> Result<RunEnd, StoreError> {
        let (window, memory) = (admitted.window(), admitted.input_memory(Duration::MAX));
        let caller = memory.caller();
        let inputs = InputStream::new(
            &self.context.store,
            self.job.key,
            &self.progress,
            window,
            memory,
        );
        let read_error = inputs.read_error();
        let mut outcomes = admitted.run(on_error, inputs);
        let mut recorder = ResultRecorder::new(self.context, self.job.key, caller);
        let end = self.record_outcomes(&mut outcomes, &mut recorder).await?;
        let has_stopped = outcomes.stopped();
        // Aborts the calls in flight. Outcomes received before are recorded.
        drop(outcomes);
        if !self.finish_recording(&mut recorder).await? {
            return Ok(RunEnd::Interrupted);
        }
        if let Some(error) = read_error.take() {
            return Err(error);
        }
        Ok(if end == RunEnd::Completed && has_stopped {
            RunEnd::ItemFailed
        } else {
            end
        })
    }

    /// Records outcomes as they arrive, until there is a reason to end.
    async fn record_outcomes(
        &mut self,
        outcomes: &mut Outcomes<InputStream>,
        recorder: &mut ResultRecorder,
    ) -> Result<RunEnd, StoreError> {
        let aborted = self.context.shutdown.aborted.clone();
        let RunSignals { cancelled, paused } = self.signals.clone();
        let (mut is_paused, mut idle_counts) = (false, 0);
        let mut count_interval = tokio::time::interval(COUNT_INTERVAL);
        loop {
            tokio::select! {
                biased;
                Some(job) = recorder.next_recorded() => self.on_recorded(&job?),
                () = cancelled.cancelled() => return Ok(RunEnd::Cancelled),
                () = aborted.cancelled() => return Ok(RunEnd::Interrupted),
                () = paused.cancelled(), if !is_paused => {
                    is_paused = true;
                    outcomes.drain();
                }
                outcome = outcomes.next(), if recorder.has_room() => match outcome {
                    Some(outcome) => {
                        self.add_available(outcome, outcomes, recorder).await;
                        if outcomes.stopped() {
                            // The items that were not read are cancelled in the store, without waiting for room for results.
                            outcomes.interrupt(false);
                        }
                    }
                    None if is_paused => return Ok(RunEnd::Interrupted),
                    None => return Ok(RunEnd::Completed),
                },
                _ = count_interval.tick() => {
                    let in_flight = outcomes.in_flight();
                    self.progress.set_in_flight(in_flight);
                    self.progress.set_blocked(outcomes.outage());
                    idle_counts = if is_paused && in_flight == 0 { idle_counts + 1 } else { 0 };
                    if idle_counts >= MAX_IDLE_COUNTS {
                        return Ok(RunEnd::Interrupted);
                    }
                }
            }
        }
    }

    /// Adds an outcome, and those that are available without waiting, to the group that is recorded next. Long ones wait for the turn of
    /// the caller to be encoded.
    async fn add_available(
        &self,
        first: Outcome,
        outcomes: &mut Outcomes<InputStream>,
        recorder: &mut ResultRecorder,
    ) {
        let mut next = Some(first);
        while let Some(outcome) = next {
            let request_id = &self.record.request_id;
            // Encoding a long one waits for a turn, and those before it do not.
            recorder.start_write();
            if let Some(result) = encode_in_turn(&outcome, request_id, recorder.caller()).await {
                recorder.add(result);
            }
            // Its memory is returned once that of the result is counted.
            drop(outcome);
            next = if recorder.has_room() {
                outcomes.next().now_or_never().flatten()
            } else {
                None
            };
        }
    }

    /// Waits until everything is recorded. Returns false if the server drains and the store does not write, or writes nothing for
    /// [`MAX_STUCK_WAITS`]: the items without a recorded result run again in the next process.
    async fn finish_recording(
        &mut self,
        recorder: &mut ResultRecorder,
    ) -> Result<bool, StoreError> {
        let mut waits = 0;
        loop {
            match tokio::time::timeout(STUCK_STORE_TIMEOUT, recorder.next_recorded()).await {
                Ok(Some(job)) => {
                    waits = 0;
                    self.on_recorded(&job?);
                }
                Ok(None) => return Ok(true),
                Err(_) if !self.is_draining() => {}
                Err(_) => {
                    waits += 1;
                    if !self.is_store_ready() || waits == MAX_STUCK_WAITS {
                        return Ok(false);
                    }
                }
            }
        }
    }

    fn is_store_ready(&self) -> bool {
        self.context.store.not_ready_reason().is_none()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::task::{Context, Poll};

    use futures_util::stream;
    use rusqlite::Connection;
    use throttle::CallerId;
    use tokio::time::timeout;

    use super::*;
    use crate::extraction::Submission;
    use crate::jobs::load_job::{RecordSpec, load_job};
    use crate::jobs::store::{FinishedItem, ItemStatus};
    use crate::jobs::test_context::{TestContext, store_file, store_queued};
    use crate::types::{Content, Input, Item, Usage};

    #[tokio::test]
    async fn items_with_long_texts_enter_the_queue_in_several_turns() {
        const ITEMS: usize = 8;
        let test = TestContext::new("long-texts");
        let context = &test.context;
        let job = store_queued(context.store.as_ref(), "job_1", 1).await;
        let found = context.store.job_by_key(job).await.unwrap().unwrap();
        let request = load_job(context, &found).await.unwrap().request.unwrap();
        let submission = Submission {
            caller: CallerId::default(),
            items: None,
            concurrency: None,
            draining: &context.shutdown.draining,
        };
        let prepared = Arc::clone(&request.prepared);
        let admitted = context.extractor.submit(prepared, &submission).unwrap();
        assert_eq!(admitted.window(), ITEMS);
        let inputs = (0..ITEMS).map(|index| {
            let item = Item::from(Content("a text. ".repeat(25 * 1024)));
            Input::new(index, item)
        });
        let mut outcomes = admitted.run(OnError::Continue, stream::iter(inputs));
        let mut rounds = 0;
        while outcomes.pulled() < ITEMS {
            let before = outcomes.pulled();
            // The next poll of this task is a turn of its own.
            tokio::task::yield_now().await;
            let poll =
                |cx: &mut Context<'_>| Poll::Ready(outcomes.poll_next_unpin(cx).is_pending());
            assert!(poll_fn(poll).await);
            assert!(outcomes.pulled() - before <= 2);
            rounds += 1;
        }
        assert!(rounds >= ITEMS / 2);
    }

    #[tokio::test]
    async fn the_end_of_a_run_waits_for_the_store_unless_the_server_drains() {
        let name = "stuck-store";
        let test = TestContext::new(name);
        let context = &test.context;
        let job = store_queued(context.store.as_ref(), "job_1", 1).await;
        let found = context.store.job_by_key(job).await.unwrap().unwrap();
        let signals = RunSignals::new(&context.shutdown);
        let mut run = JobRun::new(context, found, RecordSpec::default(), signals);
        let mut recorder = ResultRecorder::new(context, job, CallerId::default());
        recorder.add(FinishedItem {
            index: 0,
            status: ItemStatus::Succeeded,
            body: b"{}".to_vec(),
            usage: Usage::default(),
            grounding: None,
        });
        // While another connection holds the lock, the write waits.
        let other = Connection::open(store_file(name)).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        tokio::time::pause();
        let limit = STUCK_STORE_TIMEOUT * (2 * MAX_STUCK_WAITS);
        let waited = timeout(limit, run.finish_recording(&mut recorder)).await;
        assert!(waited.is_err(), "it is not recorded");
        context.shutdown.draining.cancel();
        let begun = tokio::time::Instant::now();
        let waited = timeout(limit, run.finish_recording(&mut recorder)).await;
        assert_eq!(waited.expect("it waits no longer"), Ok(false));
        let patience = STUCK_STORE_TIMEOUT * MAX_STUCK_WAITS;
        assert!(begun.elapsed() >= patience, "the store is ready");
        tokio::time::resume();
        other.execute_batch("ROLLBACK").unwrap();
        assert_eq!(run.finish_recording(&mut recorder).await, Ok(true));
        assert_eq!(run.job.counts.succeeded, 1);
    }
}
