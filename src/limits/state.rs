//! What the limits know, behind one lock. Time is an argument throughout.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::{Instant, SystemTime};

use tokio::sync::{Semaphore, oneshot};

use super::admission::{Lane, Refused};
use super::breaker::{self, Health};
use super::caller::{Caller, Charge, Quota};
use super::estimate::Guess;
use super::fair::{Class, Entry, Offer, Queue, Ticket};
use super::key::KeySet;
use super::model::{Model, Terms};
use super::permit::{Ask, Denied, Patience, Permit, Stake, Turn};
use super::pool::{Asked, Holds, Provider, Refusal, charge};
use super::{CallerId, Config, Load, Pool, PoolId, RETRY_SOON, Report, Shared, Spent};

/// One request (a single or a batch).
pub type RequestId = u64;

/// The items of a request that ask the same model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    pub request: RequestId,
    pub model: u64,
}

/// Where an item waits.
pub type Waiting = Ticket<CallerId, Line>;

/// Models that are remembered without being used; a caller may name any.
const MAX_MODELS: usize = 1000;
/// Models with metrics of their own.
const MAX_LABELS: usize = 100;

#[derive(Debug)]
pub struct Waiter {
    model: Arc<Model>,
    turn: Turn,
    is_first_try: bool,
    patience: Patience,
    guessed: u64,
    max_output: Option<u32>,
    refused: KeySet,
    /// Becomes the permit's, so that its lane can count what is in flight.
    flying: Weak<()>,
    answer: oneshot::Sender<Result<Permit, Denied>>,
}

/// Who waits for a provider.
#[derive(Debug)]
pub struct PoolState {
    pub provider: Provider,
    pub queue: Queue<CallerId, Line, Waiter>,
}

/// What may go out again at a moment of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wake {
    Caller(CallerId),
    Model(PoolId, u64),
}

#[derive(Debug)]
pub struct State {
    pub config: Config,
    slots: Arc<Semaphore>,
    pub pools: Vec<PoolState>,
    pub callers: BTreeMap<CallerId, Caller>,
    pub models: BTreeMap<(PoolId, String), Arc<Model>>,
    wakes: BTreeSet<(Instant, Wake)>,
    /// Which pool is asked first for the next free slot.
    turn: usize,
    /// What the admitted requests may have under way together.
    admitted: usize,
    requests: RequestId,
    model_ids: u64,
    /// Permits that nobody took, to be dropped outside the lock.
    unclaimed: Vec<Permit>,
}

/// Whether an item has its permit, waits for it, or is told that it gets none.
pub enum Entered {
    Granted(Holds, Stake),
    Waiting(Waiting, oneshot::Receiver<Result<Permit, Denied>>),
    Denied(Denied),
}

impl State {
    pub fn new(config: Config, pools: Vec<Pool>, now: Instant) -> Self {
        let pool = |pool| PoolState { provider: Provider::new(pool, config.max_concurrency, now), queue: Queue::default() };
        Self {
            config,
            slots: Arc::new(Semaphore::new(config.max_concurrency)),
            pools: pools.into_iter().map(pool).collect(),
            callers: BTreeMap::new(),
            models: BTreeMap::new(),
            wakes: BTreeSet::new(),
            turn: 0,
            admitted: 0,
            requests: 0,
            model_ids: 0,
            unclaimed: Vec::new(),
        }
    }

    pub fn in_flight(&self) -> usize {
        self.config.max_concurrency - self.slots.available_permits()
    }

    /// Items that are admitted and not in flight.
    pub fn queued(&self) -> usize {
        self.admitted.saturating_sub(self.in_flight())
    }

    /// The model of this name, the same for all who ask it.
    pub fn model(&mut self, pool: PoolId, name: &str, terms: Terms, now: Instant) -> Arc<Model> {
        if let Some(known) = self.models.get(&(pool, name.to_owned())) {
            return Arc::clone(known);
        }
        if self.models.len() >= MAX_MODELS {
            self.models.retain(|_, model| Arc::strong_count(model) > 1);
        }
        self.model_ids += 1;
        let provider = self.pools.get(pool.0).map_or("", |pool| pool.provider.name.as_str());
        let known = if self.models.len() < MAX_LABELS { name } else { "(other)" };
        let model = Arc::new(Model::new(self.model_ids, pool, terms, &format!("{provider}/{known}"), now));
        if self.models.len() < MAX_MODELS {
            self.models.insert((pool, name.to_owned()), Arc::clone(&model));
        }
        model
    }

