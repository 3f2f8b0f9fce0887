//! Following a job: its events from the store, then as they are recorded, with no gap and none twice.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::Shared;
use super::live::{Live, Pace};
use super::store::{Counts, Event, Job, JobKey, StoreError};

/// Events that are read at a time.
const PAGE: u32 = 500;
/// The most often that progress is told.
const TICK: Duration = Duration::from_secs(1);

/// What a follower is told next.
#[derive(Debug)]
pub enum Told {
    /// At least one. An event without an item is the job's end: nothing follows it.
    Events(Vec<Event>),
    /// How far the job is; at most once a second, and only when it has changed.
    Progress(Box<Job>, Pace),
    /// Nothing has changed for a second.
    Quiet,
}

/// Somebody who follows a job.
#[derive(Debug)]
pub struct Follower {
    shared: Arc<Shared>,
    job: JobKey,
    /// As the store said last.
    last_event: u32,
    live: Arc<Live>,
    recorded: watch::Receiver<u32>,
    /// The number of the last event that it was told.
    after: u32,
    tick: Interval,
    told: Option<(Counts, u32)>,
}

impl Follower {
    pub(super) fn new(shared: Arc<Shared>, job: &Job, after: u32) -> Self {
        let live = shared.live(job);
        let mut tick = interval_at(Instant::now() + TICK, TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { recorded: live.watch(), live, shared, job: job.key, last_event: job.last_event, after, tick, told: None }
    }

    /// Waits for what comes next.
    ///
    /// # Errors
    /// When the store fails, or the job is not there any more (`None`).
    pub async fn next(&mut self) -> Result<Told, Option<StoreError>> {
        loop {
            if self.tick.tick().now_or_never().is_some()
                && let Some(progress) = self.progress().await?
            {
                return Ok(progress);
            }
            let recorded = *self.recorded.borrow_and_update();
            // It may have been recorded before anybody watched.
            if recorded.max(self.last_event) > self.after {
                let events = self.shared.store.events(self.job, self.after, PAGE).await.map_err(Some)?;
                if let Some(last) = events.last() {
                    self.after = last.number;
                    return Ok(Told::Events(events));
                }
            }
            tokio::select! {
                biased;
                // The sender lives as long as `live`.
                _ = self.recorded.changed() => {}
                _ = self.tick.tick() => return Ok(self.progress().await?.unwrap_or(Told::Quiet)),
            }
        }
    }

    /// How far the job is, if that has changed.
    async fn progress(&mut self) -> Result<Option<Told>, Option<StoreError>> {
        let job = self.shared.store.job_of(self.job).await.map_err(Some)?.ok_or(None)?;
        self.last_event = job.last_event;
        let pace = self.live.pace(&job);
        let now = (job.counts, pace.in_flight);
        if self.told.replace(now) == Some(now) {
            return Ok(None);
        }
        Ok(Some(Told::Progress(Box::new(job), pace)))
    }
}
