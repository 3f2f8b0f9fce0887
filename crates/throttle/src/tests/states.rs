//! The state of all limits, with the time as an argument: whose turn it is, what is denied meanwhile, and what is shown.

use std::time::SystemTime;

use tokio::sync::oneshot;

use super::*;
use crate::grant::GrantedCall;
use crate::scheduler::State;
use crate::scheduler::enqueue::{EnterResult, RequestHandle};

type Answer = Result<Box<GrantedCall>, Denied>;

/// The state, and the time.
struct Clocked {
    state: State,
    now: Instant,
    in_flight: Arc<()>,
}

impl Clocked {
    fn new(max_concurrency: usize, pools: Vec<Pool>) -> Self {
        let now = Instant::now();
        let config = config(max_concurrency, 100);
        Self {
            state: State::new(config, pools, Arc::new(Ignore), now),
            now,
            in_flight: Arc::new(()),
        }
    }

    fn model(&mut self, pool: usize, name: &str) -> Arc<Model> {
        let limits = Some(ModelLimits::default());
        self.state.model(PoolId(pool), name, limits, self.now)
    }

    fn enter(&mut self, caller: CallerId, asked: &PermitRequest<'_>) -> EnterResult {
        self.enter_for((0, false), caller, asked)
    }

    /// Lets an item of a request enter; the second part of `request` is true for a single.
    fn enter_for(
        &mut self,
        request: (u64, bool),
        caller: CallerId,
        asked: &PermitRequest<'_>,
    ) -> EnterResult {
        let (id, is_single) = request;
        let request = RequestHandle {
            class: Class::Direct,
            caller,
            id,
            is_single,
            in_flight: &self.in_flight,
        };
        self.state.request_permit(request, asked, self.now)
    }

    /// Lets a call go out at once.
    fn call(&mut self, caller: CallerId, model: &Arc<Model>) -> Box<GrantedCall> {
        match self.enter(caller, &permit_request(model)) {
            EnterResult::Granted(call) => call,
            _ => panic!("there is no permit"),
        }
    }

    /// Lets an item wait for its turn.
    fn wait(&mut self, asked: &PermitRequest<'_>) -> oneshot::Receiver<Answer> {
        self.wait_for((0, false), asked)
    }

    fn wait_for(
        &mut self,
        request: (u64, bool),
        asked: &PermitRequest<'_>,
    ) -> oneshot::Receiver<Answer> {
        match self.enter_for(request, ANYONE, asked) {
            EnterResult::Waiting(_, answered) => answered,
            _ => panic!("it does not wait"),
        }
    }

    /// Ends a call, before others go out.
    fn settle(&mut self, mut call: Box<GrantedCall>, report: &CallReport) {
        let held = call.held.take().unwrap();
        self.state.settle(&call.charge, held, report, self.now);
    }

    /// Ends a call, and lets others go out.
    fn end(&mut self, call: Box<GrantedCall>, report: &CallReport) {
        self.settle(call, report);
        self.state.dispatch(self.now);
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.state.dispatch(self.now);
    }

    /// Returns a report of a pause that ends after this time.
    fn paused(&self, seconds: u64) -> (Instant, CallReport) {
        let until = self.now + Duration::from_secs(seconds);
        let report = CallReport {
            pause: Some(Pause::Until(until)),
            ..CallReport::new(Health::Neutral)
        };
        (until, report)
    }
}

fn answered() -> CallReport {
    CallReport::new(Health::Success)
}

fn unlimited() -> Pool {
    pool(vec![KeyQuota::default()], None)
}

#[test]
fn the_queues_of_several_providers_have_their_turns_one_after_the_other() {
    let mut clocked = Clocked::new(1, vec![unlimited(); 2]);
    let models = [0, 1].map(|pool| clocked.model(pool, "m"));
    let mut flying = clocked.call(ANYONE, &models[0]);
    let mut waiting = Vec::new();
    for model in &models {
        waiting.extend([(); 4].map(|()| clocked.wait(&permit_request(model))));
    }
    let mut turns = Vec::new();
    for _ in 0..8 {
        clocked.end(flying, &answered());
        let mut granted = waiting.iter_mut().filter_map(|item| item.try_recv().ok());
        flying = granted.next().unwrap().unwrap();
        turns.push(flying.charge.model.pool().0);
        assert!(granted.next().is_none());
    }
    assert!(turns.windows(2).all(|pair| pair[0] != pair[1]), "{turns:?}");
}

