use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::*;

const ANYONE: CallerId = CallerId(0);
const POOL: PoolId = PoolId(0);
const PATIENT: WaitBudget = WaitBudget::new(Duration::from_secs(60), Duration::from_secs(60));

fn n32(n: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(n)
}

fn pool(keys: Vec<KeyQuota>, max_in_flight: Option<usize>) -> Pool {
    Pool {
        name: "test".to_owned(),
        keys,
        max_in_flight,
        is_adaptive: false,
    }
}

fn with(max_concurrency: usize, max_queue: usize, pools: Vec<Pool>) -> Limits {
    Limits::new(
        Config {
            max_concurrency,
            max_queue,
        },
        pools,
        Arc::new(Ignore),
    )
    .unwrap()
}

fn limits(max_concurrency: usize, max_queue: usize) -> Limits {
    with(
        max_concurrency,
        max_queue,
        vec![pool(vec![KeyQuota::default()], None)],
    )
}

fn load(items: usize) -> AdmissionRequest {
    AdmissionRequest {
        class: Class::Direct,
        pool: POOL,
        items,
        is_single: items == 1,
        has_price: true,
    }
}

fn lane(limits: &Limits, caller: CallerId, wanted: usize) -> Admission {
    limits.admit(caller, &load(wanted)).unwrap()
}

fn model(limits: &Limits) -> Arc<Model> {
    limits.model(POOL, "m", ModelLimits::default())
}

fn ask(model: &Arc<Model>) -> PermitRequest<'_> {
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

async fn waits(place: &mut (impl Future + Unpin)) -> bool {
    tokio::time::timeout(Duration::from_millis(5), place)
        .await
        .is_err()
}

#[tokio::test]
async fn a_free_slot_is_taken_at_once_and_given_back() {
    let limits = limits(1, 10);
    let lane = lane(&limits, ANYONE, 2);
    let permit = lane.enter(&ask(&model(&limits))).await.unwrap();
    assert_eq!((in_use(&limits), lane.in_flight()), ((1, 0, 1), 1));
    drop(permit);
    drop(lane);
    assert_eq!(in_use(&limits), (0, 0, 0));
}

#[tokio::test]
async fn the_room_is_bounded_and_a_batch_takes_what_is_left() {
    let limits = limits(1, 3);
    let first = lane(&limits, ANYONE, 1);
    let held = first.enter(&ask(&model(&limits))).await.unwrap();
    let batch = lane(&limits, ANYONE, 100);
    assert_eq!(batch.window(), 3);
    assert!(limits.admit(ANYONE, &load(1)).is_err());
    drop(batch);
    assert_eq!(lane(&limits, ANYONE, 1).window(), 1);
    drop((held, first));
    assert_eq!(in_use(&limits), (0, 0, 0));
}

#[tokio::test]
async fn who_leaves_the_line_gives_back_everything() {
    let limits = limits(1, 100);
    let (lane, model) = (lane(&limits, ANYONE, 3), model(&limits));
    let held = lane.enter(&ask(&model)).await.unwrap();
    {
        let mut waiting = lane.enter(&ask(&model));
        assert!(waits(&mut waiting).await);
        assert_eq!(in_use(&limits).1, 1);
        // Granted, but dropped before it was seen.
        drop(held);
    }
    assert_eq!(in_use(&limits), (0, 0, 3));
}

#[tokio::test]
async fn an_impatient_item_is_told_at_once_a_patient_one_waits() {
    let limits = limits(4, 100);
    let (lane, model) = (lane(&limits, ANYONE, 3), model(&limits));
    let waiting = [lane.enter(&ask(&model)), lane.enter(&ask(&model))];
    let [first, _second] = waiting;
    let until = Instant::now() + Duration::from_millis(100);
    first.await.unwrap().release(CallReport {
        pause: Some(Pause::Until(until)),
        ..CallReport::new(Health::Neutral)
    });
    let brief = WaitBudget::new(Duration::from_millis(20), Duration::ZERO);
    assert_eq!(
        lane.enter(&PermitRequest {
            wait_budget: brief,
            ..ask(&model)
        })
        .await
        .unwrap_err(),
        Denied::Paused { until }
    );
    let _permit = lane
        .enter(&PermitRequest {
            priority: Priority::Requeued,
            ..ask(&model)
        })
        .await
        .unwrap();
    assert!(Instant::now() >= until);
}

