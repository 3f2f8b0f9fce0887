//! The limits as their users see them, with real time.

mod callers;
mod providers;
mod settlement;
mod shares;
pub(crate) mod simulation;
mod states;
mod stress;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;

const ANYONE: CallerId = CallerId(0);

const POOL: PoolId = PoolId(0);

const PATIENT: WaitBudget = WaitBudget::new(Duration::from_secs(60), Duration::from_secs(60));

fn non_zero(n: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(n)
}

fn pool(keys: Vec<KeyQuota>, max_in_flight: Option<usize>) -> Pool {
    Pool {
        name: "test".to_owned(),
        keys,
        max_in_flight,
        is_adaptive: false,
        has_trial: false,
    }
}

fn limits_with(max_concurrency: usize, max_queue: usize, pools: Vec<Pool>) -> Limits {
    let config = config(max_concurrency, max_queue);
    Limits::new(config, pools, Arc::new(Ignore)).unwrap()
}

fn config(max_concurrency: usize, max_queue: usize) -> Config {
    Config {
        max_concurrency,
        max_queue,
        max_memory_bytes: 1 << 30,
        max_body_memory_bytes: 1 << 30,
    }
}

fn limits(max_concurrency: usize, max_queue: usize) -> Limits {
    limits_with(
        max_concurrency,
        max_queue,
        vec![pool(vec![KeyQuota::default()], None)],
    )
}

/// Reserves places one by one until there is no more room. Returns how many the request holds.
fn reserve_all(admission: &Admission) -> usize {
    (1..=admission.window())
        .take_while(|items| admission.reserve_place(*items))
        .count()
}

fn admission_request(items: usize) -> AdmissionRequest {
    AdmissionRequest {
        class: Class::Direct,
        pool: POOL,
        window: items,
        is_single: items == 1,
        has_price: true,
    }
}

fn admit_empty(limits: &Limits, caller: CallerId, wanted: usize) -> Admission {
    limits.admit(caller, &admission_request(wanted)).unwrap()
}

/// Admits a request with as many items as there is room for.
fn admit(limits: &Limits, caller: CallerId, wanted: usize) -> Admission {
    let admission = admit_empty(limits, caller, wanted);
    reserve_all(&admission);
    admission
}

fn model(limits: &Limits) -> Arc<Model> {
    limits.configured_model(POOL, "m", ModelLimits::default())
}

fn permit_request(model: &Arc<Model>) -> PermitRequest<'_> {
    PermitRequest {
        model,
        priority: Priority::First,
        wait_budget: PATIENT,
        text_tokens: 0,
        max_output: None,
        refused: KeySet::default(),
        is_first_call: true,
    }
}

/// Returns the report of a call that failed for a reason that other calls share.
fn outage(reason: OutageReason) -> CallReport {
    CallReport {
        outage: Some(OutageReport {
            reason,
            detail: "no".into(),
            input: 1,
            is_doubtful: reason.is_doubtful(),
        }),
        ..CallReport::new(Health::Neutral)
    }
}

fn in_use(limits: &Limits) -> (u64, u64, u64) {
    let readings = limits.snapshots(None);
    (readings[0].in_use, readings[0].waiting, readings[1].in_use)
}

async fn waits(pending_permit: &mut (impl Future + Unpin)) -> bool {
    tokio::time::timeout(Duration::from_millis(5), pending_permit)
        .await
        .is_err()
}

#[tokio::test]
async fn a_free_slot_is_granted_at_once_and_returned() {
    let limits = limits(1, 10);
    let admission = admit(&limits, ANYONE, 2);
    let permit = admission
        .enter(&permit_request(&model(&limits)))
        .await
        .unwrap();
    assert!(!permit.is_probe());
    assert_eq!((in_use(&limits), admission.in_flight()), ((1, 0, 1), 1));
    drop(permit);
    assert_eq!((in_use(&limits), admission.in_flight()), ((0, 0, 2), 0));
    drop(admission);
    assert_eq!(in_use(&limits), (0, 0, 0));
}

#[tokio::test]
async fn the_waiting_room_is_bounded_and_a_batch_takes_places_for_its_items() {
    let limits = limits(1, 3);
    let first = admit_empty(&limits, ANYONE, 1);
    let permit = first.enter(&permit_request(&model(&limits))).await.unwrap();
    let batch = admit_empty(&limits, ANYONE, 100);
    assert_eq!(in_use(&limits).1, 0, "no item, no place");
    assert_eq!(reserve_all(&batch), 3);
    assert!(limits.admit(ANYONE, &admission_request(1)).is_err());
    batch.release_places_above(2);
    assert!(limits.admit(ANYONE, &admission_request(1)).is_ok());
    let late = admit_empty(&limits, ANYONE, 100);
    assert!(batch.reserve_place(3));
    assert!(late.reserve_place(1), "the first item always has a place");
    assert!(!late.reserve_place(2));
    drop((batch, late));
    drop((permit, first));
    assert_eq!(in_use(&limits), (0, 0, 0));
}

