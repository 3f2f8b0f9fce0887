//! The command line.

use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use extractd::config::{Args, Config, Format, Loaded};
use extractd::{app, telemetry};
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Turns text into validated JSON with a language model, over HTTP.
#[derive(Parser)]
#[command(name = "extractd", version, about)]
struct Cli {
    #[command(flatten)]
    args: Args,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve (the default)
    Serve,
    /// Print the configuration in force, secrets masked, and where each value came from
    Config,
    /// Print the OpenAPI document
    Openapi,
    /// Ask a running server whether it is alive; exits with 0 if so (for containers)
    Healthcheck,
}

/// The stack of a worker thread: a valid answer may be nested 128 deep, and validating it recurses.
const STACK_BYTES: usize = 8 * 1024 * 1024;

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("extractd: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    if matches!(cli.command, Some(Command::Openapi)) {
        println!("{}", extractd::http::document().to_pretty_json()?);
        return Ok(ExitCode::SUCCESS);
    }
    let loaded = load(&cli.args)?;
    match cli.command {
        Some(Command::Config) => {
            print!("{}", loaded.print());
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Healthcheck) => Ok(app::healthcheck(loaded.config.listen)),
        _ => serve(loaded),
    }
}

fn load(args: &Args) -> anyhow::Result<Loaded> {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    let environment = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
    Ok(Config::load(args, environment, |path: &Path| std::fs::read_to_string(path))?)
}

fn serve(loaded: Loaded) -> anyhow::Result<ExitCode> {
    let format = match loaded.config.log.format {
        Format::Text => telemetry::LogFormat::Text,
        Format::Json => telemetry::LogFormat::Json,
    };
    telemetry::start_log(&loaded.config.log.filter, format)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(STACK_BYTES).build()?;
    runtime.block_on(async {
        let stop = CancellationToken::new();
        tokio::spawn(wait_for_signal(stop.clone()));
        app::serve(loaded.config, stop).await
    })?;
    Ok(ExitCode::SUCCESS)
}

/// SIGTERM, or Ctrl-C. A second one ends the process at once.
async fn wait_for_signal(stop: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    let Ok(mut interrupt) = signal(SignalKind::interrupt()) else { return };
    for _ in 0..2 {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if stop.is_cancelled() {
            std::process::exit(130);
        }
        stop.cancel();
    }
}
