//! Settlement of what calls have reserved: tokens and dollars.

use super::*;

const CALLER: CallerId = CallerId(1);

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
async fn a_call_that_is_cancelled_is_charged_what_it_has_reserved_if_it_was_sent() {
    let limits = limits(10, 100);
    let quota = Quota {
        budget_per_day: Some(Usd(5_000)),
        ..Quota::default()
    };
    limits.set_callers(vec![(CALLER, quota)]);
    let spent = || limits.caller_budgets(None)[0].spent;
    let (admission, model) = (admit(&limits, CALLER, 3), priced(&limits));
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
        limits.set_callers(vec![(CALLER, quota)]);
        let (admission, model) = (admit(&limits, CALLER, 3), priced(&limits));
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
