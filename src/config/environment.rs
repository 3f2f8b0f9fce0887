//! Environment variables: the key that each one sets, and the rejection of unknown `EXTRACTD_…`
//! variables.

use super::{
    error::{Error, nearest},
    setting::{Environment, Origin},
};

/// Environment variables with the keys that they set. Lists are comma-separated; `providers.*` is
/// the default model's provider.
pub(super) const VARIABLES: [(&str, &str); 24] = [
    ("EXTRACTD_LISTEN", "listen"),
    ("EXTRACTD_MODEL", "model"),
    ("EXTRACTD_DATA_DIR", "data_dir"),
    ("EXTRACTD_SCHEMAS_DIR", "schemas_dir"),
    ("EXTRACTD_CALLERS_FILE", "callers_file"),
    ("EXTRACTD_API_KEYS", "server.api_keys"),
    ("EXTRACTD_ALLOW_ANONYMOUS", "server.allow_anonymous"),
    ("EXTRACTD_CORS_ORIGINS", "server.cors_origins"),
    ("EXTRACTD_HOSTS", "server.hosts"),
    ("EXTRACTD_SHUTDOWN_GRACE_MS", "server.shutdown_grace_ms"),
    ("EXTRACTD_MAX_CONCURRENCY", "limits.max_concurrency"),
    ("EXTRACTD_MAX_QUEUE", "limits.max_queue"),
    ("EXTRACTD_LOG", "log.filter"),
    ("EXTRACTD_LOG_FORMAT", "log.format"),
    ("EXTRACTD_MODEL_PATH", "local.model_path"),
    (
        "EXTRACTD_REQUESTS_PER_MINUTE",
        "providers.*.requests_per_minute",
    ),
    ("EXTRACTD_REQUEST_BURST", "providers.*.request_burst"),
    (
        "EXTRACTD_TOKENS_PER_MINUTE",
        "providers.*.tokens_per_minute",
    ),
    ("OPENAI_API_KEY", "providers.openai.api_key"),
    ("OPENAI_BASE_URL", "providers.openai.base_url"),
    ("ANTHROPIC_API_KEY", "providers.anthropic.api_key"),
    ("ANTHROPIC_BASE_URL", "providers.anthropic.base_url"),
    ("GEMINI_API_KEY", "providers.gemini.api_key"),
    ("GEMINI_BASE_URL", "providers.gemini.base_url"),
];

/// Environment variable with the path of the configuration file; `--config` overrides it.
pub(super) const CONFIG: &str = "EXTRACTD_CONFIG";

/// Rejects an unknown `EXTRACTD_…` variable: a typo must not be silently ignored.
pub(super) fn check(environment: &Environment) -> Result<(), Error> {
    for (name, value) in environment {
        let Some(suffix) = name.strip_prefix("EXTRACTD_") else {
            continue;
        };
        if !suffixes().any(|known| known == suffix) && !from_kubernetes(name, value) {
            let hint = nearest(suffix, suffixes()).map_or_else(String::new, |near| {
                format!(" did you mean EXTRACTD_{near}?")
            });
            let known: Vec<_> = suffixes()
                .map(|suffix| format!("EXTRACTD_{suffix}"))
                .collect();
            return Err(Error::new(
                &Origin::Environment(name.clone()),
                format!("unknown variable;{hint} known: {}", known.join(", ")),
            ));
        }
    }
    Ok(())
}

/// Returns the known variables' names without `EXTRACTD_`.
fn suffixes() -> impl Iterator<Item = &'static str> {
    let variables = VARIABLES.iter().map(|(name, _)| *name);
    std::iter::once(CONFIG)
        .chain(variables)
        .filter_map(|name| name.strip_prefix("EXTRACTD_"))
}

/// Returns true if the variable is one that Kubernetes sets in every pod of the namespace for a
/// service named `extractd` or `extractd-…`: `…_SERVICE_HOST`, `…_SERVICE_PORT[_NAME]`, `…_PORT`,
/// `…_PORT_80_TCP[_ADDR, …]`. No variable of extractd contains these words. A plain number in
/// `EXTRACTD_PORT` is a user's guess: Kubernetes sets it to `tcp://…`.
/// <https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>
/// (November 2026)
fn from_kubernetes(name: &str, value: &str) -> bool {
    let is_guess = name == "EXTRACTD_PORT" && !value.contains("://");
    name.split('_')
        .any(|word| word == "SERVICE" || word == "PORT")
        && !is_guess
}
