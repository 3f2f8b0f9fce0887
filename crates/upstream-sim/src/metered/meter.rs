//! Meter of the simulated provider, reported by `GET /meter`. Times are microseconds since the Unix epoch, taken from one
//! monotonic clock.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Map, Value, json};

use super::flags::Flags;
use super::rate_gate::RateAdmission;
use crate::account::Account;
use crate::limiter::Limits;
use crate::texts::Texts;

/// Counts and times since the start or the last reset.
pub struct Meter {
    started: Instant,
    started_us: u64,
    limits: Limits,
    keep_arrivals: bool,
    /// Start of the measurement.
    since: Instant,
    seen: Seen,
    /// `None` when they are not kept.
    pub texts: Option<Texts>,
}

/// A call that was let in.
#[derive(Clone, Copy)]
pub struct Admitted {
    at: Instant,
    number: usize,
}

#[derive(Default)]
struct Seen {
    calls: usize,
    in_flight: usize,
    max_in_flight: usize,
    aborted: usize,
    first_call_at_us: Option<u64>,
    last_call_at_us: Option<u64>,
    first_answer_at_us: Option<u64>,
    last_answer_at_us: Option<u64>,
    latencies_us: Vec<u32>,
    statuses: BTreeMap<u16, usize>,
    arrivals_us: Vec<u64>,
    /// A few keys, in the order of their first call.
    keys: Vec<(String, Account)>,
}

impl Meter {
    /// Returns an empty meter.
    pub fn new(flags: &Flags) -> Self {
        let since_epoch = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let (started, started_us) = (Instant::now(), since_epoch.as_micros() as u64);
        Self {
            started,
            started_us,
            limits: flags.limits(),
            keep_arrivals: flags.arrivals,
            since: started,
            seen: Seen::default(),
            texts: flags.texts.then(|| Texts::new(started)),
        }
    }

    /// Counts a call with this key that has been read completely. Returns its number, from 0.
    pub fn arrived(&mut self, at: Instant, key: &str) -> usize {
        self.account(key).arrived();
        let at_us = self.at_us(at);
        let seen = &mut self.seen;
        seen.calls += 1;
        seen.in_flight += 1;
        seen.max_in_flight = seen.max_in_flight.max(seen.in_flight);
        seen.first_call_at_us.get_or_insert(at_us);
        seen.last_call_at_us = Some(at_us);
        if self.keep_arrivals {
            seen.arrivals_us.push(at_us);
        }
        seen.calls - 1
    }

    /// Counts a call that was rejected, with the pause in its `Retry-After`.
    pub fn refused(&mut self, key: &str, at: Instant, retry_after: Option<Duration>) {
        let at_us = self.at_us(at);
        self.account(key).refused(
            at_us,
            retry_after.map(|pause| at_us + pause.as_micros() as u64),
        );
    }

    /// Counts a call that was admitted.
    pub fn admitted(&mut self, key: &str, at: Instant, pass: &RateAdmission) -> Admitted {
        let (at_us, keep) = (self.at_us(at), self.keep_arrivals);
        Admitted {
            at,
            number: self
                .account(key)
                .admitted(at_us, pass.reserved.tokens, keep),
        }
    }

    /// Corrects the tokens of an admitted call by the difference to those it used.
    pub fn settled(&mut self, key: &str, admitted: Admitted, more: i64) {
        if admitted.at >= self.since {
            self.account(key).settled(admitted.number, more);
        }
    }

    fn account(&mut self, key: &str) -> &mut Account {
        let keys = &mut self.seen.keys;
        let place = keys
            .iter()
            .position(|(known, _)| known == key)
            .unwrap_or_else(|| {
                keys.push((key.to_owned(), Account::default()));
                keys.len() - 1
            });
        &mut keys[place].1
    }

    /// Counts a call that arrived at `arrived` and was answered with `status`. 0: the connection was reset on purpose.
    pub fn answered(&mut self, arrived: Instant, status: u16) {
        let now = Instant::now();
        let now_us = self.at_us(now);
        let seen = &mut self.seen;
        seen.in_flight = seen.in_flight.saturating_sub(1);
        seen.first_answer_at_us.get_or_insert(now_us);
        seen.last_answer_at_us = Some(now_us);
        seen.latencies_us
            .push(now.duration_since(arrived).as_micros() as u32);
        *seen.statuses.entry(status).or_default() += 1;
    }

    /// Counts a call whose client disconnected before its answer was written.
    pub fn aborted(&mut self) {
        self.seen.in_flight = self.seen.in_flight.saturating_sub(1);
        self.seen.aborted += 1;
    }

    /// Forgets everything but the calls that are in flight.
    pub fn reset(&mut self) {
        let in_flight = self.seen.in_flight;
        self.since = Instant::now();
        self.texts = self.texts.is_some().then(|| Texts::new(self.since));
        self.seen = Seen {
            in_flight,
            max_in_flight: in_flight,
            ..Seen::default()
        };
    }

    /// Returns the report as JSON.
    pub fn report(&self) -> Value {
        let seen = &self.seen;
        let mut sorted = seen.latencies_us.clone();
        sorted.sort_unstable();
        let total: u64 = sorted.iter().map(|us| u64::from(*us)).sum();
        let accounts = seen
            .keys
            .iter()
            .map(|(key, account)| (key.clone(), account.report(self.limits, self.keep_arrivals)));
        json!({
            "calls": seen.calls, "in_flight": seen.in_flight, "max_in_flight": seen.max_in_flight, "aborted": seen.aborted,
            "first_call_at_us": seen.first_call_at_us, "last_call_at_us": seen.last_call_at_us,
            "first_answer_at_us": seen.first_answer_at_us, "last_answer_at_us": seen.last_answer_at_us,
            "latency_us": {"mean": total.checked_div(sorted.len() as u64), "p50": percentile(&sorted, 50),
                           "p99": percentile(&sorted, 99), "max": sorted.last()},
            "statuses": seen.statuses, "arrivals_us": self.keep_arrivals.then_some(&seen.arrivals_us),
            "keys": accounts.collect::<Map<_, _>>(), "texts": self.texts.as_ref().map(Texts::report),
        })
    }

    fn at_us(&self, at: Instant) -> u64 {
        self.started_us + at.saturating_duration_since(self.started).as_micros() as u64
    }
}

/// Returns the value that `percent` of the values do not exceed; `None` of none.
fn percentile(sorted: &[u32], percent: usize) -> Option<u32> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}
