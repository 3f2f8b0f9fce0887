//! The service: the release binary with its defaults, and the simulated upstream for its provider.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};

use super::process::{Process, address_in};

/// A running service, and its data directory, which goes with it.
pub struct Service {
    pub process: Process,
    pub address: String,
    data_dir: PathBuf,
}

impl Service {
    /// # Errors
    /// When it does not start; with its own words.
    pub fn start(base_url: &str, in_flight: usize) -> Result<Self> {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let data_dir = std::env::temp_dir().join(format!("extractd-bench-{}-{number}", std::process::id()));
        let mut command = Process::command(env!("CARGO_BIN_EXE_extractd"));
        command.args(["--listen", "127.0.0.1:0", "--model", "openai/simulated", "--max-concurrency", &in_flight.to_string()]);
        command.arg("--data-dir").arg(&data_dir);
        command.envs([("OPENAI_BASE_URL", base_url), ("OPENAI_API_KEY", "sk-simulated")]).stderr(Stdio::piped());
        let mut process = Process::start(command)?;
        let log = process.child().stderr.take().context("the service's log")?;
        Ok(Self { process, address: address_in(log).context("the service")?, data_dir })
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may not have been made.
        let _ = fs::remove_dir_all(&self.data_dir);
    }
}
