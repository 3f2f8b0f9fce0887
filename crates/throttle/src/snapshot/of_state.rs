//! Snapshots of the scheduler's state.

use super::{
    BreakerSnapshot, BreakerState, BudgetSnapshot, LimitKind, LimitSnapshot, OutageSnapshot,
    RetryBudgetSnapshot,
};
use crate::adaptive::Adaptive;
use crate::api_key_limits::ApiKeyLimits;
use crate::breaker;
use crate::caller_id::CallerId;
use crate::caller_quota::{Caller, Window};
use crate::hold::HoldSnapshot;
use crate::memory::MemorySnapshot;
use crate::model_limits::Model;
use crate::outage::{Availability, Outage};
use crate::scheduler::{PoolState, State};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

impl State {
    /// Returns the retry budget of each provider.
    pub fn retry_budgets(&mut self, now: Instant) -> Vec<RetryBudgetSnapshot> {
        let budgets = self.pools.iter_mut().map(|PoolState { provider, .. }| {
            let (used, limit) = provider.retry_budget.usage(now);
            RetryBudgetSnapshot {
                provider: provider.name.clone(),
                used,
                limit,
            }
        });
        budgets.collect()
    }

    /// Returns what holds the waiting calls of each model.
    pub fn holds(&self, now: Instant) -> Vec<HoldSnapshot> {
        let mut waiting: BTreeMap<u64, (&Arc<Model>, usize)> = BTreeMap::new();
        for pool in &self.pools {
            for (model, count) in pool.waiting_by_model() {
                waiting.entry(model.id).or_insert((model, 0)).1 += count;
            }
        }
        let holds = waiting.into_values().filter_map(|(model, waiting)| {
            let (reason, until) = model.state().holds.latest()?;
            Some(HoldSnapshot {
                model: self.label_of(model),
                is_configured: model.is_configured,
                waiting,
                reason,
                retry_in: until.map(|until| until.saturating_duration_since(now)),
            })
        });
        holds.collect()
    }

    /// Returns the budget of each caller that `viewer` sees and that has one.
    pub fn caller_budgets(&self, viewer: Option<CallerId>, now: Instant) -> Vec<BudgetSnapshot> {
        let budgets = self
            .seen_callers(viewer)
            .filter(|(_, caller)| !caller.is_gone())
            .filter_map(|(_, caller)| {
                let (limit, spent) = caller.quota_status(now).budget?;
                Some(BudgetSnapshot {
                    name: caller.quota.name.clone(),
                    limit,
                    spent,
                })
            });
        budgets.collect()
    }

    /// Returns the label of a model, `provider/model`.
    pub fn label_of(&self, model: &Model) -> String {
        let pool = self.pools.get(model.pool.0);
        let provider = pool.map_or("", |pool| pool.provider.name.as_str());
        format!("{provider}/{}", model.name)
    }

    /// Returns the circuit breakers of all models that were called.
    pub fn breakers(&self, now: Instant) -> Vec<BreakerSnapshot> {
        let named = self.models.iter().map(|model| {
            let (state, retry_in) = match model.state().breaker.state(now) {
                breaker::State::Closed => (BreakerState::Closed, None),
                breaker::State::Open { until } => (BreakerState::Open, Some(until - now)),
                breaker::State::HalfOpen => (BreakerState::HalfOpen, None),
            };
            BreakerSnapshot {
                model: self.label_of(model),
                state,
                retry_in,
                is_configured: model.is_configured,
            }
        });
        named.collect()
    }

    /// Returns the proven outages of all keys and models. With `viewer`, leaves out those that hold for other callers only.
    pub fn outages(&self, viewer: Option<CallerId>, now: Instant) -> Vec<OutageSnapshot> {
        let mut snapshots = Vec::new();
        for pool in &self.pools {
            for (index, key) in pool.provider.keys.iter().enumerate() {
                let outages = key.availability.proven(viewer, now);
                let shown =
                    outages.map(|outage| pool.outage_snapshot(index, None, outage, viewer, now));
                snapshots.extend(shown);
            }
        }
        for model in self.models.iter() {
            let Some(pool) = self.pools.get(model.pool.0) else {
                continue;
            };
            for (index, availability) in &model.state().availability {
                let outages = availability.proven(viewer, now);
                let name = Some(model.name.as_str());
                snapshots.extend(outages.map(|outage| OutageSnapshot {
                    is_configured: model.is_configured,
                    ..pool.outage_snapshot(*index, name, outage, viewer, now)
                }));
            }
        }
        snapshots
    }

