//! One scenario: starts both, sends the batch, reads every result, and waits until the service is idle.

use std::collections::BTreeMap;
use std::fmt;
use std::io::BufRead;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::Value;

use super::super::client::Connection;
use super::super::options::Options;
use super::super::service::Service;
use super::super::simulated::{Account, Simulated};
use super::used::{self, Used};
use super::{AT_ONCE, REQUESTS_PER_MINUTE, Scenario, TOKENS_PER_MINUTE, texts, watch};

/// Result of a scenario.
pub struct Ended {
    pub results: Results,
    pub asked_again: usize,
    calls: usize,
    refused: usize,
    pub tokens_a_call: f64,
    pub used: Used,
    pub took: Duration,
    /// `None`: something was still in use after a minute and a half.
    pub idle_after: Option<Duration>,
    /// The last rows of `/v1/limits`.
    pub limits: Value,
    pub memory: f64,
    pub peak_memory: f64,
}

impl Ended {
    pub fn refused_percent(&self) -> f64 {
        self.refused as f64 / self.calls.max(1) as f64 * 100.0
    }
}

pub fn run(scenario: Scenario, options: &Options) -> Result<Ended> {
    let items = if options.quick {
        scenario.quick_items()
    } else {
        scenario.items()
    };
    let request = texts::batch(items, scenario.tokens_a_call())?;
    let upstream = upstream(scenario, options)?;
    let service = scenario
        .setup(&upstream.base_url(), options.in_flight)
        .start()?;
    let (started, stop) = (Instant::now(), AtomicBool::new(false));
    let (results, waiting) = thread::scope(|scope| {
        let watching = scope.spawn(|| watch::waiting(&service, &stop));
        let results = read(&service, &request, items);
        stop.store(true, Ordering::Relaxed);
        (results, watching.join())
    });
    let (results, waiting) = (
        results?,
        waiting.map_err(|_| anyhow!("the watch panicked"))??,
    );
    let took = started.elapsed();
    let (idle_after, limits) = watch::until_idle(&service)?;
    let meter = upstream.meter()?;
    let accounts: Vec<&Account> = meter.keys.values().collect();
    let sum =
        |count: fn(&Account) -> usize| accounts.iter().map(|account| count(account)).sum::<usize>();
    let tokens: i64 = accounts.iter().map(|account| account.tokens).sum();
    Ok(Ended {
        results,
        asked_again: meter
            .texts
            .context("the upstream kept no texts")?
            .asked_again,
        calls: sum(|account| account.calls),
        refused: sum(|account| account.refused),
        tokens_a_call: tokens as f64 / sum(|account| account.admitted).max(1) as f64,
        used: used::used(&accounts, &waiting),
        took,
        idle_after,
        limits,
        memory: service.process.memory()?,
        peak_memory: service.process.peak_memory()?,
    })
}

fn upstream(scenario: Scenario, options: &Options) -> Result<Simulated> {
    let at_once = |per_minute| f64::from(per_minute) * AT_ONCE.as_secs_f64() / 60.0;
    let limits = [
        format!("--rate-limit-rpm={REQUESTS_PER_MINUTE}"),
        format!("--rate-limit-burst={}", at_once(REQUESTS_PER_MINUTE)),
        format!("--rate-limit-tpm={TOKENS_PER_MINUTE}"),
        format!("--rate-limit-tpm-burst={}", at_once(TOKENS_PER_MINUTE)),
    ];
    let faults = [
        "--latency-ms=200",
        "--jitter=600",
        "--resets=0.02",
        "--stalls=0.02",
        "--invalid=0.05",
    ];
    let mut flags = vec!["--arrivals", "--texts"];
    flags.extend(limits.iter().map(String::as_str));
    flags.extend(faults);
    flags.extend(scenario.flags());
    flags.extend(options.upstream.iter().map(String::as_str));
    Simulated::start(&flags)
}

/// The results, counted.
pub struct Results {
    /// By status, failed ones with their code.
    by_status: BTreeMap<String, usize>,
    /// Inputs that got no result, or several.
    not_one: usize,
    /// Results with the data of another text.
    mistaken: usize,
    total: usize,
}

impl Results {
    pub const fn wrong(&self) -> usize {
        self.not_one + self.mistaken
    }
}

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "of {}", self.total)?;
        let mut separator = ": ";
        for (status, count) in &self.by_status {
            write!(f, "{separator}{count} {status}")?;
            separator = ", ";
        }
        Ok(())
    }
}

/// Sends the batch, and reads the results as they complete.
fn read(service: &Service, request: &[u8], items: usize) -> Result<Results> {
    let mut connection = Connection::open(&service.address)?;
    connection.send(request)?;
    let (mut seen, mut results) = (
        vec![0_usize; items],
        Results {
            by_status: BTreeMap::new(),
            not_one: 0,
            mistaken: 0,
            total: items,
        },
    );
    let mut summary = false;
    for line in connection.lines()?.lines() {
        let line: Value = serde_json::from_str(&line?).context("a line of the reply")?;
        if line.get("summary").is_some() {
            summary = true;
            continue;
        }
        let index = line["index"]
            .as_u64()
            .and_then(|index| usize::try_from(index).ok())
            .context("a result has no index")?;
        *seen
            .get_mut(index)
            .context("a result of an input that was not sent")? += 1;
        let status = line["status"].as_str().unwrap_or_default();
        if status == "succeeded" && line["data"] != texts::found(index) {
            results.mistaken += 1;
        }
        let code = line["error"]["code"]
            .as_str()
            .map(|code| format!(" ({code})"))
            .unwrap_or_default();
        *results
            .by_status
            .entry(format!("{status}{code}"))
            .or_default() += 1;
    }
    ensure!(summary, "the reply broke off");
    results.not_one = seen.iter().filter(|times| **times != 1).count();
    Ok(results)
}
