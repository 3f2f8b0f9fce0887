//! Follows a job's events: those in the store, then new ones as they are recorded, without gaps or duplicates.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::context::JobContext;
use super::progress::{JobProgress, JobRate};
use super::store::{Event, ItemCounts, Job, JobKey, PageSize, StoreError};
use throttle::CallerId;

/// Minimum interval of progress reports.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum size of a page that followers share, in bytes: as much as each of them has room for. It is kept until the next page is read.
const MAX_SHARED_BYTES: usize = 64 * 1024;

/// Next step of a followed job.
#[derive(Debug)]
pub enum FollowEvent {
    /// At least one event.
    Events(EventPage),
    /// Changed progress, at most once a second.
    Progress(Box<Job>, JobRate),
    /// No event and no changed progress for a second.
    Idle,
}

/// Consecutive events of a job. Followers at the same position share them, unless they are large.
#[derive(Debug)]
pub struct EventPage {
    events: Arc<[Event]>,
    /// Position of the first event of this page in `events`.
    start: usize,
    /// Number of the job's last event when the page was read.
    last_event: u32,
    /// True if the job runs again after its last event.
    is_requeued: bool,
}

impl EventPage {
    /// Returns the events, by number.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        self.events.get(self.start..).unwrap_or_default()
    }

    /// Replaces the events by others with the same numbers.
    pub(super) fn with_events(self, events: Arc<[Event]>) -> Self {
        Self {
            events,
            start: 0,
            ..self
        }
    }

    /// Returns true for the final event of the job. An earlier end, after which failed items were retried, is not final.
    #[must_use]
    pub fn is_end(&self, event: &Event) -> bool {
        event.item.is_none() && event.number >= self.last_event && !self.is_requeued
    }

    /// Returns true if the last event of the page is an end of the job.
    fn contains_end(&self) -> bool {
        let last = self.events().last();
        last.is_some_and(|event| event.item.is_none())
    }

    /// Returns the page of the events after the number `after`, or `None` if `events` does not contain the next event.
    fn after(events: &Arc<[Event]>, after: u32, last_event: u32) -> Option<Self> {
        let next = after.checked_add(1)?;
        let start = next.checked_sub(events.first()?.number)? as usize;
        let last_read = events.last()?.number;
        (start < events.len()).then(|| Self {
            events: Arc::clone(events),
            start,
            // Events may have been recorded since the reader learned of the last one.
            last_event: last_event.max(last_read),
            is_requeued: false,
        })
    }
}

/// Position of a client in the events of a job.
#[derive(Debug)]
pub struct Follower {
    context: Arc<JobContext>,
    job: JobKey,
    /// Caller of the job, in whose turns it is read.
    caller: CallerId,
    /// Number of the last event, as read from the store.
    stored_last_event: u32,
    progress: Arc<JobProgress>,
    /// Number of the last event, as published by the job's run.
    published_last_event: watch::Receiver<u32>,
    /// Number of the last event that was returned.
    after: u32,
    progress_interval: Interval,
    /// Counts, calls in flight and blockage of the last progress report.
    reported: Option<(ItemCounts, u32, bool)>,
}

