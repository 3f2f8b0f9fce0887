//! Single calls at zero latency, many clients at once: CPU time a call.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow};

use super::bodies;
use super::client::Connection;
use super::options::Options;
use super::report::{Aim, Report};
use super::service::Service;
use super::simulated::Simulated;
use super::throughput::{micros_each, with_cpu};

const CALLS: usize = 20_000;

pub fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let calls = options.size(CALLS);
    let upstream = Simulated::start(&[])?;
    let service = Service::start(&upstream.base_url(), options.in_flight)?;
    run(&service.address, 0..calls, options.in_flight)?;
    let (mut cpu, mut rates) = (Vec::new(), Vec::new());
    for round in 1..=options.rounds() {
        let started = Instant::now();
        let numbers = round * calls..(round + 1) * calls;
        let ((), taken) = with_cpu(&service.process, || {
            run(&service.address, numbers, options.in_flight)
        })?;
        rates.push(calls as f64 / started.elapsed().as_secs_f64());
        cpu.push(micros_each(taken, calls));
    }
    report.rounds("single: CPU a call", &cpu, "µs", Aim::AtMost(90.0));
    report.rounds("single: calls a second", &rates, "/s", Aim::None);
    Ok(())
}

/// Sends a call for each number, by so many clients, each on a connection of its own, one after the other. No two texts are equal.
fn run(address: &str, numbers: Range<usize>, clients: usize) -> Result<()> {
    let next = AtomicUsize::new(numbers.start);
    let client = || -> Result<()> {
        let mut connection = Connection::open(address)?;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= numbers.end {
                return Ok(());
            }
            connection.exchange_ok(&bodies::single(number))?;
        }
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
        clients
            .into_iter()
            .try_for_each(|client| client.join().map_err(|_| anyhow!("a client panicked"))?)
    })
}
