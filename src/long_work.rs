//! CPU-bound work that takes long: parsing, hashing and encoding of large texts.
//!
//! It is done off the workers of the runtime, and at most as many pieces at a time as there are cores: short work, such as an
//! answer to a probe, would wait for a core behind all of them otherwise. The callers take turns, by the bytes that they have worked
//! on, so that one caller's large texts do not keep another one waiting.

use std::cell::Cell;
use std::future::poll_fn;
use std::num::NonZero;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::Poll;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::{JoinError, JoinSet};

use throttle::{CallerId, FairPermit, FairSemaphore};

/// Size of a text from which the work on it is long, in bytes.
pub const LONG_TEXT_BYTES: usize = 256 * 1024;

/// Permits for long work, one for each core.
static PERMITS: LazyLock<FairSemaphore> = LazyLock::new(|| FairSemaphore::new(cores()));

thread_local! {
    /// True while this thread does work with a permit, which may contain further long work.
    static HAS_PERMIT: Cell<bool> = const { Cell::new(false) };
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// Piece of long work.
#[derive(Debug, Clone, Copy)]
pub struct Piece {
    /// Caller on whose behalf it is done.
    pub caller: CallerId,
    /// Size of the text that is worked on.
    pub bytes: usize,
}

impl Piece {
    /// Returns the piece that work on a caller's text of this size is; `None` if it is short.
    #[must_use]
    pub fn if_long(caller: CallerId, bytes: usize) -> Option<Self> {
        (bytes >= LONG_TEXT_BYTES).then_some(Self { caller, bytes })
    }
}

/// Does work on this thread, or, if it is long, a `piece`, on a thread for long work.
///
/// # Errors
/// If long work panics.
pub async fn spawn_if_long<T: Send + 'static>(
    piece: Option<Piece>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    match piece {
        Some(piece) => spawn_long(piece, work).await,
        None => Ok(work()),
    }
}

/// Does long work on a thread for it.
///
/// # Errors
/// If the work panics.
pub async fn spawn_long<T: Send + 'static>(
    piece: Piece,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    if !HAS_PERMIT.get() {
        return acquire_and_spawn(piece, work).await;
    }
    // In a task of its own: the current task is polled only while it has a permit. It could be granted this second one while it waits to
    // be polled, and would then hold a permit that the poll itself needs.
    let mut task = JoinSet::new();
    task.spawn(acquire_and_spawn(piece, work));
    match task.join_next().await {
        Some(done) => done.flatten(),
        // The set has a task.
        None => std::future::pending().await,
    }
}

async fn acquire_and_spawn<T: Send + 'static>(
    piece: Piece,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    // Acquired before there is a thread: waiting threads would be lacking for all other work that blocks.
    let permit = acquire(piece).await;
    tokio::task::spawn_blocking(move || with_permit(permit, work)).await
}

/// Does work within the current task. If it is long, a `piece`, it waits for a permit, and then the other tasks of this worker move to
/// another thread.
///
/// A task that is polled whenever it is woken must await it: a future that is given a permit and is not polled keeps it from the others.
pub async fn run_long<T>(piece: Option<Piece>, work: impl FnOnce() -> T) -> T {
    match acquire_if_needed(piece).await {
        Some(permit) => tokio::task::block_in_place(|| with_permit(permit, work)),
        None => work(),
    }
}

/// Does work within the current task as [`run_long`] does, but without a permit: for milliseconds, which need not wait behind large
/// texts.
pub fn run_off_worker<T>(is_slow: bool, work: impl FnOnce() -> T) -> T {
    if is_slow && has_other_threads() {
        tokio::task::block_in_place(work)
    } else {
        work()
    }
}

/// Awaits a pinned future. If its polls are long, each is done as by [`run_long`].
///
/// The future comes by reference: an async function that takes one by value holds it twice, and each caller moves both.
pub async fn poll_long<F: Future>(piece: Option<Piece>, future: Pin<&mut F>) -> F::Output {
    if piece.is_none() {
        return future.await;
    }
    poll_by_piece(|| piece, future).await
}

/// Awaits a pinned future as [`poll_long`] does. `piece` is called before each poll: what the future works on may become long.
pub async fn poll_by_piece<F: Future>(
    piece: impl Fn() -> Option<Piece>,
    mut future: Pin<&mut F>,
) -> F::Output {
    loop {
        let mut permit = acquire_if_needed(piece()).await;
        let polled = poll_fn(|cx| {
            let mut poll = || future.as_mut().poll(cx);
            Poll::Ready(match permit.take() {
                Some(permit) => tokio::task::block_in_place(|| with_permit(permit, poll)),
                None => poll(),
            })
        });
        if let Poll::Ready(output) = polled.await {
            return output;
        }
        wait_for_wake().await;
    }
}

