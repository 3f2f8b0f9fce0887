//! Admission of calls: the limits of each key, and the storms in which every call is rejected.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use super::flags::{Flags, RetryAfter, TpmCounts};
use crate::limiter::{ExceededLimit, Limiter, Limits, RemainingQuota, Reserved};
use crate::lock::lock;

/// Cost of a call in tokens.
#[derive(Clone, Copy)]
pub struct Cost {
    pub prompt: u64,
    /// Of the answer that it will get.
    pub completion: u64,
    /// The most that it lets the answer have; `None`: it does not say.
    pub room: Option<u64>,
}

/// A call that was let in.
pub struct RateAdmission {
    pub reserved: Reserved,
    /// `x-ratelimit-…`, if they are to be sent.
    pub headers: Vec<(String, String)>,
}

/// Rejection of a call.
pub struct Refusal {
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// Pause in its `Retry-After`; `None`: it has none.
    pub retry_after: Option<Duration>,
}

pub struct Gate {
    limits: Limits,
    counts: TpmCounts,
    headers: bool,
    retry_after: RetryAfter,
    storm: Duration,
    storm_every: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    first_call: Option<Instant>,
    /// A few keys, in the order of their first call.
    keys: Vec<(String, Limiter)>,
}

impl Gate {
    pub fn new(flags: &Flags) -> Self {
        let limits = flags.limits();
        Self {
            limits,
            counts: flags.tpm_counts,
            headers: !flags.no_rate_limit_headers
                && (limits.requests.is_some() || limits.tokens.is_some()),
            retry_after: flags.retry_after,
            storm: Duration::from_millis(flags.storm_ms),
            storm_every: Duration::from_millis(flags.storm_every_ms),
            state: Mutex::default(),
        }
    }

    /// Lets a call in, or not.
    ///
    /// # Errors
    /// With the answer, when it is over a limit, or there is a storm.
    pub fn admit(&self, key: &str, now: Instant, cost: Cost) -> Result<RateAdmission, Refusal> {
        let wanted = match self.counts {
            TpmCounts::Actual => cost.prompt + cost.completion,
            TpmCounts::Prompt => cost.prompt,
            TpmCounts::MaxTokens => cost.prompt + cost.room.unwrap_or_default(),
        };
        let mut state = lock(&self.state);
        let first_call = *state.first_call.get_or_insert(now);
        if let Some(wait) = self.storm_left(now.saturating_duration_since(first_call)) {
            return Err(self.refusal(
                wait,
                "The server is overloaded. Please try again later.",
                "requests",
                Vec::new(),
            ));
        }
        let limiter = state.limiter_of(key, self.limits, now);
        let admitted = limiter.admit(now, wanted);
        let headers = if self.headers {
            limit_headers(limiter.remaining(now))
        } else {
            Vec::new()
        };
        match admitted {
            Ok(reserved) => Ok(RateAdmission { reserved, headers }),
            Err((over, wait)) => {
                let (kind, name) = match over {
                    ExceededLimit::Requests => ("requests", "requests per min (RPM)"),
                    ExceededLimit::Tokens => ("tokens", "tokens per min (TPM)"),
                };
                let message = format!(
                    "Rate limit reached on {name}. Please try again in {}.",
                    go_duration(wait)
                );
                Err(self.refusal(wait, &message, kind, headers))
            }
        }
    }

    /// Settles a call that used so many tokens. Returns the difference to those it had taken.
    pub fn settle(&self, key: &str, reserved: Reserved, used: u64) -> i64 {
        if reserved.tokens == used {
            return 0;
        }
        let now = Instant::now();
        lock(&self.state)
            .limiter_of(key, self.limits, now)
            .settle(now, reserved, used);
        used as i64 - reserved.tokens as i64
    }

    /// Returns the remaining time of the storm, if one is going on.
    fn storm_left(&self, since_first_call: Duration) -> Option<Duration> {
        if self.storm.is_zero() || self.storm_every.is_zero() {
            return None;
        }
        let into = Duration::from_nanos(
            (since_first_call.as_nanos() % self.storm_every.as_nanos()) as u64,
        );
        let quiet = self.storm_every.saturating_sub(self.storm);
        (into >= quiet).then(|| self.storm_every - into)
    }

    fn refusal(
        &self,
        wait: Duration,
        message: &str,
        kind: &str,
        mut headers: Vec<(String, String)>,
    ) -> Refusal {
        let seconds = Duration::from_secs(wait.as_nanos().div_ceil(1_000_000_000) as u64);
        let milliseconds = Duration::from_millis(wait.as_nanos().div_ceil(1_000_000) as u64);
        let mut say = |name: &str, value: String| headers.push((name.to_owned(), value));
        let retry_after = match self.retry_after {
            RetryAfter::Seconds => {
                say("retry-after", seconds.as_secs().to_string());
                Some(seconds)
            }
            RetryAfter::Millis => {
                say("retry-after", seconds.as_secs().to_string());
                say("retry-after-ms", milliseconds.as_millis().to_string());
                Some(milliseconds)
            }
            RetryAfter::Date => {
                // A date has no fraction of a second: it names the next whole one.
                let since_epoch = SystemTime::now()
                    .duration_since(SystemTime::UNIX_EPOCH)
                    .unwrap_or_default();
                let date = Duration::from_secs(
                    (since_epoch + wait).as_nanos().div_ceil(1_000_000_000) as u64,
                );
                say(
                    "retry-after",
                    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + date),
                );
                Some(date.saturating_sub(since_epoch))
            }
            RetryAfter::None => None,
        };
        let error = serde_json::json!({"message": message, "type": kind, "param": null, "code": "rate_limit_exceeded"});
        Refusal {
            headers,
            body: serde_json::json!({ "error": error }).to_string(),
            retry_after,
        }
    }
}

impl State {
    fn limiter_of(&mut self, key: &str, limits: Limits, now: Instant) -> &mut Limiter {
        let known = self.keys.iter().position(|(known, _)| known == key);
        let place = known.unwrap_or_else(|| {
            self.keys.push((key.to_owned(), Limiter::new(limits, now)));
            self.keys.len() - 1
        });
        &mut self.keys[place].1
    }
}

/// Returns the headers that OpenAI sends: <https://platform.openai.com/docs/guides/rate-limits>, read 2026-11-22.
fn limit_headers([requests, tokens]: [Option<RemainingQuota>; 2]) -> Vec<(String, String)> {
    let mut headers = Vec::with_capacity(6);
    for (kind, left) in [("requests", requests), ("tokens", tokens)] {
        let Some(left) = left else { continue };
        headers.push((
            format!("x-ratelimit-limit-{kind}"),
            left.per_minute.to_string(),
        ));
        headers.push((
            format!("x-ratelimit-remaining-{kind}"),
            left.remaining.to_string(),
        ));
        headers.push((format!("x-ratelimit-reset-{kind}"), go_duration(left.reset)));
    }
    headers
}

/// Returns a duration as Go writes it, to the millisecond: `120ms`, `8.64s`, `6m0s`.
fn go_duration(duration: Duration) -> String {
    let milliseconds = duration.as_nanos().div_ceil(1_000_000);
    let (minutes, rest) = (milliseconds / 60_000, milliseconds % 60_000);
    match (minutes, rest) {
        (0, 0) => "0s".to_owned(),
        (0, 1..1_000) => format!("{rest}ms"),
        (0, _) => format!("{}s", rest as f64 / 1000.0),
        _ => format!("{minutes}m{}s", rest as f64 / 1000.0),
    }
}
