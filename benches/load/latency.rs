//! Overhead of the service for a single call: the call through it, minus the same call straight to the upstream, one at a time
//! on kept-alive connections, in alternating blocks.

use std::time::Instant;

use anyhow::Result;

use super::bodies;
use super::client::Connection;
use super::options::Options;
use super::recorder;
use super::report::{Aim, Report};
use super::service::Service;
use super::simulated::Simulated;
use super::statistics::{median, percentile};

/// Latencies of the upstream in milliseconds, and the calls of a round.
const CASES: [(u32, usize); 2] = [(0, 4_000), (5, 400)];
/// Calls of one kind before the other has its turn.
const BLOCK: usize = 20;

pub fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let body = recorder::upstream_body()?;
    for (latency_ms, calls) in CASES {
        let upstream = Simulated::with_latency(latency_ms)?;
        let service = Service::start(&upstream.base_url(), options.in_flight)?;
        let (mut medians, mut tails, mut direct_medians) = (Vec::new(), Vec::new(), Vec::new());
        let mut pair = Pair::open(&service, &upstream, &body)?;
        pair.run(options.size(calls))?;
        for _ in 0..options.rounds() {
            let (through, direct) = pair.run(options.size(calls))?;
            medians.push(median(&through) - median(&direct));
            tails.push(percentile(&through, 99) - percentile(&direct, 99));
            direct_medians.push(median(&direct));
        }
        report.rounds(
            format!("single, upstream {latency_ms} ms: added, median"),
            &medians,
            "ms",
            Aim::AtMost(0.15),
        );
        report.rounds(
            format!("single, upstream {latency_ms} ms: added, 99th percentile"),
            &tails,
            "ms",
            Aim::AtMost(0.5),
        );
        report.rounds(
            format!("straight to the upstream of {latency_ms} ms: median"),
            &direct_medians,
            "ms",
            Aim::None,
        );
    }
    Ok(())
}

/// Both ways to the upstream.
struct Pair {
    through: (Connection, Vec<u8>),
    direct: (Connection, Vec<u8>),
}

impl Pair {
    fn open(service: &Service, upstream: &Simulated, body: &[u8]) -> Result<Self> {
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            upstream.address,
            body.len()
        );
        Ok(Self {
            through: (Connection::open(&service.address)?, bodies::single(0)),
            direct: (
                Connection::open(&upstream.address)?,
                [head.as_bytes(), body].concat(),
            ),
        })
    }

    /// Measures the times of so many calls each way, in milliseconds.
    fn run(&mut self, calls: usize) -> Result<(Vec<f64>, Vec<f64>)> {
        let (mut through, mut direct) = (Vec::with_capacity(calls), Vec::with_capacity(calls));
        for _ in 0..calls.div_ceil(BLOCK) {
            block(&mut self.through, &mut through)?;
            block(&mut self.direct, &mut direct)?;
        }
        Ok((through, direct))
    }
}

fn block((connection, request): &mut (Connection, Vec<u8>), times: &mut Vec<f64>) -> Result<()> {
    for _ in 0..BLOCK {
        let started = Instant::now();
        connection.exchange_ok(request)?;
        times.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(())
}
