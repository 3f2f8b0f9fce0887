//! What the simulated provider can be told on its command line.

use clap::Parser;

/// A simulated OpenAI-compatible provider: latency, a rate limit, faults, and a meter of what it saw.
#[derive(Parser)]
pub struct Flags {
    /// Port on the loopback; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    /// Time from a request read to its answer written, in milliseconds.
    #[arg(long, default_value_t = 0.0)]
    pub latency_ms: f64,
    /// Up to so many milliseconds more, evenly spread.
    #[arg(long, default_value_t = 0.0)]
    pub jitter: f64,
    /// Calls a minute; what is over gets 429 with `Retry-After`. 0: no limit.
    #[arg(long, default_value_t = 0)]
    pub rate_limit_rpm: u32,
    /// Calls that may come at once under the rate limit.
    #[arg(long, default_value_t = 1)]
    pub rate_limit_burst: u32,
    /// Share of calls, 0 to 1, whose connection is reset instead of an answer.
    #[arg(long, default_value_t = 0.0)]
    pub resets: f64,
    /// Share of calls that are never answered.
    #[arg(long, default_value_t = 0.0)]
    pub stalls: f64,
    /// Share of calls answered with something that does not suit the schema.
    #[arg(long, default_value_t = 0.0)]
    pub invalid: f64,
    /// Share of calls answered with a 500.
    #[arg(long, default_value_t = 0.0)]
    pub errors_500: f64,
    /// Which calls the faults and the jitter hit: the same seed, the same calls.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Keep the time of each arrival, for `GET /meter`.
    #[arg(long)]
    pub arrivals: bool,
}