#[test]
fn an_item_behind_the_probe_of_a_long_pause_is_denied_its_permit() {
    let mut clocked = Clocked::new(1, vec![unlimited()]);
    let (model, other) = (clocked.model(0, "m"), clocked.model(0, "other"));
    let (until, paused) = clocked.paused(3_600);
    let first = clocked.call(ANYONE, &model);
    clocked.end(first, &paused);
    let flying = clocked.call(ANYONE, &other);
    clocked.now += Duration::from_secs(60);
    let mut items = [(); 2].map(|()| clocked.wait(&permit_request(&model)));
    clocked.end(flying, &answered());
    let [probe, behind] = items.each_mut().map(|item| item.try_recv().unwrap());
    assert!(probe.is_ok());
    assert_eq!(behind.unwrap_err(), Denied::Paused { until });
}

#[test]
fn what_keeps_items_waiting_for_too_long_denies_their_permits_wherever_they_are_in_the_queue() {
    let neutral = CallReport::new(Health::Neutral);
    let (_, paused) = Clocked::new(1, vec![]).paused(30);
    let of_key = CallReport {
        pauses_key: true,
        ..paused.clone()
    };
    let took = Duration::from_secs(1);
    let opens = CallReport::new(Health::Timeout { took });
    for (report, expected) in [
        (neutral, [false, false]),
        (paused, [true, false]),
        (of_key, [true, true]),
        (outage(OutageReason::UnknownModel), [true, false]),
        (outage(OutageReason::KeyRefused), [true, true]),
        (opens, [true, false]),
    ] {
        let mut clocked = Clocked::new(1, vec![unlimited()]);
        let (model, other) = (clocked.model(0, "m"), clocked.model(0, "other"));
        let flying = clocked.call(ANYONE, &model);
        let impatient = WaitBudget::new(Duration::from_secs(1), Duration::ZERO);
        let items = [
            (&model, PATIENT.through_outages()),
            (&model, impatient),
            (&other, impatient),
        ];
        let [mut patient, mut same, mut another] = items.map(|(model, wait_budget)| {
            clocked.wait(&PermitRequest {
                wait_budget,
                ..permit_request(model)
            })
        });
        clocked.settle(flying, &report);
        let denied = [&mut same, &mut another].map(|item| item.try_recv().is_ok());
        assert_eq!(denied, expected, "{report:?}");
        assert!(patient.try_recv().is_err());
    }
}

#[test]
fn when_a_probe_has_ended_a_pause_or_closed_the_breaker_the_items_that_wait_go_out() {
    let mut clocked = Clocked::new(9, vec![unlimited()]);
    let (model, other) = (clocked.model(0, "m"), clocked.model(0, "other"));
    let (_, paused) = clocked.paused(3_600);
    let wait_budget = WaitBudget::new(Duration::MAX, Duration::MAX);
    let patient = PermitRequest {
        wait_budget,
        ..permit_request(&model)
    };
    let flying = clocked.call(ANYONE, &model);
    clocked.end(flying, &paused);
    let mut items = [(); 2].map(|()| clocked.wait(&patient));
    clocked.pass(60);
    let [probe, next] = items.each_mut().map(oneshot::Receiver::try_recv);
    assert!(next.is_err(), "one probe");
    clocked.end(probe.unwrap().unwrap(), &answered());
    let flying = items[1].try_recv().unwrap().unwrap();
    clocked.end(flying, &answered());

    for _ in 0..15 {
        let flying = clocked.call(ANYONE, &model);
        clocked.end(flying, &CallReport::new(Health::Failure));
    }
    let of_other = clocked.call(ANYONE, &other);
    let mut items = [(); 4].map(|()| clocked.wait(&patient));
    clocked.pass(5);
    let [first, second, third, fourth] = items.each_mut().map(oneshot::Receiver::try_recv);
    let _third = third.unwrap();
    assert!(fourth.is_err(), "three probes");
    clocked.end(of_other, &answered());
    for probe in [first, second] {
        assert!(items[3].try_recv().is_err());
        clocked.end(probe.unwrap().unwrap(), &answered());
    }
    assert!(items[3].try_recv().is_ok());
}

