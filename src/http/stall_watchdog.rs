//! Watches over a client that sends its inputs while it is sent their results.
//!
//! While neither side reads, the server does not look at the connection, and so would notice neither that the client has
//! gone nor that both wait for each other for ever. This looks, a few times a second, and closes the connection.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::connection::Connection;

/// How often the connection is looked at: a client that has gone is noticed within a second.
const LOOK: Duration = Duration::from_millis(250);
/// A client that sends without reading gets so long.
const STALLED: Duration = Duration::from_secs(60);

/// What is known of an upload while its reply is sent.
#[derive(Debug, Default)]
pub struct StallWatchdog {
    bytes: AtomicUsize,
    ended: AtomicBool,
    broken: AtomicBool,
    /// Since when a piece of the reply waits to be taken; `None` while the reply is waited for.
    blocked_since: Mutex<Option<Instant>>,
}

impl StallWatchdog {
    pub fn count(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes received so far.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// The body ended before its time.
    pub fn break_off(&self) {
        self.broken.store(true, Ordering::Relaxed);
        self.end();
    }

    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// A piece of the reply was handed to the connection, or (`None`) the connection asks for more.
    pub fn blocked(&self, since: Option<Instant>) {
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
        since.is_some_and(|since| now.duration_since(since) >= STALLED)
    }
}

/// Closes the connection when the client has gone, breaks off or stalls; ends with the upload or with the reply that holds it.
pub async fn watch(upload: Weak<StallWatchdog>, connection: Connection) {
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        let Some(upload) = upload.upgrade() else {
            return;
        };
        if upload.has_ended() && !upload.is_broken() {
            return;
        }
        let stalled = upload.is_stalled(Instant::now());
        if stalled || upload.is_broken() || connection.has_left() {
            if stalled {
                tracing::warn!("a client that does not read what it is sent was disconnected");
            }
            connection.close();
            return;
        }
    }
}

/// Starts the watch.
pub fn start(
    upload: &Arc<StallWatchdog>,
    connection: Connection,
    tasks: &tokio_util::task::TaskTracker,
) {
    tasks.spawn(watch(Arc::downgrade(upload), connection));
}
