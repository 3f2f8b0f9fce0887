//! Tests of the choice of a key, of what a refusal says, and of what the end of a call changes.

use std::num::NonZeroU32;
use std::time::Duration;

use super::*;
use crate::breaker::Health;
use crate::caller_id::CallerId;
use crate::model_limits::ModelLimits;
use crate::observer::Ignore;
use crate::outage::OutageReport;
use crate::request_bucket::Rate;
use crate::types::{KeyQuota, Pause, PoolId, TokenUsage};

const ANYONE: CallerId = CallerId(0);

/// A key that one call uses up for a minute.
fn one_a_minute() -> KeyQuota {
    let requests = Some(Rate {
        per_minute: NonZeroU32::MIN,
        burst: NonZeroU32::MIN,
    });
    KeyQuota {
        requests,
        ..KeyQuota::default()
    }
}

fn pool(keys: Vec<KeyQuota>) -> Pool {
    Pool {
        name: "test".to_owned(),
        keys,
        max_in_flight: None,
        is_adaptive: false,
        has_trial: false,
    }
}

/// A provider with the models of its configuration, and calls that are made all at one time.
struct Provider {
    limits: ProviderLimits,
    model: Arc<Model>,
    slots: Arc<Semaphore>,
    held: Vec<HeldResources>,
    now: Instant,
}

fn model(id: u64, limits: Option<ModelLimits>) -> Arc<Model> {
    Arc::new(Model::new(id, PoolId(0), 0, limits, Box::new(Ignore)))
}

impl Provider {
    fn new(pool: Pool) -> Self {
        let now = Instant::now();
        Self {
            limits: ProviderLimits::new(pool, 10, now),
            model: model(1, Some(ModelLimits::default())),
            slots: Arc::new(Semaphore::new(10)),
            held: Vec::new(),
            now,
        }
    }

    fn with_keys(keys: Vec<KeyQuota>) -> Self {
        Self::new(pool(keys))
    }

    fn request(model: &Arc<Model>) -> GrantRequest<'_> {
        GrantRequest {
            model,
            caller: ANYONE,
            priority: Priority::First,
            is_first_call: true,
            estimate: TokenUsage::default(),
            refused: KeySet::default(),
        }
    }

    /// Lets a call go out with other keys than those that are refused. Returns its key.
    fn call_without(&mut self, refused: KeySet) -> Result<usize, Refusal> {
        let request = GrantRequest {
            refused,
            ..Self::request(&self.model)
        };
        let granted = self.limits.grant(&request, None, &self.slots, self.now);
        granted.map(|(held, key)| {
            self.held.push(held);
            key
        })
    }

    fn call(&mut self) -> Result<usize, Refusal> {
        self.call_without(KeySet::default())
    }

    /// Ends a call that has just begun.
    fn end(&mut self, key: usize, report: &CallReport, is_overload: bool) -> KeyChange {
        let charge = CallCharge::new(key, &Self::request(&self.model), 0, self.now);
        let now = self.now;
        self.limits
            .record_call(&charge, 0, report, is_overload, now)
    }

    fn fail(&mut self, key: usize, reason: OutageReason) {
        let report = OutageReport {
            reason,
            detail: "no".into(),
            input: 1,
        };
        let report = CallReport {
            outage: Some(report),
            ..CallReport::new(Health::Neutral)
        };
        self.end(key, &report, false);
    }

    fn pause(&mut self, until: Instant, pauses_key: bool) -> KeyChange {
        let report = CallReport {
            pause: Some(Pause::Until(until)),
            pauses_key,
            ..CallReport::new(Health::Neutral)
        };
        self.end(0, &report, false)
    }

    /// Returns what holds the model's next call, which cannot go out.
    fn hold(&mut self) -> HoldReason {
        self.call().unwrap_err();
        self.model.state().holds.latest().unwrap().0
    }
}

#[test]
fn keys_are_used_in_turn_but_one_under_suspicion_only_when_its_probe_is_due() {
    let mut provider = Provider::with_keys(vec![KeyQuota::default(); 3]);
    let mut keys = |count: usize| -> Vec<_> {
        let keys = (0..count).map(|_| provider.call().unwrap());
        keys.collect()
    };
    assert_eq!(keys(6), [1, 2, 0, 1, 2, 0]);
    let mut provider = Provider::with_keys(vec![KeyQuota::default(); 3]);
    provider.fail(1, OutageReason::AccessDenied);
    assert_eq!([(); 4].map(|()| provider.call().unwrap()), [2, 0, 2, 0]);
    provider.now += Duration::from_secs(1);
    assert_eq!([(); 3].map(|()| provider.call().unwrap()), [1, 2, 0]);
}

