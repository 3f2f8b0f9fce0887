//! Who may run now. Tests run side by side; one that measures times takes the machine for itself, so that its neighbours do not
//! bend what it measures.

use std::cell::Cell;

use tokio::sync::{Semaphore, SemaphorePermit};

/// More than tests ever run side by side.
const PLACES: u32 = 1024;

static TURNS: Semaphore = Semaphore::const_new(PLACES as usize);

thread_local! {
    /// Turns held by the test of this thread: a second server of one test must not wait behind somebody who waits for the first.
    static HELD: Cell<usize> = const { Cell::new(0) };
}

/// A turn; given back when dropped.
pub struct Turn {
    _permit: Option<SemaphorePermit<'static>>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        HELD.set(HELD.get() - 1);
    }
}

/// A turn beside others. Every server takes one.
pub async fn beside_others() -> Turn {
    take(1).await
}

/// A turn alone, to be taken before the first server starts.
pub async fn alone() -> Turn {
    assert_eq!(HELD.get(), 0, "take the turn before starting a server");
    take(PLACES).await
}

async fn take(places: u32) -> Turn {
    let permit = match HELD.get() {
        0 => Some(
            TURNS
                .acquire_many(places)
                .await
                .expect("it is never closed"),
        ),
        _ => None,
    };
    HELD.set(HELD.get() + 1);
    Turn { _permit: permit }
}
