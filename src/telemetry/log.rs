//! Set-up of the log.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Log filter of llama.cpp, unless the configured filter names it: it logs hundreds of lines for
/// each model that it loads.
const QUIET_LLAMA: &str = "llama-cpp-2=warn,llama_cpp_2=error";

/// Format of the log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One line of text for each event.
    Text,
    /// One JSON object for each event.
    Json,
}

/// Reason why the log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not in the syntax of tracing's `EnvFilter`.
    #[error(
        "the log filter (`log`, EXTRACTD_LOG) is invalid: \"{filter}\"; an example is \"info,extractd=debug\""
    )]
    Filter {
        filter: String,
        source: tracing_subscriber::filter::ParseError,
    },
}

/// Starts the log on standard error.
///
/// # Errors
/// If the filter is not in the syntax of tracing's `EnvFilter`.
pub fn start_log(filter: &str, format: LogFormat) -> Result<(), LogError> {
    let parse = |filter: &str| EnvFilter::builder().parse(filter);
    let configured = parse(filter).map_err(|source| LogError::Filter {
        filter: filter.to_owned(),
        source,
    })?;
    let env_filter = if filter.contains("llama") {
        configured
    } else {
        parse(&format!("{filter},{QUIET_LLAMA}")).unwrap_or(configured)
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(env_filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // An error means that a log has been started before, as in tests.
    drop(match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    });
    Ok(())
}
