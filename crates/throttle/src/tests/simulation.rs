//! Seeded simulation of the limits: random callers, arrivals, answers, 429s, outages, cancellations and changes of quotas, with
//! every invariant checked after each step. Time is an argument of the scheduler, so hours pass in a moment.
//!
//! `SIMULATION_STEPS` sets the number of steps, `SIMULATION_SEED` the first seed (`make simulate`). A failure names its seed.

mod accounts;
mod actions;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::SystemTime;

use tokio::sync::oneshot;

use self::accounts::Accounts;
use super::*;
use crate::grant::{CallCharge, GrantedCall};
use crate::provider_limits::ProviderLimits;
use crate::scheduler::enqueue::{EnterResult, RequestHandle};
use crate::scheduler::{PoolState, QueueTicket, State};

const MAX_CONCURRENCY: usize = 12;
const MAX_QUEUE: usize = 60;
const PER_MINUTE: u32 = 120;
const BURST: u32 = 10;
const TOKENS_PER_MINUTE: u32 = 100_000;
const CALLERS: u64 = 4;
/// Longest pause that the provider names: shorter than the time to the first probe of a pause.
const MAX_PAUSE_SECONDS: u64 = 9;

/// Random numbers that a seed determines (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).unwrap()
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

struct Request {
    id: u64,
    caller: CallerId,
    class: Class,
    window: usize,
    places: usize,
    in_flight: Arc<()>,
}

struct Waiting {
    request: u64,
    model: Arc<Model>,
    ticket: QueueTicket,
    answered: oneshot::Receiver<Result<Box<GrantedCall>, Denied>>,
}

struct Flying {
    request: u64,
    call: Box<GrantedCall>,
}

/// Latest pause of a key with a model: its end, and the time of the answer that asked for it.
type Pauses = BTreeMap<(usize, usize, u64), (Instant, Instant)>;

