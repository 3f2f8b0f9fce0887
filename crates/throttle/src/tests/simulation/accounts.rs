//! Accounts of the simulated calls, kept once more beside those of the state: tokens of keys and callers, budgets, and probes.

use super::*;

/// Longest difference that rounding explains, in tokens.
const ROUNDING: f64 = 1e-3;
/// Shortest time between two probes of an outage.
const FIRST_PROBE: Duration = Duration::from_secs(1);
/// Maximum number of probes of a circuit breaker of which none has ended.
const MAX_PROBES: usize = 3;

/// Tokens that may go out, counted independently of [`crate::token_bucket`]: a second's worth at once, at the rate afterwards.
struct Balance {
    /// Largest usage of one call that counts.
    per_minute: u64,
    per_second: f64,
    tokens: f64,
    at: Instant,
}

impl Balance {
    /// Creates a balance of which a share may be used.
    fn new(per_minute: u32, share: f64, now: Instant) -> Self {
        let per_second = f64::from(per_minute) * share / 60.0;
        Self {
            per_minute: per_minute.into(),
            per_second,
            tokens: per_second,
            at: now,
        }
    }

    fn change(&mut self, tokens: f64, now: Instant) {
        let passed = (now - self.at).as_secs_f64();
        let balance = (self.tokens + passed * self.per_second).min(self.per_second);
        (self.tokens, self.at) = ((balance + tokens).min(self.per_second), now);
    }

    fn take(&mut self, tokens: u64, now: Instant) {
        self.change(0.0, now);
        let needed = as_float(tokens).min(self.per_second);
        assert!(
            self.tokens >= needed - ROUNDING,
            "a call of {tokens} tokens goes out at a balance of {}",
            self.tokens
        );
        self.change(-as_float(tokens), now);
    }

    /// Checks the tokens that are missing from a full bucket, as the state counts them.
    fn check(&mut self, missing: u64, now: Instant) {
        self.change(0.0, now);
        let own = (self.per_second - self.tokens).max(0.0);
        assert!(
            (own - as_float(missing)).abs() <= 1.5,
            "{missing} tokens are used, but {own} were"
        );
    }

    fn settle(&mut self, reserved: u64, used: u64, now: Instant) {
        self.change(
            as_float(reserved) - as_float(used.min(self.per_minute)),
            now,
        );
    }
}

fn as_float(tokens: u64) -> f64 {
    f64::from(u32::try_from(tokens).unwrap())
}

/// Pool and key of an outage, its model, and the caller that it holds for, unless it holds for all.
type OutageId = (usize, usize, Option<u64>, Option<CallerId>);

/// Use of everything that calls are charged for.
#[derive(Default)]
pub(super) struct Accounts {
    /// Tokens of each key of the pool that limits them.
    keys: BTreeMap<usize, Balance>,
    /// Tokens of each caller that has a limit of them.
    callers: BTreeMap<CallerId, Balance>,
    /// Cost of the calls of each caller: of those that have ended, and reserved by those in flight.
    costs: BTreeMap<CallerId, (u64, u64)>,
    /// Number of calls of each model since its breaker has opened, or since one of its calls has ended.
    probes: BTreeMap<u64, usize>,
    /// Beginning and last probe of each outage, by key, model and caller.
    outage_probes: BTreeMap<OutageId, (Instant, Instant)>,
}

impl Accounts {
    /// Returns what a caller has spent, calls in flight included.
    pub(super) fn cost(&self, caller: CallerId) -> u64 {
        let (spent, reserved) = self.costs.get(&caller).copied().unwrap_or_default();
        spent + reserved
    }

    /// Notes that the token limit of a caller begins anew, or ends.
    pub(super) fn set_limit(&mut self, caller: CallerId, per_minute: Option<u32>, now: Instant) {
        match per_minute {
            Some(rate) => {
                let balance = Balance::new(rate, 1.0, now);
                self.callers.insert(caller, balance);
            }
            None => {
                self.callers.remove(&caller);
            }
        }
    }

