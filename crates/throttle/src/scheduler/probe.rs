//! The early end of a probe: its call goes on, and holds the probe's place no longer.

use std::time::Instant;

use super::State;
use crate::breaker::Health;
use crate::grant::GrantedCall;

impl State {
    /// Ends the probe of a call that goes on: records what it has proven, and gives its place to other calls. Does nothing for a call
    /// that is no probe, or whose probe has ended.
    pub fn end_probe(&mut self, call: &mut GrantedCall, health: Health, now: Instant) {
        let Some(probe) = call.held.as_mut().and_then(|held| held.probe.take()) else {
            return;
        };
        let charge = &mut call.charge;
        let model = &charge.model;
        charge.is_success_recorded = health == Health::Success;
        let mut state = model.state();
        if let Some(held) = &mut call.held
            && health == Health::Neutral
        {
            held.yielded_probe = state.breaker.yielded_guard(charge.caller);
        }
        drop(probe);
        state
            .breaker
            .record(charge.caller, health, charge.began, now);
        drop(state);
        let pool = self.pools.get_mut(model.pool.0);
        if let Some(queue) = pool.and_then(|pool| pool.queues.get_mut(model.queue)) {
            queue.unpark_queues(|key| key.model == model.id);
        }
    }
}
