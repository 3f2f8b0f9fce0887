//! Pace of the client that reads a response: how long output may wait for it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::super::request_body::MIN_BYTES_PER_S;

/// Time for which output may wait for a client. It begins with the idle timeout, and every byte that is written gives back what it takes
/// at the minimum rate, which is that of uploads: reading a byte now and then does not keep a connection. Time without output does not
/// count.
#[derive(Debug)]
pub struct ReaderPace {
    idle_timeout: Duration,
    /// Time for which output may still wait.
    left: Duration,
    /// The current wait; `None` while nothing waits to be sent.
    wait: Option<Wait>,
}

#[derive(Debug)]
struct Wait {
    since: Instant,
    end: Pin<Box<Sleep>>,
}

impl ReaderPace {
    pub const fn new(idle_timeout: Duration) -> Self {
        Self {
            idle_timeout,
            left: idle_timeout,
            wait: None,
        }
    }

    /// Waits until the client is too slow. To be polled while output waits.
    pub fn poll_too_slow(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let left = self.left;
        let wait = self.wait.get_or_insert_with(|| Wait {
            since: Instant::now(),
            end: Box::pin(tokio::time::sleep(left)),
        });
        wait.end.as_mut().poll(cx)
    }

    /// Records that bytes were written.
    pub fn wrote(&mut self, bytes: usize) {
        let waited = self.wait.take().map(|wait| wait.since.elapsed());
        let earned = Duration::from_secs(bytes as u64) / MIN_BYTES_PER_S;
        self.left = self
            .left
            .saturating_sub(waited.unwrap_or_default())
            .saturating_add(earned)
            .min(self.idle_timeout);
    }

    pub const fn idle_timeout(&self) -> Duration {
        self.idle_timeout
    }

    /// Returns true while output waits.
    pub const fn is_waiting(&self) -> bool {
        self.wait.is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::{sleep, timeout};

    use super::*;

    const IDLE: Duration = Duration::from_secs(60);

    /// Lets a client read some bytes each time after output has waited for a while. Returns how often it was fast enough.
    async fn reads(pace: &mut ReaderPace, bytes: usize, wait: Duration, times: usize) -> usize {
        for done in 0..times {
            let too_slow = poll_fn(|cx| pace.poll_too_slow(cx));
            if timeout(wait, too_slow).await.is_ok() {
                return done;
            }
            pace.wrote(bytes);
            assert!(!pace.is_waiting());
        }
        times
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_trickles_is_too_slow() {
        let wait = Duration::from_secs(10);
        let mut pace = ReaderPace::new(IDLE);
        assert_eq!(reads(&mut pace, 1, wait, 100).await, 6);
        // What was read at once is no credit for hours.
        let mut pace = ReaderPace::new(IDLE);
        pace.wrote(1 << 30);
        assert_eq!(reads(&mut pace, 1, wait, 100).await, 6);
        // At the minimum rate it goes on.
        let mut pace = ReaderPace::new(IDLE);
        let enough = 10 * MIN_BYTES_PER_S as usize;
        assert_eq!(reads(&mut pace, enough, wait, 10_000).await, 10_000);
        let mut pace = ReaderPace::new(IDLE);
        assert_eq!(reads(&mut pace, enough, wait * 5 / 2, 100).await, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn time_without_output_does_not_count() {
        let mut pace = ReaderPace::new(IDLE);
        for _ in 0..100 {
            sleep(2 * IDLE).await;
            pace.wrote(1);
        }
        assert!(!pace.is_waiting());
        let began = Instant::now();
        poll_fn(|cx| pace.poll_too_slow(cx)).await;
        assert!((IDLE..IDLE + Duration::from_secs(1)).contains(&began.elapsed()));
        assert!(pace.is_waiting());
    }
}