#[tokio::test]
async fn a_pause_that_begins_while_an_item_waits_reaches_it() {
    let limits = limits(1, 100);
    let (lane, model) = (lane(&limits, ANYONE, 3), model(&limits));
    let held = lane.enter(&ask(&model)).await.unwrap();
    let patience = WaitBudget::new(Duration::from_millis(20), Duration::ZERO);
    let mut waiting = lane.enter(&PermitRequest {
        wait_budget: patience,
        ..ask(&model)
    });
    assert!(waits(&mut waiting).await);
    held.release(CallReport {
        pause: Some(Pause::Until(Instant::now() + Duration::from_secs(5))),
        ..CallReport::new(Health::Neutral)
    });
    assert!(waiting.await.is_err());
}

#[tokio::test]
async fn a_pool_or_a_model_with_slots_of_its_own_leaves_the_rest_to_the_others() {
    let pools = [Some(1), None].map(|max_in_flight| pool(vec![KeyQuota::default()], max_in_flight));
    let limits = with(3, 10, pools.to_vec());
    let lane = lane(&limits, ANYONE, 3);
    let narrow = model(&limits);
    let _held = lane.enter(&ask(&narrow)).await.unwrap();
    assert!(waits(&mut lane.enter(&ask(&narrow))).await);
    let wide = limits.model(PoolId(1), "m", ModelLimits::default());
    assert!(lane.enter(&ask(&wide)).await.is_ok());
    let capped = limits.model(
        PoolId(1),
        "capped",
        ModelLimits {
            max_in_flight: Some(1),
            price: None,
        },
    );
    let held = lane.enter(&ask(&capped)).await.unwrap();
    let mut waiting = lane.enter(&ask(&capped));
    assert!(waits(&mut waiting).await);
    assert!(
        lane.enter(&ask(&wide)).await.is_ok(),
        "the other model is not held up"
    );
    drop(held);
    assert!(waiting.await.is_ok());
}

#[tokio::test]
async fn each_key_has_its_own_buckets_and_a_paused_one_is_passed_over() {
    let rate = Rate {
        per_minute: NonZeroU32::new(60).unwrap(),
        burst: NonZeroU32::new(2).unwrap(),
    };
    let quota = KeyQuota {
        requests: Some(rate),
        tokens_per_minute: None,
    };
    let limits = with(10, 100, vec![pool(vec![quota, quota], None)]);
    let (lane, model) = (lane(&limits, ANYONE, 9), model(&limits));
    let first = lane.enter(&ask(&model)).await.unwrap();
    let paused = first.key();
    first.release(CallReport {
        pause: Some(Pause::Until(Instant::now() + Duration::from_secs(60))),
        ..CallReport::new(Health::Neutral)
    });
    for _ in 0..2 {
        assert_ne!(lane.enter(&ask(&model)).await.unwrap().key(), paused);
    }
    // Two a burst, and the other key is paused.
    assert!(waits(&mut lane.enter(&ask(&model))).await);
}

#[tokio::test]
async fn a_refused_key_is_passed_over_and_without_another_the_item_is_told() {
    let limits = with(10, 100, vec![pool(vec![KeyQuota::default(); 2], None)]);
    let (lane, model) = (lane(&limits, ANYONE, 9), model(&limits));
    let mut refused = KeySet::default();
    for _ in 0..2 {
        let permit = lane
            .enter(&PermitRequest {
                refused,
                ..ask(&model)
            })
            .await
            .unwrap();
        refused.insert(permit.key());
        permit.release(CallReport {
            is_refused: true,
            ..CallReport::new(Health::Neutral)
        });
    }
    assert_eq!(
        lane.enter(&PermitRequest {
            refused,
            ..ask(&model)
        })
        .await
        .unwrap_err(),
        Denied::NoUsableKey
    );
    assert!(
        lane.enter(&ask(&model)).await.is_ok(),
        "another item finds out for itself"
    );
}

