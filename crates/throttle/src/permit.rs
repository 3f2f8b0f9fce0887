//! The permit: the right to make one call. Dropping it at any moment returns everything.

use std::sync::Arc;

use crate::breaker::Health;
use crate::grant::GrantedCall;
use crate::outage::OutageChange;
use crate::received_text::ReceivedText;
use crate::shared::Shared;
use crate::types::CallReport;

/// The right to make one call. Keep it until the answer's last byte, then [`release`](Permit::release) it with the call's
/// report. Dropping it returns everything as well; what the call may have used by then stays charged, at least what has arrived
/// of its answer.
#[derive(Debug)]
pub struct Permit {
    call: Box<GrantedCall>,
    shared: Arc<Shared>,
}

impl Permit {
    pub(crate) const fn new(call: Box<GrantedCall>, shared: Arc<Shared>) -> Self {
        Self { call, shared }
    }

    /// Marks the call as sent: from here on the provider may work for it and charge it.
    pub const fn begin(&mut self) {
        self.call.was_sent = true;
    }

    /// Returns the index of the provider key that the call uses.
    #[must_use]
    pub const fn key(&self) -> usize {
        self.call.charge.key
    }

    /// Returns the counter of the text of the answer, to be kept up as it arrives: a call that is left before its usage is known is
    /// charged for it, if that is more than what was reserved.
    #[must_use]
    pub fn received_text(&self) -> ReceivedText {
        self.call.charge.received.clone()
    }

    /// Returns true if the call probes a circuit breaker that is open.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        let held = self.call.held.as_ref();
        held.is_some_and(|held| held.probe.is_some())
    }

    /// Ends the call's probe of a circuit breaker as a success: the answer has begun, and the client may take the rest of it slowly.
    /// Does nothing if the call is no probe.
    pub fn pass_probe(&mut self) {
        self.shared.end_probe(&mut self.call, Health::Success);
    }

    /// Ends the call's probe of a circuit breaker without a result: another call may probe meanwhile. What the call proves in the end
    /// counts all the same. Does nothing if the call is no probe.
    pub fn yield_probe(&mut self) {
        self.shared.end_probe(&mut self.call, Health::Neutral);
    }

    /// Ends the call with its report. The slot goes to the next item, and the reservation is settled. Returns
    /// the beginning or the end of an outage that the call has proven.
    #[expect(
        clippy::must_use_candidate,
        reason = "a caller that logs no outages needs the release alone"
    )]
    pub fn release(mut self, report: CallReport) -> Option<OutageChange> {
        self.call.report = Some(report);
        self.shared.finish(&mut self.call)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shared.finish(&mut self.call);
    }
}