#[test]
fn a_call_is_held_by_its_own_keys_if_others_may_use_more_of_them() {
    let is_own = |provider: &mut Provider, refused| {
        let refusal = provider.call_without(refused).unwrap_err();
        assert!(refusal.until().is_some());
        matches!(refusal, Refusal::Queue(_))
    };
    let none = KeySet::default();
    let mut first = none;
    first.insert(0);
    let mut provider = Provider::with_keys(vec![one_a_minute()]);
    provider.call().unwrap();
    assert!(!is_own(&mut provider, none), "used up for all");

    let mut provider = Provider::with_keys(vec![KeyQuota::default()]);
    provider.pause(provider.now + Duration::from_secs(9), false);
    assert!(is_own(&mut provider, none), "the model is paused");

    let mut provider = Provider::with_keys(vec![KeyQuota::default()]);
    provider.pause(provider.now + Duration::from_secs(9), true);
    provider.model = model(2, Some(ModelLimits::default()));
    assert!(!is_own(&mut provider, none), "all models are");

    let two_keys = || Provider::with_keys(vec![KeyQuota::default(), one_a_minute()]);
    let mut provider = two_keys();
    assert_eq!(provider.call_without(first).unwrap(), 1);
    assert!(is_own(&mut provider, first), "one key is refused for it");

    for reason in [OutageReason::KeyRefused, OutageReason::UnknownModel] {
        let mut provider = two_keys();
        provider.fail(0, reason);
        assert_eq!(provider.call().unwrap(), 1);
        assert_eq!(is_own(&mut provider, none), !reason.is_of_key());
    }
}

#[test]
fn a_refusal_names_the_limit_that_holds_the_call() {
    let unlimited = || pool(vec![KeyQuota::default()]);
    let mut provider = Provider::new(unlimited());
    provider.slots = Arc::new(Semaphore::new(0));
    assert_eq!(provider.hold(), HoldReason::Concurrency);

    let mut provider = Provider::new(Pool {
        max_in_flight: Some(1),
        ..unlimited()
    });
    provider.call().unwrap();
    assert_eq!(provider.hold(), HoldReason::ProviderConcurrency);

    let mut provider = Provider::with_keys(vec![one_a_minute()]);
    provider.call().unwrap();
    assert_eq!(provider.hold(), HoldReason::Requests);

    let mut provider = Provider::new(unlimited());
    for _ in 0..5 {
        let (mut state, now) = (provider.model.state(), provider.now);
        state.breaker.record(ANYONE, Health::Failure, now, now);
    }
    assert_eq!(provider.hold(), HoldReason::Breaker);

    for (has_trial, reason) in [(true, HoldReason::Trial), (false, HoldReason::ModelPause)] {
        let mut provider = Provider::new(Pool {
            has_trial,
            ..unlimited()
        });
        for _ in 0..4 {
            provider.call().unwrap();
        }
        provider.pause(provider.now + Duration::from_secs(9), false);
        assert_eq!(provider.hold(), reason);
    }
}

#[test]
fn what_could_go_out_is_what_keys_and_concurrency_leave() {
    let two_at_once = KeyQuota {
        requests: Some(Rate {
            per_minute: NonZeroU32::MIN,
            burst: NonZeroU32::MIN.saturating_add(1),
        }),
        ..KeyQuota::default()
    };
    let keys = vec![two_at_once; 2];
    let provider = Provider::with_keys(keys.clone());
    assert_eq!(provider.limits.available_calls(provider.now), 4);
    let mut provider = Provider::new(Pool {
        max_in_flight: Some(3),
        ..pool(keys)
    });
    assert_eq!(provider.limits.available_calls(provider.now), 3);
    provider.call().unwrap();
    assert_eq!(provider.limits.available_calls(provider.now), 2);
    assert!(!provider.limits.counts_tokens());
}

#[test]
fn of_several_outages_the_one_that_is_probed_first_is_named() {
    for order in [[0, 1], [1, 0]] {
        let mut provider = Provider::with_keys(vec![KeyQuota::default(); 2]);
        let first_probe = provider.now + Duration::from_secs(1);
        for key in order {
            provider.fail(key, OutageReason::KeyRefused);
            provider.now += Duration::from_millis(1);
        }
        let (state, now) = (provider.model.state(), provider.now);
        let outage = provider.limits.outage(&state, KeySet::default(), now);
        assert_eq!(outage.unwrap().next_probe, first_probe);
    }
}

#[test]
fn overload_lowers_the_concurrency_but_not_that_of_a_model_that_a_caller_has_made_up() {
    let configured = Some(ModelLimits::default());
    for (limits, pauses_key, expected) in
        [(configured, false, 8), (None, false, 10), (None, true, 8)]
    {
        let mut provider = Provider::new(Pool {
            is_adaptive: true,
            ..pool(vec![KeyQuota::default()])
        });
        provider.model = model(1, limits);
        for _ in 0..10 {
            provider.call().unwrap();
        }
        let report = |health| CallReport {
            pauses_key,
            ..CallReport::new(health)
        };
        provider.end(0, &report(Health::Neutral), true);
        assert_eq!(provider.limits.limit(), Some(expected));
        provider.end(0, &report(Health::Neutral), false);
        assert_eq!(provider.limits.limit(), Some(expected), "says nothing");
        provider.end(0, &report(Health::Success), false);
        assert_eq!(provider.limits.limit(), Some(10.min(expected + 1)));
    }
}

#[test]
fn a_key_is_paused_with_all_models_if_the_provider_says_so_for_longer_than_before() {
    let mut provider = Provider::with_keys(vec![KeyQuota::default()]);
    let end = provider.now + Duration::from_secs(9);
    let later = end + Duration::from_secs(9);
    let changes = [(end, false), (end, true), (end, true), (later, true)]
        .map(|(until, pauses_key)| provider.pause(until, pauses_key).has_paused_key);
    assert_eq!(changes, [false, true, false, true]);
}
