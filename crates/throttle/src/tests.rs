//! The limits as their users see them, with real time.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;

mod stress;

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
    Limits::new(
        Config {
            max_concurrency,
            max_queue,
            max_memory_bytes: 1 << 30,
            max_body_memory_bytes: 1 << 30,
        },
        pools,
        Arc::new(Ignore),
    )
    .unwrap()
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
    limits.model(POOL, "m", ModelLimits::default())
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

fn in_use(limits: &Limits) -> (u64, u64, u64) {
    let readings = limits.snapshots();
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
    assert_eq!((in_use(&limits), admission.in_flight()), ((1, 0, 1), 1));
    drop(permit);
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
async fn leaving_the_queue_returns_everything() {
    let limits = limits(1, 100);
    let (admission, model) = (admit(&limits, ANYONE, 3), model(&limits));
    let permit = admission.enter(&permit_request(&model)).await.unwrap();
    {
        let mut waiting = admission.enter(&permit_request(&model));
        assert!(waits(&mut waiting).await);
        assert_eq!(in_use(&limits).1, 1);
        // Granted, but dropped before it was seen.
        drop(permit);
    }
    assert_eq!(in_use(&limits), (0, 0, 3));
}

#[tokio::test]
async fn a_pause_beyond_the_wait_budget_is_denied_at_once_and_a_shorter_one_is_waited_for() {
    let limits = limits(4, 100);
    let (admission, model) = (admit(&limits, ANYONE, 3), model(&limits));
    let waiting = [
        admission.enter(&permit_request(&model)),
        admission.enter(&permit_request(&model)),
    ];
    let [first, _second] = waiting;
    let until = Instant::now() + Duration::from_millis(100);
    first.await.unwrap().release(CallReport {
        pause: Some(Pause::Until(until)),
        ..CallReport::new(Health::Neutral)
    });
    let brief = WaitBudget::new(Duration::from_millis(20), Duration::ZERO);
    assert_eq!(
        admission
            .enter(&PermitRequest {
                wait_budget: brief,
                ..permit_request(&model)
            })
            .await
            .unwrap_err(),
        Denied::Paused { until }
    );
    let _permit = admission
        .enter(&PermitRequest {
            priority: Priority::Requeued,
            ..permit_request(&model)
        })
        .await
        .unwrap();
    assert!(Instant::now() >= until);
}

#[tokio::test]
async fn a_pause_that_begins_while_an_item_waits_denies_its_permit() {
    let limits = limits(1, 100);
    let (admission, model) = (admit(&limits, ANYONE, 3), model(&limits));
    let permit = admission.enter(&permit_request(&model)).await.unwrap();
    let patience = WaitBudget::new(Duration::from_millis(20), Duration::ZERO);
    let mut waiting = admission.enter(&PermitRequest {
        wait_budget: patience,
        ..permit_request(&model)
    });
    assert!(waits(&mut waiting).await);
    permit.release(CallReport {
        pause: Some(Pause::Until(Instant::now() + Duration::from_secs(5))),
        ..CallReport::new(Health::Neutral)
    });
    assert!(waiting.await.is_err());
}

#[tokio::test]
async fn a_provider_or_model_at_its_own_limit_does_not_block_others() {
    let pools = [Some(1), None].map(|max_in_flight| pool(vec![KeyQuota::default()], max_in_flight));
    let limits = limits_with(3, 10, pools.to_vec());
    let admission = admit(&limits, ANYONE, 3);
    let narrow = model(&limits);
    let _held = admission.enter(&permit_request(&narrow)).await.unwrap();
    assert!(waits(&mut admission.enter(&permit_request(&narrow))).await);
    let wide = limits.model(PoolId(1), "m", ModelLimits::default());
    assert!(admission.enter(&permit_request(&wide)).await.is_ok());
    let capped = limits.model(
        PoolId(1),
        "capped",
        ModelLimits {
            max_in_flight: Some(1),
            price: None,
        },
    );
    let permit = admission.enter(&permit_request(&capped)).await.unwrap();
    let mut waiting = admission.enter(&permit_request(&capped));
    assert!(waits(&mut waiting).await);
    assert!(
        admission.enter(&permit_request(&wide)).await.is_ok(),
        "the other model is not blocked"
    );
    drop(permit);
    assert!(waiting.await.is_ok());
}

#[tokio::test]
async fn each_key_has_its_own_buckets_and_a_paused_key_is_skipped() {
    let rate = Rate {
        per_minute: NonZeroU32::new(60).unwrap(),
        burst: NonZeroU32::new(2).unwrap(),
    };
    let quota = KeyQuota {
        requests: Some(rate),
        tokens_per_minute: None,
    };
    let limits = limits_with(10, 100, vec![pool(vec![quota, quota], None)]);
    let (admission, model) = (admit(&limits, ANYONE, 9), model(&limits));
    let first = admission.enter(&permit_request(&model)).await.unwrap();
    let paused = first.key();
    first.release(CallReport {
        pause: Some(Pause::Until(Instant::now() + Duration::from_secs(60))),
        ..CallReport::new(Health::Neutral)
    });
    for _ in 0..2 {
        assert_ne!(
            admission
                .enter(&permit_request(&model))
                .await
                .unwrap()
                .key(),
            paused
        );
    }
    // Two a burst, and the other key is paused.
    assert!(waits(&mut admission.enter(&permit_request(&model))).await);
}

fn outage(reason: OutageReason) -> CallReport {
    CallReport {
        outage: Some(OutageReport {
            reason,
            detail: "no".into(),
            input: 1,
        }),
        ..CallReport::new(Health::Neutral)
    }
}

#[tokio::test]
async fn a_refused_key_is_skipped_and_without_another_the_permit_is_denied_at_once() {
    let limits = limits_with(10, 100, vec![pool(vec![KeyQuota::default(); 2], None)]);
    let (admission, model) = (admit(&limits, ANYONE, 9), model(&limits));
    let other = limits.model(PoolId(0), "other", ModelLimits::default());
    let first = admission.enter(&permit_request(&model)).await.unwrap();
    let key = first.key();
    let change = first.release(outage(OutageReason::KeyRefused));
    assert_eq!(change, Some(OutageChange::Began));
    for _ in 0..4 {
        let next = admission.enter(&permit_request(&model)).await.unwrap();
        assert_ne!(next.key(), key);
    }
    assert!(limits.outage(&model).is_none(), "one key is left");
    let second = admission.enter(&permit_request(&model)).await.unwrap();
    second.release(outage(OutageReason::KeyRefused));
    for model in [&model, &other] {
        assert!(matches!(
            admission.enter(&permit_request(model)).await.unwrap_err(),
            Denied::Outage { .. }
        ));
        let reason = limits.outage(model).unwrap().report.reason;
        assert_eq!(reason, OutageReason::KeyRefused);
    }
    assert_eq!(limits.outages().len(), 2);
}

#[tokio::test]
async fn an_unknown_model_is_an_outage_of_that_model_alone() {
    let limits = limits_with(10, 100, vec![pool(vec![KeyQuota::default()], None)]);
    let (admission, model) = (admit(&limits, ANYONE, 9), model(&limits));
    let other = limits.model(PoolId(0), "other", ModelLimits::default());
    let permit = admission.enter(&permit_request(&model)).await.unwrap();
    permit.release(outage(OutageReason::UnknownModel));
    assert!(admission.enter(&permit_request(&model)).await.is_err());
    assert!(admission.enter(&permit_request(&other)).await.is_ok());
    assert!(limits.outage(&other).is_none());
}

#[tokio::test]
async fn patient_items_wait_for_a_probe_and_all_go_out_when_it_has_succeeded() {
    let limits = limits_with(10, 100, vec![pool(vec![KeyQuota::default()], None)]);
    let (admission, model) = (admit(&limits, ANYONE, 9), model(&limits));
    let patient = PermitRequest {
        wait_budget: PATIENT.through_outages(),
        ..permit_request(&model)
    };
    let first = admission.enter(&patient).await.unwrap();
    first.release(outage(OutageReason::KeyRefused));
    let mut waiting: Vec<_> = (0..5).map(|_| admission.enter(&patient)).collect();
    let began = Instant::now();
    let probe = waiting.remove(0).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(900));
    assert!(waits(&mut waiting[0]).await, "one probe at a time");
    let change = probe.release(CallReport::new(Health::Success));
    assert_eq!(change, Some(OutageChange::Ended));
    for pending in waiting {
        let permit = tokio::time::timeout(Duration::from_millis(500), pending).await;
        assert!(permit.unwrap().is_ok());
    }
}

