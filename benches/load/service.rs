//! The service: the release binary with its defaults or with a configuration, and the simulated upstream for its provider.

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
    _data_dir: DataDir,
}

/// Settings of a service to start.
#[derive(Default)]
pub struct Setup {
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
    config: Option<String>,
}

impl Setup {
    /// Creates the settings of a service for the upstream at `base_url`, with a maximum number of calls and no other limit.
    pub fn asking(base_url: &str, in_flight: usize) -> Self {
        let setup = Self::default()
            .argument("--model", "openai/simulated")
            .argument("--max-concurrency", &in_flight.to_string());
        setup
            .variable("OPENAI_BASE_URL", base_url)
            .variable("OPENAI_API_KEY", "sk-simulated")
    }

    pub fn variable(mut self, name: &str, value: impl ToString) -> Self {
        self.environment.push((name.to_owned(), value.to_string()));
        self
    }

    fn argument(mut self, name: &str, value: &str) -> Self {
        self.arguments.extend([name.to_owned(), value.to_owned()]);
        self
    }

    /// Sets the text of the configuration file; variables and arguments override it.
    pub fn config(self, text: impl Into<String>) -> Self {
        Self {
            config: Some(text.into()),
            ..self
        }
    }

    /// Starts the service.
    ///
    /// # Errors
    /// If it does not start; the error has its output.
    pub fn start(self) -> Result<Service> {
        let data_dir = DataDir::new()?;
        let mut command = Process::command(env!("CARGO_BIN_EXE_extractd"));
        command
            .args(["--listen", "127.0.0.1:0"])
            .args(self.arguments)
            .arg("--data-dir")
            .arg(&data_dir.0);
        if let Some(text) = self.config {
            let file = data_dir.0.join("extractd.toml");
            fs::write(&file, text).context("the configuration file")?;
            command.arg("--config").arg(file);
        }
        command.envs(self.environment).stderr(Stdio::piped());
        let mut process = Process::start(command)?;
        let log = process.child().stderr.take().context("the service's log")?;
        Ok(Service {
            process,
            address: address_in(log).context("the service")?,
            _data_dir: data_dir,
        })
    }
}

impl Service {
    /// Starts a service without further settings.
    ///
    /// # Errors
    /// If it does not start; the error has its output.
    pub fn start(base_url: &str, in_flight: usize) -> Result<Self> {
        Setup::asking(base_url, in_flight).start()
    }
}

struct DataDir(PathBuf);

impl DataDir {
    fn new() -> Result<Self> {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("extractd-bench-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).context("a folder for the service's data")?;
        Ok(Self(path))
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        // Left behind, it is one more folder of temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}
