//! The state behind its lock, with the timer that wakes it and the observer that hears of events.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::breaker::Health;
use crate::grant::GrantedCall;
use crate::memory::MemoryLedger;
use crate::observer::Observer;
use crate::outage::OutageChange;
use crate::scheduler::State;
use crate::timer::Timer;
use crate::types::{CallReport, Config, Pool};

/// Everything that the clones of `Limits` share.
#[derive(Debug)]
pub struct Shared {
    pub config: Config,
    pub memory: MemoryLedger,
    observer: Arc<dyn Observer>,
    state: Mutex<State>,
    timer: Timer,
}

impl Shared {
    /// Creates the state and starts the timer's thread, which ends with the last reference.
    ///
    /// # Errors
    /// If the operating system provides no thread.
    pub fn start(
        config: Config,
        pools: Vec<Pool>,
        observer: Arc<dyn Observer>,
    ) -> std::io::Result<Arc<Self>> {
        let state = State::new(config, pools, Arc::clone(&observer), Instant::now());
        let shared = Arc::new(Self {
            config,
            memory: MemoryLedger::new(config.max_memory_bytes, config.max_body_memory_bytes),
            observer,
            state: Mutex::new(state),
            timer: Timer::default(),
        });
        let weak = Arc::downgrade(&shared);
        shared.timer.start(move || match weak.upgrade() {
            Some(shared) => {
                shared.dispatch();
                true
            }
            None => false,
        })?;
        Ok(shared)
    }

    /// Locks the state.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Grants every permit that can be granted now, and sets the timer for the next.
    pub fn dispatch(&self) {
        self.change(|_, _| ());
    }

    /// Changes the state, then grants the permits that have become possible.
    pub fn change<T>(&self, change: impl FnOnce(&mut State, Instant) -> T) -> T {
        let (changed, next, unclaimed) = {
            let mut state = self.lock();
            let now = Instant::now();
            let changed = change(&mut state, now);
            (changed, state.dispatch(now), state.take_unclaimed())
        };
        if let Some(next) = next {
            self.timer.set(next);
        }
        // Outside the lock: each one returns its slot to the next in the queue.
        for mut call in unclaimed {
            self.finish(&mut call);
        }
        changed
    }

    /// Ends the probe of a call that goes on, and grants the permits that have become possible.
    pub fn end_probe(&self, call: &mut GrantedCall, health: Health) {
        self.change(|state, now| state.end_probe(call, health, now));
    }

    /// Ends a call: returns what it holds, settles its reservation by its report, and grants the permits that have become
    /// possible. Returns the beginning or end of an outage that the call has proven.
    /// Does nothing for a call that has ended before.
    pub fn finish(&self, call: &mut GrantedCall) -> Option<OutageChange> {
        let held = call.held.take()?;
        let report = call
            .report
            .take()
            .unwrap_or(CallReport::cancelled(call.was_sent));
        let charge = &call.charge;
        if call.was_sent {
            charge.model.record_usage(report.spent);
        }
        let settled = self.change(|state, now| state.settle(charge, held, &report, now));
        if settled.has_opened {
            let label = self.lock().label_of(&charge.model);
            self.observer.circuit_opened(&label);
        }
        settled.outage
    }
}