#[tokio::test]
async fn few_calls_go_out_to_a_model_before_the_first_answer() {
    let trial = Pool {
        has_trial: true,
        ..pool(vec![KeyQuota::default()], None)
    };
    let limits = limits_with(20, 100, vec![trial]);
    let (admission, model) = (admit(&limits, ANYONE, 20), model(&limits));
    let mut pending: Vec<_> = (0..20)
        .map(|_| admission.enter(&permit_request(&model)))
        .collect();
    let mut permits = Vec::new();
    for pending in pending.drain(..4) {
        permits.push(pending.await.unwrap());
    }
    assert!(waits(&mut pending[0]).await);
    permits.remove(0).release(CallReport::new(Health::Success));
    for pending in pending {
        let permit = tokio::time::timeout(Duration::from_millis(100), pending).await;
        permits.push(permit.unwrap().unwrap());
    }
}

#[tokio::test]
async fn tokens_are_reserved_before_a_call_and_settled_after_it() {
    let quota = KeyQuota {
        requests: None,
        tokens_per_minute: non_zero(60_000),
    };
    let limits = limits_with(10, 100, vec![pool(vec![quota], None)]);
    let (admission, model) = (admit(&limits, ANYONE, 9), model(&limits));
    assert!(admission.counts_tokens());
    let large = PermitRequest {
        text_tokens: 50_000,
        max_output: Some(20_000),
        ..permit_request(&model)
    };
    assert_eq!(
        admission.enter(&large).await.unwrap_err(),
        Denied::TooLarge {
            needed: 70_000,
            allowed: 60_000
        }
    );
    let owing = PermitRequest {
        text_tokens: 5_000,
        max_output: Some(100),
        ..permit_request(&model)
    };
    let mut first = admission.enter(&owing).await.unwrap();
    let mut waiting = admission.enter(&owing);
    assert!(waits(&mut waiting).await, "5,100 of 990 are owed");
    first.begin();
    let spent = UsageReport::Tokens(TokenUsage {
        input: 200,
        output: 10,
    });
    first.release(CallReport {
        spent,
        ..CallReport::new(Health::Success)
    });
    let mut second = waiting.await.unwrap();
    second.begin();
    // What may have been worked for stays charged; what never went out does not.
    drop(second);
    let tokens = |limits: &Limits| {
        limits
            .snapshots()
            .into_iter()
            .find(|row| row.kind == LimitKind::TokensPerMinute)
            .unwrap()
    };
    assert!(
        (100..=1_000).contains(&tokens(&limits).in_use),
        "{:?}",
        tokens(&limits)
    );
    let after = tokens(&limits).in_use;
    drop(
        admission
            .enter(&PermitRequest {
                text_tokens: 1,
                ..permit_request(&model)
            })
            .await
            .unwrap(),
    );
    assert!(tokens(&limits).in_use <= after);
}

