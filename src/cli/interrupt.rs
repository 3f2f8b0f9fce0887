//! Cancellation by Ctrl-C or SIGTERM, as an error that ends a run.

use tokio_util::sync::CancellationToken;

/// Error of a run that was interrupted by a signal.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// Returns an error if the run was interrupted.
///
/// # Errors
/// [`Interrupted`] if `stop` is cancelled.
pub fn check(stop: &CancellationToken) -> Result<(), Interrupted> {
    if stop.is_cancelled() {
        Err(Interrupted)
    } else {
        Ok(())
    }
}
