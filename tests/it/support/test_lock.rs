//! The lock between tests: most run side by side; a test that measures time runs alone, so that its neighbours do not
//! distort the measurement.

use std::cell::Cell;

use tokio::sync::{Semaphore, SemaphorePermit};

/// Number of permits: more than tests ever run side by side.
const MAX_PERMITS: u32 = 1024;

static PERMITS: Semaphore = Semaphore::const_new(MAX_PERMITS as usize);

thread_local! {
    /// Locks held by the test of this thread: the second server of a test must not wait behind an exclusive test that waits
    /// for the first one.
    static HELD: Cell<usize> = const { Cell::new(0) };
}

/// A share of the lock, released when dropped.
pub struct TestLock {
    _permit: Option<SemaphorePermit<'static>>,
}

impl Drop for TestLock {
    fn drop(&mut self) {
        HELD.set(HELD.get() - 1);
    }
}

/// Takes a share beside other tests. Every server takes one.
pub async fn shared() -> TestLock {
    take(1).await
}

/// Takes the whole lock. To be called before the first server starts.
pub async fn exclusive() -> TestLock {
    assert_eq!(
        HELD.get(),
        0,
        "take the exclusive lock before starting a server"
    );
    take(MAX_PERMITS).await
}

async fn take(places: u32) -> TestLock {
    let permit = match HELD.get() {
        0 => Some(
            PERMITS
                .acquire_many(places)
                .await
                .expect("it is never closed"),
        ),
        _ => None,
    };
    HELD.set(HELD.get() + 1);
    TestLock { _permit: permit }
}
