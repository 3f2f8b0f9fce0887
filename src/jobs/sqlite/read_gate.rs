//! Gate of the reads, closed while the write-ahead log is truncated: the log can be truncated only while no read uses it, and reads
//! that overlap would use it forever.

use tokio::sync::watch;

/// Gate of the reads. While it is closed, no read begins.
#[derive(Debug, Default)]
pub struct ReadGate {
    /// Number of guards that keep it closed.
    closings: watch::Sender<usize>,
}

impl ReadGate {
    /// Closes the gate until the guard is dropped.
    pub fn close(&self) -> ClosedGate<'_> {
        self.closings.send_modify(|closings| *closings += 1);
        ClosedGate(self)
    }

    /// Waits until the gate is open.
    pub async fn wait_until_open(&self) {
        let mut closings = self.closings.subscribe();
        // It fails only without a sender, which this gate is.
        drop(closings.wait_for(|closings| *closings == 0).await);
    }
}

/// Guard that keeps a gate closed.
#[derive(Debug)]
#[must_use]
pub struct ClosedGate<'a>(&'a ReadGate);

impl Drop for ClosedGate<'_> {
    fn drop(&mut self) {
        let closings = &self.0.closings;
        closings.send_modify(|closings| *closings = closings.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn the_gate_is_open_once_nobody_keeps_it_closed() {
        let gate = ReadGate::default();
        assert!(gate.wait_until_open().now_or_never().is_some());
        let [first, second] = [gate.close(), gate.close()];
        drop(first);
        assert!(gate.wait_until_open().now_or_never().is_none());
        drop(second);
        assert!(gate.wait_until_open().now_or_never().is_some());
    }
}
