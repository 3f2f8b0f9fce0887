//! Work on a worker of the runtime that may take long: parsing, hashing and encoding of large texts.

use std::pin::Pin;

use tokio::runtime::{Handle, RuntimeFlavor};

/// Size of a text from which the work on it is long, in bytes.
pub(super) const LONG_TEXT_BYTES: usize = 256 * 1024;

/// Runs work within the current task. If it is long, the other tasks of this worker move to another thread.
pub fn run_long<T>(is_long: bool, work: impl FnOnce() -> T) -> T {
    // A runtime of one thread has no other.
    let has_threads = || {
        let runtime = Handle::try_current();
        runtime.is_ok_and(|runtime| runtime.runtime_flavor() != RuntimeFlavor::CurrentThread)
    };
    if is_long && has_threads() {
        tokio::task::block_in_place(work)
    } else {
        work()
    }
}

/// Awaits a pinned future. If its polls are long, the other tasks of the worker move to another thread.
///
/// The future comes by reference: an async function that takes one by value holds it twice, and each caller moves both.
pub async fn poll_long<F: Future>(is_long: bool, mut future: Pin<&mut F>) -> F::Output {
    std::future::poll_fn(|cx| run_long(is_long, || future.as_mut().poll(cx))).await
}
