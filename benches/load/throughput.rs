//! A batch at zero latency, as server-sent events, beside the bare loop: items a second as a ratio, and CPU time an item.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::bare::Bare;
use super::bodies;
use super::client::Connection;
use super::ledger;
use super::options::Options;
use super::process::Process;
use super::recorder;
use super::report::{Aim, Report};
use super::service::Service;
use super::simulated::Simulated;
use super::statistics::median;

const ITEMS: usize = 20_000;

pub fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let items = options.size(ITEMS);
    let upstream = Simulated::start(&[])?;
    let service = Service::start(&upstream.base_url(), options.in_flight)?;
    let mut bare = Bare::start(
        &upstream.base_url(),
        options.in_flight,
        &recorder::upstream_body()?,
    )?;
    let (request, grounded) = (bodies::batch(items), bodies::grounded_batch(items));
    // Connections and caches are warm, as in a process that serves.
    run_batch(&service, &request, items)?;
    run_batch(&service, &grounded, items)?;
    bare.run(items)?;
    let mut rounds = Rounds::default();
    for _ in 0..options.rounds() {
        let (bare_took, bare_cpu, upstream_cpu) = {
            let (before, upstream_before) = (bare.process.cpu()?, upstream.process.cpu()?);
            let took = bare.run(items)?;
            (
                took,
                bare.process.cpu()? - before,
                upstream.process.cpu()? - upstream_before,
            )
        };
        let (took, cpu) = with_cpu(&service.process, || run_batch(&service, &request, items))?;
        let (_, grounded_cpu) =
            with_cpu(&service.process, || run_batch(&service, &grounded, items))?;
        rounds
            .evidence_cpu
            .push(micros_each(grounded_cpu, items) - micros_each(cpu, items));
        rounds
            .ratios
            .push(bare_took.as_secs_f64() / took.as_secs_f64());
        rounds.rates.push(items as f64 / took.as_secs_f64());
        rounds
            .bare_rates
            .push(items as f64 / bare_took.as_secs_f64());
        rounds.cpu.push(micros_each(cpu, items));
        rounds.bare_cpu.push(micros_each(bare_cpu, items));
        rounds.upstream_cpu.push(micros_each(upstream_cpu, items));
    }
    rounds.report(report);
    ledger::measure(median(&rounds.cpu), report);
    Ok(())
}

#[derive(Default)]
struct Rounds {
    ratios: Vec<f64>,
    rates: Vec<f64>,
    bare_rates: Vec<f64>,
    cpu: Vec<f64>,
    bare_cpu: Vec<f64>,
    upstream_cpu: Vec<f64>,
    /// Cost of the evidence of three values, with its JSON.
    evidence_cpu: Vec<f64>,
}

impl Rounds {
    fn report(&self, report: &mut Report) {
        report.rounds(
            "batch: throughput, of the bare loop's",
            &self.ratios,
            "",
            Aim::AtLeast(0.8),
        );
        report.rounds("batch: items a second", &self.rates, "/s", Aim::None);
        report.rounds(
            "bare loop: calls a second",
            &self.bare_rates,
            "/s",
            Aim::None,
        );
        report.rounds("batch: CPU an item", &self.cpu, "µs", Aim::AtMost(50.0));
        report.rounds(
            "batch with evidence: CPU that it adds an item",
            &self.evidence_cpu,
            "µs",
            Aim::AtMost(20.0),
        );
        report.rounds("bare loop: CPU a call", &self.bare_cpu, "µs", Aim::None);
        report.rounds(
            "simulated upstream: CPU a call",
            &self.upstream_cpu,
            "µs",
            Aim::None,
        );
    }
}

/// Returns the CPU time that a process takes while something runs.
///
/// # Errors
/// Those of what runs.
pub fn with_cpu<T>(process: &Process, run: impl FnOnce() -> Result<T>) -> Result<(T, Duration)> {
    let before = process.cpu()?;
    let done = run()?;
    Ok((done, process.cpu()?.saturating_sub(before)))
}

pub fn micros_each(cpu: Duration, items: usize) -> f64 {
    cpu.as_secs_f64() * 1e6 / items as f64
}

/// Sends a batch and reads all of its events. Returns the time from the request's first byte to the answer's last.
///
/// # Errors
/// If an item fails.
pub fn run_batch(service: &Service, request: &[u8], items: usize) -> Result<Duration> {
    let mut connection = Connection::open(&service.address)?;
    let started = Instant::now();
    connection.send(request)?;
    bodies::read_events(connection.lines()?, items, || {})?;
    Ok(started.elapsed())
}
