//! What is known of a job beside its store: how far it is, and how fast it goes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::store::{Event, Job};

/// The time over which the rate is told.
const WINDOW: Duration = Duration::from_secs(10);
/// The least time between two readings.
const STEP: Duration = Duration::from_millis(100);

/// How fast a job goes. Nothing of it is known while it does not run.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct JobRate {
    /// Calls to a model in flight.
    pub in_flight: u32,
    /// Items that ended in a second, over the last ten.
    pub rate_per_s: Option<f64>,
    /// The time to its end at this rate.
    pub left: Option<Duration>,
}

/// A job that runs, or is followed.
#[derive(Debug)]
pub struct JobProgress {
    last_event: watch::Sender<u32>,
    in_flight: AtomicU32,
    /// How many items had ended when.
    readings: Mutex<VecDeque<(Instant, u32)>>,
    /// The events that were read last, for all who are as far.
    pub latest: tokio::sync::Mutex<Arc<[Event]>>,
}

impl JobProgress {
    pub fn new(last_event: u32) -> Self {
        Self {
            last_event: watch::Sender::new(last_event),
            in_flight: AtomicU32::new(0),
            readings: Mutex::default(),
            latest: tokio::sync::Mutex::new(Arc::new([])),
        }
    }

    /// The number of the last event that is recorded, and is told when there is another.
    pub fn watch(&self) -> watch::Receiver<u32> {
        self.last_event.subscribe()
    }

    /// More is recorded.
    pub fn recorded(&self, job: &Job) {
        let (now, ended) = (Instant::now(), job.counts.ended());
        let mut readings = self.readings.lock().unwrap_or_else(PoisonError::into_inner);
        if readings.back().is_none_or(|(at, _)| now - *at >= STEP) {
            readings.push_back((now, ended));
            while readings.len() > 2 && readings.get(1).is_some_and(|(at, _)| now - *at > WINDOW) {
                readings.pop_front();
            }
        }
        drop(readings);
        self.last_event.send_if_modified(|last| {
            let is_more = job.last_event > *last;
            *last = job.last_event.max(*last);
            is_more
        });
    }

    pub fn set_in_flight(&self, calls: usize) {
        self.in_flight
            .store(u32::try_from(calls).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// It does not run any longer.
    pub fn stop(&self) {
        self.set_in_flight(0);
        self.readings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    pub fn pace(&self, job: &Job) -> JobRate {
        let ended = job.counts.ended();
        let first = self
            .readings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .front()
            .copied();
        let rate_per_s = first.and_then(|(at, before)| {
            let elapsed = at.elapsed().as_secs_f64();
            (elapsed >= STEP.as_secs_f64())
                .then(|| f64::from(ended.saturating_sub(before)) / elapsed)
        });
        let left = rate_per_s.filter(|rate| *rate > 0.0).and_then(|rate| {
            Duration::try_from_secs_f64(f64::from(job.counts.total.saturating_sub(ended)) / rate)
                .ok()
        });
        JobRate {
            in_flight: self.in_flight.load(Ordering::Relaxed),
            rate_per_s,
            left,
        }
    }
}
