//! Watchdog of connections that upload inputs while their results are sent: closes those of gone or stalled clients.
//!
//! While neither side reads, hyper does not poll the connection. It would notice neither a closed connection nor a deadlock in
//! which both sides wait for the other to read. The watchdog polls the connection a few times per second instead.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::connection::Connection;

/// Interval at which the connection is checked, so that a closed one is noticed within a second.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// Time without reading the response after which a client is disconnected.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// State of an upload and of the response sent at the same time.
#[derive(Debug, Default)]
pub struct StallWatchdog {
    bytes: AtomicUsize,
    ended: AtomicBool,
    broken: AtomicBool,
    /// Time since which a chunk of the response waits to be sent. `None` while the connection waits for a chunk.
    blocked_since: Mutex<Option<Instant>>,
}

impl StallWatchdog {
    /// Counts received bytes.
    pub fn count(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
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
    pub fn interrupt(&self) {
        self.broken.store(true, Ordering::Relaxed);
        self.end();
    }

    /// Returns true if the upload was interrupted.
    pub fn is_interrupted(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Returns true if the upload has ended, regularly or not.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Records that a chunk of the response was handed to the connection, or (`None`) that the connection polls for the next.
    pub fn set_blocked_since(&self, since: Option<Instant>) {
        *self
            .blocked_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = since;
    }

    fn is_stalled(&self, now: Instant) -> bool {
        let since = *self
            .blocked_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        since.is_some_and(|since| now.duration_since(since) >= STALL_TIMEOUT)
    }
}

/// Closes the connection if the client is gone, stalls or interrupts its upload. Ends with the upload, or when the response that
/// holds it is dropped.
async fn watch(upload: Weak<StallWatchdog>, connection: Connection) {
    let mut polls = tokio::time::interval(POLL_INTERVAL);
    polls.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        polls.tick().await;
        let Some(upload) = upload.upgrade() else {
            return;
        };
        if upload.has_ended() && !upload.is_interrupted() {
            return;
        }
        let stalled = upload.is_stalled(Instant::now());
        if stalled || upload.is_interrupted() || connection.is_closed_by_client() {
            if stalled {
                tracing::warn!("disconnected a client that did not read its response for 60 s");
            }
            connection.close();
            return;
        }
    }
}

/// Starts the watchdog of a connection as one of the server's `tasks`.
pub fn start(
    upload: &Arc<StallWatchdog>,
    connection: Connection,
    tasks: &tokio_util::task::TaskTracker,
) {
    tasks.spawn(watch(Arc::downgrade(upload), connection));
}
