//! Limits of providers, keys and models: pauses, refused keys, outages and probes.

use super::*;

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
    let wide = limits.configured_model(PoolId(1), "m", ModelLimits::default());
    assert!(admission.enter(&permit_request(&wide)).await.is_ok());
    let capped = limits.configured_model(
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

#[tokio::test]
async fn a_refused_key_is_skipped_and_without_another_the_permit_is_denied_at_once() {
    let limits = limits_with(10, 100, vec![pool(vec![KeyQuota::default(); 2], None)]);
    let (admission, model) = (admit(&limits, ANYONE, 9), model(&limits));
    let other = limits.configured_model(PoolId(0), "other", ModelLimits::default());
    let first = admission.enter(&permit_request(&model)).await.unwrap();
    let key = first.key();
    let change = first.release(outage(OutageReason::KeyRefused));
    assert_eq!(change, Some(OutageChange::Began));
    for _ in 0..4 {
        let next = admission.enter(&permit_request(&model)).await.unwrap();
        assert_ne!(next.key(), key);
    }
    assert!(limits.outage(&model, ANYONE).is_none(), "one key is left");
    let second = admission.enter(&permit_request(&model)).await.unwrap();
    second.release(outage(OutageReason::KeyRefused));
    for model in [&model, &other] {
        assert!(matches!(
            admission.enter(&permit_request(model)).await.unwrap_err(),
            Denied::Outage { .. }
        ));
        let reason = limits.outage(model, ANYONE).unwrap().report.reason;
        assert_eq!(reason, OutageReason::KeyRefused);
    }
    assert_eq!(limits.outages(None).len(), 2);
}

#[tokio::test]
async fn an_unknown_model_is_an_outage_of_that_model_alone() {
    let limits = limits_with(10, 100, vec![pool(vec![KeyQuota::default()], None)]);
    let (admission, model) = (admit(&limits, ANYONE, 9), model(&limits));
    let other = limits.configured_model(PoolId(0), "other", ModelLimits::default());
    let permit = admission.enter(&permit_request(&model)).await.unwrap();
    let change = permit.release(outage(OutageReason::UnknownModel));
    assert_eq!(change, Some(OutageChange::Began));
    assert!(admission.enter(&permit_request(&model)).await.is_err());
    assert!(admission.enter(&permit_request(&other)).await.is_ok());
    assert!(limits.outage(&other, ANYONE).is_none());
    let made_up = limits.model(POOL, "made up");
    let permit = admission.enter(&permit_request(&made_up)).await.unwrap();
    permit.release(outage(OutageReason::UnknownModel));
    let outages = limits.outages(None);
    let shown = outages
        .iter()
        .map(|outage| (outage.model.as_deref(), outage.is_configured));
    let expected = [(Some("m"), true), (Some("made up"), false)];
    assert_eq!(shown.collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn outages_are_probed_at_once_if_the_keys_of_the_provider_have_changed() {
    for reason in [OutageReason::KeyRefused, OutageReason::UnknownModel] {
        let pools = vec![pool(vec![KeyQuota::default()], None); 2];
        let limits = limits_with(10, 100, pools);
        let admission = admit(&limits, ANYONE, 9);
        let [model, other] =
            [0, 1].map(|id| limits.configured_model(PoolId(id), "m", ModelLimits::default()));
        for model in [&model, &other] {
            let permit = admission.enter(&permit_request(model)).await.unwrap();
            permit.release(outage(reason));
            assert!(admission.enter(&permit_request(model)).await.is_err());
        }
        let patient = PermitRequest {
            wait_budget: PATIENT.through_outages(),
            ..permit_request(&model)
        };
        let mut waiting = admission.enter(&patient);
        assert!(waits(&mut waiting).await, "for a second");
        limits.probe_outages(POOL);
        let probe = tokio::time::timeout(Duration::from_millis(500), waiting).await;
        let probe = probe.unwrap().unwrap();
        assert!(admission.enter(&permit_request(&other)).await.is_err());
        probe.release(CallReport::new(Health::Success));
        assert!(limits.outage(&model, ANYONE).is_none() && limits.outage(&other, ANYONE).is_some());
    }
}

#[tokio::test]
async fn models_that_callers_have_made_up_are_forgotten_if_they_are_many_and_not_used() {
    let pools = vec![pool(vec![KeyQuota::default()], None)];
    let limits = limits_with(10, 10, pools);
    let id = |name: &str| limits.model(POOL, name).id;
    let used = limits.model(POOL, "used");
    let first = id("first");
    assert_ne!((id("second"), used.id), (first, first));
    assert_eq!(id("first"), first, "they are few");
    let configured = || limits.configured_model(POOL, "configured", ModelLimits::default());
    let configured_id = configured().id;
    assert!(configured().is_configured() && !used.is_configured());
    let failing = limits.model(POOL, "failing");
    let failing_id = failing.id;
    let permit = admit(&limits, ANYONE, 9).enter(&permit_request(&failing));
    permit
        .await
        .unwrap()
        .release(outage(OutageReason::UnknownModel));
    drop(failing);
    let often_used = id("often used");
    let second = id("second");
    for n in 0..990 {
        id(&n.to_string());
    }
    assert_eq!(id("second"), second, "they are not yet many");
    for n in 0..1_500 {
        let name = n.to_string();
        assert_eq!(id(&name), id(&name), "the latest one");
        assert_eq!(id("often used"), often_used);
    }
    assert!(limits.breakers().len() > 870, "most are kept");
    assert_ne!(id("first"), first);
    assert_eq!(
        (configured().id, id("failing")),
        (configured_id, failing_id)
    );
    assert!(Arc::ptr_eq(&limits.model(POOL, "used"), &used));
    let names = (0..1_000).map(|n| format!("model {n}"));
    let in_use: Vec<_> = names.map(|name| limits.model(POOL, &name)).collect();
    assert!(limits.breakers().len() > in_use.len());
    assert_eq!(id("one more"), id("one more"));
    assert!(Arc::ptr_eq(&limits.model(POOL, "used"), &used));
    drop(in_use);
    for n in 0..200 {
        id(&n.to_string());
    }
    assert!(
        limits.breakers().len() <= 1_001,
        "{}",
        limits.breakers().len()
    );
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
    let other = limits.configured_model(POOL, "other", ModelLimits::default());
    assert!(admission.enter(&permit_request(&other)).await.is_ok());
    assert_eq!(limits.breakers()[0].state, BreakerState::Open);
}