impl Follower {
    /// Returns a follower of the events after the number `after`.
    pub(super) fn new(context: Arc<JobContext>, job: &Job, after: u32) -> Self {
        let progress = context.progress_of(job);
        let first_report = Instant::now() + PROGRESS_INTERVAL;
        let mut progress_interval = interval_at(first_report, PROGRESS_INTERVAL);
        progress_interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            published_last_event: progress.subscribe(),
            progress,
            caller: context.caller_id(&job.caller),
            context,
            job: job.key,
            stored_last_event: job.last_event,
            after,
            progress_interval,
            reported: None,
        }
    }

    /// Waits for the next events, or for progress.
    ///
    /// # Errors
    /// The store's error; `None` if the job was removed.
    ///
    /// # Cancel safety
    /// Cancelling this call skips no event. A progress report may be skipped.
    pub async fn next(&mut self) -> Result<FollowEvent, Option<StoreError>> {
        loop {
            if self.progress_interval.tick().now_or_never().is_some()
                && let Some(progress) = self.changed_progress().await?
            {
                return Ok(progress);
            }
            let published = *self.published_last_event.borrow_and_update();
            // The event may have been recorded before this follower subscribed.
            let last_event = published.max(self.stored_last_event);
            if last_event > self.after
                && let Some(mut page) = self.read_page(last_event).await.map_err(Some)?
            {
                // A retried job has no new event until an item has ended again.
                if page.contains_end() {
                    page.is_requeued = !self.read_job().await?.status.is_ended();
                }
                self.after = page
                    .events()
                    .last()
                    .map_or(last_event, |event| event.number);
                return Ok(FollowEvent::Events(page));
            }
            tokio::select! {
                biased;
                // `self.progress` keeps the sender alive, so this is no busy loop.
                _ = self.published_last_event.changed() => {}
                _ = self.progress_interval.tick() => {
                    return Ok(self.changed_progress().await?.unwrap_or(FollowEvent::Idle));
                }
            }
        }
    }

    /// Reads the next page. A follower near the end of the events reads for all others at the same position.
    async fn read_page(&self, last_event: u32) -> Result<Option<EventPage>, StoreError> {
        let read = async || {
            let _turn = self.context.read_turn(self.caller).await;
            let store = &self.context.store;
            store.events(self.job, self.after, PageSize::STREAM).await
        };
        if last_event - self.after > PageSize::STREAM.rows {
            let events = read().await?.into();
            return Ok(EventPage::after(&events, self.after, last_event));
        }
        let mut latest = self.progress.latest_events.lock().await;
        if let Some(page) = EventPage::after(&latest, self.after, last_event) {
            return Ok(Some(page));
        }
        let events: Arc<[Event]> = read().await?.into();
        let bytes = events.iter().map(|event| event.body.len()).sum::<usize>();
        if bytes <= MAX_SHARED_BYTES {
            *latest = Arc::clone(&events);
        }
        drop(latest);
        Ok(EventPage::after(&events, self.after, last_event))
    }

    async fn read_job(&self) -> Result<Job, Option<StoreError>> {
        let _turn = self.context.read_turn(self.caller).await;
        let found = self.context.store.job_by_key(self.job).await;
        found.map_err(Some)?.ok_or(None)
    }

    /// Returns the job's progress if it changed since the last report.
    async fn changed_progress(&mut self) -> Result<Option<FollowEvent>, Option<StoreError>> {
        let job = self.read_job().await?;
        self.stored_last_event = job.last_event;
        let rate = self.progress.rate(&job);
        let is_blocked = rate.blocked.is_some() || rate.storage_quota.is_some();
        let current = (job.counts, rate.in_flight, is_blocked);
        if self.reported.replace(current) == Some(current) {
            return Ok(None);
        }
        Ok(Some(FollowEvent::Progress(Box::new(job), rate)))
    }
}

#[cfg(test)]
mod tests {
    use std::iter::from_fn;

    use tokio::time::timeout;

    use super::super::Jobs;
    use super::super::store::{FinishedItem, ItemStatus, Status, StorageQuota};
    use super::super::test_context::{TestContext, end_queued, job_end, store_queued};
    use super::*;
    use crate::types::Usage;

    /// Longer than a read takes.
    const LIMIT: Duration = Duration::from_secs(30);

    /// Stores a job that has one event.
    async fn store_job(context: &JobContext) -> Job {
        let job = store_queued(context.store.as_ref(), "job_a", 1).await;
        record_result(context, job, ItemStatus::Failed).await
    }

    async fn record_result(context: &JobContext, job: JobKey, status: ItemStatus) -> Job {
        record_body(context, job, status, b"{}".to_vec()).await
    }

    async fn record_body(
        context: &JobContext,
        job: JobKey,
        status: ItemStatus,
        body: Vec<u8>,
    ) -> Job {
        let result = FinishedItem {
            index: 0,
            status,
            body,
            usage: Usage::default(),
            grounding: None,
        };
        let recorded = context.store.record_results(job, vec![result]);
        recorded.await.unwrap()
    }

    async fn end_job(context: &JobContext, job: JobKey) -> Job {
        let end = job_end(Status::Completed);
        end_queued(context.store.as_ref(), job, end).await
    }

    /// Waits for the next events. Returns the numbers, and the number of the job's end if it is among them.
    async fn next_events(follower: &mut Follower) -> (Vec<u32>, Option<u32>) {
        loop {
            let next = timeout(LIMIT, follower.next()).await;
            let FollowEvent::Events(page) = next.expect("an event follows").unwrap() else {
                continue;
            };
            let numbers = page.events().iter().map(|event| event.number).collect();
            let end = page.events().iter().find(|event| page.is_end(event));
            return (numbers, end.map(|event| event.number));
        }
    }

