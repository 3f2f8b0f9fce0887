//! Which calls go wrong, and how: decided by the seed and the call's number alone, so that a run can be repeated.

use super::flags::Flags;

/// What becomes of a call.
#[derive(Clone, Copy, PartialEq, Eq)]
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

/// The fate of call `number`.
pub fn fate(flags: &Flags, number: usize) -> Fate {
    let mut drawn = share(flags.seed, number);
    let shares = [
        (flags.resets, Fate::Reset),
        (flags.stalls, Fate::Stall),
        (flags.invalid, Fate::Invalid),
        (flags.errors_500, Fate::Error500),
    ];
    for (share, fate) in shares {
        if drawn < share {
            return fate;
        }
        drawn -= share;
    }
    Fate::Answer
}

/// How long call `number` takes, in milliseconds.
pub fn latency_ms(flags: &Flags, number: usize) -> f64 {
    flags.latency_ms + flags.jitter * share(!flags.seed, number)
}

/// A number in 0..1 that looks random: SplitMix64 (<https://prng.di.unimi.it/splitmix64.c>, read 2026-11-22) of seed and number.
fn share(seed: u64, number: usize) -> f64 {
    let mut z = seed.wrapping_add((number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) as f64 / u64::MAX as f64
}
