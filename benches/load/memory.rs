//! Memory of the service: its growth for each item that waits behind an upstream which never answers, and its peak while a
//! million lines of NDJSON stream through.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use super::bodies;
use super::client::Connection;
use super::options::Options;
use super::report::{Aim, Report};
use super::service::Service;
use super::simulated::Simulated;
use super::throughput::{micros_each, with_cpu};

const SINGLES: usize = 8_000;
const BATCH_ITEMS: usize = 100_000;
const LINES: usize = 1_000_000;
const MEBIBYTE: f64 = 1024.0 * 1024.0;

pub fn measure(options: &Options, report: &mut Report) -> Result<()> {
    waiting_singles(options, report)?;
    waiting_batch(options, report)?;
    streamed(options, report)
}

fn waiting_singles(options: &Options, report: &mut Report) -> Result<()> {
    let singles = options.size(SINGLES);
    let (upstream, service) = stalled(options)?;
    let before = service.process.memory()?;
    let open = |number| -> Result<Connection> {
        let mut connection = Connection::open(&service.address)?;
        connection.send(&bodies::single(number))?;
        Ok(connection)
    };
    let waiting = (0..singles).map(open).collect::<Result<Vec<_>>>()?;
    let grown = settled(&upstream, &service, options.in_flight)? - before;
    drop(waiting);
    report.value(
        format!("memory a waiting single, of {singles}"),
        grown / singles as f64 / 1024.0,
        "KiB",
        Aim::None,
    );
    Ok(())
}

fn waiting_batch(options: &Options, report: &mut Report) -> Result<()> {
    let items = options.size(BATCH_ITEMS);
    let (upstream, service) = stalled(options)?;
    let before = service.process.memory()?;
    let mut connection = Connection::open(&service.address)?;
    connection.send(&bodies::batch(items))?;
    let grown = settled(&upstream, &service, options.in_flight)? - before;
    report.value(
        format!("memory a waiting item of a batch of {items}"),
        grown / items as f64,
        "bytes",
        Aim::None,
    );
    report.value(
        "  of which the input's text",
        bodies::text(0).len() as f64,
        "bytes",
        Aim::None,
    );
    Ok(())
}

fn stalled(options: &Options) -> Result<(Simulated, Service)> {
    let upstream = Simulated::start(&["--stalls", "1"])?;
    let service = Service::start(&upstream.base_url(), options.in_flight)?;
    Ok((upstream, service))
}

/// Returns the service's memory once the maximum of calls is in flight and the memory no longer grows.
fn settled(upstream: &Simulated, service: &Service, in_flight: usize) -> Result<f64> {
    const LOOK: Duration = Duration::from_millis(500);
    let started = Instant::now();
    let mut last = 0.0;
    while started.elapsed() < Duration::from_secs(60) {
        thread::sleep(LOOK);
        let now = service.process.memory()?;
        if upstream.meter()?.in_flight == in_flight && now == last {
            return Ok(now);
        }
        last = now;
    }
    Err(anyhow!("the calls in flight, or the memory, do not settle"))
}

fn streamed(options: &Options, report: &mut Report) -> Result<()> {
    let lines = options.size(LINES);
    let upstream = Simulated::start(&[])?;
    let service = Service::start(&upstream.base_url(), options.in_flight)?;
    let before = service.process.memory()?;
    let (took, cpu) = with_cpu(&service.process, || stream(&service, lines))?;
    let peak = service.process.peak_memory()?;
    report.value(
        format!("{lines} lines of NDJSON: peak memory"),
        peak / MEBIBYTE,
        "MiB",
        Aim::None,
    );
    report.value(
        "  of which before the first line",
        before / MEBIBYTE,
        "MiB",
        Aim::None,
    );
    report.value(
        "  CPU an item",
        micros_each(cpu, lines),
        "µs",
        Aim::AtMost(50.0),
    );
    report.value(
        "  items a second",
        lines as f64 / took.as_secs_f64(),
        "/s",
        Aim::None,
    );
    Ok(())
}

fn stream(service: &Service, lines: usize) -> Result<Duration> {
    let mut connection = Connection::open(&service.address)?;
    let writer = connection.writer()?;
    let started = Instant::now();
    let uploading = thread::spawn(move || {
        bodies::upload(writer, "/v1/extract/batch", "application/x-ndjson", lines)
    });
    bodies::read_ndjson(connection.lines()?, lines)?;
    uploading
        .join()
        .map_err(|_| anyhow!("the upload panicked"))?
        .context("the upload")?;
    ensure!(lines > 0, "nothing to send");
    Ok(started.elapsed())
}