    #[tokio::test]
    async fn followers_see_each_event_once() {
        let test = TestContext::new("followers");
        let context = &test.context;
        let job = store_job(context).await;
        let mut first = Follower::new(Arc::clone(context), &job, 0);
        assert_eq!(next_events(&mut first).await, (vec![1], None));
        let ended = end_job(context, job.key).await;
        context.progress_of(&job).publish(&ended);
        assert_eq!(next_events(&mut first).await, (vec![2], Some(2)));
        let mut second = Follower::new(Arc::clone(context), &ended, 0);
        assert_eq!(next_events(&mut second).await, (vec![1, 2], Some(2)));
    }

    /// Waits for the next report of progress. Returns true if a limit of stored bytes keeps items from being called.
    async fn next_quota(follower: &mut Follower) -> bool {
        loop {
            let next = timeout(LIMIT, follower.next()).await;
            if let FollowEvent::Progress(_, rate) = next.expect("a report follows").unwrap() {
                return rate.storage_quota.is_some();
            }
        }
    }

    #[tokio::test]
    async fn a_follower_sees_that_the_job_waits_for_room_and_goes_on() {
        let test = TestContext::new("follower-quota");
        let context = &test.context;
        let job = store_job(context).await;
        let progress = context.progress_of(&job);
        let mut follower = Follower::new(Arc::clone(context), &job, job.last_event);
        for quota in [None, Some(StorageQuota::Bytes { max: 1 }), None] {
            let is_waiting = quota.is_some();
            progress.set_storage_quota(quota);
            assert_eq!(next_quota(&mut follower).await, is_waiting);
        }
    }

    /// A job that runs or is followed would keep it.
    #[tokio::test]
    async fn a_large_page_is_not_shared() {
        let test = TestContext::new("follower-large-page");
        let context = &test.context;
        for (number, bytes, shared) in [(1, 1_000, 1), (2, MAX_SHARED_BYTES + 1, 0)] {
            let id = format!("job_{number}");
            let job = store_queued(context.store.as_ref(), &id, 1).await;
            let body = vec![b'1'; bytes];
            let job = record_body(context, job, ItemStatus::Succeeded, body).await;
            for _ in 0..2 {
                let mut follower = Follower::new(Arc::clone(context), &job, 0);
                assert_eq!(next_events(&mut follower).await, (vec![1], None));
                let latest = follower.progress.latest_events.lock().await;
                assert_eq!(latest.len(), shared, "{bytes} bytes");
            }
        }
    }

    #[tokio::test]
    async fn an_end_before_a_retry_is_not_the_end() {
        let test = TestContext::new("follower-retry");
        let context = &test.context;
        let job = store_job(context).await.key;
        let ended = end_job(context, job).await;
        let requeued = context.store.requeue(job, None).await;
        let requeued = requeued.unwrap().expect("the job has ended");
        let mut follower = Follower::new(Arc::clone(context), &requeued, 0);
        assert_eq!(next_events(&mut follower).await, (vec![1, 2], None));
        drop(follower);
        // One that learned of the end before, and reads more.
        record_result(context, job, ItemStatus::Succeeded).await;
        let mut follower = Follower::new(Arc::clone(context), &ended, 0);
        assert_eq!(next_events(&mut follower).await, (vec![1, 2, 3], None));
    }

    #[tokio::test]
    async fn streams_of_one_caller_leave_reads_to_the_others() {
        let test = TestContext::new("follower-turns");
        let context = &test.context;
        let job = store_job(context).await;
        let (own, other) = (context.caller_id(&job.caller), CallerId(7));
        let turns: Vec<_> = from_fn(|| context.read_turn(own).now_or_never()).collect();
        assert!((1..8).contains(&turns.len()), "{} turns", turns.len());
        let mut follower = Follower::new(Arc::clone(context), &job, 0);
        let early = timeout(Duration::from_millis(300), follower.next()).await;
        assert!(early.is_err(), "all turns of the caller are taken");
        let jobs = Jobs(Arc::clone(context));
        let of_own = timeout(Duration::from_millis(300), jobs.get(own, &job.id)).await;
        assert!(of_own.is_err(), "all turns of the caller are taken");
        let of_other = timeout(LIMIT, jobs.get(other, &job.id)).await;
        of_other.expect("another caller has turns").unwrap();
        drop(turns);
        let next = timeout(LIMIT, follower.next()).await;
        let next = next.expect("the turns are free").unwrap();
        assert!(matches!(next, FollowEvent::Events(page) if page.events().len() == 1));
    }
}
