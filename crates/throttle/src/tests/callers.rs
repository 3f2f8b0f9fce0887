//! Limits of callers, and what one of them leaves to the others.

use super::*;

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
    let model = limits.configured_model(
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
    assert!(limits.caller_budgets(None).is_empty());
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

const ATTACKER: CallerId = CallerId(1);
const VICTIM: CallerId = CallerId(2);

/// Returns limits with two callers without quotas, and their requests.
fn shared() -> (Limits, Admission, Admission) {
    let limits = limits(16, 100);
    let callers = [ATTACKER, VICTIM].map(|caller| (caller, Quota::default()));
    limits.set_callers(callers.to_vec());
    let requests = [ATTACKER, VICTIM].map(|caller| admit(&limits, caller, 9));
    let [attacker, victim] = requests;
    (limits, attacker, victim)
}

/// Lets a request make one call, which ends with this report.
async fn call(request: &Admission, model: &Arc<Model>, report: CallReport) {
    let permit = request.enter(&permit_request(model)).await.unwrap();
    permit.release(report);
}

fn denied_access(input: u64) -> CallReport {
    CallReport {
        outage: Some(OutageReport {
            reason: OutageReason::AccessDenied,
            detail: "no".into(),
            input,
            is_doubtful: true,
        }),
        ..CallReport::new(Health::Neutral)
    }
}

#[tokio::test]
async fn the_failures_of_one_caller_say_nothing_of_the_provider_while_another_is_answered() {
    let (limits, attacker, victim) = shared();
    let model = model(&limits);
    call(&victim, &model, CallReport::new(Health::Success)).await;
    for _ in 0..100 {
        call(&attacker, &model, CallReport::new(Health::Failure)).await;
    }
    assert_eq!(limits.breakers()[0].state, BreakerState::Closed);
    for input in 0..3 {
        call(&attacker, &model, denied_access(input)).await;
    }
    let is_out = |request: &Admission| limits.outage(&model, request.caller()).is_some();
    assert!(is_out(&attacker) && !is_out(&victim));
    assert_eq!(limits.outages(None).len(), 1);
    assert!(limits.outages(Some(victim.caller())).is_empty());
    call(&victim, &model, CallReport::new(Health::Success)).await;
    assert!(is_out(&attacker), "its own calls fail all the same");
    limits.probe_outages(PoolId(0));
    call(&attacker, &model, CallReport::new(Health::Success)).await;
    assert!(!is_out(&attacker));
    // An open breaker would let the next call wait for seconds.
    for request in [&attacker, &victim, &victim] {
        call(request, &model, CallReport::new(Health::Failure)).await;
    }
    assert_ne!(limits.breakers()[0].state, BreakerState::Closed);
}

#[tokio::test]
async fn a_breaker_that_one_caller_has_opened_is_closed_by_the_next_calls_of_others() {
    let (limits, attacker, victim) = shared();
    let model = model(&limits);
    for _ in 0..5 {
        call(&attacker, &model, CallReport::new(Health::Failure)).await;
    }
    assert_eq!(limits.breakers()[0].state, BreakerState::Open);
    for _ in 0..2 {
        let probe = victim.enter(&permit_request(&model)).await.unwrap();
        assert!(probe.is_probe());
        probe.release(CallReport::new(Health::Success));
    }
    assert_eq!(limits.breakers()[0].state, BreakerState::Closed);
}

#[tokio::test]
async fn three_probes_that_hang_hold_back_their_caller() {
    let (limits, attacker, victim) = shared();
    let model = model(&limits);
    for _ in 0..5 {
        call(&attacker, &model, CallReport::new(Health::Failure)).await;
    }
    let mut hanging = Vec::new();
    for _ in 0..3 {
        let mut probe = victim.enter(&permit_request(&model)).await.unwrap();
        probe.yield_probe();
        hanging.push(probe);
    }
    let request = permit_request(&model);
    let mut waiting = Box::pin(victim.enter(&request));
    assert!(waits(&mut waiting).await);
    drop(hanging);
    assert!(waiting.await.unwrap().is_probe());
}

#[tokio::test]
async fn probes_whose_answers_have_begun_hold_back_nobody_and_count_once() {
    let (limits, attacker, victim) = shared();
    let model = model(&limits);
    for _ in 0..5 {
        call(&attacker, &model, CallReport::new(Health::Failure)).await;
    }
    let probe = async || victim.enter(&permit_request(&model)).await.unwrap();
    let mut slow = vec![probe().await, probe().await, probe().await];
    let request = permit_request(&model);
    let mut waiting = Box::pin(victim.enter(&request));
    assert!(waits(&mut waiting).await, "three and no more");
    // Without a result, one makes room for another.
    slow[0].yield_probe();
    let mut fourth = waiting.await.unwrap();
    assert!(fourth.is_probe() && !slow[0].is_probe());
    fourth.pass_probe();
    assert!(!fourth.is_probe());
    fourth.pass_probe();
    fourth.release(CallReport::new(Health::Success));
    assert_ne!(limits.breakers()[0].state, BreakerState::Closed, "only one");
    // Its result counts in the end.
    slow.swap_remove(0)
        .release(CallReport::new(Health::Success));
    assert_eq!(limits.breakers()[0].state, BreakerState::Closed);
    assert!(!probe().await.is_probe());
}

#[tokio::test]
async fn the_retries_of_one_caller_leave_some_to_the_others() {
    let (limits, attacker, victim) = shared();
    while attacker.withdraw_retry(POOL).is_ok() {}
    assert!(victim.withdraw_retry(POOL).is_ok());
    let [budget] = limits.retry_budgets().try_into().unwrap();
    let (provider, used) = (budget.provider.as_str(), budget.used);
    assert_eq!((provider, used, budget.limit), ("test", 16, 30));
}

#[tokio::test]
async fn a_caller_whose_waiting_room_is_full_is_told_when_its_quota_has_something_again() {
    let limits = limits(10, 100);
    let quota = Quota {
        requests_per_minute: non_zero(1),
        ..Quota::default()
    };
    limits.set_callers(vec![(VICTIM, quota)]);
    let (admission, model) = (admit(&limits, VICTIM, 2), model(&limits));
    let _in_flight = admission.enter(&permit_request(&model)).await.unwrap();
    let refused = limits.admit(VICTIM, &admission_request(1)).unwrap_err();
    let Refused::QuotaUsedUp { retry_after } = refused else {
        panic!("{refused}");
    };
    assert!((50..=60).contains(&retry_after.as_secs()), "one a minute");
}
