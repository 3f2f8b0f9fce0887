//! Environment variables: the key that each one sets, and unknown `EXTRACTD_…` variables.

use super::{
    error::Error,
    setting::{Environment, Origin},
};
use crate::types::nearest;

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

/// Rejects an `EXTRACTD_…` variable whose name is nearly that of a known one: a typo must not be silently ignored.
pub(super) fn check(environment: &Environment) -> Result<(), Error> {
    for name in unknown(environment) {
        if let Some(near) = near_miss(name) {
            let known: Vec<_> = suffixes()
                .map(|suffix| format!("EXTRACTD_{suffix}"))
                .collect();
            return Err(Error::new(
                &Origin::Environment(name.to_owned()),
                format!(
                    "unknown variable; did you mean EXTRACTD_{near}? known: {}",
                    known.join(", ")
                ),
            ));
        }
    }
    Ok(())
}

/// Returns a warning that names the unknown `EXTRACTD_…` variables; `None`: there are none. They are not rejected, because
/// Kubernetes sets such variables in every pod of the namespace for a service named `extractd`.
pub(super) fn warning(environment: &Environment) -> Option<String> {
    let names: Vec<_> = unknown(environment).collect();
    if names.is_empty() {
        return None;
    }
    let hint = if names.iter().any(|name| is_guessed_port(name, environment)) {
        "; to set the port, use EXTRACTD_LISTEN"
    } else if names.iter().any(|name| from_kubernetes(name)) {
        "; Kubernetes sets such variables for a service of this name (`enableServiceLinks: false` turns that off)"
    } else {
        ""
    };
    Some(format!(
        "these environment variables are not known and are ignored: {}{hint}",
        names.join(", ")
    ))
}

/// Returns the names of the unknown `EXTRACTD_…` variables.
fn unknown(environment: &Environment) -> impl Iterator<Item = &str> {
    environment.keys().map(String::as_str).filter(|name| {
        name.strip_prefix("EXTRACTD_")
            .is_some_and(|suffix| suffixes().all(|known| known != suffix))
    })
}

/// Returns the known name, without `EXTRACTD_`, that an unknown variable was probably meant to have.
fn near_miss(name: &str) -> Option<&'static str> {
    let suffix = name.strip_prefix("EXTRACTD_")?;
    if from_kubernetes(name) {
        return None;
    }
    nearest(suffix, suffixes())
}

/// Returns true for a plain number in `EXTRACTD_PORT`, a user's guess: Kubernetes sets it to `tcp://…`.
fn is_guessed_port(name: &str, environment: &Environment) -> bool {
    name == "EXTRACTD_PORT"
        && environment
            .get(name)
            .is_some_and(|value| !value.contains("://"))
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
/// `…_PORT_80_TCP[_ADDR, …]`. No variable of extractd contains these words.
/// <https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>
/// (November 2026)
fn from_kubernetes(name: &str) -> bool {
    name.split('_')
        .any(|word| word == "SERVICE" || word == "PORT")
}
