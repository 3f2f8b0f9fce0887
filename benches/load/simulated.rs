//! The simulated upstream, a process of its own: `examples/upstream`, built into this program.

use std::collections::BTreeMap;
use std::process::Stdio;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::client::Connection;
use super::process::{Process, address_in};

/// The name under which this program is the upstream.
pub const NAME: &str = "simulated-upstream";

/// A running upstream.
pub struct Simulated {
    pub process: Process,
    pub address: String,
}

/// Report of the simulated provider. Times are microseconds since the Unix epoch.
#[derive(Deserialize)]
pub struct Meter {
    pub in_flight: usize,
    pub first_answer_at_us: Option<u64>,
    pub latency_us: Latency,
    /// By API key.
    pub keys: BTreeMap<String, Account>,
    /// With `--texts`.
    pub texts: Option<Texts>,
}

/// Calls and tokens of one API key.
#[derive(Deserialize)]
pub struct Account {
    pub calls: usize,
    /// Answered 429.
    pub refused: usize,
    pub admitted: usize,
    pub tokens: i64,
    /// With `--arrivals`: when each call was let in, and the tokens that it used.
    pub admitted_at_us: Option<Vec<(u64, i64)>>,
    /// With `--arrivals`: the times in which the key was told to wait; none overlap.
    pub pauses_us: Option<Vec<(u64, u64)>>,
}

/// Deliveries of answers by text.
#[derive(Deserialize)]
pub struct Texts {
    /// Asked again though their answer had arrived.
    pub asked_again: usize,
}

/// Duration of calls, from the request's last byte read to the answer's last byte written.
#[derive(Deserialize)]
pub struct Latency {
    pub mean: Option<f64>,
}

impl Simulated {
    /// Starts the simulated provider with these flags.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(flags: &[&str]) -> Result<Self> {
        let mut command = Process::own(NAME)?;
        command.args(flags).stdout(Stdio::piped());
        let mut process = Process::start(command)?;
        let output = process
            .child()
            .stdout
            .take()
            .context("the upstream's output")?;
        Ok(Self {
            process,
            address: address_in(output).context("the upstream")?,
        })
    }

    /// Starts a simulated provider of this latency.
    ///
    /// # Errors
    /// If it does not start.
    pub fn with_latency(milliseconds: u32) -> Result<Self> {
        Self::start(&["--latency-ms", &milliseconds.to_string()])
    }

    /// Returns the base URL that a provider's SDK takes.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Returns the report since the start or the last reset.
    ///
    /// # Errors
    /// If the provider does not answer.
    pub fn meter(&self) -> Result<Meter> {
        let answer = Connection::open(&self.address)?.exchange(b"GET /meter HTTP/1.1\r\n\r\n")?;
        serde_json::from_slice(&answer.body).context("the meter")
    }

    /// Resets the report.
    ///
    /// # Errors
    /// If the provider does not answer.
    pub fn reset_meter(&self) -> Result<()> {
        Connection::open(&self.address)?
            .exchange(b"POST /meter/reset HTTP/1.1\r\ncontent-length: 0\r\n\r\n")
            .map(drop)
    }
}
