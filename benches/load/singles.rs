//! Single calls at zero latency, many clients at once: CPU time a call.

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
    run(&service.address, calls, options.in_flight)?;
    let (mut cpu, mut rates) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds() {
        let started = Instant::now();
        let ((), taken) = with_cpu(&service.process, || run(&service.address, calls, options.in_flight))?;
        rates.push(calls as f64 / started.elapsed().as_secs_f64());
        cpu.push(micros_each(taken, calls));
    }
    report.rounds("single: CPU a call", &cpu, "µs", Aim::AtMost(90.0));
    report.rounds("single: calls a second", &rates, "/s", Aim::None);
    Ok(())
}

/// So many calls by so many clients, each on a connection of its own, one after the other.
fn run(address: &str, calls: usize, clients: usize) -> Result<()> {
    let taken = AtomicUsize::new(0);
    let client = || -> Result<()> {
        let mut connection = Connection::open(address)?;
        let request = bodies::single(0);
        while taken.fetch_add(1, Ordering::Relaxed) < calls {
            connection.exchange_ok(&request)?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
        clients.into_iter().try_for_each(|client| client.join().map_err(|_| anyhow!("a client panicked"))?)
    })
}