    /// If every key has an outage with a model that holds for the caller, returns the one that is probed first.
    pub fn outage(&self, model: &Model, caller: CallerId, now: Instant) -> Option<OutageSnapshot> {
        let pool = self.pools.get(model.pool().0)?;
        let state = model.state();
        let mut first: Option<(usize, Option<&str>, &Outage)> = None;
        for (index, key) in pool.provider.keys.iter().enumerate() {
            let of_key = proven(&key.availability, caller);
            let of_model = state.availability.get(&index);
            let of_model = of_model.and_then(|availability| proven(availability, caller));
            let name = of_key.is_none().then_some(model.name.as_str());
            let outage = of_key.or(of_model)?;
            let next_probe = outage.next_probe_of(caller);
            first = first
                .filter(|(_, _, first)| first.next_probe_of(caller) <= next_probe)
                .or(Some((index, name, outage)));
        }
        let (index, name, outage) = first?;
        Some(pool.outage_snapshot(index, name, outage, Some(caller), now))
    }

    /// Returns the callers that `viewer` sees: itself. `None` sees all.
    fn seen_callers(&self, viewer: Option<CallerId>) -> impl Iterator<Item = (&CallerId, &Caller)> {
        match viewer {
            Some(viewer) => self.callers.range(viewer..=viewer),
            None => self.callers.range(..),
        }
    }

    /// Returns every limit as it stands, but for those of callers that `viewer` does not see.
    pub fn limits(&self, viewer: Option<CallerId>, now: Instant) -> Vec<LimitSnapshot> {
        let waiting: usize = self.pools.iter().map(PoolState::waiting).sum();
        let mut snapshots = vec![
            snapshot(
                LimitKind::Concurrency,
                None,
                Some(self.config.max_concurrency),
                self.in_flight(),
                waiting,
            ),
            snapshot(
                LimitKind::Queue,
                None,
                Some(self.config.max_queue),
                self.queued(),
                waiting,
            ),
        ];
        for pool in &self.pools {
            pool.append_snapshots(now, &mut snapshots);
        }
        for model in self.models.iter() {
            if let Some(limit) = model.limits.max_in_flight {
                let scope = Some(self.label_of(model));
                snapshots.push(snapshot(
                    LimitKind::Concurrency,
                    scope,
                    Some(limit),
                    model.in_flight.count(),
                    0,
                ));
            }
        }
        for (_, caller) in self.seen_callers(viewer) {
            if !caller.is_gone() {
                snapshots.extend(caller.snapshots(now));
            }
        }
        snapshots
    }
}

impl State {
    /// Appends the memory held: in total, by use, and by each caller that `viewer` sees.
    pub fn append_memory(
        &self,
        memory: &MemorySnapshot,
        viewer: Option<CallerId>,
        snapshots: &mut Vec<LimitSnapshot>,
    ) {
        let kind = LimitKind::MemoryBytes;
        snapshots.push(snapshot(kind, None, Some(memory.max_bytes), memory.held, 0));
        for (held_as, bytes) in memory.by_use {
            let scope = Some(held_as.as_str().to_owned());
            snapshots.push(snapshot(kind, scope, None, bytes, 0));
        }
        for (id, caller) in self.seen_callers(viewer) {
            let bytes = memory.by_caller.get(id).copied().unwrap_or_default();
            if bytes > 0 || !caller.is_gone() {
                let scope = Some(format!("caller:{}", caller.quota.name));
                snapshots.push(snapshot(kind, scope, None, bytes, 0));
            }
        }
    }
}

impl Caller {
    /// Returns the caller's own limits.
    fn snapshots(&self, now: Instant) -> Vec<LimitSnapshot> {
        let mut snapshots = Vec::new();
        let scope = || Some(format!("caller:{}", self.quota.name));
        if let Some(limit) = self.quota.max_in_flight {
            snapshots.push(snapshot(
                LimitKind::Concurrency,
                scope(),
                Some(limit.get() as usize),
                self.in_flight.count(),
                0,
            ));
        }
        let status = self.quota_status(now);
        for (kind, window) in [
            (LimitKind::RequestsPerMinute, status.requests),
            (LimitKind::TokensPerMinute, status.tokens),
        ] {
            snapshots.extend(window.map(|window| window_snapshot(kind, scope(), Some(window), 0)));
        }
        if let Some(room) = self.quota.waiting_room() {
            let queued = self.waiting();
            snapshots.push(snapshot(
                LimitKind::Queue,
                scope(),
                Some(room),
                queued,
                queued,
            ));
        }
        snapshots
    }
}

