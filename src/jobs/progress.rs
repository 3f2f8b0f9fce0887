//! Progress of a job that runs or is followed: its last event, calls in flight, and rate of ended items.
//!
//! Held in memory only. Knows nothing of the store or of how items run.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::store::{Event, Job, StorageQuota};
use crate::extraction::Outage;

/// Time over which the rate is measured.
const RATE_WINDOW: Duration = Duration::from_secs(10);
/// Minimum time between two samples, and of a measurement.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(100);

/// Rate of a job. All zero or `None` while the job does not run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct JobRate {
    /// Calls in flight.
    pub in_flight: u32,
    /// Items that ended per second, over the last ten seconds; `None` before the first measurement.
    pub rate_per_s: Option<f64>,
    /// Estimated time to the job's end at this rate; `None` if the rate is zero or unknown.
    pub remaining: Option<Duration>,
    /// Outage that keeps all items from being called.
    pub blocked: Option<Arc<Outage>>,
    /// Limit of stored bytes that keeps further items from being called.
    pub storage_quota: Option<StorageQuota>,
}

/// Progress that the run of a job publishes and its followers read.
#[derive(Debug)]
pub struct JobProgress {
    last_event: watch::Sender<u32>,
    in_flight: AtomicU32,
    blocked: Mutex<Option<Arc<Outage>>>,
    storage_quota: Mutex<Option<StorageQuota>>,
    /// Times, and numbers of ended items at these times.
    samples: Mutex<VecDeque<(Instant, u32)>>,
    /// Events that a follower read last, unless they are large, shared by all followers at the same position.
    pub latest_events: tokio::sync::Mutex<Arc<[Event]>>,
}

impl JobProgress {
    /// Returns the progress of a job with this last event.
    pub fn new(last_event: u32) -> Self {
        Self {
            last_event: watch::Sender::new(last_event),
            in_flight: AtomicU32::new(0),
            blocked: Mutex::default(),
            storage_quota: Mutex::default(),
            samples: Mutex::default(),
            latest_events: tokio::sync::Mutex::new(Arc::new([])),
        }
    }

    /// Returns a receiver of the number of the last recorded event.
    pub fn subscribe(&self) -> watch::Receiver<u32> {
        self.last_event.subscribe()
    }

    /// Publishes what was recorded, and wakes the followers if there is a new event.
    pub fn publish(&self, job: &Job) {
        self.sample(job.counts.ended());
        self.last_event.send_if_modified(|last| {
            let has_new_event = job.last_event > *last;
            *last = job.last_event.max(*last);
            has_new_event
        });
    }

    fn sample(&self, ended: u32) {
        let now = Instant::now();
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = |(last, _): &(Instant, u32)| now - *last >= SAMPLE_INTERVAL;
        if !samples.back().is_none_or(is_due) {
            return;
        }
        samples.push_back((now, ended));
        let is_old = |(sampled_at, _): &(Instant, u32)| now - *sampled_at > RATE_WINDOW;
        while samples.get(1).is_some_and(is_old) {
            samples.pop_front();
        }
    }

    /// Sets the number of calls in flight.
    pub fn set_in_flight(&self, calls: usize) {
        let calls = u32::try_from(calls).unwrap_or(u32::MAX);
        self.in_flight.store(calls, Ordering::Relaxed);
    }

    /// Sets the outage that keeps all items from being called. The start of an outage stays the same while it lasts.
    pub fn set_blocked(&self, outage: Option<Outage>) {
        let mut blocked = self.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        let since = blocked.as_ref().map(|blocked| blocked.since);
        *blocked = outage.map(|outage| {
            let since = since.unwrap_or(outage.since);
            Arc::new(Outage { since, ..outage })
        });
    }

    /// Sets the limit of stored bytes that keeps further items from being called.
    pub fn set_storage_quota(&self, quota: Option<StorageQuota>) {
        let own = self.storage_quota.lock();
        *own.unwrap_or_else(PoisonError::into_inner) = quota;
    }

    /// Resets the rate when the job stops running.
    pub fn stop(&self) {
        self.set_in_flight(0);
        self.set_blocked(None);
        self.set_storage_quota(None);
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        samples.clear();
    }

