//! Following a job: its events from the store, then as they are recorded, with no gap and none twice.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::Shared;
use super::progress::{JobProgress, JobRate};
use super::store::{Event, ItemCounts, Job, JobKey, StoreError};

/// Events that are read at a time.
const PAGE: u32 = 500;
/// The most often that progress is told.
const TICK: Duration = Duration::from_secs(1);

/// What a follower is told next.
#[derive(Debug)]
pub enum FollowEvent {
    /// At least one. An event without an item is an end of the job; nothing follows the last one.
    Events(Page),
    /// How far the job is; at most once a second, and only when it has changed.
    Progress(Box<Job>, JobRate),
    /// Nothing has changed for a second.
    Quiet,
}

/// Events, one after the other. Those who follow a job at the same pace share them.
#[derive(Debug)]
pub struct Page {
    events: Arc<[Event]>,
    from: usize,
    /// The number of the last event that there was when they were read.
    last: u32,
}

impl Page {
    #[must_use]
    pub fn events(&self) -> &[Event] {
        self.events.get(self.from..).unwrap_or_default()
    }

    /// Whether this is the job's end, and not one after which it ran again.
    #[must_use]
    pub fn is_end(&self, event: &Event) -> bool {
        event.item.is_none() && event.number >= self.last
    }

    /// What of these comes after an event; `None`: they do not go on there.
    fn after(events: &Arc<[Event]>, after: u32, last: u32) -> Option<Self> {
        let from = after.checked_add(1)?.checked_sub(events.first()?.number)? as usize;
        (from < events.len()).then(|| Self {
            events: Arc::clone(events),
            from,
            last,
        })
    }
}

/// Somebody who follows a job.
#[derive(Debug)]
pub struct Follower {
    shared: Arc<Shared>,
    job: JobKey,
    /// As the store said last.
    last_event: u32,
    live: Arc<JobProgress>,
    recorded: watch::Receiver<u32>,
    /// The number of the last event that it was told.
    after: u32,
    tick: Interval,
    told: Option<(ItemCounts, u32)>,
}

impl Follower {
    pub(super) fn new(shared: Arc<Shared>, job: &Job, after: u32) -> Self {
        let live = shared.live(job);
        let mut tick = interval_at(Instant::now() + TICK, TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            recorded: live.watch(),
            live,
            shared,
            job: job.key,
            last_event: job.last_event,
            after,
            tick,
            told: None,
        }
    }

    /// Waits for what comes next.
    ///
    /// # Errors
    /// When the store fails, or the job is not there any more (`None`).
    pub async fn next(&mut self) -> Result<FollowEvent, Option<StoreError>> {
        loop {
            if self.tick.tick().now_or_never().is_some()
                && let Some(progress) = self.progress().await?
            {
                return Ok(progress);
            }
            let recorded = *self.recorded.borrow_and_update();
            // It may have been recorded before anybody watched.
            let last = recorded.max(self.last_event);
            if last > self.after
                && let Some(page) = self.read(last).await.map_err(Some)?
            {
                self.after = page.events().last().map_or(last, |event| event.number);
                return Ok(FollowEvent::Events(page));
            }
            tokio::select! {
                biased;
                // The sender lives as long as `live`.
                _ = self.recorded.changed() => {}
                _ = self.tick.tick() => return Ok(self.progress().await?.unwrap_or(FollowEvent::Quiet)),
            }
        }
    }

    /// What comes after what it was told, up to `last` and maybe beyond. Who is up to date reads for the others too.
    async fn read(&self, last: u32) -> Result<Option<Page>, StoreError> {
        let read = || self.shared.store.events(self.job, self.after, PAGE);
        if last - self.after > PAGE {
            return Ok(Page::after(&read().await?.into(), self.after, last));
        }
        let mut latest = self.live.latest.lock().await;
        if let Some(page) = Page::after(&latest, self.after, last) {
            return Ok(Some(page));
        }
        *latest = read().await?.into();
        Ok(Page::after(&latest, self.after, last))
    }

    /// How far the job is, if that has changed.
    async fn progress(&mut self) -> Result<Option<FollowEvent>, Option<StoreError>> {
        let job = self
            .shared
            .store
            .job_by_key(self.job)
            .await
            .map_err(Some)?
            .ok_or(None)?;
        self.last_event = job.last_event;
        let pace = self.live.pace(&job);
        let now = (job.counts, pace.in_flight);
        if self.told.replace(now) == Some(now) {
            return Ok(None);
        }
        Ok(Some(FollowEvent::Progress(Box::new(job), pace)))
    }
}
