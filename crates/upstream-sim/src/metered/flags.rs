//! Command line of the simulated provider.

use clap::{Parser, ValueEnum};

use crate::behaviour::Behaviour;
use crate::limiter::{Limit, Limits, Shape};

/// A simulated OpenAI-compatible provider: latency, limits for each key, faults, and a meter of what it saw.
#[derive(Parser)]
#[command(args_override_self = true)]
pub struct Flags {
    /// Port on the loopback; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    #[command(flatten)]
    pub behaviour: Behaviour,
    /// Calls a minute of each key; what is over gets 429 and takes nothing. 0: no limit.
    #[arg(long, default_value_t = 0, value_name = "N")]
    rate_limit_rpm: u32,
    /// Calls that may come at once under that limit.
    #[arg(long, default_value_t = 1, value_name = "N")]
    rate_limit_burst: u32,
    /// Tokens a minute of each key, likewise. 0: no limit.
    #[arg(long, default_value_t = 0, value_name = "N")]
    rate_limit_tpm: u32,
    /// Tokens that may come at once under that limit. 0: those of a minute, as OpenAI has it.
    #[arg(long, default_value_t = 0, value_name = "N")]
    rate_limit_tpm_burst: u32,
    /// Algorithm of both limits.
    #[arg(long, value_enum, default_value_t = Shape::Bucket)]
    rate_limit_shape: Shape,
    /// Tokens that a call reserves.
    #[arg(long, value_enum, default_value_t = TpmCounts::Actual)]
    pub tpm_counts: TpmCounts,
    /// Leave out the `x-ratelimit-…` headers, which are sent when there is a limit.
    #[arg(long)]
    pub no_rate_limit_headers: bool,
    /// Form of the retry time of a 429.
    #[arg(long, value_enum, default_value_t = RetryAfter::Seconds)]
    pub retry_after: RetryAfter,
    /// For so many milliseconds of each `--storm-every-ms`, the last ones, everything gets 429.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    pub storm_ms: u64,
    /// Interval of the storms, from the first call on. 0: there are none.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    pub storm_every_ms: u64,
    /// Keep the time of each arrival, and time and tokens of each call let in, for `GET /meter`.
    #[arg(long)]
    pub arrivals: bool,
    /// Keep the texts, so that `GET /meter` tells which were asked again though their answer had arrived.
    #[arg(long)]
    pub texts: bool,
}

/// Tokens that a call reserves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TpmCounts {
    /// Those that it will have used when it is answered.
    Actual,
    /// The prompt's; the answer's are taken when it is written.
    Prompt,
    /// The prompt's and as many as `max_tokens` or `max_completion_tokens` allows, if that is given; settled when the answer is
    /// written.
    MaxTokens,
}

/// Form of the retry time of a 429.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RetryAfter {
    /// `retry-after` in whole seconds, rounded up.
    Seconds,
    /// The same and `retry-after-ms`, which is exact.
    Millis,
    /// `retry-after` as a date, rounded up to the second.
    Date,
    /// Not at all.
    None,
}

impl Flags {
    /// Returns the limits of each key.
    pub fn limits(&self) -> Limits {
        let limit = |per_minute, burst: u32| {
            let whole = burst == 0 || self.rate_limit_shape == Shape::Window;
            (per_minute > 0).then_some(Limit {
                per_minute,
                burst: if whole { per_minute } else { burst },
            })
        };
        Limits {
            shape: self.rate_limit_shape,
            requests: limit(self.rate_limit_rpm, self.rate_limit_burst.max(1)),
            tokens: limit(self.rate_limit_tpm, self.rate_limit_tpm_burst),
        }
    }
}
