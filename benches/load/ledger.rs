//! Cost of the memory ledger, as a share of the CPU time of a batch's item.

use std::hint::black_box;
use std::time::Instant;

use throttle::{CallerId, MemoryLedger, MemoryUse};

use super::report::{Aim, Report};

/// Reservations that are changed for an item, at most: of the input in an NDJSON upload, of an answer above 64 KiB, and of the result
/// in an ordered response. Each is enlarged and given back.
const RESERVATIONS: usize = 3;
const ROUNDS: usize = 7;
const LOOPS: usize = 200_000;

/// Adds the share, given the CPU time of an item in microseconds.
pub fn measure(item_micros: f64, report: &mut Report) {
    let ledger = MemoryLedger::new(usize::MAX / 4, usize::MAX / 4);
    ledger.set_has_several_callers(true);
    // Other callers and uses hold something, as in a busy process.
    let held: Vec<_> = (0..50)
        .flat_map(|caller| MemoryUse::ALL.map(|held_as| (CallerId(caller), held_as)))
        .filter_map(|(caller, held_as)| ledger.reserve(caller, held_as, 1).ok())
        .collect();
    let shares: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let mut reservation = ledger.empty(CallerId(25), MemoryUse::Inputs);
            let started = Instant::now();
            for _ in 0..LOOPS {
                reservation.resize(black_box(1000)).expect("there is room");
                reservation.resize(black_box(0)).expect("less is possible");
            }
            let micros = started.elapsed().as_secs_f64() * 1e6 / LOOPS as f64;
            micros * RESERVATIONS as f64 / item_micros * 100.0
        })
        .collect();
    drop(held);
    report.rounds(
        "memory ledger: share of an item's CPU time",
        &shares,
        "%",
        Aim::AtMost(3.0),
    );
}