struct Simulation {
    random: Random,
    state: State,
    now: Instant,
    models: Vec<Arc<Model>>,
    requests: Vec<Request>,
    waiting: Vec<Waiting>,
    flying: Vec<Flying>,
    /// Time at which the scheduler wants to run again.
    wake: Option<Instant>,
    pauses: Pauses,
    granted: BTreeMap<(usize, usize), VecDeque<Instant>>,
    /// True if callers have a limit of calls in flight of their own; else they leave slots to each other.
    has_own_limits: bool,
    max_in_flight: BTreeMap<CallerId, usize>,
    answers: u64,
    accounts: Accounts,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let now = Instant::now();
        let rate = Rate {
            per_minute: NonZeroU32::new(PER_MINUTE).unwrap(),
            burst: NonZeroU32::new(BURST).unwrap(),
        };
        let key = KeyQuota {
            requests: Some(rate),
            tokens_per_minute: non_zero(TOKENS_PER_MINUTE),
        };
        let mut trial = pool(vec![KeyQuota::default()], None);
        trial.has_trial = true;
        let pools = vec![pool(vec![key; 2], Some(5)), trial];
        let config = Config {
            max_concurrency: MAX_CONCURRENCY,
            max_queue: MAX_QUEUE,
            max_memory_bytes: 1 << 30,
            max_body_memory_bytes: 1 << 30,
        };
        let mut state = State::new(config, pools, Arc::new(Ignore), now);
        let models = (0..6).map(|n| {
            let limits = ModelLimits {
                max_in_flight: (n % 3 == 0).then_some(2),
                price: Some(Price {
                    input: Usd(1),
                    output: Usd(3),
                }),
            };
            state.model(PoolId(n % 2), &n.to_string(), Some(limits), now)
        });
        let models = models.collect();
        let mut simulation = Self {
            random: Random(seed),
            state,
            now,
            models,
            requests: Vec::new(),
            waiting: Vec::new(),
            flying: Vec::new(),
            wake: None,
            pauses: Pauses::new(),
            granted: BTreeMap::new(),
            has_own_limits: seed.is_multiple_of(2),
            max_in_flight: BTreeMap::new(),
            answers: 0,
            accounts: Accounts::default(),
        };
        simulation.change_quotas();
        simulation
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..12 => self.arrive(),
            12..50 => self.enter(),
            50..78 => self.answer(),
            78..84 => self.leave_queue(),
            84..87 => self.cancel_call(),
            87..90 => self.end_request(),
            90..91 => self.change_quotas(),
            _ => self.pass_time(),
        }
        self.dispatch();
        self.check();
    }

    fn change_quotas(&mut self) {
        let mut callers = Vec::new();
        for id in 1..=CALLERS {
            let caller = CallerId(id);
            let tokens = self.random.chance(30).then_some(20_000);
            let old = self.state.callers.get(&caller);
            let old_tokens = old.and_then(|old| old.quota.tokens_per_minute);
            if tokens != old_tokens.map(NonZeroU32::get) {
                self.accounts.set_limit(caller, tokens, self.now);
            }
            let budget = self.random.next() % 50_000;
            let budget = self.accounts.cost(caller).saturating_add(budget);
            let max = self.has_own_limits.then(|| 1 + self.random.below(4));
            let quota = Quota {
                name: format!("caller-{id}"),
                owner: format!("caller-{id}"),
                requests_per_minute: self.random.chance(50).then(|| non_zero(300)).flatten(),
                max_in_flight: max.and_then(|max| non_zero(u32::try_from(max).unwrap())),
                tokens_per_minute: tokens.and_then(non_zero),
                budget_per_day: self.random.chance(30).then_some(Usd(budget)),
                max_queue: self.random.chance(50).then(|| non_zero(20)).flatten(),
            };
            self.max_in_flight.insert(caller, max.unwrap_or(usize::MAX));
            callers.push((caller, quota));
        }
        self.state
            .set_callers(callers, self.now, SystemTime::UNIX_EPOCH);
    }

    fn check(&mut self) {
        let state = &self.state;
        assert_eq!(state.in_flight(), self.flying.len(), "calls in flight");
        assert!(self.flying.len() <= MAX_CONCURRENCY);
        for (index, pool) in state.pools.iter().enumerate() {
            let flying = || self.flying.iter().map(|item| &item.call.charge);
            let own = flying().filter(|charge| charge.model.pool().0 == index);
            assert_eq!(pool.provider.in_flight.count(), own.count());
            if let Some(limit) = pool.provider.max_in_flight {
                assert!(pool.provider.in_flight.count() <= limit);
            }
        }
        for model in &self.models {
            let flying = self.flying.iter();
            let own = flying.filter(|item| item.call.charge.model.id == model.id);
            assert_eq!(model.in_flight.count(), own.count());
            if let Some(limit) = model.limits.max_in_flight {
                assert!(model.in_flight.count() <= limit, "the model's limit");
            }
        }
        for (id, caller) in &state.callers {
            let flying = self.flying.iter();
            let own = flying.filter(|item| item.call.charge.caller == *id);
            assert_eq!(caller.in_flight.count(), own.count());
        }
        self.check_shares();
        self.accounts.check(state, self.now);
        let places: usize = self.requests.iter().map(|request| request.places).sum();
        assert_eq!(state.queued(), places.saturating_sub(self.flying.len()));
        let queued: usize = state.pools.iter().map(PoolState::waiting).sum();
        assert_eq!(queued, self.waiting.len(), "items in the queues");
        assert!(
            state.models.iter().count() <= 1_006,
            "models that are remembered"
        );
        let has_wake_up = self.wake.is_some() || !self.flying.is_empty();
        assert!(self.waiting.is_empty() || has_wake_up, "a wake-up is lost");
    }

    /// Checks that no limit of calls in flight is reached by few callers: half of an eighth of its slots was left to callers without
    /// calls by all.
    fn check_shares(&self) {
        if self.has_own_limits {
            return;
        }
        let check = |limit: usize, selects: &dyn Fn(&CallCharge) -> bool| {
            let flying = self.flying.iter().map(|item| &item.call.charge);
            let own: Vec<_> = flying.filter(|charge| selects(charge)).collect();
            let callers: BTreeSet<_> = own.iter().map(|charge| charge.caller).collect();
            let enough = (limit.div_ceil(8).div_ceil(2) + 1).min(limit);
            assert!(
                own.len() < limit || callers.len() >= enough,
                "{} callers take all of {limit} slots",
                callers.len()
            );
        };
        check(MAX_CONCURRENCY, &|_| true);
        for (index, pool) in self.state.pools.iter().enumerate() {
            if let Some(limit) = pool.provider.max_in_flight {
                check(limit, &|charge| charge.model.pool().0 == index);
            }
        }
        for model in &self.models {
            if let Some(limit) = model.limits.max_in_flight {
                check(limit, &|charge| charge.model.id == model.id);
            }
        }
    }

    /// Lets everything end: no item may wait for ever.
    fn drain(&mut self) {
        for _ in 0..100_000 {
            if self.waiting.is_empty() && self.flying.is_empty() {
                return;
            }
            while let Some(Flying { call, .. }) = self.flying.pop() {
                self.end_call(call, &CallReport::new(Health::Success));
            }
            self.dispatch();
            self.check();
            if self.flying.is_empty() {
                self.now = self.wake.map_or(self.now, |wake| wake.max(self.now));
                self.dispatch();
            }
        }
        panic!("{} items wait for ever", self.waiting.len());
    }
}

