//! CPU-bound work that takes long: parsing, hashing and encoding of large texts.
//!
//! It is done off the workers of the runtime, and at most as many pieces at a time as there are cores, or two if there is one: short
//! work, such as an answer to a probe, would wait for a core behind all of them otherwise. The callers take turns, by the bytes that they have worked
//! on and the time that it took, and several callers leave room for each other, so that one caller's work does not keep another one
//! waiting.

use std::cell::Cell;
use std::future::poll_fn;
use std::num::NonZero;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::{JoinError, JoinSet};

use throttle::{CallerId, FairPermit, FairSemaphore};

/// Size of a text from which the work on it is long, in bytes.
pub const LONG_TEXT_BYTES: usize = 256 * 1024;

/// Size of a text that counts as much as a millisecond of work, in bytes.
const BYTES_PER_MILLISECOND: u128 = 256 * 1024;

/// Permits for long work.
static PERMITS: LazyLock<FairSemaphore> = LazyLock::new(|| FairSemaphore::new(permits(cores())));

thread_local! {
    /// True while this thread does work with a permit, which may contain further long work.
    static HAS_PERMIT: Cell<bool> = const { Cell::new(false) };
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// Returns the number of permits for this many cores: one for each of them, but two for a single one, which the operating system shares
/// then. Of one permit, a caller could leave none to another one.
fn permits(cores: usize) -> usize {
    cores.max(2)
}

/// Returns the size of a text that counts as much as work that takes this long, in bytes.
#[must_use]
pub fn bytes_for(duration: Duration) -> usize {
    let bytes = duration.as_micros().saturating_mul(BYTES_PER_MILLISECOND) / 1000;
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Changes whether several callers are configured: each of them then leaves a permit for another one. A caller that is the only one
/// may have them all.
pub fn set_has_several_callers(has_several: bool) {
    PERMITS.set_leaves_room(has_several);
}

/// Piece of long work.
#[derive(Debug, Clone, Copy)]
pub struct Piece {
    /// Caller on whose behalf it is done.
    pub caller: CallerId,
    /// Size of the text that is worked on. Time that exceeds it is charged when the piece is done.
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

/// Permit for a piece of long work.
struct PiecePermit {
    permit: FairPermit,
    /// Size for which the caller has been charged.
    bytes: usize,
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

/// Appends `more` bytes to a buffer of this length and capacity, by `append`: as by [`run_off_worker`] if the buffer is moved to another
/// place, and that takes long.
pub fn append_off_worker(length: usize, capacity: usize, more: usize, append: impl FnOnce()) {
    run_off_worker(is_long_to_extend(length, capacity, more), append);
}

const fn is_long_to_extend(length: usize, capacity: usize, more: usize) -> bool {
    length >= LONG_TEXT_BYTES && capacity - length < more
}

/// Value of many parts, such as values of JSON, which is dropped as by [`run_off_worker`]: if a request fails, or its client leaves.
#[derive(Debug)]
pub struct SlowDrop<T> {
    /// `None`: it is being dropped.
    value: Option<T>,
    /// Returns true if dropping the value may take longer than about a millisecond.
    is_slow: fn(&T) -> bool,
}

impl<T> SlowDrop<T> {
    /// Creates the value. `is_slow` is asked when it is dropped: parts may have been taken by then.
    #[must_use]
    pub const fn new(value: T, is_slow: fn(&T) -> bool) -> Self {
        let value = Some(value);
        Self { value, is_slow }
    }
}

impl<T> Deref for SlowDrop<T> {
    type Target = T;

    #[expect(clippy::expect_used, reason = "nobody has it when it is dropped")]
    fn deref(&self) -> &T {
        self.value.as_ref().expect("it is not dropped yet")
    }
}

impl<T> DerefMut for SlowDrop<T> {
    #[expect(clippy::expect_used, reason = "nobody has it when it is dropped")]
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("it is not dropped yet")
    }
}

impl<T> Drop for SlowDrop<T> {
    fn drop(&mut self) {
        let value = self.value.take();
        let is_slow = value.as_ref().is_some_and(self.is_slow);
        run_off_worker(is_slow, || drop(value));
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
async fn acquire_if_needed(piece: Option<Piece>) -> Option<PiecePermit> {
    let piece = piece.filter(|_| !HAS_PERMIT.get() && has_other_threads())?;
    Some(acquire(piece).await)
}

async fn acquire(piece: Piece) -> PiecePermit {
    acquire_from(&PERMITS, piece).await
}

async fn acquire_from(permits: &FairSemaphore, piece: Piece) -> PiecePermit {
    let Piece { caller, bytes } = piece;
    let permit = permits.acquire(caller, bytes as u64).await;
    PiecePermit { permit, bytes }
}

/// Does work on this thread, which may block, charges the time that it takes, and returns the permit.
fn with_permit<T>(permit: PiecePermit, work: impl FnOnce() -> T) -> T {
    let _in_progress = InProgress::new(permit);
    work()
}

/// Work of this thread with a permit. When it is dropped, also by a panic, the caller is charged the time that exceeds its bytes: a few
/// of them may keep a core for seconds.
struct InProgress {
    permit: PiecePermit,
    began: Instant,
}

impl InProgress {
    fn new(permit: PiecePermit) -> Self {
        HAS_PERMIT.set(true);
        Self {
            permit,
            began: Instant::now(),
        }
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        HAS_PERMIT.set(false);
        let PiecePermit { permit, bytes } = &self.permit;
        let excess = bytes_for(self.began.elapsed()).saturating_sub(*bytes);
        if excess > 0 {
            permit.charge(excess as u64);
        }
    }
}

/// Takes all permits with work of a caller, which lasts until the sender is dropped. Further long work of the caller waits for it.
#[cfg(test)]
pub(crate) fn take_all_permits(caller: CallerId) -> std::sync::mpsc::Sender<()> {
    use futures_util::FutureExt;

    let (release, released) = std::sync::mpsc::channel();
    let released = std::sync::Arc::new(std::sync::Mutex::new(released));
    for _ in 0..permits(cores()) {
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
mod tests;