#[tokio::test]
async fn tokens_are_reserved_and_settled() {
    let quota = KeyQuota {
        requests: None,
        tokens_per_minute: n32(60_000),
    };
    let limits = with(10, 100, vec![pool(vec![quota], None)]);
    let (lane, model) = (lane(&limits, ANYONE, 9), model(&limits));
    assert!(lane.counts_tokens());
    let large = PermitRequest {
        text_tokens: 50_000,
        max_output: Some(20_000),
        ..ask(&model)
    };
    assert_eq!(
        lane.enter(&large).await.unwrap_err(),
        Denied::TooLarge {
            needed: 70_000,
            allowed: 60_000
        }
    );
    let owing = PermitRequest {
        text_tokens: 5_000,
        max_output: Some(100),
        ..ask(&model)
    };
    let mut first = lane.enter(&owing).await.unwrap();
    let mut waiting = lane.enter(&owing);
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
        lane.enter(&PermitRequest {
            text_tokens: 1,
            ..ask(&model)
        })
        .await
        .unwrap(),
    );
    assert!(tokens(&limits).in_use <= after);
}

#[tokio::test]
async fn a_model_that_is_down_is_left_alone_by_those_who_have_somewhere_else_to_go() {
    let limits = limits(10, 100);
    let (lane, model) = (lane(&limits, ANYONE, 9), model(&limits));
    for _ in 0..5 {
        lane.enter(&ask(&model))
            .await
            .unwrap()
            .release(CallReport::new(Health::Failure));
    }
    let nowhere = WaitBudget::NONE;
    assert!(matches!(
        lane.enter(&PermitRequest {
            wait_budget: nowhere,
            ..ask(&model)
        })
        .await,
        Err(Denied::CircuitOpen { .. })
    ));
    assert!(waits(&mut lane.enter(&ask(&model))).await);
    let other = limits.model(POOL, "other", ModelLimits::default());
    assert!(lane.enter(&ask(&other)).await.is_ok());
    assert_eq!(limits.breakers()[0].state, BreakerState::Open);
}

