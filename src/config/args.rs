//! The flags, which every subcommand takes.

/// Flags that configure the server. Each wins over the environment, which wins over the file.
#[derive(Debug, Clone, Default, clap::Args)]
#[expect(
    clippy::doc_markdown,
    reason = "a terminal shows these texts as they stand"
)]
#[command(next_help_heading = "Configuration")]
pub struct Args {
    /// TOML file to read; the environment and flags win over it [env: EXTRACTD_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<String>,
    /// Address to listen on; port 0 takes a free one [env: EXTRACTD_LISTEN] [default: 127.0.0.1:8080]
    #[arg(long, global = true, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// Model for requests that name none: provider/model, or the name of a [models.NAME] of the file
    /// [env: EXTRACTD_MODEL] [default: the built-in model]
    #[arg(long, global = true, value_name = "MODEL")]
    pub model: Option<String>,
    /// GGUF file of the built-in model [env: EXTRACTD_MODEL_PATH]
    #[arg(long, global = true, value_name = "FILE")]
    pub model_path: Option<String>,
    /// Most calls in flight, of all callers and to all providers together [env: EXTRACTD_MAX_CONCURRENCY] [default: 64]
    #[arg(long, global = true, value_name = "N")]
    pub max_concurrency: Option<String>,
    /// Most calls a minute to the default model's provider
    /// [env: EXTRACTD_REQUESTS_PER_MINUTE] [default: unlimited]
    #[arg(long, global = true, value_name = "N")]
    pub requests_per_minute: Option<String>,
    /// Folder that the server keeps its data in [env: EXTRACTD_DATA_DIR] [default: ./data]
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// Folder of *.json schemas that requests can name [env: EXTRACTD_SCHEMAS_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub schemas_dir: Option<String>,
    /// What to log: a level, or a filter such as info,extractd=debug [env: EXTRACTD_LOG] [default: info]
    #[arg(long, global = true, value_name = "FILTER")]
    pub log: Option<String>,
    /// How to log: text or json [env: EXTRACTD_LOG_FORMAT] [default: text]
    #[arg(long, global = true, value_name = "FORMAT")]
    pub log_format: Option<String>,
}

impl Args {
    /// The flags that are given, but for those named.
    #[must_use]
    pub fn set_beside(&self, but: &[&str]) -> Vec<&'static str> {
        let config = ("--config", "", self.config.as_deref());
        let given = self
            .settings()
            .into_iter()
            .chain([config])
            .filter(|(flag, _, text)| text.is_some() && !but.contains(flag));
        given.map(|(flag, _, _)| flag).collect()
    }

    /// Each flag but `--config`, the key that it sets (`providers.*` is the default model's provider), and its text.
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