    /// Checks and records a call that goes out.
    pub(super) fn record_start(&mut self, state: &State, call: &CallCharge, now: Instant) {
        let reserved = call.reserved.total();
        let pool = call.model.pool().0;
        let provider = &state.pools[pool].provider;
        if provider.counts_tokens() {
            let balance = (self.keys.entry(call.key)).or_insert_with(|| {
                // A margin of a hundredth is left of a provider's rates.
                Balance::new(TOKENS_PER_MINUTE, 0.99, now)
            });
            balance.take(reserved, now);
        }
        if let Some(balance) = self.callers.get_mut(&call.caller) {
            balance.take(reserved, now);
        }
        self.costs.entry(call.caller).or_default().1 += cost(call, call.reserved);
        self.check_probe(provider, call, now);
    }

    /// Records the end of a call that has used this much.
    pub(super) fn record_end(&mut self, call: &CallCharge, used: TokenUsage, now: Instant) {
        let (reserved, used_tokens) = (call.reserved.total(), used.total());
        if call.model.pool().0 == 0
            && let Some(balance) = self.keys.get_mut(&call.key)
        {
            balance.settle(reserved, used_tokens, now);
        }
        if let Some(balance) = self.callers.get_mut(&call.caller) {
            balance.settle(reserved, used_tokens, now);
        }
        let (spent, open) = self.costs.entry(call.caller).or_default();
        *spent += cost(call, used);
        *open -= cost(call, call.reserved);
        self.probes.remove(&call.model.id);
    }

    /// Checks that few calls go out while the breaker of their model is not closed, and one at a time during an outage.
    fn check_probe(&mut self, provider: &ProviderLimits, call: &CallCharge, now: Instant) {
        let (pool, id) = (call.model.pool().0, call.model.id);
        let model = call.model.state();
        if model.breaker.state(now) == crate::breaker::State::Closed {
            self.probes.remove(&id);
        } else {
            let probes = self.probes.entry(id).or_default();
            *probes += 1;
            assert!(*probes <= MAX_PROBES, "{probes} probes at a time");
        }
        let of_key = &provider.keys[call.key].availability;
        let with_model = model.availability.get(&call.key);
        for (model, availability) in [(None, Some(of_key)), (Some(id), with_model)] {
            let Some(availability) = availability else {
                continue;
            };
            let outage = availability.outage(call.caller);
            let Some(outage) = outage.filter(|outage| outage.is_proven()) else {
                continue;
            };
            let caller = (!availability.holds_for_all()).then_some(call.caller);
            let probe = (outage.since, now);
            let last = (self.outage_probes).insert((pool, call.key, model, caller), probe);
            let last = last.filter(|(since, _)| *since == outage.since);
            let last = last.map_or(outage.since, |(_, probe)| probe);
            assert!(
                now - last >= FIRST_PROBE,
                "a probe {:?} after the last",
                now - last
            );
        }
    }

    /// Checks the budget of a caller of which a call has gone out: without the call that went out last, it was not used up. Several go out
    /// together, so that may be any of those in flight, the most expensive one at most.
    pub(super) fn check_budget<'a>(
        &self,
        state: &State,
        caller: CallerId,
        flying: impl Iterator<Item = &'a CallCharge>,
    ) {
        let Some(budget) = state.callers[&caller].quota.budget_per_day else {
            return;
        };
        let own = flying.filter(|call| call.caller == caller);
        let most_expensive = own.map(|call| cost(call, call.reserved)).max().unwrap();
        assert!(
            self.cost(caller) - most_expensive < budget.0,
            "a call goes out beyond the budget"
        );
    }

    /// Checks what the state says of budgets and tokens.
    pub(super) fn check(&mut self, state: &State, now: Instant) {
        for (id, caller) in &state.callers {
            let status = caller.quota_status(now);
            if let Some((_, used)) = status.budget {
                assert_eq!(used.0, self.cost(*id), "the budget of {id:?}");
            }
            if let (Some(tokens), Some(own)) = (status.tokens, self.callers.get_mut(id)) {
                own.check(tokens.debt, now);
            }
        }
        for (index, own) in &mut self.keys {
            let tokens = state.pools[0].provider.keys[*index].tokens.as_ref();
            own.check(tokens.unwrap().in_use(now), now);
        }
    }
}

fn cost(call: &CallCharge, usage: TokenUsage) -> u64 {
    call.model.charge(usage).cost.0
}