/// Returns a number from the environment.
pub fn setting(name: &str, default: u64) -> u64 {
    let set = std::env::var(name).ok();
    set.map_or(default, |text| text.parse().expect("a number"))
}

/// Runs a simulation with several seeds, and names the seed and the step of a failure.
fn run(steps: u64, simulate: impl Fn(u64, &mut dyn FnMut(u64))) {
    const STEPS_OF_A_SEED: u64 = 20_000;
    let first = setting("SIMULATION_SEED", 1);
    for seed in first..first + steps.div_ceil(STEPS_OF_A_SEED) {
        let mut step = 0;
        let result = catch_unwind(AssertUnwindSafe(|| {
            simulate(seed, &mut |current| step = current);
        }));
        if let Err(panic) = result {
            eprintln!(
                "step {step} failed; repeat it with SIMULATION_SEED={seed} SIMULATION_STEPS={STEPS_OF_A_SEED}"
            );
            resume_unwind(panic);
        }
    }
}

#[test]
fn limits_hold_after_every_step() {
    run(setting("SIMULATION_STEPS", 40_000), |seed, at| {
        let mut simulation = Simulation::new(seed);
        for step in 0..20_000 {
            at(step);
            simulation.step();
        }
        simulation.drain();
        assert!(simulation.answers > 1_000, "the simulation does something");
    });
}

#[test]
fn memory_is_shared_after_every_step() {
    const MAX_BYTES: usize = 10_000;
    run(setting("SIMULATION_STEPS", 40_000), |seed, at| {
        let mut random = Random(seed);
        let ledger = MemoryLedger::new(MAX_BYTES, MAX_BYTES / 2);
        ledger.set_has_several_callers(true);
        let mut held: Vec<(CallerId, MemoryReservation)> = Vec::new();
        for step in 0..20_000 {
            at(step);
            let bytes = random.below(2_000);
            let caller = CallerId(random.next() % CALLERS);
            let index = random.below(held.len().max(1));
            match (random.below(4), held.get_mut(index)) {
                (0, _) => {
                    let held_as = MemoryUse::ALL[random.below(MemoryUse::ALL.len())];
                    if let Ok(reservation) = ledger.reserve(caller, held_as, bytes) {
                        held.push((caller, reservation));
                    }
                }
                (1, Some((_, reservation))) => {
                    let before = reservation.bytes();
                    let is_resized = reservation.resize(bytes).is_ok();
                    let expected = if is_resized { bytes } else { before };
                    assert_eq!(reservation.bytes(), expected);
                    assert!(is_resized || bytes > before, "a smaller one succeeds");
                }
                (2, Some((owner, reservation))) => {
                    let split = (*owner, reservation.split(bytes));
                    held.push(split);
                }
                (3, Some(_)) => drop(held.swap_remove(index)),
                _ => {}
            }
            let snapshot = ledger.snapshot();
            let total: usize = held
                .iter()
                .map(|(_, reservation)| reservation.bytes())
                .sum();
            assert_eq!(snapshot.held, total);
            assert!(total <= MAX_BYTES);
            assert_eq!(
                snapshot
                    .by_use
                    .iter()
                    .map(|(_, bytes)| bytes)
                    .sum::<usize>(),
                total
            );
            for (caller, bytes) in snapshot.by_caller {
                let own = held.iter().filter(|(owner, _)| *owner == caller);
                assert_eq!(bytes, own.map(|(_, own)| own.bytes()).sum::<usize>());
                assert!(bytes <= MAX_BYTES / 2, "a caller leaves room to the others");
            }
        }
        held.clear();
        assert_eq!(ledger.snapshot().held, 0);
    });
}
