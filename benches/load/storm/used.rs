//! Share of the quota that was used: the admitted calls, of rate × time. The time of pauses is subtracted: a client
//! that obeys `Retry-After` sends nothing then.

use super::super::simulated::Account;
use super::watch::Span;
use super::{AT_ONCE, REQUESTS_PER_MINUTE, TOKENS_PER_MINUTE};

/// Shares of both limits; 1 is all that was allowed.
#[derive(Clone, Copy)]
pub struct Share {
    pub requests: f64,
    pub tokens: f64,
}

impl Share {
    /// Returns the share of the limit that was used more, which bounds the other one.
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

/// Returns the shares that all keys used together.
pub fn used(accounts: &[&Account], waiting: &[Span]) -> Used {
    let whole: Vec<_> = accounts
        .iter()
        .filter_map(|account| span(account))
        .map(|span| vec![span])
        .collect();
    let waiting = vec![waiting.to_vec(); accounts.len()];
    Used {
        whole: shares(accounts, &whole),
        while_waiting: shares(accounts, &waiting),
    }
}

fn shares(accounts: &[&Account], spans: &[Vec<Span>]) -> Shares {
    let (mut requests, mut tokens, mut all, mut open) = (0, 0, Given::default(), Given::default());
    for (account, spans) in accounts.iter().zip(spans) {
        for span in spans {
            // Half open: a call at the end of a span belongs to what comes after.
            let within = admitted(account)
                .iter()
                .filter(|(at, _)| (span.0..span.1).contains(at));
            let (count, sum) = within.fold((0, 0), |(count, sum), (_, tokens)| {
                (count + 1, sum + tokens)
            });
            (requests, tokens) = (requests + count, tokens + sum);
            all.add(span.1 - span.0);
            open.add(span.1 - span.0 - pauses(account, *span).sum::<u64>());
            pauses(account, *span).for_each(|pause_us| open.add_pause(pause_us));
        }
    }
    let of = |given: Given| Share {
        requests: f64::from(requests) / given.requests,
        tokens: tokens as f64 / given.tokens,
    };
    Shares {
        all: of(all),
        open: of(open),
    }
}

/// Quota that the limits give.
#[derive(Clone, Copy, Default)]
struct Given {
    requests: f64,
    tokens: f64,
}

impl Given {
    fn add(&mut self, time_us: u64) {
        let minutes = time_us as f64 / 60e6;
        self.requests += f64::from(REQUESTS_PER_MINUTE) * minutes;
        self.tokens += f64::from(TOKENS_PER_MINUTE) * minutes;
    }

    /// Adds the quota that accumulates in a pause, at most the burst.
    fn add_pause(&mut self, time_us: u64) {
        self.add(time_us.min(AT_ONCE.as_micros() as u64));
    }
}

fn admitted(account: &Account) -> &[(u64, i64)] {
    account.admitted_at_us.as_deref().unwrap_or_default()
}

fn span(account: &Account) -> Option<Span> {
    Some((admitted(account).first()?.0, admitted(account).last()?.0))
}

/// Returns the duration of each pause within a span.
fn pauses(account: &Account, span: Span) -> impl Iterator<Item = u64> {
    let pauses = account.pauses_us.as_deref().unwrap_or_default();
    pauses
        .iter()
        .map(move |pause| pause.1.min(span.1).saturating_sub(pause.0.max(span.0)))
}