#[test]
fn a_call_that_is_granted_to_an_item_that_is_gone_is_handed_back() {
    let mut clocked = Clocked::new(1, vec![unlimited()]);
    let model = clocked.model(0, "m");
    let flying = clocked.call(ANYONE, &model);
    drop(clocked.wait(&permit_request(&model)));
    clocked.end(flying, &answered());
    assert_eq!(clocked.state.take_unclaimed().len(), 1);
    assert!(clocked.state.take_unclaimed().is_empty());
}

#[test]
fn a_single_goes_before_the_items_of_many_batches() {
    let mut clocked = Clocked::new(1, vec![unlimited()]);
    let model = clocked.model(0, "m");
    let mut flying = clocked.call(ANYONE, &model);
    let batches = 1..=9;
    let _waiting: Vec<_> = batches
        .map(|id| clocked.wait_for((id, false), &permit_request(&model)))
        .collect();
    let mut single = clocked.wait_for((99, true), &permit_request(&model));
    clocked.end(flying, &answered());
    flying = single.try_recv().unwrap().unwrap();
    clocked.end(flying, &answered());
}

#[test]
fn usage_corrects_the_next_estimate_if_the_text_was_counted() {
    for (text_tokens, expected) in [(100, (50, 5)), (0, (100, 1_000))] {
        let mut clocked = Clocked::new(1, vec![unlimited()]);
        let model = clocked.model(0, "m");
        let request = PermitRequest {
            text_tokens,
            ..permit_request(&model)
        };
        let EnterResult::Granted(call) = clocked.enter(ANYONE, &request) else {
            panic!("there is no permit");
        };
        let usage = TokenUsage {
            input: 50,
            output: 5,
        };
        let report = CallReport {
            spent: UsageReport::Tokens(usage),
            ..answered()
        };
        clocked.end(call, &report);
        let TokenUsage { input, output } = model.estimate(ANYONE, 100, Some(1_000));
        assert_eq!((input, output), expected);
    }
}

#[test]
fn a_timeout_is_overload_unless_the_call_was_given_little_time() {
    for (ms, is_overload) in [(499, false), (1_000, true)] {
        for has_answered in [false, true] {
            let adaptive = Pool {
                is_adaptive: true,
                ..unlimited()
            };
            let mut clocked = Clocked::new(10, vec![adaptive]);
            let model = clocked.model(0, "m");
            if has_answered {
                let call = clocked.call(ANYONE, &model);
                clocked.end(call, &answered());
            }
            let call = clocked.call(ANYONE, &model);
            let took = Duration::from_millis(ms);
            clocked.end(call, &CallReport::new(Health::Timeout { took }));
            let limit = clocked.state.pools[0].provider.limit();
            assert_eq!(limit < Some(10), is_overload, "{ms} ms");
        }
    }
}

#[test]
fn the_outage_of_a_model_that_is_probed_first_is_shown_with_the_number_of_its_key() {
    let key = KeyQuota::default();
    for (keys, number) in [(1, None), (2, Some(2))] {
        for reason in [OutageReason::UnknownModel, OutageReason::KeyRefused] {
            let mut clocked = Clocked::new(9, vec![pool(vec![key; keys], None)]);
            let (_other, model) = (clocked.model(0, "a"), clocked.model(0, "m"));
            assert!(clocked.state.outage(&model, ANYONE, clocked.now).is_none());
            // The second key is the first to be used, and to fail.
            for _ in 0..keys {
                let call = clocked.call(ANYONE, &model);
                clocked.end(call, &outage(reason));
                clocked.now += Duration::from_millis(100);
            }
            let shown = clocked.state.outage(&model, ANYONE, clocked.now).unwrap();
            assert_eq!(shown.key, number);
            let name = (!reason.is_of_key()).then_some("m");
            assert_eq!(shown.model.as_deref(), name);
            let passed = Duration::from_millis(100 * keys as u64);
            assert_eq!(shown.lasted, passed);
            assert_eq!(shown.retry_in + passed, Duration::from_secs(1));
        }
    }
}

/// Returns the rows of a snapshot: kind, scope, limit, in use, available and waiting.
fn rows(clocked: &Clocked, viewer: Option<CallerId>) -> Vec<String> {
    let rows = clocked.state.limits(viewer, clocked.now);
    let shown = rows.into_iter().map(|row| {
        let scope = row.scope.unwrap_or_default();
        let number = |n: Option<u64>| n.map_or("-".to_owned(), |n| n.to_string());
        let (limit, available) = (number(row.limit), number(row.available));
        let (kind, in_use, waiting) = (row.kind, row.in_use, row.waiting);
        format!("{kind:?} {scope}: {limit} {in_use} {available} {waiting}")
    });
    shown.collect()
}

