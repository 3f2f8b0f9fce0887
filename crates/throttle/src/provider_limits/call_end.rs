//! The end of a call at its provider: what its report changes for the provider, its key, and the key with the model.

use std::time::Instant;

use super::ProviderLimits;
use crate::api_key_limits::ApiKeyLimits;
use crate::breaker;
use crate::grant::CallCharge;
use crate::outage::{OutageChange, OutageReason};
use crate::types::CallReport;

impl ProviderLimits {
    /// Records a call's report for the provider and the key. A rejection that may be due to the fields of the call's caller changes
    /// nothing for others, unless those of most callers are rejected, too.
    pub fn record_call(
        &mut self,
        call: &CallCharge,
        used: u64,
        report: &CallReport,
        is_overload: bool,
        others: OtherCallers,
        now: Instant,
    ) -> KeyChange {
        let CallCharge {
            key: index,
            reserved,
            began,
            ..
        } = *call;
        let in_flight = self.in_flight.count();
        let is_of_provider = call.model.is_configured || report.pauses_key;
        // Another model at the same provider may have far higher limits. Those that callers have made up say nothing of it.
        let is_rejected = is_overload && !matches!(report.health, breaker::Health::Timeout { .. });
        let is_of_caller_alone = report.is_callers_own
            && others.are_active
            && !((is_rejected || report.pause.is_some())
                && (call.model.state().pauses).record_own_rejection(call.caller, now));
        let is_of_model_alone = is_rejected
            && !is_of_caller_alone
            && call.model.is_configured
            && !report.pauses_key
            && (self.keys.get_mut(index))
                .is_some_and(|key| key.record_overload(call.model.id, now));
        if let Some(adaptive) = &mut self.adaptive {
            // A limit of a model that a caller has made up is no overload of the provider.
            let is_of_others = is_of_provider && !is_of_model_alone;
            if is_overload && is_of_others && !(is_rejected && is_of_caller_alone) {
                adaptive.decrease(began, in_flight, now);
            } else if report.health == breaker::Health::Success {
                adaptive.increase(in_flight + others.left);
            }
        }
        let Some(key) = self.keys.get_mut(index) else {
            return KeyChange::default();
        };
        if let Some(tokens) = &mut key.tokens {
            tokens.settle(reserved.total(), used, now);
        }
        if is_of_provider && !is_of_caller_alone {
            key.apply_remaining(report.remaining, now);
        }
        let key_paused_until = key.paused_until(now);
        if let Some(pause) = report.pause {
            let mut model = call.model.state();
            let caller = is_of_caller_alone.then_some(call.caller);
            let until = model.pauses.begin(index, caller, pause, began, now);
            // A model that a caller has made up says nothing of those that others use.
            let is_known = call.model.is_configured || !others.exist;
            if is_known && !is_of_caller_alone {
                key.record_refusal(call.model.id, until, began, now);
            }
            if report.pauses_key && !is_of_caller_alone {
                key.pause(pause, began, now);
            }
        }
        let has_paused_key = key.paused_until(now) > key_paused_until;
        KeyChange {
            has_paused_key,
            ..record_availability(key, call, report, now)
        }
    }
}

/// Callers of the provider besides that of the call.
#[derive(Debug, Clone, Copy, Default)]
pub struct OtherCallers {
    /// True if there are others, which may have no calls.
    pub exist: bool,
    /// True if they have calls, or had some in the last minute.
    pub are_active: bool,
    /// Number of slots that the call's caller would take if it did not leave them to the others: with them, the limit is used up.
    pub left: usize,
}

/// Effects of a call on other calls with its key.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeyChange {
    pub outage: Option<OutageChange>,
    /// True if the trial of the model is over.
    pub has_passed_trial: bool,
    /// True if the key is paused with all models, for longer than before.
    pub has_paused_key: bool,
    /// True if a pause of the model with the key has ended early.
    pub has_ended_pause: bool,
}