    /// Sets what each caller may use; who is no longer there keeps its quota until its last request has ended.
    pub fn set_callers(&mut self, mut callers: Vec<(CallerId, Quota)>, now: Instant, wall: SystemTime) {
        callers.retain(|(_, quota)| quota.is_limited());
        let named: BTreeSet<_> = callers.iter().map(|(id, _)| *id).collect();
        for (id, caller) in &mut self.callers {
            caller.is_retired = !named.contains(id);
        }
        self.callers.retain(|_, caller| !caller.is_retired || caller.admitted > 0);
        for (id, quota) in callers {
            match self.callers.get_mut(&id) {
                Some(caller) => caller.set(quota, now, wall),
                None => drop(self.callers.insert(id, Caller::new(quota, now, wall))),
            }
            self.unpark_caller(id);
        }
    }

    /// Admits a request with as large a part of `wanted` as there is room for.
    pub fn admit(&mut self, caller: CallerId, load: &Load, now: Instant) -> Result<(RequestId, usize), Refused> {
        let Load { pool, items: wanted, has_price, .. } = *load;
        let ready = self.pools.get(pool.0).map_or(0, |pool| if pool.queue.is_empty() { pool.provider.ready(now) } else { 0 });
        let ready = ready.min(self.slots.available_permits());
        let waiting = self.queued();
        let room = (self.config.max_queue + ready).saturating_sub(waiting);
        if room == 0 {
            return Err(Refused::Overloaded { waiting, max_queue: self.config.max_queue, retry_after: RETRY_SOON });
        }
        let own = self.callers.get_mut(&caller);
        let own_room = match own {
            None => usize::MAX,
            Some(own) => {
                if own.has_budget() && !has_price {
                    return Err(Refused::NoPrice);
                }
                if let Some(until) = own.broke(now) {
                    return Err(Refused::Broke { retry_after: until - now });
                }
                own.room(now).unwrap_or(usize::MAX)
            }
        };
        if own_room == 0 {
            let standing = self.callers.get(&caller).map(|own| own.standing(now)).unwrap_or_default();
            let resets = [standing.requests, standing.tokens].into_iter().flatten().map(|window| window.reset);
            return Err(Refused::QuotaUsedUp { retry_after: resets.max().unwrap_or_default().max(RETRY_SOON) });
        }
        let window = wanted.min(room).min(own_room);
        self.admitted += window;
        if let Some(own) = self.callers.get_mut(&caller) {
            own.admitted += window;
        }
        self.requests += 1;
        Ok((self.requests, window))
    }

    /// A request of this window has ended.
    pub fn leave(&mut self, caller: CallerId, window: usize) {
        self.admitted -= window;
        if let Some(own) = self.callers.get_mut(&caller) {
            own.admitted -= window;
            if own.is_retired && own.admitted == 0 {
                self.callers.remove(&caller);
            }
        }
    }

    /// Whether an item's tokens have to be guessed.
    pub fn counts_tokens(&self, caller: CallerId) -> bool {
        self.pools.iter().any(|pool| pool.provider.counts_tokens())
            || self.callers.get(&caller).is_some_and(Caller::counts_tokens)
    }

