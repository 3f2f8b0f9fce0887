//! What the limits know, behind one lock. Time is an argument throughout.

use std::sync::{Arc, Weak};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::admission::Overloaded;
use super::bucket::Bucket;
use super::fair::{Place, Queue, Ticket};
use super::permit::{Denied, Patience, Permit};
use super::{CallerId, Config, Kind, Pool, PoolId, RETRY_SOON, Reading, Shared};

/// One request (a single or a batch): the second level of the fair queue.
pub type RequestId = u64;

/// Where an item waits.
pub type Waiting = Ticket<CallerId, RequestId>;

/// The slots that a call holds: the process's, and its pool's if that has a limit of its own.
#[derive(Debug)]
pub struct Slots(#[expect(dead_code, reason = "held, not read")] (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>));

/// Why nothing can go out.
enum Hold {
    Until(Instant),
    /// A permit has to come back first.
    Slot,
}

#[derive(Debug)]
pub struct Waiter {
    pub patience: Patience,
    /// Becomes the permit's, so that its lane can count what is in flight.
    pub flying: Weak<()>,
    pub answer: oneshot::Sender<Result<Permit, Denied>>,
}

#[derive(Debug)]
struct PoolState {
    name: String,
    bucket: Option<Bucket>,
    slots: Option<(usize, Arc<Semaphore>)>,
    paused_until: Option<Instant>,
    queue: Queue<CallerId, RequestId, Waiter>,
}

impl PoolState {
    fn new(pool: Pool, now: Instant) -> Self {
        Self {
            name: pool.name,
            bucket: pool.rate.map(|rate| Bucket::new(rate, now)),
            slots: pool.max_in_flight.map(|n| (n, Arc::new(Semaphore::new(n)))),
            paused_until: None,
            queue: Queue::default(),
        }
    }

    fn pause_at(&self, now: Instant) -> Option<Instant> {
        self.paused_until.filter(|until| *until > now)
    }

    /// Takes slot and token together, or neither.
    fn take(&mut self, now: Instant, slots: &Arc<Semaphore>) -> Result<Slots, Hold> {
        if let Some(until) = self.pause_at(now) {
            return Err(Hold::Until(until));
        }
        let slot = Arc::clone(slots).try_acquire_owned().map_err(|_| Hold::Slot)?;
        let own = match &self.slots {
            Some((_, own)) => Some(Arc::clone(own).try_acquire_owned().map_err(|_| Hold::Slot)?),
            None => None,
        };
        if let Some(bucket) = &mut self.bucket {
            bucket.take(now).map_err(Hold::Until)?;
        }
        Ok(Slots((slot, own)))
    }

    /// How many could go out now, were there slots enough.
    fn ready(&self, now: Instant) -> usize {
        if !self.queue.is_empty() || self.pause_at(now).is_some() {
            return 0;
        }
        let tokens = self.bucket.as_ref().map_or(usize::MAX, |bucket| bucket.available(now) as usize);
        self.slots.as_ref().map_or(tokens, |(_, own)| tokens.min(own.available_permits()))
    }
}

#[derive(Debug)]
pub struct State {
    config: Config,
    slots: Arc<Semaphore>,
    pools: Vec<PoolState>,
    /// Which pool is asked first for the next free slot.
    turn: usize,
    /// What the admitted requests may have under way together.
    admitted: usize,
    requests: RequestId,
    /// Permits that nobody took, to be dropped outside the lock.
    unclaimed: Vec<Permit>,
}

impl State {
    pub fn new(config: Config, pools: Vec<Pool>, now: Instant) -> Self {
        Self {
            config,
            slots: Arc::new(Semaphore::new(config.max_concurrency)),
            pools: pools.into_iter().map(|pool| PoolState::new(pool, now)).collect(),
            turn: 0,
            admitted: 0,
            requests: 0,
            unclaimed: Vec::new(),
        }
    }

    fn in_flight(&self) -> usize {
        self.config.max_concurrency - self.slots.available_permits()
    }

    /// Admits a request with as large a part of `wanted` as there is room for.
    pub fn admit(&mut self, pool: PoolId, wanted: usize, now: Instant) -> Result<(RequestId, usize), Overloaded> {
        let ready = self.pools.get(pool.0).map_or(0, |pool| pool.ready(now)).min(self.slots.available_permits());
        let waiting = self.admitted.saturating_sub(self.in_flight());
        let room = (self.config.max_queue + ready).saturating_sub(waiting);
        if room == 0 {
            return Err(Overloaded { waiting, max_queue: self.config.max_queue, retry_after: RETRY_SOON });
        }
        let window = wanted.min(room);
        self.admitted += window;
        self.requests += 1;
        Ok((self.requests, window))
    }

    /// A request of this window has ended.
    pub fn leave(&mut self, window: usize) {
        self.admitted -= window;
    }

    /// Takes slot and token if nobody waits for them.
    pub fn try_take(&mut self, pool: PoolId, now: Instant) -> Option<Slots> {
        let pool = self.pools.get_mut(pool.0)?;
        if !pool.queue.is_empty() {
            return None;
        }
        pool.take(now, &self.slots).ok()
    }

    /// Puts an item in line; what it is told at once, if its patience does not cover the pause that is on.
    pub fn wait(
        &mut self,
        pool: PoolId,
        caller: CallerId,
        request: RequestId,
        place: Place,
        waiter: Waiter,
        now: Instant,
    ) -> Result<Waiting, Denied> {
        let Some(pool) = self.pools.get_mut(pool.0) else { return Err(Denied { until: now }) };
        if let Some(until) = pool.pause_at(now).filter(|until| !waiter.patience.covers(now, *until)) {
            return Err(Denied { until });
        }
        Ok(pool.queue.push(caller, request, place, waiter))
    }

    pub fn stop_waiting(&mut self, pool: PoolId, ticket: Waiting) {
        if let Some(pool) = self.pools.get_mut(pool.0) {
            pool.queue.remove(ticket);
        }
    }

    /// Takes every item of a request out of its lines.
    pub fn leave_lines(&mut self, caller: CallerId, request: RequestId) -> Vec<Waiter> {
        self.pools.iter_mut().flat_map(|pool| pool.queue.remove_all(caller, request)).collect()
    }

    /// Nothing of this pool goes out before `until`; who will not wait so long is told now.
    pub fn pause(&mut self, pool: PoolId, until: Instant, now: Instant) {
        let Some(pool) = self.pools.get_mut(pool.0) else { return };
        if pool.paused_until.is_some_and(|already| already >= until) {
            return;
        }
        pool.paused_until = Some(until);
        let impatient: Vec<_> =
            pool.queue.iter().filter_map(|(ticket, waiter)| (!waiter.patience.covers(now, until)).then_some(ticket)).collect();
        for waiter in impatient.into_iter().filter_map(|ticket| pool.queue.remove(ticket)) {
            // It may have left at this moment; then there is nobody to tell.
            drop(waiter.answer.send(Err(Denied { until })));
        }
    }

    /// Gives out what can go out now, a slot to each pool in turn. Returns when to look again, if time alone will help.
    pub fn dispatch(&mut self, now: Instant, shared: &Arc<Shared>) -> Option<Instant> {
        let mut next = None;
        let mut idle = 0;
        while idle < self.pools.len() {
            let at = self.turn % self.pools.len();
            self.turn = at + 1;
            let Some(pool) = self.pools.get_mut(at) else { break };
            idle += 1;
            if pool.queue.is_empty() {
                continue;
            }
            match pool.take(now, &self.slots) {
                Ok(slots) => {
                    idle = 0;
                    if let Some(waiter) = pool.queue.pop() {
                        let permit = Permit::new(slots, waiter.flying.upgrade().unwrap_or_default(), Arc::clone(shared));
                        if let Err(Ok(permit)) = waiter.answer.send(Ok(permit)) {
                            self.unclaimed.push(permit);
                        }
                    }
                }
                Err(Hold::Until(at)) => next = Some(next.map_or(at, |earlier: Instant| earlier.min(at))),
                Err(Hold::Slot) => {}
            }
        }
        next
    }

    /// Permits that could not be handed over; the caller drops them once the lock is free.
    pub fn take_unclaimed(&mut self) -> Vec<Permit> {
        std::mem::take(&mut self.unclaimed)
    }

    pub fn readings(&self, now: Instant) -> Vec<Reading> {
        let waiting: usize = self.pools.iter().map(|pool| pool.queue.len()).sum();
        let queued = self.admitted.saturating_sub(self.in_flight());
        let mut readings = vec![
            reading(Kind::Concurrency, None, Some(self.config.max_concurrency), self.in_flight(), waiting),
            reading(Kind::Queue, None, Some(self.config.max_queue), queued, waiting),
        ];
        for pool in &self.pools {
            let scope = || Some(pool.name.clone());
            if let Some((limit, own)) = &pool.slots {
                let in_use = limit - own.available_permits();
                readings.push(reading(Kind::Concurrency, scope(), Some(*limit), in_use, pool.queue.len()));
            }
            let requests = pool.bucket.as_ref().map(|bucket| {
                let available = if pool.pause_at(now).is_some() { 0 } else { bucket.available(now) };
                (u64::from(bucket.rate().per_minute.get()), u64::from(available), bucket.rate().burst.get())
            });
            readings.push(Reading {
                kind: Kind::RequestsPerMinute,
                scope: scope(),
                limit: requests.map(|(limit, ..)| limit),
                in_use: requests.map_or(0, |(_, available, burst)| u64::from(burst).saturating_sub(available)),
                available: requests.map(|(_, available, _)| available),
                waiting: pool.queue.len() as u64,
            });
        }
        readings
    }
}

fn reading(kind: Kind, scope: Option<String>, limit: Option<usize>, in_use: usize, waiting: usize) -> Reading {
    Reading {
        kind,
        scope,
        limit: limit.map(|n| n as u64),
        in_use: in_use as u64,
        available: limit.map(|n| n.saturating_sub(in_use) as u64),
        waiting: waiting as u64,
    }
}