/// Waits until the task is woken by what it polled last.
async fn wait_for_wake() {
    let mut has_waited = false;
    poll_fn(|_| {
        if std::mem::replace(&mut has_waited, true) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

/// Returns true if the other tasks of this worker can move to another thread, which a runtime of one thread does not have.
fn has_other_threads() -> bool {
    Handle::try_current()
        .is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread)
}

/// Waits for a permit for a piece of work within the current task. Returns `None` if the work needs none: it is short, it is part of work
/// that has a permit, or the runtime has only this thread.
async fn acquire_if_needed(piece: Option<Piece>) -> Option<FairPermit> {
    let piece = piece.filter(|_| !HAS_PERMIT.get() && has_other_threads())?;
    Some(acquire(piece).await)
}

async fn acquire(piece: Piece) -> FairPermit {
    PERMITS.acquire(piece.caller, piece.bytes as u64).await
}

/// Does work on this thread, which may block, and returns the permit.
fn with_permit<T>(_permit: FairPermit, work: impl FnOnce() -> T) -> T {
    let _mark = PermitMark::new();
    work()
}

/// Mark that this thread has a permit; removed when dropped, also by a panic.
struct PermitMark;

impl PermitMark {
    fn new() -> Self {
        HAS_PERMIT.set(true);
        Self
    }
}

impl Drop for PermitMark {
    fn drop(&mut self) {
        HAS_PERMIT.set(false);
    }
}

/// Takes all permits with work of a caller, which lasts until the sender is dropped. Further long work of the caller waits for it.
#[cfg(test)]
pub(crate) fn take_all_permits(caller: CallerId) -> std::sync::mpsc::Sender<()> {
    use futures_util::FutureExt;

    let (release, released) = std::sync::mpsc::channel();
    let released = std::sync::Arc::new(std::sync::Mutex::new(released));
    for _ in 0..cores() {
        let released = std::sync::Arc::clone(&released);
        let work = move || {
            let _ = released.lock().unwrap().recv_timeout(tests::LIMIT);
        };
        let mut work = Box::pin(spawn_long(Piece { caller, bytes: 1 }, work));
        // In the queue before the caller's further work.
        assert!(work.as_mut().now_or_never().is_none());
        tokio::spawn(work);
    }
    release
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    pub const LIMIT: Duration = Duration::from_secs(30);

    fn piece(caller: usize) -> Piece {
        Piece {
            caller: CallerId(caller as u64 % 3),
            bytes: LONG_TEXT_BYTES,
        }
    }

    /// Counter of work in progress, and its maximum.
    #[derive(Default)]
    struct InProgress(AtomicUsize, AtomicUsize);

    impl InProgress {
        fn work(&self) {
            let now = self.0.fetch_add(1, Ordering::SeqCst) + 1;
            self.1.fetch_max(now, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(5));
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_more_pieces_are_done_at_a_time_than_there_are_cores() {
        let in_progress = Arc::new(InProgress::default());
        let pieces = (0..8 * cores()).map(|number| {
            let in_progress = Arc::clone(&in_progress);
            tokio::spawn(async move {
                if number % 2 == 0 {
                    spawn_long(piece(number), move || in_progress.work())
                        .await
                        .unwrap();
                } else {
                    // Long work within long work needs no second permit.
                    let piece = Some(piece(number));
                    let again = pin!(run_long(piece, || in_progress.work()));
                    poll_long(piece, again).await;
                }
            })
        });
        for piece in pieces.collect::<Vec<_>>() {
            piece.await.unwrap();
        }
        assert!(in_progress.1.load(Ordering::SeqCst) <= cores());
    }

    /// Work that is polled with a permit starts further work on a thread, and there is no other permit.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn polled_work_and_what_it_starts_take_turns_with_one_permit() {
        let mut others = Vec::new();
        for number in 1..cores() {
            others.push(acquire(piece(number)).await);
        }
        let mut started = pin!(spawn_long(piece(0), || HAS_PERMIT.get()));
        let done = poll_long(Some(piece(0)), started.as_mut());
        let done = tokio::time::timeout(LIMIT, done).await;
        assert!(done.expect("no permit is kept").unwrap());
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

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_panic_returns_the_permit() {
        for _ in 0..100 {
            assert!(spawn_long(piece(0), || panic!("on purpose")).await.is_err());
        }
        // Other tests may hold permits; those of the panics would be lacking for ever.
        let work = spawn_long(piece(1), || assert!(HAS_PERMIT.get()));
        tokio::time::timeout(LIMIT, work).await.unwrap().unwrap();
    }

    #[test]
    fn pieces_are_done_even_if_all_threads_wait_for_permits() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(2)
            .enable_time()
            .build()
            .unwrap();
        let in_progress = Arc::new(InProgress::default());
        let pieces = (0..200).map(|number| {
            let in_progress = Arc::clone(&in_progress);
            runtime.spawn(async move {
                if number % 2 == 0 {
                    spawn_long(piece(number), move || in_progress.work())
                        .await
                        .unwrap();
                } else {
                    run_long(Some(piece(number)), || in_progress.work()).await;
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
}