#[tokio::test]
async fn one_caller_leaves_room_for_the_others() {
    let limits = limits(1, 100);
    let callers = [CallerId(1), CallerId(2)].map(|caller| (caller, Quota::default()));
    limits.set_callers(callers.to_vec());
    let greedy = admit_empty(&limits, CallerId(1), 1000);
    let held = reserve_all(&greedy);
    assert!((48..=52).contains(&held), "half of the room: {held}");
    assert!(matches!(
        limits.admit(CallerId(1), &admission_request(1)),
        Err(Refused::ShareUsedUp { .. })
    ));
    let other = admit_empty(&limits, CallerId(2), 1000);
    let held = reserve_all(&other);
    assert!((24..=26).contains(&held), "half of the rest: {held}");
}

#[tokio::test]
async fn a_caller_is_found_by_its_owner_while_it_is_configured() {
    let limits = limits(1, 100);
    let quota = |owner: &str| Quota {
        owner: owner.to_owned(),
        ..Quota::default()
    };
    let (one, two) = (CallerId(1), CallerId(2));
    limits.set_callers(vec![(one, quota("one")), (two, quota("two"))]);
    assert_eq!(limits.caller_of("one"), Some(one));
    assert_eq!(limits.caller_of("two"), Some(two));
    assert_eq!(limits.caller_of("three"), None);
    assert_eq!([one, CallerId(3)].map(|id| limits.owner(id)), ["one", ""]);
    assert_eq!(limits.caller_of(""), Some(CallerId::default()));
    let _in_progress = admit(&limits, one, 1);
    limits.set_callers(vec![(two, quota("two"))]);
    assert_eq!(limits.caller_of("one"), None);
}

#[tokio::test]
async fn what_holds_calls_and_what_is_left_of_quotas_is_shown() {
    let limits = limits(2, 100);
    assert_eq!(limits.max_concurrency(), 2);
    let quota = Quota {
        name: "alice".to_owned(),
        requests_per_minute: non_zero(1),
        budget_per_day: Some(Usd(100)),
        ..Quota::default()
    };
    let alice = CallerId(1);
    limits.set_callers(vec![(alice, quota)]);
    assert_eq!(limits.quota_status(CallerId(2)), None);
    let budget = limits.quota_status(alice).unwrap().budget;
    assert_eq!(budget, Some((Usd(100), Usd(0))));
    let [budget] = limits.caller_budgets(None).try_into().unwrap();
    assert_eq!((budget.name.as_str(), budget.limit), ("alice", Usd(100)));
    let (admission, model) = (admit(&limits, alice, 2), model(&limits));
    assert_eq!(admission.caller(), alice);
    let began = Instant::now();
    let permit = admission.enter(&permit_request(&model)).await.unwrap();
    assert_eq!(limits.holds(), []);
    let mut waiting = admission.enter(&permit_request(&model));
    assert!(waits(&mut waiting).await);
    let [hold] = limits.holds().try_into().unwrap();
    assert_eq!((hold.model.as_str(), hold.waiting), ("test/m", 1));
    assert_eq!(hold.reason, HoldReason::CallerQuota);
    let retry_in = hold.retry_in.unwrap().as_secs();
    assert!((50..60).contains(&retry_in), "one a minute: {retry_in}");
    let holds = model.holds_between(began, Instant::now());
    let last = holds.last().and_then(|hold| hold.reason);
    assert_eq!(last, Some(HoldReason::CallerQuota));
    // The end of a call changes nothing.
    drop(permit);
    assert!(waits(&mut waiting).await);
}

#[tokio::test]
async fn cancelled_items_wait_for_ever_and_rejected_ones_are_told() {
    let limits = limits(1, 100);
    let (admission, other) = (admit(&limits, ANYONE, 4), admit(&limits, ANYONE, 1));
    let model = model(&limits);
    let permit = admission.enter(&permit_request(&model)).await.unwrap();
    let mut unstarted = admission.enter(&permit_request(&model));
    let mut called = admission.enter(&PermitRequest {
        priority: Priority::Requeued,
        ..permit_request(&model)
    });
    let mut of_other = other.enter(&permit_request(&model));
    admission.reject_unstarted();
    let answer = tokio::time::timeout(Duration::from_secs(5), &mut unstarted).await;
    assert_eq!(answer.unwrap().unwrap_err(), Denied::Cancelled);
    assert!(waits(&mut called).await && waits(&mut of_other).await);
    admission.cancel_all();
    assert_eq!(in_use(&limits).1, 1, "that of the other request");
    drop(permit);
    assert!(of_other.await.is_ok());
    assert!(waits(&mut called).await);
}