    /// Returns the rate of the job.
    pub fn rate(&self, job: &Job) -> JobRate {
        let ended = job.counts.ended();
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = samples.front().copied();
        drop(samples);
        let rate_per_s = oldest.and_then(|(sampled_at, ended_before)| {
            let elapsed = sampled_at.elapsed();
            let newly_ended = ended.saturating_sub(ended_before);
            (elapsed >= SAMPLE_INTERVAL).then(|| f64::from(newly_ended) / elapsed.as_secs_f64())
        });
        let unfinished = f64::from(job.counts.total.saturating_sub(ended));
        let remaining = rate_per_s
            .filter(|rate| *rate > 0.0)
            .and_then(|rate| Duration::try_from_secs_f64(unfinished / rate).ok());
        JobRate {
            in_flight: self.in_flight.load(Ordering::Relaxed),
            rate_per_s,
            remaining,
            blocked: self
                .blocked
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
            storage_quota: self
                .storage_quota
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use throttle::OutageReason;

    use super::super::store::ItemCounts;
    use super::super::test_context::running_job;
    use super::*;

    #[test]
    fn only_a_new_event_wakes_the_followers() {
        let progress = JobProgress::new(1);
        let mut last_event = progress.subscribe();
        for (published, is_new) in [(1, false), (3, true), (2, false)] {
            progress.publish(&Job {
                last_event: published,
                ..running_job()
            });
            assert_eq!(last_event.has_changed().unwrap(), is_new, "{published}");
            last_event.mark_unchanged();
        }
        assert_eq!(*last_event.borrow(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_that_of_the_last_seconds() {
        const STEP: Duration = Duration::from_millis(700);
        let progress = JobProgress::new(0);
        let job = |succeeded| Job {
            counts: ItemCounts {
                total: 1_000,
                succeeded,
                ..ItemCounts::default()
            },
            ..running_job()
        };
        let mut ended = 0;
        for step in 0..60 {
            progress.publish(&job(ended));
            tokio::time::advance(STEP).await;
            ended += if step < 30 { 1 } else { 7 };
        }
        let rate = progress.rate(&job(ended));
        let per_s = rate.rate_per_s.unwrap();
        assert!((per_s - 10.0).abs() < 1e-6, "{per_s}");
        let remaining = f64::from(1_000 - ended) / 10.0;
        let estimated = rate.remaining.unwrap().as_secs_f64();
        assert!((estimated - remaining).abs() < 1e-3, "{estimated}");
        progress.stop();
        assert_eq!(progress.rate(&job(ended)).rate_per_s, None);

        // Five seconds without a result, then five with one each 100 ms.
        for step in 0..100 {
            progress.publish(&job(ended));
            tokio::time::advance(Duration::from_millis(100)).await;
            ended += u32::from(step >= 50);
        }
        let per_s = progress.rate(&job(ended)).rate_per_s.unwrap();
        assert!((per_s - 5.0).abs() < 0.1, "{per_s}");
    }

    #[test]
    fn the_limit_of_stored_bytes_is_shown_until_the_job_stops() {
        let progress = JobProgress::new(0);
        let quota = || progress.rate(&running_job()).storage_quota;
        assert_eq!(quota(), None);
        progress.set_storage_quota(Some(StorageQuota::Bytes { max: 7 }));
        assert_eq!(quota(), Some(StorageQuota::Bytes { max: 7 }));
        progress.stop();
        assert_eq!(quota(), None);
    }

    #[test]
    fn an_outage_keeps_its_start_while_it_lasts() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let outage = |seconds| Outage {
            provider: "a provider".to_owned(),
            address: None,
            model: None,
            is_configured: true,
            key: None,
            reason: OutageReason::KeyRefused,
            detail: Arc::from("a message"),
            since: at(seconds),
            retry_in: Duration::ZERO,
        };
        let progress = JobProgress::new(0);
        let since = || {
            let blocked = progress.rate(&running_job()).blocked;
            blocked.map(|outage| outage.since)
        };
        assert_eq!(since(), None);
        for seconds in [5, 7] {
            progress.set_blocked(Some(outage(seconds)));
            assert_eq!(since(), Some(at(5)));
        }
        progress.set_blocked(None);
        assert_eq!(since(), None);
    }
}
