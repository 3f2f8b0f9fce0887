//! Limits of callers, and the settlement of tokens.

use super::*;

#[tokio::test]
async fn tokens_are_reserved_before_a_call_and_settled_after_it() {
    let quota = KeyQuota {
        requests: None,
        tokens_per_minute: non_zero(60_000),
    };
    let limits = limits_with(10, 100, vec![pool(vec![quota], None)]);
    let (admission, model) = (admit(&limits, ANYONE, 9), model(&limits));
    assert!(admission.counts_tokens());
    let unlimited = super::limits(10, 100);
    assert!(!admit(&unlimited, ANYONE, 1).counts_tokens());
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
            .snapshots(None)
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
            is_callers_own: false,
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

/// Returns a model whose tokens cost a picodollar each.
fn priced(limits: &Limits) -> Arc<Model> {
    let price = Price {
        input: Usd(1),
        output: Usd(1),
    };
    let priced = ModelLimits {
        price: Some(price),
        ..ModelLimits::default()
    };
    limits.configured_model(POOL, "m", priced)
}

#[tokio::test]
async fn a_call_that_is_cancelled_is_charged_what_it_has_reserved_if_it_was_sent() {
    let limits = limits(10, 100);
    let quota = Quota {
        budget_per_day: Some(Usd(5_000)),
        ..Quota::default()
    };
    limits.set_callers(vec![(VICTIM, quota)]);
    let spent = || limits.caller_budgets(None)[0].spent;
    let (admission, model) = (admit(&limits, VICTIM, 3), priced(&limits));
    let request = PermitRequest {
        text_tokens: 300,
        max_output: Some(300),
        ..permit_request(&model)
    };
    drop(admission.enter(&request).await.unwrap());
    assert_eq!(spent(), Usd(0));
    let mut permit = admission.enter(&request).await.unwrap();
    permit.begin();
    permit.received_text().add(1_000);
    drop(permit);
    assert_eq!(spent(), Usd(600), "what has arrived is less");
    let mut permit = admission.enter(&request).await.unwrap();
    permit.begin();
    let received = permit.received_text();
    for _ in 0..500 {
        received.add(4);
    }
    drop(permit);
    assert_eq!(
        spent(),
        Usd(600 + 300 + 500),
        "the prompt and what has arrived"
    );
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

#[tokio::test]
async fn items_that_wait_for_tokens_fill_the_waiting_room() {
    let quota = KeyQuota {
        requests: None,
        tokens_per_minute: non_zero(600),
    };
    let limits = limits_with(10, 1, vec![pool(vec![quota], None)]);
    let (admission, model) = (admit(&limits, ANYONE, 2), model(&limits));
    let request = PermitRequest {
        text_tokens: 300,
        max_output: Some(300),
        ..permit_request(&model)
    };
    let _in_flight = admission.enter(&request).await.unwrap();
    let mut waiting = admission.enter(&request);
    assert!(waits(&mut waiting).await, "for a minute");
    let refused = limits.admit(ANYONE, &admission_request(1));
    assert!(matches!(refused, Err(Refused::Overloaded { .. })));
}

#[tokio::test]
async fn what_a_call_has_reserved_and_not_used_lets_the_next_one_of_its_caller_go_out() {
    let of_tokens = Quota {
        tokens_per_minute: non_zero(600),
        ..Quota::default()
    };
    let of_dollars = Quota {
        budget_per_day: Some(Usd(500)),
        ..Quota::default()
    };
    for quota in [of_tokens, of_dollars] {
        let limits = limits(10, 100);
        limits.set_callers(vec![(VICTIM, quota)]);
        let (admission, model) = (admit(&limits, VICTIM, 3), priced(&limits));
        let request = PermitRequest {
            text_tokens: 300,
            max_output: Some(300),
            ..permit_request(&model)
        };
        let first = admission.enter(&request).await.unwrap();
        let mut waiting = admission.enter(&request);
        assert!(waits(&mut waiting).await, "for a minute or a day");
        first.release(CallReport::new(Health::Neutral));
        let next = tokio::time::timeout(Duration::from_secs(5), waiting).await;
        assert!(next.unwrap().is_ok());
    }
}