#[test]
fn memory_that_is_held_is_shown_by_use_and_by_caller() {
    let limits = limits(1, 100);
    let quota = Quota {
        name: "alice".to_owned(),
        ..Quota::default()
    };
    let bob = Quota {
        name: "bob".to_owned(),
        ..Quota::default()
    };
    limits.set_callers(vec![(CallerId(1), quota), (CallerId(2), bob)]);
    let inputs = limits.memory().reserve(CallerId(1), MemoryUse::Inputs, 7);
    assert_eq!(inputs.as_ref().unwrap().caller(), CallerId(1));
    let rows = || -> Vec<_> {
        let rows = limits.snapshots(None).into_iter();
        let memory = rows.filter(|row| row.kind == LimitKind::MemoryBytes);
        memory
            .map(|row| (row.scope.unwrap_or_default(), row.in_use))
            .collect()
    };
    let expected = [
        ("", 7),
        ("request_bodies", 0),
        ("inputs", 7),
        ("responses", 0),
        ("schemas", 0),
        ("cache", 0),
        ("process", 0),
        ("caller:alice", 7),
        ("caller:bob", 0),
    ]
    .map(|(scope, bytes)| (scope.to_owned(), bytes));
    assert_eq!(rows(), expected);
    limits.set_callers(vec![]);
    assert_eq!(rows(), expected[..8], "one that is gone and holds some");
}

/// An observer that writes down what it hears.
#[derive(Debug, Clone, Default)]
struct Heard {
    label: String,
    events: Arc<std::sync::Mutex<Vec<String>>>,
}

impl Heard {
    fn add(&self, event: String) {
        self.events.lock().unwrap().push(event);
    }
}

impl Observer for Heard {
    fn model(&self, label: &str) -> Box<dyn ModelObserver> {
        let label = label.to_owned();
        Box::new(Self {
            label,
            ..self.clone()
        })
    }

    fn circuit_opened(&self, label: &str) {
        self.add(format!("{label} is open"));
    }
}

impl ModelObserver for Heard {
    fn call_ended(&self, usage: TokenUsage, cost: Usd) {
        let TokenUsage { input, output } = usage;
        self.add(format!("{}: {input}, {output}, {}", self.label, cost.0));
    }
}

#[tokio::test]
async fn the_observer_hears_of_the_calls_that_were_sent_and_of_open_circuits() {
    let heard = Heard::default();
    let pools = vec![pool(vec![KeyQuota::default()], None)];
    let limits = Limits::new(config(10, 100), pools, Arc::new(heard.clone())).unwrap();
    let price = Price {
        input: Usd(2),
        output: Usd(10),
    };
    let priced = ModelLimits {
        price: Some(price),
        ..ModelLimits::default()
    };
    let model = limits.configured_model(POOL, "m", priced);
    let made_up = limits.model(POOL, "made up");
    assert_eq!((model.price(), made_up.price()), (Some(price), None));
    let admission = admit(&limits, ANYONE, 9);
    let usage = TokenUsage {
        input: 30,
        output: 4,
    };
    for (model, spent) in [
        (&model, UsageReport::Tokens(usage)),
        (&model, UsageReport::Unknown),
        (&made_up, UsageReport::Tokens(usage)),
    ] {
        let mut sent = admission.enter(&permit_request(model)).await.unwrap();
        sent.begin();
        sent.release(CallReport {
            spent,
            ..CallReport::new(Health::Neutral)
        });
    }
    for _ in 0..5 {
        let permit = admission.enter(&permit_request(&made_up)).await.unwrap();
        permit.release(CallReport::new(Health::Failure));
    }
    let expected = [
        "test/m: 30, 4, 100",
        "test/m: 0, 0, 0",
        "test/(other): 30, 4, 0",
        "test/made up is open",
    ];
    assert_eq!(*heard.events.lock().unwrap(), expected);
}

#[test]
fn memory_is_shared_if_there_are_several_callers() {
    let limits = limits(1, 100);
    let reserve = || (limits.memory()).reserve(CallerId(1), MemoryUse::Inputs, 3 << 28);
    let callers = [1, 2].map(|id| (CallerId(id), Quota::default()));
    limits.set_callers(callers.to_vec());
    assert!(
        limits.has_several_callers() && reserve().is_err(),
        "more than half"
    );
    limits.set_callers(callers.into_iter().take(1).collect());
    assert!(!limits.has_several_callers() && reserve().is_ok());
}

#[tokio::test]
async fn leaving_the_queue_returns_everything() {
    let limits = limits(1, 100);
    let (admission, model) = (admit(&limits, ANYONE, 3), model(&limits));
    let permit = admission.enter(&permit_request(&model)).await.unwrap();
    {
        let mut waiting = admission.enter(&permit_request(&model));
        assert!(waits(&mut waiting).await);
    }
    assert_eq!(in_use(&limits).1, 0, "it has left");
    {
        let mut waiting = admission.enter(&permit_request(&model));
        assert!(waits(&mut waiting).await);
        assert_eq!(in_use(&limits).1, 1);
        // Granted, but dropped before it was seen.
        drop(permit);
    }
    assert_eq!(in_use(&limits), (0, 0, 3));
}
