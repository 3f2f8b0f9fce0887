//! How much of the quota was used: what the upstream let in, of rate × time.

use super::super::simulated::Account;
use super::watch::Span;
use super::{REQUESTS_PER_MINUTE, TOKENS_PER_MINUTE};

/// Shares of both limits; 1 is all that was allowed.
#[derive(Clone, Copy)]
pub struct Share {
    pub requests: f64,
    pub tokens: f64,
}

impl Share {
    /// Of the limit that was used more: the other one could not be.
    pub fn most(self) -> f64 {
        self.requests.max(self.tokens)
    }
}

/// The shares of a time, all of it and without the pauses that the provider ordered.
#[derive(Clone, Copy)]
pub struct Shares {
    pub all: Share,
    pub open: Share,
}

pub struct Used {
    /// From the first call that was let in to the last.
    pub whole: Shares,
    /// While work was waiting for its turn.
    pub while_waiting: Shares,
}

/// What all keys together used.
pub fn used(accounts: &[&Account], waiting: &[Span]) -> Used {
    let whole: Vec<_> = accounts.iter().filter_map(|account| span(account)).map(|span| vec![span]).collect();
    let waiting = vec![waiting.to_vec(); accounts.len()];
    Used { whole: shares(accounts, &whole), while_waiting: shares(accounts, &waiting) }
}

fn shares(accounts: &[&Account], spans: &[Vec<Span>]) -> Shares {
    let (mut requests, mut tokens, mut all_us, mut open_us) = (0, 0, 0, 0);
    for (account, spans) in accounts.iter().zip(spans) {
        for span in spans {
            // Half open: a call at the end of a span belongs to what comes after.
            let within = admitted(account).iter().filter(|(at, _)| (span.0..span.1).contains(at));
            let (count, sum) = within.fold((0, 0), |(count, sum), (_, tokens)| (count + 1, sum + tokens));
            (requests, tokens) = (requests + count, tokens + sum);
            all_us += span.1 - span.0;
            open_us += span.1 - span.0 - paused(account, *span);
        }
    }
    let share = |amount: f64, per_minute: u32, time_us: u64| amount / (f64::from(per_minute) * time_us.max(1) as f64 / 60e6);
    let both = |time_us| Share {
        requests: share(f64::from(requests), REQUESTS_PER_MINUTE, time_us),
        tokens: share(tokens as f64, TOKENS_PER_MINUTE, time_us),
    };
    Shares { all: both(all_us), open: both(open_us) }
}

fn admitted(account: &Account) -> &[(u64, i64)] {
    account.admitted_at_us.as_deref().unwrap_or_default()
}

fn span(account: &Account) -> Option<Span> {
    Some((admitted(account).first()?.0, admitted(account).last()?.0))
}

/// How much of a span was in ordered pauses.
fn paused(account: &Account, span: Span) -> u64 {
    let pauses = account.pauses_us.as_deref().unwrap_or_default();
    pauses.iter().map(|pause| pause.1.min(span.1).saturating_sub(pause.0.max(span.0))).sum()
}
