//! The environment: which variable sets which key, and which unknown ones stop the start.

use super::{
    error::{Error, nearest},
    setting::{Environment, Origin},
};

/// The variable and the key that it sets; lists are comma-separated. `providers.*` is the default model's provider.
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

/// Names the configuration file, unless a flag does.
pub(super) const CONFIG: &str = "EXTRACTD_CONFIG";

/// Refuses an `EXTRACTD_…` variable that means nothing: a typo must not be silently ignored.
pub(super) fn check(environment: &Environment) -> Result<(), Error> {
    for (name, value) in environment {
        let Some(word) = name.strip_prefix("EXTRACTD_") else {
            continue;
        };
        if !words().any(|known| known == word) && !from_kubernetes(name, value) {
            let hint = nearest(word, words()).map_or_else(String::new, |near| {
                format!(" did you mean EXTRACTD_{near}?")
            });
            let known: Vec<_> = words().map(|word| format!("EXTRACTD_{word}")).collect();
            return Err(Error::new(
                &Origin::Environment(name.clone()),
                format!("unknown variable;{hint} known: {}", known.join(", ")),
            ));
        }
    }
    Ok(())
}

/// What may follow `EXTRACTD_`.
fn words() -> impl Iterator<Item = &'static str> {
    let variables = VARIABLES.iter().map(|(name, _)| *name);
    std::iter::once(CONFIG)
        .chain(variables)
        .filter_map(|name| name.strip_prefix("EXTRACTD_"))
}

/// Whether Kubernetes injects the variable, into every pod of the namespace, for a service named `extractd` or
/// `extractd-…`: `…_SERVICE_HOST`, `…_SERVICE_PORT[_NAME]`, `…_PORT`, `…_PORT_80_TCP[_ADDR, …]`. No variable of ours has these
/// words. A bare number in `EXTRACTD_PORT` is a person's guess: Kubernetes puts `tcp://…` there.
/// <https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables> (November 2026)
fn from_kubernetes(name: &str, value: &str) -> bool {
    let guessed = name == "EXTRACTD_PORT" && !value.contains("://");
    name.split('_')
        .any(|word| word == "SERVICE" || word == "PORT")
        && !guessed
}
