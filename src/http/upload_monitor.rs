//! Monitor of an upload of inputs whose results are sent at the same time: notices clients that are gone, and those that send
//! nothing.
//!
//! While neither side reads, hyper does not poll the connection, and would not notice that it is closed. A task polls it a few
//! times per second instead. A client that reads nothing is noticed by the connection itself.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::connection::Connection;
use crate::types::{Code, Error};
use throttle::RETRY_SOON;

/// Interval at which the connection is checked, so that a closed one is noticed within a second.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// Time for which an upload waits for memory.
pub const MEMORY_TIMEOUT: Duration = Duration::from_secs(30);

/// State of an upload.
#[derive(Debug)]
pub struct UploadMonitor {
    bytes: AtomicUsize,
    ended: AtomicBool,
    interruption: Mutex<Option<Interruption>>,
    /// Time since which the server waits for the next bytes, and for nothing else.
    waiting_since: Mutex<Option<Instant>>,
    idle_timeout: Duration,
}

/// Reason for which an upload ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// The client closed the connection or sent invalid chunks.
    Disconnected,
    /// The client sent nothing for this time.
    Idle(Duration),
    /// There was no memory for the next input for [`MEMORY_TIMEOUT`].
    NoMemory,
}

impl Interruption {
    /// Returns the error of the request. `consequence` says what became of the inputs.
    pub fn error(self, consequence: &str) -> Error {
        let invalid = |why: &str| Error::new(Code::InvalidJson, format!("{why}; {consequence}"));
        match self {
            Self::Disconnected => invalid("the upload of the inputs was interrupted"),
            Self::Idle(timeout) => invalid(&format!(
                "no input arrived for {} s (`server.idle_timeout_ms`), so the upload was ended (end the body after the last input, and \
                 send a blank line at times to keep an upload open)",
                timeout.as_secs_f64()
            )),
            Self::NoMemory => {
                let detail = format!(
                    "there was no memory for the next input for {} s (`limits.max_memory_bytes`), because other requests hold it; \
                     {consequence}",
                    MEMORY_TIMEOUT.as_secs()
                );
                Error::new(Code::Overloaded, detail).retry_after(RETRY_SOON)
            }
        }
    }
}

impl UploadMonitor {
    /// Creates the monitor of an upload that may pause for `idle_timeout`.
    pub const fn new(idle_timeout: Duration) -> Self {
        Self {
            bytes: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            interruption: Mutex::new(None),
            waiting_since: Mutex::new(None),
            idle_timeout,
        }
    }

    /// Counts received bytes.
    pub fn count(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.restart_idle_time();
    }

    /// Returns the number of bytes received so far.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Records the regular end of the upload.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Records that the upload was interrupted.
    pub fn interrupt(&self, interruption: Interruption) {
        *lock(&self.interruption) = Some(interruption);
        self.end();
    }

    /// Returns the reason for which the upload was interrupted, if it was.
    pub fn interruption(&self) -> Option<Interruption> {
        *lock(&self.interruption)
    }

    /// Returns true if the upload has ended, regularly or not.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Restarts the idle time. Called while the client may be waiting for results before it sends more.
    pub fn restart_idle_time(&self) {
        *lock(&self.waiting_since) = None;
    }

    /// Records that the server waits for the next bytes at this time. Returns true if it has waited for the idle timeout.
    pub fn is_idle(&self, now: Instant) -> bool {
        let since = *lock(&self.waiting_since).get_or_insert(now);
        now.duration_since(since) >= self.idle_timeout
    }

    /// Returns the maximum pause of the client.
    pub const fn idle_timeout(&self) -> Duration {
        self.idle_timeout
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Closes the connection if the client is gone. Ends with the upload, or when the response that holds it is dropped.
async fn watch(upload: Weak<UploadMonitor>, connection: Connection) {
    let mut polls = tokio::time::interval(POLL_INTERVAL);
    polls.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        polls.tick().await;
        let Some(upload) = upload.upgrade() else {
            return;
        };
        let is_gone = upload.interruption() == Some(Interruption::Disconnected)
            || (!upload.has_ended() && connection.is_closed_by_client());
        if is_gone {
            connection.close();
        }
        if is_gone || upload.has_ended() {
            return;
        }
    }
}

/// Starts the monitor of a connection as one of the server's `tasks`.
pub fn start(
    upload: &Arc<UploadMonitor>,
    connection: Connection,
    tasks: &tokio_util::task::TaskTracker,
) {
    tasks.spawn(watch(Arc::downgrade(upload), connection));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_that_ended_early_has_an_error_that_says_why() {
        let idle = Interruption::Idle(Duration::from_millis(700));
        for (interruption, code, words, is_retried) in [
            (
                Interruption::Disconnected,
                Code::InvalidJson,
                "was interrupted",
                false,
            ),
            (idle, Code::InvalidJson, "no input arrived for 0.7 s", false),
            (
                Interruption::NoMemory,
                Code::Overloaded,
                "`limits.max_memory_bytes`",
                true,
            ),
        ] {
            let error = interruption.error("no job was created");
            assert_eq!(error.code, code, "{words}");
            assert!(error.detail.contains(words), "{}", error.detail);
            assert!(
                error.detail.ends_with("; no job was created"),
                "{}",
                error.detail
            );
            assert_eq!(error.retry_after.is_some(), is_retried, "{words}");
        }
    }
}
