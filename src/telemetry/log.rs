//! Set-up of the log.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use super::log_lines::{BoundedLines, LogFormat};

/// Libraries and their log filters, unless the configured filter names them: llama.cpp logs hundreds of lines for each model that it
/// loads, and the library of MCP the texts of its clients.
const QUIET: [(&str, &str); 2] = [
    ("llama", "llama-cpp-2=warn,llama_cpp_2=error"),
    ("rmcp", "rmcp=off"),
];

/// Reason why the log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not in the syntax of tracing's `EnvFilter`.
    #[error(
        "the log filter (`log`, EXTRACTD_LOG) is invalid: \"{filter}\"; an example is \"info,extractd=debug\""
    )]
    Filter { filter: String, source: ParseError },
}

/// Starts the log on standard error.
///
/// # Errors
/// If the filter is not in the syntax of tracing's `EnvFilter`.
pub fn start_log(filter: &str, format: LogFormat) -> Result<(), LogError> {
    let env_filter = env_filter(filter).map_err(|source| LogError::Filter {
        filter: filter.to_owned(),
        source,
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(env_filter)
        .with_writer(move || BoundedLines::new(std::io::stderr(), format))
        .with_ansi(std::io::stderr().is_terminal());
    // An error means that a log has been started before, as in tests.
    drop(match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    });
    Ok(())
}

/// Returns the configured filter with those of the libraries that it does not name.
fn env_filter(filter: &str) -> Result<EnvFilter, ParseError> {
    let configured = EnvFilter::builder().parse(filter)?;
    let mut directives = vec![filter];
    let unnamed = QUIET
        .iter()
        .filter(|(library, _)| !filter.contains(library));
    directives.extend(unnamed.map(|(_, quiet)| *quiet));
    let with_quiet = EnvFilter::builder().parse(directives.join(","));
    Ok(with_quiet.unwrap_or(configured))
}

#[cfg(test)]
mod tests {
    use tracing::Level;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn the_library_of_mcp_logs_nothing_unless_the_filter_names_it() {
        let logged = |filter: &str| {
            let subscriber = tracing_subscriber::registry().with(env_filter(filter).unwrap());
            tracing::subscriber::with_default(subscriber, || {
                (
                    tracing::enabled!(target: "rmcp", Level::ERROR),
                    tracing::enabled!(target: "extractd", Level::WARN),
                )
            })
        };
        for filter in [
            "info",
            "trace",
            "extractd=debug,info",
            "info,llama_cpp_2=info",
        ] {
            assert_eq!(logged(filter), (false, true), "{filter}");
        }
        assert_eq!(logged("info,rmcp=warn"), (true, true));
        assert_eq!(logged("off"), (false, false));
    }
}