#[test]
fn every_limit_is_shown_as_it_stands() {
    let key = KeyQuota {
        requests: Some(Rate {
            per_minute: non_zero(60).unwrap(),
            burst: non_zero(3).unwrap(),
        }),
        tokens_per_minute: non_zero(60_000),
    };
    let pools = vec![pool(vec![key; 2], Some(4)), unlimited()];
    let mut clocked = Clocked::new(3, pools);
    let (alice, bob) = (CallerId(1), CallerId(2));
    let quota = |name: &str| Quota {
        name: name.to_owned(),
        ..Quota::default()
    };
    let of_alice = Quota {
        requests_per_minute: non_zero(300),
        tokens_per_minute: non_zero(6_000),
        max_in_flight: non_zero(2),
        max_queue: non_zero(7),
        budget_per_day: Some(Usd(1_000)),
        ..quota("alice")
    };
    let of_bob = Quota {
        max_queue: non_zero(9),
        budget_per_day: Some(Usd(5)),
        ..quota("bob")
    };
    let callers = vec![(alice, of_alice), (bob, of_bob)];
    let wall = SystemTime::UNIX_EPOCH;
    clocked.state.set_callers(callers, clocked.now, wall);
    let capped = ModelLimits {
        max_in_flight: Some(2),
        price: Some(Price {
            input: Usd(2),
            output: Usd(0),
        }),
    };
    let capped = clocked
        .state
        .model(POOL, "capped", Some(capped), clocked.now);
    let request = PermitRequest {
        text_tokens: 10,
        max_output: Some(20),
        ..permit_request(&capped)
    };
    let asked = admission_request(1);
    let items = [alice, alice, bob].map(|caller| {
        clocked.state.admit(caller, &asked, clocked.now).unwrap();
        clocked.enter(caller, &request)
    });
    assert!(matches!(items[1], EnterResult::Granted(_)));
    assert!(
        matches!(items[2], EnterResult::Waiting(..)),
        "two at a time"
    );
    let shared = [
        "Concurrency : 3 2 1 1",
        "Queue : 100 1 99 1",
        "Concurrency test: 4 2 2 1",
        "RequestsPerMinute test#1: 60 1 2 1",
        "TokensPerMinute test#1: 60000 30 960 1",
        "RequestsPerMinute test#2: 60 1 2 1",
        "TokensPerMinute test#2: 60000 30 960 1",
        "RequestsPerMinute test: - 0 - 0",
        "Concurrency test/capped: 2 2 0 0",
    ];
    let own = [
        "Concurrency caller:alice: 2 2 0 0",
        "RequestsPerMinute caller:alice: 300 2 3 0",
        "TokensPerMinute caller:alice: 6000 60 40 0",
        "Queue caller:alice: 7 0 7 0",
    ];
    let of_others = ["Queue caller:bob: 9 1 8 1"];
    assert_eq!(rows(&clocked, Some(alice)), [&shared[..], &own].concat());
    let all = [&shared[..], &own, &of_others].concat();
    assert_eq!(rows(&clocked, None), all);
    let budgets = |clocked: &Clocked, viewer| -> Vec<_> {
        let budgets = clocked.state.caller_budgets(viewer, clocked.now);
        let budgets = budgets.into_iter();
        budgets
            .map(|own| (own.name, own.limit.0, own.spent.0))
            .collect()
    };
    let expected = [("alice".to_owned(), 1_000, 40), ("bob".to_owned(), 5, 0)];
    assert_eq!(budgets(&clocked, Some(bob)), expected[1..]);
    assert_eq!(budgets(&clocked, None), expected);
    // A caller that was removed is shown while it has items.
    let callers = vec![(alice, Quota::default())];
    clocked.state.set_callers(callers, clocked.now, wall);
    assert!(rows(&clocked, None).contains(&of_others[0].to_owned()));
    assert_eq!(budgets(&clocked, None).len(), 1);
    clocked.state.release_places(bob, 1);
    assert!(!rows(&clocked, None).contains(&of_others[0].to_owned()));
    assert!(budgets(&clocked, None).is_empty());
}
