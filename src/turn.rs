//! Turns of tasks: how much a task does before the other ready tasks run.
//!
//! Tokio gives a task a budget of 128 units each time it is polled, which operations such as a read from a socket use up. Work that
//! is always ready, such as items without text or pipelined requests, uses none and would keep a worker for as long as it lasts.

use std::task::{Context, Poll, ready};

use tokio::task::coop::poll_proceed;

/// Units of the budget of a whole turn.
const TURN_UNITS: u32 = 128;

/// Size of the text that is worked on for one unit, in bytes: that of a whole turn, 256 KiB, takes less than a millisecond.
const BYTES_PER_UNIT: usize = 2 * 1024;

/// Returns the units that work on a text of this size takes, at most those of a whole turn.
#[must_use]
pub fn units_for(bytes: usize) -> u32 {
    let units = u32::try_from(bytes / BYTES_PER_UNIT);
    units.unwrap_or(TURN_UNITS).min(TURN_UNITS)
}

/// Takes units from the budget of the current task. If they are used up, returns pending, and the task is polled again after the
/// tasks that are ready now.
pub fn poll_take(cx: &mut Context<'_>, units: u32) -> Poll<()> {
    for _ in 0..units {
        ready!(poll_proceed(cx)).made_progress();
    }
    Poll::Ready(())
}

/// Sends requests on one connection. Returns how many turns another task of this thread had until `end` was received `count`
/// times.
///
/// # Panics
/// If the connection ends before.
#[cfg(test)]
pub async fn turns_during(
    address: std::net::SocketAddr,
    requests: &str,
    end: &[u8],
    count: usize,
) -> usize {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let turns = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&turns);
    // Unlike `yield_now`, it goes behind the ready tasks only, and does not wait until sockets are polled.
    let other = tokio::spawn(std::future::poll_fn(move |cx| {
        counted.fetch_add(1, Ordering::Relaxed);
        cx.waker().wake_by_ref();
        Poll::<()>::Pending
    }));
    let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
    client.write_all(requests.as_bytes()).await.unwrap();
    let (mut received, mut found) = (Vec::new(), 0);
    while found < count {
        let searched = received.len().saturating_sub(end.len() - 1);
        assert!(client.read_buf(&mut received).await.unwrap() > 0);
        let new = received.get(searched..).unwrap_or_default();
        found += new.windows(end.len()).filter(|part| part == &end).count();
    }
    other.abort();
    turns.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[test]
    fn units_grow_with_the_text_up_to_those_of_a_turn() {
        let units = [0, BYTES_PER_UNIT, 10 * BYTES_PER_UNIT, usize::MAX].map(units_for);
        assert_eq!(units, [0, 1, 10, TURN_UNITS]);
    }

    #[tokio::test]
    async fn other_tasks_run_between_the_turns() {
        let other = tokio::spawn(async {});
        let mut takes = 0;
        while !other.is_finished() {
            poll_fn(|cx| poll_take(cx, 40)).await;
            takes += 1;
            assert!(takes < 10, "the other task never ran");
        }
        // Three times 40 are less than 128.
        assert!(takes >= 3);
    }
}