#[tokio::test]
async fn an_open_circuit_denies_items_with_a_fallback_and_lets_the_others_wait() {
    let limits = limits(10, 100);
    let (admission, model) = (admit(&limits, ANYONE, 9), model(&limits));
    for _ in 0..5 {
        admission
            .enter(&permit_request(&model))
            .await
            .unwrap()
            .release(CallReport::new(Health::Failure));
    }
    let nowhere = WaitBudget::NONE;
    assert!(matches!(
        admission
            .enter(&PermitRequest {
                wait_budget: nowhere,
                ..permit_request(&model)
            })
            .await,
        Err(Denied::CircuitOpen { .. })
    ));
    assert!(waits(&mut admission.enter(&permit_request(&model))).await);
    let other = limits.model(POOL, "other", ModelLimits::default());
    assert!(admission.enter(&permit_request(&other)).await.is_ok());
    assert_eq!(limits.breakers()[0].state, BreakerState::Open);
}

#[tokio::test]
async fn a_caller_has_its_own_concurrency_rate_waiting_room_and_budget() {
    let limits = limits(10, 100);
    let caller = CallerId(7);
    let quota = Quota {
        name: "one".to_owned(),
        requests_per_minute: non_zero(60),
        max_in_flight: non_zero(1),
        max_queue: non_zero(2),
        budget_per_day: Usd::from_dollars(1.0),
        ..Quota::default()
    };
    limits.set_callers(vec![(caller, quota.clone())]);
    let price = Price {
        input: Usd::from_dollars(0.01).unwrap(),
        output: Usd::default(),
    };
    let model = limits.model(
        POOL,
        "m",
        ModelLimits {
            max_in_flight: None,
            price: Some(price),
        },
    );
    let admission = admit_empty(&limits, caller, 9);
    assert_eq!(reserve_all(&admission), 3, "one goes out at once, two wait");
    assert!(matches!(
        limits.admit(caller, &admission_request(1)),
        Err(Refused::QuotaUsedUp { .. })
    ));
    let mut permit = admission
        .enter(&PermitRequest {
            text_tokens: 10,
            ..permit_request(&model)
        })
        .await
        .unwrap();
    let mut waiting = admission.enter(&PermitRequest {
        text_tokens: 10,
        ..permit_request(&model)
    });
    assert!(waits(&mut waiting).await, "one at a time");
    let other = admit(&limits, ANYONE, 1);
    assert!(
        other.enter(&permit_request(&model)).await.is_ok(),
        "others are not blocked"
    );
    permit.begin();
    permit.release(CallReport {
        spent: UsageReport::Tokens(TokenUsage {
            input: 100,
            output: 0,
        }),
        ..CallReport::new(Health::Success)
    });
    assert!(
        matches!(waiting.await, Err(Denied::BudgetExhausted { .. })),
        "a dollar is spent"
    );
    drop(admission);
    assert!(matches!(
        limits.admit(caller, &admission_request(1)),
        Err(Refused::BudgetExhausted { .. })
    ));
    assert!(matches!(
        limits.admit(
            caller,
            &AdmissionRequest {
                has_price: false,
                ..admission_request(1)
            }
        ),
        Err(Refused::NoPrice)
    ));
    limits.set_callers(vec![(
        caller,
        Quota {
            budget_per_day: None,
            ..quota
        },
    )]);
    assert!(limits.admit(caller, &admission_request(1)).is_ok());
    limits.set_callers(vec![]);
    assert!(limits.caller_budgets().is_empty());
}

#[tokio::test]
async fn a_rate_limited_caller_continues_when_its_bucket_refills() {
    let limits = limits(10, 100);
    let caller = CallerId(7);
    limits.set_callers(vec![(
        caller,
        Quota {
            requests_per_minute: non_zero(1200),
            ..Quota::default()
        },
    )]);
    let (admission, model) = (admit(&limits, caller, 50), model(&limits));
    let started = Instant::now();
    let mut pending: Vec<_> = (0..25)
        .map(|_| admission.enter(&permit_request(&model)))
        .collect();
    for pending_permit in pending.drain(..) {
        drop(pending_permit.await.unwrap());
    }
    // 20 at once, and 20 a second.
    assert!(
        started.elapsed() >= Duration::from_millis(240),
        "{:?}",
        started.elapsed()
    );
}
