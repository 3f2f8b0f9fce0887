//! Latency of a stream's first result: from the upstream's sending of the first answer, by its meter, to the client's reading
//! of the first `result` event. Both by the wall clock of this machine.

use std::time::SystemTime;

use anyhow::{Context, Result};

use super::bodies;
use super::client::Connection;
use super::options::Options;
use super::report::{Aim, Report};
use super::service::Service;
use super::simulated::Simulated;
use super::statistics::percentile;

const LATENCY_MS: u32 = 50;
/// Batches; each has one first event.
const BATCHES: usize = 50;

pub fn measure(options: &Options, report: &mut Report) -> Result<()> {
    // The first answers of a whole wave come at once: the hard case.
    let items = 4 * options.in_flight;
    let upstream = Simulated::with_latency(LATENCY_MS)?;
    let service = Service::start(&upstream.base_url(), options.in_flight)?;
    let request = bodies::batch(items);
    let mut waits = Vec::new();
    for batch in 0..=options.size(BATCHES) {
        upstream.reset_meter()?;
        let read_at_us = first_event_at_us(&service, &request, items)?;
        let left_at_us = upstream
            .meter()?
            .first_answer_at_us
            .context("the upstream saw no call")?;
        // The first batch opens the connections.
        if batch > 0 {
            waits.push((read_at_us - left_at_us as f64) / 1000.0);
        }
    }
    report.rounds(
        "first result event after the first answer: median",
        &waits,
        "ms",
        Aim::AtMost(2.0),
    );
    report.value(
        "first result event after the first answer: 90th percentile",
        percentile(&waits, 90),
        "ms",
        Aim::None,
    );
    Ok(())
}

fn first_event_at_us(service: &Service, request: &[u8], items: usize) -> Result<f64> {
    let mut connection = Connection::open(&service.address)?;
    connection.send(request)?;
    let mut first = None;
    bodies::read_events(connection.lines()?, items, || {
        first = Some(SystemTime::now())
    })?;
    let since_epoch = first
        .context("no result event")?
        .duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(since_epoch.as_secs_f64() * 1e6)
}