/// Records what a call proves of its key, and of the key with the model.
fn record_availability(
    key: &mut ApiKeyLimits,
    call: &CallCharge,
    report: &CallReport,
    now: Instant,
) -> KeyChange {
    let model = &mut *call.model.state();
    if let Some(outage) = &report.outage {
        // A caller may have made up a model that the key may not use.
        if outage.reason.is_of_key() && call.model.is_configured {
            return KeyChange {
                outage: (key.availability).record_failure(
                    outage,
                    report.is_callers_own,
                    call.caller,
                    call.began,
                    now,
                ),
                ..KeyChange::default()
            };
        }
        let with_model = model.availability.entry(call.key).or_default();
        let own =
            with_model.record_failure(outage, report.is_callers_own, call.caller, call.began, now);
        // The key itself is accepted.
        let proves_key = matches!(
            outage.reason,
            OutageReason::QuotaExhausted | OutageReason::UnknownModel
        );
        let of_key = proves_key.then(|| (key.availability).record_success(call.caller, call.began));
        return KeyChange {
            outage: own.or(of_key.flatten()),
            ..KeyChange::default()
        };
    }
    if report.health != breaker::Health::Success {
        return KeyChange::default();
    }
    key.record_success(call.model.id, call.began, now);
    if call.model.is_configured {
        key.record_configured_answer(call.model.id, now);
    }
    let has_ended_pause = (model.pauses).record_success(call.key, call.caller, call.began, now);
    let with_model = model.availability.get_mut(&call.key);
    let own = with_model.and_then(|own| own.record_success(call.caller, call.began));
    KeyChange {
        outage: (key.availability)
            .record_success(call.caller, call.began)
            .or(own),
        has_passed_trial: model.trial.pass(),
        has_paused_key: false,
        has_ended_pause,
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::Arc;
    use std::time::Duration;

    use super::super::test_provider::{Provider, model, pool};
    use super::*;
    use crate::api_key_limits::KeySet;
    use crate::breaker::Health;
    use crate::caller_id::CallerId;
    use crate::model_limits::ModelLimits;
    use crate::request_bucket::Rate;
    use crate::types::{KeyQuota, Pause, Pool, RemainingQuota};

    #[test]
    fn overload_of_one_model_does_not_lower_the_concurrency_while_another_answers() {
        let mut provider = Provider::new(Pool {
            is_adaptive: true,
            ..pool(vec![KeyQuota::default()])
        });
        let answered = CallReport::new(Health::Success);
        let [own, other] = [1, 2].map(|id| model(id, Some(ModelLimits::default())));
        for (answers, is_lowered) in [
            (None, true),
            (Some(Arc::clone(&own)), true),
            (Some(Arc::clone(&other)), false),
        ] {
            if let Some(model) = answers {
                provider.model = model;
                provider.end(0, &answered, false);
            }
            let before = provider.limits.limit();
            provider.model = Arc::clone(&own);
            provider.now += Duration::from_millis(1);
            let report = CallReport {
                is_overload: true,
                ..CallReport::new(Health::Neutral)
            };
            provider.end(0, &report, true);
            assert_eq!(provider.limits.limit() < before, is_lowered);
        }
        provider.model = model(3, None);
        provider.end(0, &CallReport::new(Health::Neutral), true);
        let before = provider.limits.limit();
        provider.model = Arc::clone(&own);
        provider.now += Duration::from_millis(1);
        provider.end(0, &CallReport::new(Health::Neutral), true);
        assert_eq!(
            provider.limits.limit(),
            before,
            "a made-up model is rejected"
        );
        provider.model = other;
        provider.now += Duration::from_millis(1);
        provider.end(0, &CallReport::new(Health::Neutral), true);
        assert!(provider.limits.limit() < before, "both are rejected");
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
    fn the_concurrency_rises_if_the_slots_are_used_up_with_those_that_are_left_to_others() {
        for (left, is_raised) in [(6, false), (7, true)] {
            let mut provider = Provider::new(Pool {
                is_adaptive: true,
                ..pool(vec![KeyQuota::default()])
            });
            for _ in 0..10 {
                provider.call().unwrap();
            }
            provider.end(0, &CallReport::new(Health::Neutral), true);
            provider.end_calls();
            provider.others.left = left;
            for _ in 0..8 {
                provider.end(0, &CallReport::new(Health::Success), false);
            }
            assert_eq!(provider.limits.limit() > Some(8), is_raised, "{left}");
        }
    }

    #[test]
    fn a_rejection_due_to_own_fields_holds_for_the_caller_until_another_one_is_rejected() {
        let (alice, bob, carol) = (CallerId(1), CallerId(2), CallerId(3));
        for (are_active, holds_for_bob) in [(true, false), (false, true)] {
            let mut provider = Provider::new(Pool {
                is_adaptive: true,
                ..pool(vec![KeyQuota::default()])
            });
            provider.model = model(1, Some(ModelLimits::default()));
            provider.others.are_active = are_active;
            let end = provider.now + Duration::from_secs(9);
            let rejected = CallReport {
                is_overload: true,
                pause: Some(Pause::Until(end)),
                pauses_key: true,
                is_callers_own: true,
                ..CallReport::new(Health::Neutral)
            };
            let paused = |provider: &Provider| {
                [alice, bob, carol].map(|caller| {
                    let (state, refused) = (provider.model.state(), KeySet::default());
                    (provider.limits)
                        .paused_until(&state, caller, refused, provider.now)
                        .is_some()
                })
            };
            let limit = provider.limits.limit();
            provider.end_of(alice, 0, &rejected, true);
            assert_eq!(paused(&provider), [true, holds_for_bob, holds_for_bob]);
            assert_eq!(provider.limits.limit() < limit, holds_for_bob);
            provider.now += Duration::from_secs(1);
            provider.end_of(bob, 0, &rejected, true);
            assert_eq!(paused(&provider), [true; 3], "two callers are rejected");
            assert!(provider.limits.limit() < limit);
        }
    }

    #[test]
    fn own_rejections_without_a_pause_or_an_overload_count_for_two_callers() {
        let report = CallReport {
            is_callers_own: true,
            ..CallReport::new(Health::Neutral)
        };
        let paused = CallReport {
            pause: Some(Pause::Unspecified),
            ..report.clone()
        };
        for (report, is_overload) in [(report, true), (paused, false)] {
            let mut provider = Provider::new(Pool {
                is_adaptive: true,
                ..pool(vec![KeyQuota::default()])
            });
            provider.others.are_active = true;
            let counts = |provider: &Provider| {
                let state = provider.model.state();
                let until = state.pauses.blocked_until(0, CallerId(3), provider.now);
                (provider.limits.limit() < Some(10), until.is_some())
            };
            provider.end_of(CallerId(1), 0, &report, is_overload);
            assert_eq!(counts(&provider), (false, false));
            provider.now += Duration::from_millis(1);
            provider.end_of(CallerId(2), 0, &report, is_overload);
            assert_eq!(counts(&provider), (is_overload, !is_overload));
        }
    }

    #[test]
    fn the_remaining_quota_that_a_rejection_due_to_own_fields_reports_is_not_the_keys() {
        for (is_callers_own, is_applied) in [(false, true), (true, false)] {
            let rate = Rate {
                per_minute: NonZeroU32::MIN.saturating_add(59),
                burst: NonZeroU32::MIN.saturating_add(9),
            };
            let mut provider = Provider::with_keys(vec![KeyQuota {
                requests: Some(rate),
                ..KeyQuota::default()
            }]);
            provider.others.are_active = true;
            let report = CallReport {
                is_callers_own,
                remaining: RemainingQuota {
                    requests: Some(0),
                    tokens: None,
                },
                ..CallReport::new(Health::Neutral)
            };
            provider.end(0, &report, false);
            assert_eq!(provider.call().is_err(), is_applied);
        }
    }

    #[test]
    fn a_model_that_a_caller_has_made_up_does_not_show_that_the_key_is_limited() {
        let configured = Some(ModelLimits::default());
        for (limits, others_exist, is_paused) in [
            (configured, true, true),
            (None, true, false),
            (None, false, true),
        ] {
            let mut provider = Provider::with_keys(vec![KeyQuota::default()]);
            provider.others.exist = others_exist;
            let end = provider.now + Duration::from_secs(9);
            for id in [1, 2] {
                provider.model = model(id, limits);
                provider.pause(end, false);
            }
            provider.model = model(3, Some(ModelLimits::default()));
            assert_eq!(provider.call().is_err(), is_paused);
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
}