    /// Lets an item go out, or puts it in line, or tells it that it will not go out at all.
    pub fn enter(&mut self, lane: &Lane, ask: &Ask<'_>, now: Instant) -> Entered {
        let (model, caller) = (ask.model, lane.caller);
        let guess = model.guess(ask.guessed, ask.max_output);
        let Some(pool) = self.pools.get_mut(model.pool.0) else { return Entered::Denied(Denied::NoKey) };
        if let Some(allowed) = pool.provider.largest().filter(|allowed| guess.total() > *allowed) {
            return Entered::Denied(Denied::TooLarge { needed: guess.total(), allowed });
        }
        if let Some(denied) = impatience(&pool.provider, model, ask.patience, now) {
            return Entered::Denied(denied);
        }
        if pool.queue.is_idle() {
            let asked = Asked { model, turn: ask.turn, is_first_try: ask.is_first_try, guess, refused: ask.refused };
            match pool.provider.grant(&asked, self.callers.get_mut(&caller), &self.slots, now) {
                Ok((holds, key)) => {
                    let stake = Stake { key, model: Arc::clone(model), caller, guess, guessed: ask.guessed, began: now };
                    return Entered::Granted(holds, stake);
                }
                Err(Refusal::Denied(denied)) => return Entered::Denied(denied),
                Err(_) => {}
            }
        }
        let (answer, answered) = oneshot::channel();
        let waiter = Waiter {
            model: Arc::clone(model),
            turn: ask.turn,
            is_first_try: ask.is_first_try,
            patience: ask.patience,
            guessed: ask.guessed,
            max_output: ask.max_output,
            refused: ask.refused,
            flying: Arc::downgrade(&lane.flying),
            answer,
        };
        let entry = match ask.turn {
            Turn::Again => Entry::Front,
            Turn::New if lane.window() == 1 => Entry::Single,
            Turn::New => Entry::Back,
        };
        let of_model = Line { request: lane.request, model: model.id };
        Entered::Waiting(pool.queue.push(lane.class, caller, of_model, entry, waiter), answered)
    }

    pub fn stop_waiting(&mut self, pool: PoolId, ticket: Waiting) {
        if let Some(pool) = self.pools.get_mut(pool.0) {
            pool.queue.remove(ticket);
        }
    }

    /// Takes every item of a request out of its lines.
    pub fn leave_lines(&mut self, class: Class, caller: CallerId, request: RequestId) -> Vec<Waiter> {
        let lines = Line { request, model: 0 }..=Line { request, model: u64::MAX };
        self.pools.iter_mut().flat_map(|pool| pool.queue.remove_all(class, caller, lines.clone())).collect()
    }

    /// A call has ended. True when its model's breaker has opened by it.
    pub fn finish(&mut self, stake: &Stake, holds: Option<Holds>, report: &Report, now: Instant) -> bool {
        let Stake { model, caller, guess, guessed, began, .. } = stake;
        let used = match report.spent {
            Spent::Nothing => Charge::default(),
            Spent::Unknown => charge(model, *guess),
            Spent::Tokens(usage) => charge(model, Guess { input: usage.input_tokens, output: usage.output_tokens }),
        };
        if let Some(own) = self.callers.get_mut(caller) {
            own.settle(charge(model, *guess), used, now);
        }
        let (opened, may_change, is_crowded) = {
            let mut known = model.known();
            if let Spent::Tokens(usage) = report.spent
                && *guessed > 0
            {
                known.estimate.learn(*guessed, usage.input_tokens, usage.output_tokens);
            }
            let was_closed = known.breaker.state(now) == breaker::State::Closed;
            let health = known.breaker.weighed(report.health);
            let opened = known.breaker.record(health, *began, now);
            let is_crowded = match (report.health, health) {
                // The caller was impatient.
                (Health::Timeout(_), Health::Neutral) => false,
                (Health::Timeout(_), _) => known.breaker.is_slow(now),
                _ => report.is_crowded,
            };
            (opened, !was_closed || opened || model.terms.max_in_flight.is_some(), is_crowded)
        };
        if let Some(pool) = self.pools.get_mut(model.pool.0) {
            pool.provider.learn(stake, used.tokens, report, is_crowded, now);
            // Before anyone else may go out.
            drop(holds);
            if report.paused_until.is_some() || opened {
                pool.tell_impatient(now);
            }
            if may_change {
                pool.queue.unpark_lines(|line| line.model == model.id);
            }
        }
        if self.callers.contains_key(caller) {
            self.unpark_caller(*caller);
        }
        opened
    }

