//! Account of one API key: its calls, its tokens, and the share of its limits that it used. Times are microseconds.

use serde_json::{Value, json};

use crate::limiter::{Limit, Limits};

/// The counts of a key.
#[derive(Default)]
pub struct Account {
    calls: usize,
    refused: usize,
    admitted: usize,
    tokens: i64,
    first_admitted_us: u64,
    last_admitted_us: u64,
    /// Tokens of the last call that was let in: they are not part of what was used before it.
    last_tokens: i64,
    pauses: Pauses,
    /// Time and tokens of each call let in, if they are kept.
    kept: Vec<(u64, i64)>,
}

impl Account {
    /// Counts a call that arrived.
    pub const fn arrived(&mut self) {
        self.calls += 1;
    }

    /// Counts a call that was rejected with a `Retry-After` that ends at `until_us`.
    pub fn refused(&mut self, at_us: u64, until_us: Option<u64>) {
        self.refused += 1;
        if let Some(until_us) = until_us {
            self.pauses.add(at_us, until_us);
        }
    }

    /// Counts a call that was admitted and took so many tokens. Returns its number among the admitted ones, from 0.
    pub fn admitted(&mut self, at_us: u64, tokens: u64, keep: bool) -> usize {
        if self.admitted == 0 {
            self.first_admitted_us = at_us;
        }
        self.admitted += 1;
        self.tokens += tokens as i64;
        (self.last_admitted_us, self.last_tokens) = (at_us, tokens as i64);
        if keep {
            self.kept.push((at_us, tokens as i64));
        }
        self.admitted - 1
    }

    /// Corrects the tokens of an admitted call by the difference to those it used.
    pub fn settled(&mut self, number: usize, more: i64) {
        self.tokens += more;
        if let Some((_, tokens)) = self.kept.get_mut(number) {
            *tokens += more;
        }
        if number + 1 == self.admitted {
            self.last_tokens += more;
        }
    }

    /// Returns the account as JSON, with the record of each call if it is kept.
    pub fn report(&self, limits: Limits, keep: bool) -> Value {
        let (from, until) = (self.first_admitted_us, self.last_admitted_us);
        let none = Pauses::default();
        json!({
            "calls": self.calls, "refused": self.refused, "admitted": self.admitted, "tokens": self.tokens,
            "first_admitted_at_us": (self.admitted > 0).then_some(from), "last_admitted_at_us": (self.admitted > 0).then_some(until),
            "paused_us": self.pauses.within(from, until).sum::<u64>(),
            "used": self.used(limits, &none), "used_without_pauses": self.used(limits, &self.pauses),
            "admitted_at_us": keep.then_some(&self.kept), "pauses_us": keep.then_some(&self.pauses.0),
        })
    }

    /// Returns the shares of the limits that were used before the last call, of the quota that a client gets which observes these
    /// pauses. `null`: no limit, or no time.
    fn used(&self, limits: Limits, pauses: &Pauses) -> Value {
        let share = |amount: f64, limit: Limit| {
            let given = pauses.given(limit, self.first_admitted_us, self.last_admitted_us);
            (given > 0.0).then_some(amount / given)
        };
        let requests = limits
            .requests
            .and_then(|limit| share(self.admitted.saturating_sub(1) as f64, limit));
        let tokens = limits
            .tokens
            .and_then(|limit| share((self.tokens - self.last_tokens) as f64, limit));
        json!({"requests": requests, "tokens": tokens})
    }
}

/// Union of the pauses that rejections asked of a key, in their order.
#[derive(Default)]
struct Pauses(Vec<(u64, u64)>);

impl Pauses {
    /// Adds a pause, which begins no earlier than the one before.
    fn add(&mut self, from: u64, until: u64) {
        match self.0.last_mut() {
            Some((_, last)) if *last >= from => *last = until.max(*last),
            _ => self.0.push((from, until)),
        }
    }

    /// Returns the duration of each pause within a span of time.
    fn within(&self, from: u64, until: u64) -> impl Iterator<Item = u64> {
        self.0
            .iter()
            .map(move |(begin, end)| (*end).min(until).saturating_sub((*begin).max(from)))
    }

    /// Returns the quota that a client gets in a span of time if it observes the pauses: rate × time outside of them, and after
    /// each the quota that accumulated in it, at most the burst.
    fn given(&self, limit: Limit, from: u64, until: u64) -> f64 {
        let in_time = |time_us: u64| f64::from(limit.per_minute) * time_us as f64 / 60e6;
        let open_us = until.saturating_sub(from) - self.within(from, until).sum::<u64>();
        let saved_up = self
            .within(from, until)
            .map(|pause_us| in_time(pause_us).min(f64::from(limit.burst)));
        in_time(open_us) + saved_up.sum::<f64>()
    }
}