/// Returns the outage that holds for the caller, if it is proven.
fn proven(availability: &Availability, caller: CallerId) -> Option<&Outage> {
    let outage = availability.outage(caller);
    outage.filter(|outage| outage.is_proven())
}

impl PoolState {
    fn outage_snapshot(
        &self,
        key: usize,
        model: Option<&str>,
        outage: &Outage,
        viewer: Option<CallerId>,
        now: Instant,
    ) -> OutageSnapshot {
        let probe_of = |viewer| outage.next_probe_of(viewer);
        let next_probe = viewer.map_or(outage.next_probe, probe_of);
        OutageSnapshot {
            provider: self.provider.name.clone(),
            key: (self.provider.keys.len() > 1).then_some(key + 1),
            model: model.map(str::to_owned),
            is_configured: true,
            report: outage.report.clone(),
            lasted: now.saturating_duration_since(outage.since),
            retry_in: next_probe.saturating_duration_since(now),
        }
    }

    /// Appends the provider's limits and those of its keys.
    fn append_snapshots(&self, now: Instant, snapshots: &mut Vec<LimitSnapshot>) {
        let (provider, waiting) = (&self.provider, self.waiting());
        let is_lowered = provider.adaptive.as_ref().is_some_and(Adaptive::is_lowered);
        if provider.max_in_flight.is_some() || is_lowered {
            let scope = Some(provider.name.clone());
            snapshots.push(snapshot(
                LimitKind::Concurrency,
                scope,
                provider.limit(),
                provider.in_flight.count(),
                waiting,
            ));
        }
        let is_only = provider.keys.len() == 1;
        for (number, key) in (1..).zip(&provider.keys) {
            let scope = || {
                Some(if is_only {
                    provider.name.clone()
                } else {
                    format!("{}#{number}", provider.name)
                })
            };
            let (requests, tokens) = key_windows(key, now);
            snapshots.push(window_snapshot(
                LimitKind::RequestsPerMinute,
                scope(),
                requests,
                waiting,
            ));
            if tokens.is_some() {
                snapshots.push(window_snapshot(
                    LimitKind::TokensPerMinute,
                    scope(),
                    tokens,
                    waiting,
                ));
            }
        }
    }
}

/// Returns the windows of a key's requests and tokens. Nothing is available while the key is paused.
fn key_windows(key: &ApiKeyLimits, now: Instant) -> (Option<Window>, Option<Window>) {
    let is_paused = key.paused_until(now).is_some();
    let window = |limit: u32, available: u64, debt: u64| Window {
        limit: limit.into(),
        left: if is_paused { 0 } else { available },
        reset: Duration::ZERO,
        debt,
    };
    let requests = key.requests.as_ref().map(|bucket| {
        let (rate, available) = (bucket.rate(), u64::from(bucket.available(now)));
        let debt = u64::from(rate.burst.get()).saturating_sub(available);
        window(rate.per_minute.get(), available, debt)
    });
    let tokens = key.tokens.as_ref().map(|bucket| {
        window(
            bucket.per_minute().get(),
            bucket.available(now),
            bucket.in_use(now),
        )
    });
    (requests, tokens)
}

fn window_snapshot(
    kind: LimitKind,
    scope: Option<String>,
    window: Option<Window>,
    waiting: usize,
) -> LimitSnapshot {
    LimitSnapshot {
        kind,
        scope,
        limit: window.map(|window| window.limit),
        in_use: window.map_or(0, |window| window.debt),
        available: window.map(|window| window.left),
        waiting: waiting as u64,
    }
}

fn snapshot(
    kind: LimitKind,
    scope: Option<String>,
    limit: Option<usize>,
    in_use: usize,
    waiting: usize,
) -> LimitSnapshot {
    LimitSnapshot {
        kind,
        scope,
        limit: limit.map(|n| n as u64),
        in_use: in_use as u64,
        available: limit.map(|n| n.saturating_sub(in_use) as u64),
        waiting: waiting as u64,
    }
}
