//! Duration of a batch behind a slow upstream, relative to the ideal: n × latency / limit, with the latency that
//! the upstream measured itself.

use anyhow::{Context, Result};

use super::bodies;
use super::options::Options;
use super::report::{Aim, Report};
use super::service::Service;
use super::simulated::Simulated;
use super::throughput::run_batch;

const LATENCY_MS: u32 = 50;
const ITEMS: usize = 6_400;
/// The rounds are long; a few are enough.
const ROUNDS: usize = 3;

pub fn measure(options: &Options, report: &mut Report) -> Result<()> {
    // Whole waves, so that the ideal can be reached.
    let items = options.size(ITEMS).next_multiple_of(options.in_flight);
    let upstream = Simulated::with_latency(LATENCY_MS)?;
    let service = Service::start(&upstream.base_url(), options.in_flight)?;
    let request = bodies::batch(items);
    run_batch(
        &service,
        &bodies::batch(options.in_flight),
        options.in_flight,
    )?;
    let mut over = Vec::new();
    for _ in 0..ROUNDS.min(options.rounds()) {
        upstream.reset_meter()?;
        let took = run_batch(&service, &request, items)?;
        let mean_us = upstream
            .meter()?
            .latency_us
            .mean
            .context("the upstream saw no call")?;
        let ideal = (items / options.in_flight) as f64 * mean_us / 1e6;
        over.push((took.as_secs_f64() / ideal - 1.0) * 100.0);
    }
    report.rounds(
        format!("makespan of {items} at {LATENCY_MS} ms: over the ideal"),
        &over,
        "%",
        Aim::AtMost(2.0),
    );
    Ok(())
}
