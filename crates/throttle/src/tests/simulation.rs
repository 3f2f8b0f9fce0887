//! Seeded simulation of the limits: random callers, arrivals, answers, 429s, outages, cancellations and changes of quotas, with
//! every invariant checked after each step. Time is an argument of the scheduler, so hours pass in a moment.
//!
//! `SIMULATION_STEPS` sets the number of steps, `SIMULATION_SEED` the first seed (`make simulate`). A failure names its seed.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::SystemTime;

use tokio::sync::oneshot;

use super::*;
use crate::grant::GrantedCall;
use crate::scheduler::enqueue::{EnterResult, RequestHandle};
use crate::scheduler::{PoolState, QueueTicket, State};

const MAX_CONCURRENCY: usize = 12;
const MAX_QUEUE: usize = 60;
const PER_MINUTE: u32 = 120;
const BURST: u32 = 10;
const CALLERS: u64 = 4;
/// Longest pause that the provider names: shorter than the time to the first probe of a pause.
const MAX_PAUSE_SECONDS: u64 = 9;

/// Random numbers that a seed determines (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
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
    max_in_flight: BTreeMap<CallerId, usize>,
    answers: u64,
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
            tokens_per_minute: non_zero(100_000),
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
                price: None,
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
            max_in_flight: BTreeMap::new(),
            answers: 0,
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
            let max = 1 + self.random.below(4);
            let quota = Quota {
                name: format!("caller-{id}"),
                owner: format!("caller-{id}"),
                requests_per_minute: self.random.chance(50).then(|| non_zero(300)).flatten(),
                max_in_flight: non_zero(u32::try_from(max).unwrap()),
                max_queue: self.random.chance(50).then(|| non_zero(20)).flatten(),
                ..Quota::default()
            };
            self.max_in_flight.insert(CallerId(id), max);
            callers.push((CallerId(id), quota));
        }
        self.state
            .set_callers(callers, self.now, SystemTime::UNIX_EPOCH);
    }

    fn arrive(&mut self) {
        let caller = CallerId(1 + self.random.next() % CALLERS);
        let is_single = self.random.chance(50);
        let class = if !is_single && self.random.chance(50) {
            Class::Job
        } else {
            Class::Direct
        };
        let asked = AdmissionRequest {
            class,
            pool: PoolId(self.random.below(2)),
            window: if is_single {
                1
            } else {
                1 + self.random.below(24)
            },
            is_single,
            has_price: true,
        };
        let before = self.state.queued();
        match self.state.admit(caller, &asked, self.now) {
            Ok(id) => self.requests.push(Request {
                id,
                caller,
                class,
                window: asked.window,
                places: usize::from(is_single),
                in_flight: Arc::new(()),
            }),
            Err(refused) => assert!(
                before > 0,
                "an empty waiting room refuses nobody: {refused}"
            ),
        }
    }

    /// Lets an item of a request wait for a permit.
    fn enter(&mut self) {
        if self.requests.is_empty() {
            return;
        }
        let index = self.random.below(self.requests.len());
        let model = if self.random.chance(5) {
            // A name that a caller makes up.
            let name = format!("made-up-{}", self.random.next());
            self.state.model(PoolId(0), &name, None, self.now)
        } else {
            Arc::clone(&self.models[self.random.below(self.models.len())])
        };
        let request = &mut self.requests[index];
        let id = request.id;
        let busy = self
            .waiting
            .iter()
            .filter(|item| item.request == id)
            .count()
            + self.flying.iter().filter(|item| item.request == id).count();
        if busy >= request.window {
            return;
        }
        if busy >= request.places {
            let is_first = request.places == 0;
            if !self
                .state
                .take_place(request.caller, model.pool(), is_first, self.now)
            {
                return;
            }
            request.places += 1;
        }
        let handle = RequestHandle {
            class: request.class,
            caller: request.caller,
            id,
            is_single: request.window == 1,
            in_flight: &request.in_flight,
        };
        let asked = PermitRequest {
            priority: if self.random.chance(20) {
                Priority::Requeued
            } else {
                Priority::First
            },
            text_tokens: 1 + self.random.next() % 500,
            wait_budget: match self.random.below(3) {
                0 => WaitBudget::NONE,
                1 => PATIENT,
                _ => WaitBudget::new(Duration::MAX, Duration::MAX).through_outages(),
            },
            ..permit_request(&model)
        };
        match self.state.request_permit(handle, &asked, self.now) {
            EnterResult::Granted(call) => self.fly(id, call),
            EnterResult::Denied(_) => {}
            EnterResult::Waiting(ticket, answered) => self.waiting.push(Waiting {
                request: id,
                model,
                ticket,
                answered,
            }),
        }
    }

    /// Checks a call that was granted, and lets it fly.
    fn fly(&mut self, request: u64, mut call: Box<GrantedCall>) {
        let charge = &call.charge;
        let (pool, key) = (charge.model.pool().0, charge.key);
        if let Some((until, _)) = self.pauses.get(&(pool, key, charge.model.id)) {
            assert!(
                *until <= self.now,
                "a call goes out {:?} before the end of a pause",
                *until - self.now
            );
        }
        if pool == 0 {
            let times = self.granted.entry((pool, key)).or_default();
            times.push_back(self.now);
            while times
                .front()
                .is_some_and(|time| self.now - *time >= Duration::from_secs(60))
            {
                times.pop_front();
            }
            assert!(
                times.len() <= (PER_MINUTE + BURST) as usize,
                "{} calls in a minute",
                times.len()
            );
        }
        let caller = &self.state.callers[&charge.caller];
        let limit = self.max_in_flight[&charge.caller];
        assert!(caller.in_flight.count() <= limit, "the caller's limit");
        call.was_sent = true;
        self.flying.push(Flying { request, call });
    }

    /// Ends a call with a random report.
    fn answer(&mut self) {
        if self.flying.is_empty() {
            return;
        }
        let index = self.random.below(self.flying.len());
        let Flying { call, .. } = self.flying.swap_remove(index);
        let usage = TokenUsage {
            input: self.random.next() % 1_000,
            output: self.random.next() % 1_000,
        };
        let mut report = CallReport {
            spent: UsageReport::Tokens(usage),
            ..CallReport::new(Health::Success)
        };
        match self.random.below(100) {
            0..60 => {}
            60..80 => {
                let wait =
                    Duration::from_millis(1 + self.random.next() % (MAX_PAUSE_SECONDS * 1_000));
                report = CallReport {
                    pause: Some(if self.random.chance(50) {
                        Pause::Until(self.now + wait)
                    } else {
                        Pause::Unspecified
                    }),
                    pauses_key: self.random.chance(20),
                    is_overload: true,
                    ..CallReport::new(Health::Neutral)
                };
            }
            80..92 => report = CallReport::new(Health::Failure),
            92..95 => {
                let outage = OutageReport {
                    reason: OutageReason::ALL[self.random.below(5)],
                    detail: "no".into(),
                    input: self.random.next(),
                };
                report = CallReport {
                    outage: Some(outage),
                    ..CallReport::new(Health::Neutral)
                };
            }
            _ => report = CallReport::new(Health::Neutral),
        }
        self.end_call(call, &report);
    }

    /// Records what a report says of pauses, and settles the call.
    fn end_call(&mut self, mut call: Box<GrantedCall>, report: &CallReport) {
        self.answers += 1;
        let charge = &call.charge;
        let (pool, key, began) = (charge.model.pool().0, charge.key, charge.began);
        let id = (pool, key, charge.model.id);
        // The answer to a call that began after the provider's last word is its newer word.
        let is_newer = self.pauses.get(&id).is_none_or(|(_, said)| *said < began);
        let is_word = report.pause.is_some() || report.health == Health::Success;
        if is_newer && is_word {
            self.pauses.remove(&id);
        }
        if let Some(Pause::Until(until)) = report.pause
            && self.pauses.get(&id).is_none_or(|(old, _)| *old < until)
        {
            self.pauses.insert(id, (until, self.now));
        }
        let held = call.held.take().unwrap();
        self.state.settle(&call.charge, held, report, self.now);
    }

    fn leave_queue(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let index = self.random.below(self.waiting.len());
        let item = self.waiting.swap_remove(index);
        assert!(
            self.state.stop_waiting(&item.model, item.ticket),
            "an item that was not answered waits"
        );
    }

    fn cancel_call(&mut self) {
        if self.flying.is_empty() {
            return;
        }
        let index = self.random.below(self.flying.len());
        let Flying { call, .. } = self.flying.swap_remove(index);
        self.end_call(call, &CallReport::cancelled(true));
    }

    /// Ends a request at once: its items leave the queue, and its calls are cancelled.
    fn end_request(&mut self) {
        if self.requests.is_empty() {
            return;
        }
        let index = self.random.below(self.requests.len());
        let request = self.requests.swap_remove(index);
        let removed = self
            .state
            .remove_request(request.class, request.caller, request.id);
        let waiting = self.waiting.len();
        self.waiting.retain(|item| item.request != request.id);
        assert_eq!(removed.len(), waiting - self.waiting.len());
        let (ended, flying) = std::mem::take(&mut self.flying)
            .into_iter()
            .partition(|item: &Flying| item.request == request.id);
        self.flying = flying;
        let ended: Vec<Flying> = ended;
        for Flying { call, .. } in ended {
            self.end_call(call, &CallReport::cancelled(true));
        }
        self.state.release_places(request.caller, request.places);
    }

    fn pass_time(&mut self) {
        let random = Duration::from_millis(self.random.next() % 3_000);
        self.now = match self.wake.filter(|_| self.random.chance(50)) {
            Some(wake) => wake.max(self.now),
            None => self.now + random,
        };
    }

    /// Grants what can be granted, and takes the answers.
    fn dispatch(&mut self) {
        self.wake = self.state.dispatch(self.now);
        assert!(self.state.take_unclaimed().is_empty());
        let mut rest = Vec::new();
        for mut item in std::mem::take(&mut self.waiting) {
            match item.answered.try_recv() {
                Ok(Ok(call)) => self.fly(item.request, call),
                Ok(Err(_)) => {}
                Err(oneshot::error::TryRecvError::Empty) => rest.push(item),
                Err(oneshot::error::TryRecvError::Closed) => panic!("an item is never answered"),
            }
        }
        self.waiting = rest;
        // Items that have ended return their places.
        for request in &mut self.requests {
            let busy = self
                .waiting
                .iter()
                .filter(|item| item.request == request.id)
                .count()
                + self
                    .flying
                    .iter()
                    .filter(|item| item.request == request.id)
                    .count();
            let surplus = request
                .places
                .saturating_sub(busy.max(usize::from(request.window == 1)));
            request.places -= surplus;
            self.state.release_places(request.caller, surplus);
        }
    }

    fn check(&self) {
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
        let places: usize = self.requests.iter().map(|request| request.places).sum();
        assert_eq!(state.queued(), places.saturating_sub(self.flying.len()));
        let queued: usize = state.pools.iter().map(PoolState::waiting).sum();
        assert_eq!(queued, self.waiting.len(), "items in the queues");
        assert!(state.models.len() <= 1_000, "models that are remembered");
        let has_wake_up = self.wake.is_some() || !self.flying.is_empty();
        assert!(self.waiting.is_empty() || has_wake_up, "a wake-up is lost");
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