    /// Gives out what can go out now, a slot to each pool in turn. Returns when to look again, if time alone will help.
    pub fn dispatch(&mut self, now: Instant, shared: &Arc<Shared>) -> Option<Instant> {
        self.wake(now);
        let mut next = None::<Instant>;
        let mut sooner = |at: Instant| next = Some(next.map_or(at, |earlier| earlier.min(at)));
        let mut idle = 0;
        while idle < self.pools.len() {
            let at = self.turn % self.pools.len();
            self.turn = at + 1;
            idle += 1;
            let Some(pool) = self.pools.get_mut(at) else { break };
            let (provider, callers, wakes, slots) = (&mut pool.provider, &mut self.callers, &mut self.wakes, &self.slots);
            let counts_tokens = provider.counts_tokens();
            let served = pool.queue.next(|caller, waiter| {
                // By what is known now, which may be more than when it entered.
                let guess = waiter.model.guess(waiter.guessed, waiter.max_output);
                let Waiter { model, guessed, turn, is_first_try, refused, .. } = waiter;
                let asked = Asked { model, turn: *turn, is_first_try: *is_first_try, guess, refused: *refused };
                match provider.grant(&asked, callers.get_mut(&caller), slots, now) {
                    Ok((holds, key)) => {
                        let cost = if counts_tokens { guess.total().max(1) } else { 1 };
                        let stake = Stake { key, model: Arc::clone(model), caller, guess, guessed: *guessed, began: now };
                        Offer::Take(Ok((holds, stake)), cost)
                    }
                    Err(Refusal::Denied(denied)) => Offer::Reject(Err(denied)),
                    Err(Refusal::Model(until)) => {
                        wakes.extend(until.map(|until| (until, Wake::Model(PoolId(at), waiter.model.id))));
                        Offer::ParkLine
                    }
                    Err(Refusal::Caller(until)) => {
                        wakes.extend(until.map(|until| (until, Wake::Caller(caller))));
                        Offer::ParkCaller
                    }
                    Err(Refusal::Everyone(until)) => {
                        until.into_iter().for_each(&mut sooner);
                        Offer::Stop
                    }
                }
            });
            let Some((waiter, served)) = served else { continue };
            idle = 0;
            let flying = waiter.flying.upgrade().unwrap_or_default();
            let answer = served.map(|(holds, stake)| Permit::new(holds, stake, flying, Arc::clone(shared)));
            if let Err(Ok(permit)) = waiter.answer.send(answer) {
                self.unclaimed.push(permit);
            }
        }
        if let Some((at, _)) = self.wakes.first() {
            sooner(*at);
        }
        next
    }

    /// Unparks what has waited for this moment.
    fn wake(&mut self, now: Instant) {
        while let Some((_, wake)) = self.wakes.first().copied().filter(|(at, _)| *at <= now) {
            self.wakes.pop_first();
            match wake {
                Wake::Caller(caller) => self.unpark_caller(caller),
                Wake::Model(pool, model) => {
                    if let Some(pool) = self.pools.get_mut(pool.0) {
                        pool.queue.unpark_lines(|line| line.model == model);
                    }
                }
            }
        }
    }

    fn unpark_caller(&mut self, caller: CallerId) {
        for pool in &mut self.pools {
            pool.queue.unpark_caller(caller);
        }
    }

    /// Permits that could not be handed over; the caller drops them once the lock is free.
    pub fn take_unclaimed(&mut self) -> Vec<Permit> {
        std::mem::take(&mut self.unclaimed)
    }
}

impl PoolState {
    /// Tells those whom a pause or an open breaker keeps waiting for longer than they will.
    fn tell_impatient(&mut self, now: Instant) {
        let provider = &self.provider;
        let denied = self.queue.iter().filter_map(|(ticket, waiter)| {
            impatience(provider, &waiter.model, waiter.patience, now).map(|denied| (ticket, denied))
        });
        let denied: Vec<_> = denied.collect();
        for (ticket, denied) in denied {
            if let Some(waiter) = self.queue.remove(ticket) {
                // It may have left at this moment; then there is nobody to tell.
                drop(waiter.answer.send(Err(denied)));
            }
        }
    }
}

/// What an item is told that will not wait for as long as it would have to.
fn impatience(provider: &Provider, model: &Model, patience: Patience, now: Instant) -> Option<Denied> {
    if let Some(until) = provider.paused(now).filter(|until| !patience.covers_pause(now, *until)) {
        return Some(Denied::Paused { until });
    }
    match model.known().breaker.state(now) {
        breaker::State::Open { until } if !patience.covers_outage(now, until) => Some(Denied::Down { until }),
        _ => None,
    }
}

/// What the client's leaving says of the provider: nothing.
pub const fn left(has_begun: bool) -> Report {
    let spent = if has_begun { Spent::Unknown } else { Spent::Nothing };
    Report { spent, ..Report::new(Health::Neutral) }
}
