use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;

use super::*;

pub const LIMIT: Duration = Duration::from_secs(30);

fn piece(caller: usize) -> Piece {
    Piece {
        caller: CallerId(caller as u64 % 3),
        bytes: LONG_TEXT_BYTES,
    }
}

/// Counter of work at the same time, and its maximum.
#[derive(Default)]
struct Concurrent(AtomicUsize, AtomicUsize);

impl Concurrent {
    fn work(&self) {
        let now = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        self.1.fetch_max(now, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(5));
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_more_pieces_are_done_at_a_time_than_there_are_permits() {
    let concurrent = Arc::new(Concurrent::default());
    let pieces = (0..8 * cores()).map(|number| {
        let concurrent = Arc::clone(&concurrent);
        tokio::spawn(async move {
            if number % 2 == 0 {
                spawn_long(piece(number), move || concurrent.work())
                    .await
                    .unwrap();
            } else {
                // Long work within long work needs no second permit.
                let piece = Some(piece(number));
                let again = pin!(run_long(piece, || concurrent.work()));
                poll_long(piece, again).await;
            }
        })
    });
    for piece in pieces.collect::<Vec<_>>() {
        piece.await.unwrap();
    }
    assert!(concurrent.1.load(Ordering::SeqCst) <= permits(cores()));
}

#[tokio::test]
async fn a_caller_leaves_a_permit_to_another_one_on_one_core_too() {
    let permits = FairSemaphore::leaving_room(permits(1));
    let mut of_alice = pin!(acquire_from(&permits, piece(1)));
    let _held = of_alice.as_mut().now_or_never().unwrap();
    let mut next = pin!(acquire_from(&permits, piece(1)));
    assert!(next.as_mut().now_or_never().is_none());
    assert!(acquire_from(&permits, piece(2)).now_or_never().is_some());
}

/// Work that is polled with a permit starts further work on a thread, and there is no other permit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn polled_work_and_what_it_starts_take_turns_with_one_permit() {
    let mut others = Vec::new();
    for number in 1..permits(cores()) {
        // Callers that leave room for each other.
        let caller = CallerId(1000 + number as u64);
        others.push(acquire(Piece { caller, bytes: 1 }).await);
    }
    let mut started = pin!(spawn_long(piece(0), || HAS_PERMIT.get()));
    let done = poll_long(Some(piece(0)), started.as_mut());
    let done = tokio::time::timeout(LIMIT, done).await;
    assert!(done.expect("no permit is kept").unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_returns_the_permit() {
    for _ in 0..100 {
        assert!(spawn_long(piece(0), || panic!("on purpose")).await.is_err());
    }
    // Other tests may hold permits; those of the panics would be lacking for ever.
    let work = spawn_long(piece(1), || assert!(HAS_PERMIT.get()));
    tokio::time::timeout(LIMIT, work).await.unwrap().unwrap();
}

#[tokio::test]
async fn time_that_exceeds_the_bytes_of_a_piece_counts_for_the_next_turn() {
    let permits = FairSemaphore::new(1);
    let small = Piece {
        caller: CallerId(1),
        bytes: 4_000,
    };
    let first = acquire_from(&permits, small).await;
    let mut next = pin!(acquire_from(&permits, small));
    assert!(next.as_mut().now_or_never().is_none());
    let mut of_other: Vec<_> = (0..4)
        .map(|_| Box::pin(acquire_from(&permits, piece(2))))
        .collect();
    for acquired in &mut of_other {
        assert!(acquired.now_or_never().is_none());
    }
    // As much as twenty of the other one's texts.
    with_permit(first, || std::thread::sleep(Duration::from_millis(20)));
    for acquired in of_other {
        assert!(next.as_mut().now_or_never().is_none());
        drop(acquired.await);
    }
    drop(next.await);
}

#[test]
fn pieces_are_done_even_if_all_threads_wait_for_permits() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(2)
        .enable_time()
        .build()
        .unwrap();
    let concurrent = Arc::new(Concurrent::default());
    let pieces = (0..200).map(|number| {
        let concurrent = Arc::clone(&concurrent);
        runtime.spawn(async move {
            if number % 2 == 0 {
                spawn_long(piece(number), move || concurrent.work())
                    .await
                    .unwrap();
            } else {
                run_long(Some(piece(number)), || concurrent.work()).await;
            }
        })
    });
    let all = futures_util::future::join_all(pieces.collect::<Vec<_>>());
    let done = runtime.block_on(async { tokio::time::timeout(LIMIT, all).await });
    assert!(done.is_ok());
}

/// Pieces of work that wait take no threads, of which others have need.
#[test]
fn pieces_that_wait_keep_no_thread_from_others() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(2 * cores() + 8)
        .enable_time()
        .build()
        .unwrap();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = Arc::new(std::sync::Mutex::new(released));
    let start = |number| {
        let released = Arc::clone(&released);
        spawn_long(piece(number), move || {
            let _ = released.lock().unwrap().recv_timeout(LIMIT);
        })
    };
    let held: Vec<_> = (0..10 * cores() + 40)
        .map(|number| runtime.spawn(start(number)))
        .collect();
    let other = runtime.spawn_blocking(|| ());
    let other = runtime.block_on(async { tokio::time::timeout(LIMIT / 2, other).await });
    drop(release);
    for piece in held {
        runtime.block_on(piece).unwrap().unwrap();
    }
    assert!(other.is_ok());
}

#[tokio::test]
async fn a_runtime_of_one_thread_does_the_work_itself() {
    assert_eq!(
        run_long(Some(piece(0)), || 1).await + run_off_worker(true, || 2),
        3
    );
}

/// Value whose drop ends once the sender is dropped.
#[derive(Default)]
struct Waiting(Option<std::sync::mpsc::Receiver<()>>);

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(released) = &self.0 {
            let _ = released.recv_timeout(LIMIT);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_slow_drop_keeps_no_worker() {
    let (release, released) = std::sync::mpsc::channel();
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let dropping = tokio::spawn(async move {
        let value = SlowDrop::new(Waiting(Some(released)), |value| value.0.is_some());
        begun.send(()).unwrap();
        drop(value);
    });
    has_begun.await.unwrap();
    let other = tokio::time::timeout(LIMIT / 2, tokio::spawn(async {})).await;
    drop(release);
    dropping.await.unwrap();
    assert!(other.is_ok(), "the only worker drops the value");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_that_became_long_has_a_permit() {
    let is_long = std::cell::Cell::new(false);
    let polled = pin!(async {
        let before = HAS_PERMIT.get();
        is_long.set(true);
        tokio::task::yield_now().await;
        (before, HAS_PERMIT.get())
    });
    let polls = poll_by_piece(|| is_long.get().then(|| piece(0)), polled);
    let polls = tokio::time::timeout(LIMIT, polls).await;
    assert_eq!(polls.unwrap(), (false, true));
}

#[test]
fn a_long_buffer_without_room_is_long_to_extend() {
    let long = LONG_TEXT_BYTES;
    for (length, capacity, more, is_long) in [
        (long, long, 1, true),
        (long, long + 1, 1, false),
        (long, long + 1, 2, true),
        (long - 1, long - 1, long, false),
    ] {
        assert_eq!(is_long_to_extend(length, capacity, more), is_long);
    }
}
