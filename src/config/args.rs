//! Command line flags that configure the server; every subcommand accepts them.

/// Flags that configure the server. A flag overrides the environment, which overrides the file.
#[derive(Debug, Clone, Default, clap::Args)]
#[expect(
    clippy::doc_markdown,
    reason = "a terminal shows these texts as they stand"
)]
#[command(next_help_heading = "Configuration")]
pub struct Args {
    /// Configuration file (TOML); the environment and flags override it [env: EXTRACTD_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<String>,
    /// Address to listen on; port 0 takes a free port [env: EXTRACTD_LISTEN] [default: 127.0.0.1:8080]
    #[arg(long, global = true, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// Default model: provider/model, or the name of a [models.NAME] of the configuration file
    /// [env: EXTRACTD_MODEL] [default: the built-in model]
    #[arg(long, global = true, value_name = "MODEL")]
    pub model: Option<String>,
    /// GGUF file of the built-in model [env: EXTRACTD_MODEL_PATH]
    #[arg(long, global = true, value_name = "FILE")]
    pub model_path: Option<String>,
    /// Maximum number of calls in flight, over all callers and providers [env: EXTRACTD_MAX_CONCURRENCY] [default: 64]
    #[arg(long, global = true, value_name = "N")]
    pub max_concurrency: Option<String>,
    /// Maximum number of calls per minute to the default model's provider, with each API key
    /// [env: EXTRACTD_REQUESTS_PER_MINUTE] [default: unlimited]
    #[arg(long, global = true, value_name = "N")]
    pub requests_per_minute: Option<String>,
    /// Folder of the job store and of registered schemas [env: EXTRACTD_DATA_DIR] [default: ./data]
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// Folder of NAME.json schemas that requests can name [env: EXTRACTD_SCHEMAS_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub schemas_dir: Option<String>,
    /// Log filter: a level, or directives such as info,extractd=debug [env: EXTRACTD_LOG] [default: info]
    #[arg(long, global = true, value_name = "FILTER")]
    pub log: Option<String>,
    /// Log format: text or json [env: EXTRACTD_LOG_FORMAT] [default: text]
    #[arg(long, global = true, value_name = "FORMAT")]
    pub log_format: Option<String>,
}

impl Args {
    /// Returns the names of the flags that are given, except those in `allowed`.
    #[must_use]
    pub fn given_except(&self, allowed: &[&str]) -> Vec<&'static str> {
        let config = ("--config", "", self.config.as_deref());
        let given = self
            .settings()
            .into_iter()
            .chain([config])
            .filter(|(flag, _, text)| text.is_some() && !allowed.contains(flag));
        given.map(|(flag, _, _)| flag).collect()
    }

    /// Returns each flag except `--config`, the key that it sets, and its text. `providers.*` is the default model's provider.
    pub(super) fn settings(&self) -> [(&'static str, &'static str, Option<&str>); 9] {
        [
            ("--listen", "listen", self.listen.as_deref()),
            ("--model", "model", self.model.as_deref()),
            (
                "--model-path",
                "local.model_path",
                self.model_path.as_deref(),
            ),
            (
                "--max-concurrency",
                "limits.max_concurrency",
                self.max_concurrency.as_deref(),
            ),
            (
                "--requests-per-minute",
                "providers.*.requests_per_minute",
                self.requests_per_minute.as_deref(),
            ),
            ("--data-dir", "data_dir", self.data_dir.as_deref()),
            ("--schemas-dir", "schemas_dir", self.schemas_dir.as_deref()),
            ("--log", "log.filter", self.log.as_deref()),
            ("--log-format", "log.format", self.log_format.as_deref()),
        ]
    }
}
