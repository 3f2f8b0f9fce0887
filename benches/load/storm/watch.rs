//! `GET /v1/limits`, again and again: when work was waiting, and when nothing is in use any more.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use serde_json::Value;

use super::super::client::Connection;
use super::super::service::Service;

/// Interval of the samples.
const EVERY: Duration = Duration::from_millis(100);
/// A bucket of a minute is full again after a minute, whatever was taken from it.
const LONGEST: Duration = Duration::from_secs(90);

/// A span of time in microseconds since the Unix epoch.
pub type Span = (u64, u64);

/// Looks until `stop`. Returns the times in which somebody waited at each look, each to the last such look.
///
/// # Errors
/// If the service does not tell.
pub fn waiting(service: &Service, stop: &AtomicBool) -> Result<Vec<Span>> {
    let mut connection = Connection::open(&service.address)?;
    let (mut spans, mut open): (Vec<Span>, Option<Span>) = (Vec::new(), None);
    while !stop.load(Ordering::Relaxed) {
        let at_us = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)?
            .as_micros() as u64;
        let waits = sum(&limits(&mut connection)?, "waiting") > 0;
        open = match (open, waits) {
            (None, true) => Some((at_us, at_us)),
            (Some((from, _)), true) => Some((from, at_us)),
            (ended, false) => {
                spans.extend(ended);
                None
            }
        };
        thread::sleep(EVERY);
    }
    spans.extend(open);
    Ok(spans)
}

/// Waits until nothing is in use and nobody waits, in every row. Returns how long that took, `None` if it was not so in time; and
/// the last rows.
///
/// # Errors
/// If the service does not tell.
pub fn until_idle(service: &Service) -> Result<(Option<Duration>, Value)> {
    let mut connection = Connection::open(&service.address)?;
    let started = Instant::now();
    loop {
        let rows = limits(&mut connection)?;
        if sum(&rows, "waiting") == 0 && sum(&rows, "in_use") == 0 {
            return Ok((Some(started.elapsed()), rows));
        }
        if started.elapsed() > LONGEST {
            return Ok((None, rows));
        }
        thread::sleep(EVERY);
    }
}

fn limits(connection: &mut Connection) -> Result<Value> {
    let answer = connection.exchange_ok(b"GET /v1/limits HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
    let mut body: Value = serde_json::from_slice(&answer.body).context("the limits")?;
    Ok(body["limits"].take())
}

fn sum(rows: &Value, field: &str) -> u64 {
    rows.as_array()
        .into_iter()
        .flatten()
        .filter_map(|row| row[field].as_u64())
        .sum()
}
