//! Behaviour of admitted calls: their latency and their faults. Decided by the seed and the call's number alone, so that a run
//! can be repeated.

use std::time::Duration;

use clap::Args;

/// Latency and faults.
#[derive(Args, Clone, Debug)]
pub struct Behaviour {
    /// Time from a request read to its answer written, in milliseconds.
    #[arg(long, default_value_t = 0.0)]
    pub latency_ms: f64,
    /// Up to so many milliseconds more, evenly spread.
    #[arg(long, default_value_t = 0.0)]
    pub jitter: f64,
    /// Milliseconds more for a call whose last message contains `[slow]`.
    #[arg(long, default_value_t = 0.0)]
    pub slow_ms: f64,
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
    /// Seed of faults and jitter. The same seed hits the same calls.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// Fate of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is answered.
    Answer,
    /// Its connection is reset.
    Reset,
    /// It is never answered.
    Stall,
    /// Its answer does not suit the schema.
    Invalid,
    /// It gets a 500.
    Error500,
}

impl Behaviour {
    /// Returns the fate of call `number`.
    pub fn fate(&self, number: usize) -> Fate {
        let mut drawn = share(self.seed, number);
        let shares = [
            (self.resets, Fate::Reset),
            (self.stalls, Fate::Stall),
            (self.invalid, Fate::Invalid),
            (self.errors_500, Fate::Error500),
        ];
        for (share, fate) in shares {
            if drawn < share {
                return fate;
            }
            drawn -= share;
        }
        Fate::Answer
    }

    /// Returns the latency of call `number`. `is_slow`: its last message contains `[slow]`.
    pub fn latency(&self, number: usize, is_slow: bool) -> Duration {
        let slow_ms = if is_slow { self.slow_ms } else { 0.0 };
        let milliseconds = self.latency_ms + slow_ms + self.jitter * share(!self.seed, number);
        Duration::from_secs_f64(milliseconds.max(0.0) / 1000.0)
    }
}

/// Returns a number in 0..1 that looks random: SplitMix64 (<https://prng.di.unimi.it/splitmix64.c>, read 2026-11-22) of seed and number.
pub fn share(seed: u64, number: usize) -> f64 {
    let mut z = seed.wrapping_add((number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) as f64 / u64::MAX as f64
}