#[tokio::test]
async fn a_caller_has_its_own_slots_rate_room_and_budget() {
    let limits = limits(10, 100);
    let caller = CallerId(7);
    let quota = Quota {
        name: "one".to_owned(),
        requests_per_minute: n32(60),
        max_in_flight: n32(1),
        max_queue: n32(2),
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
    let own = lane(&limits, caller, 9);
    assert_eq!(own.window(), 3, "one goes out at once, two wait");
    assert!(matches!(
        limits.admit(caller, &load(1)),
        Err(Refused::QuotaUsedUp { .. })
    ));
    let mut held = own
        .enter(&PermitRequest {
            text_tokens: 10,
            ..ask(&model)
        })
        .await
        .unwrap();
    let mut waiting = own.enter(&PermitRequest {
        text_tokens: 10,
        ..ask(&model)
    });
    assert!(waits(&mut waiting).await, "one at a time");
    let other = lane(&limits, ANYONE, 1);
    assert!(
        other.enter(&ask(&model)).await.is_ok(),
        "others are not held up"
    );
    held.begin();
    held.release(CallReport {
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
    drop(own);
    assert!(matches!(
        limits.admit(caller, &load(1)),
        Err(Refused::BudgetExhausted { .. })
    ));
    assert!(matches!(
        limits.admit(
            caller,
            &AdmissionRequest {
                has_price: false,
                ..load(1)
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
    assert!(limits.admit(caller, &load(1)).is_ok());
    limits.set_callers(vec![]);
    assert!(limits.caller_budgets().is_empty());
}

#[tokio::test]
async fn a_paced_caller_goes_on_when_its_bucket_has_more() {
    let limits = limits(10, 100);
    let caller = CallerId(7);
    limits.set_callers(vec![(
        caller,
        Quota {
            requests_per_minute: n32(1200),
            ..Quota::default()
        },
    )]);
    let (own, model) = (lane(&limits, caller, 50), model(&limits));
    let started = Instant::now();
    let mut places: Vec<_> = (0..25).map(|_| own.enter(&ask(&model))).collect();
    for place in places.drain(..) {
        drop(place.await.unwrap());
    }
    // 20 at once, and 20 a second.
    assert!(
        started.elapsed() >= Duration::from_millis(240),
        "{:?}",
        started.elapsed()
    );
}

/// Tasks that come, wait, hold, fail and leave at random moments, under every kind of limit: no permit is lost, none is given
/// twice, no wake-up is missed, and at the end nothing is held.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_wake_up_is_lost() {
    const ROUNDS: usize = 200_000;
    const AT_A_TIME: usize = 500;
    let rate = Rate {
        per_minute: NonZeroU32::new(100_000_000).unwrap(),
        burst: NonZeroU32::new(100).unwrap(),
    };
    let key = KeyQuota {
        requests: Some(rate),
        tokens_per_minute: n32(1_000_000_000),
    };
    let limits = with(
        6,
        ROUNDS,
        vec![
            pool(vec![key; 2], Some(4)),
            pool(vec![KeyQuota::default()], None),
        ],
    );
    let quota = Quota {
        requests_per_minute: n32(10_000_000),
        max_in_flight: n32(2),
        max_queue: n32(u32::MAX),
        ..Quota::default()
    };
    limits.set_callers((1..4).map(|id| (CallerId(id), quota.clone())).collect());
    let models: Vec<_> = (0..4)
        .map(|n| {
            let terms = ModelLimits {
                max_in_flight: (n % 2 == 0).then_some(2),
                price: None,
            };
            limits.model(PoolId(n % 2), &n.to_string(), terms)
        })
        .collect();
    let flying = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    let one = |n: usize| {
        let class = if n.is_multiple_of(3) {
            Class::Job
        } else {
            Class::Direct
        };
        let model = Arc::clone(&models[n % models.len()]);
        let lane = limits
            .admit(
                CallerId(n as u64 % 5),
                &AdmissionRequest {
                    class,
                    pool: model.pool(),
                    ..load(1)
                },
            )
            .unwrap();
        let flying = Arc::clone(&flying);
        async move {
            let wait = lane.enter(&PermitRequest {
                text_tokens: 50,
                ..ask(&model)
            });
            let permit = match n % 7 {
                0 => match tokio::time::timeout(Duration::from_micros(n as u64 % 50), wait).await {
                    Ok(permit) => permit,
                    Err(_) => return,
                },
                _ => wait.await,
            };
            let mut permit = permit.unwrap();
            assert!(flying.fetch_add(1, Ordering::SeqCst) < 6);
            permit.begin();
            tokio::task::yield_now().await;
            flying.fetch_sub(1, Ordering::SeqCst);
            if !n.is_multiple_of(11) {
                let spent = UsageReport::Tokens(TokenUsage {
                    input: 40,
                    output: 20,
                });
                permit.release(CallReport {
                    spent,
                    ..CallReport::new(Health::Success)
                });
            }
        }
    };
    let all = async {
        for n in 0..ROUNDS {
            if tasks.len() >= AT_A_TIME {
                tasks.join_next().await.transpose().unwrap();
            }
            tasks.spawn(one(n));
        }
        while tasks.join_next().await.transpose().unwrap().is_some() {}
    };
    tokio::time::timeout(Duration::from_secs(120), all)
        .await
        .expect("every task ends");
    assert_eq!(in_use(&limits), (0, 0, 0));
    for row in limits
        .snapshots()
        .iter()
        .filter(|row| row.kind == LimitKind::Concurrency)
    {
        assert_eq!((row.in_use, row.waiting), (0, 0), "{row:?}");
    }
}
