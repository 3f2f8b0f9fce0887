//! A durable job of a million lines: how soon it is on the disk, how fast it is worked off, what it takes in memory, and how soon
//! it is listed and shown meanwhile.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::Value;

use super::bodies;
use super::client::Connection;
use super::options::Options;
use super::report::{Aim, Report};
use super::service::Service;
use super::simulated::Simulated;
use super::throughput::{micros_each, with_cpu};

const LINES: usize = 1_000_000;
/// Interval at which the job's state is polled.
const LOOK: Duration = Duration::from_millis(200);
/// Longer than it may ever take.
const LIMIT: Duration = Duration::from_secs(900);
const MEBIBYTE: f64 = 1024.0 * 1024.0;

pub fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let lines = options.size(LINES);
    let upstream = Simulated::start(&[])?;
    let service = Service::start(&upstream.base_url(), options.in_flight)?;
    let (job, accepted) = make(&service, lines)?;
    report.value(
        format!("a job of {lines} lines: accepted, on the disk, after"),
        accepted.as_secs_f64(),
        "s",
        Aim::AtMost(20.0),
    );
    let mut looks = Vec::new();
    let (took, cpu) = with_cpu(&service.process, || {
        until_done(&service, &job, lines, &mut looks)
    })?;
    report.value(
        "  recorded a second",
        lines as f64 / took.as_secs_f64(),
        "/s",
        Aim::AtLeast(10_000.0),
    );
    report.value("  CPU an item", micros_each(cpu, lines), "µs", Aim::None);
    report.value(
        "  peak memory",
        service.process.peak_memory()? / MEBIBYTE,
        "MiB",
        Aim::AtMost(300.0),
    );
    looks.sort_by(f64::total_cmp);
    let at = |share: f64| {
        looks
            .get((looks.len() as f64 * share) as usize)
            .copied()
            .unwrap_or(f64::NAN)
    };
    report.value(
        "  listed, or shown, meanwhile: median",
        at(0.5),
        "ms",
        Aim::AtMost(10.0),
    );
    report.value("  the same, 99th percentile", at(0.99), "ms", Aim::None);
    Ok(())
}

/// Makes a job; its path, and how long that took.
fn make(service: &Service, lines: usize) -> Result<(String, Duration)> {
    let mut connection = Connection::open(&service.address)?;
    let writer = connection.writer()?;
    let started = Instant::now();
    let uploading =
        thread::spawn(move || bodies::upload(writer, "/v1/jobs", "application/json", lines));
    let answer = connection.answer()?;
    let took = started.elapsed();
    uploading
        .join()
        .map_err(|_| anyhow!("the upload panicked"))?
        .context("the upload")?;
    ensure!(
        answer.status == 202,
        "status {}: {}",
        answer.status,
        String::from_utf8_lossy(&answer.body)
    );
    let job: Value = serde_json::from_slice(&answer.body).context("the job")?;
    let path = job
        .pointer("/links/self")
        .and_then(Value::as_str)
        .context("the job's link")?;
    Ok((path.to_owned(), took))
}

/// Looks at the job and at the list until all items have succeeded; how long each look took, in milliseconds.
fn until_done(
    service: &Service,
    job: &str,
    lines: usize,
    looks: &mut Vec<f64>,
) -> Result<Duration> {
    let started = Instant::now();
    let mut connection = Connection::open(&service.address)?;
    while started.elapsed() < LIMIT {
        let mut shown = Value::Null;
        for path in ["/v1/jobs", job] {
            let asked = Instant::now();
            let answer = connection.exchange_ok(&bodies::get(path))?;
            looks.push(asked.elapsed().as_secs_f64() * 1000.0);
            shown = serde_json::from_slice(&answer.body)?;
        }
        if shown.get("status").and_then(Value::as_str) == Some("completed") {
            ensure!(
                shown.pointer("/counts/succeeded") == Some(&Value::from(lines)),
                "not all succeeded: {shown}"
            );
            return Ok(started.elapsed());
        }
        thread::sleep(LOOK);
    }
    Err(anyhow!("the job does not end"))
}
