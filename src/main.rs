//! Entry point: parses the command line, loads the configuration and runs the chosen subcommand.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use extractd::cli::{Command, CommandLine};
use extractd::config::{Args, Config, Format, Loaded};
use extractd::{app, cli, telemetry, workers};
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match run(CommandLine::parse()) {
        Ok(code) => code,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(line: CommandLine) -> anyhow::Result<ExitCode> {
    let args = &line.args;
    match line.command {
        None | Some(Command::Serve) => return serve(load(args, |_| true)?),
        Some(Command::Extract(extract)) => return self::extract(*extract, args),
        Some(Command::Batch(batch)) => return self::batch(*batch, args),
        Some(Command::Jobs(jobs)) => {
            return match reject_server_flags(args, "jobs") {
                Ok(()) => block_on(async |stop| cli::jobs(jobs, api_key(), stop).await),
                Err(error) => Ok(not_tried(&error)),
            };
        }
        Some(Command::Schemas(schemas)) => {
            return match reject_server_flags(args, "schemas") {
                Ok(()) => block_on(async |_| cli::schemas(schemas, api_key()).await),
                Err(error) => Ok(not_tried(&error)),
            };
        }
        Some(Command::Mcp(mcp)) => {
            return match target_server(mcp.server.server.as_deref(), args) {
                Ok(target) => block_on(async |stop| cli::mcp(target, stop).await),
                Err(error) => Ok(not_tried(&error)),
            };
        }
        Some(Command::Config { reference: true }) => print!("{}", extractd::config::reference()),
        Some(Command::Config { .. }) => print!("{}", load(args, |_| true)?.print()),
        Some(Command::Backup { file }) => app::back_up(&load(args, |_| true)?.config, &file)?,
        Some(Command::Openapi) => println!("{:#}", extractd::http::document()),
        Some(Command::Healthcheck) => {
            return Ok(app::healthcheck(load(args, |_| true)?.config.listen));
        }
        Some(Command::Completions { shell }) => cli::print_completions(shell)?,
        Some(Command::Man { command }) => cli::print_man_page(&command)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Environment variables of the client commands, which the server's configuration ignores.
const CLIENT_VARIABLES: [&str; 2] = ["EXTRACTD_SERVER", "EXTRACTD_API_KEY"];

/// Loads the configuration from the file, the environment variables that `is_read` accepts, and the
/// flags.
fn load(args: &Args, is_read: impl Fn(&str) -> bool) -> anyhow::Result<Loaded> {
    let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    let environment = std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value)));
    let environment = environment.filter(|(name, _)| is_read(name));
    Ok(Config::load(args, environment, |path: &Path| {
        std::fs::read_to_string(path)
    })?)
}

/// Starts the log and writes the warnings about the configuration to it.
fn start_log(loaded: &Loaded) -> anyhow::Result<()> {
    let format = match loaded.config.log.format {
        Format::Text => telemetry::LogFormat::Text,
        Format::Json => telemetry::LogFormat::Json,
    };
    telemetry::start_log(&loaded.config.log.filter, format)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    Ok(())
}

/// Time for which the end of the process waits for work on threads that block. What must not be lost has been awaited before.
const MAX_EXIT_TIME: Duration = Duration::from_millis(500);

/// Runs `work` to completion; its token is cancelled by SIGTERM or Ctrl-C.
#[expect(
    clippy::disallowed_methods,
    reason = "the task of the signals ends with the process"
)]
fn block_on<T>(work: impl AsyncFnOnce(CancellationToken) -> T) -> anyhow::Result<T> {
    let runtime = workers::runtime_builder().build()?;
    let result = runtime.block_on(async {
        let stop = CancellationToken::new();
        tokio::spawn(wait_for_signal(stop.clone()));
        work(stop).await
    });
    runtime.shutdown_timeout(MAX_EXIT_TIME);
    Ok(result)
}

fn serve(loaded: Loaded) -> anyhow::Result<ExitCode> {
    start_log(&loaded)?;
    app::return_memory_when_idle();
    block_on(async |stop| app::serve(loaded.config, stop).await)??;
    Ok(ExitCode::SUCCESS)
}

fn batch(batch: cli::BatchArgs, args: &Args) -> anyhow::Result<ExitCode> {
    let target = match target_server(batch.server.server.as_deref(), args) {
        Ok(target) => target,
        Err(error) => return Ok(not_tried(&error)),
    };
    block_on(async |stop| cli::batch(batch, target, args.model.clone(), stop).await)
}

fn extract(extract: cli::ExtractArgs, args: &Args) -> anyhow::Result<ExitCode> {
    let target = match target_server(extract.server.server.as_deref(), args) {
        Ok(target) => target,
        Err(error) => return Ok(not_tried(&error)),
    };
    block_on(async |stop| cli::extract(extract, target, args.model.clone(), stop).await)
}

/// Reports the reason for which a command has not begun, and returns its exit code.
fn not_tried(error: &anyhow::Error) -> ExitCode {
    report(error);
    ExitCode::from(2)
}

/// Reports an error on standard error.
fn report(error: &anyhow::Error) {
    let message = format!("{error:#}");
    eprintln!("extractd: {}", extractd::types::without_os_codes(&message));
}

/// Returns the key that the client commands send.
fn api_key() -> Option<String> {
    let key = std::env::var("EXTRACTD_API_KEY").ok();
    key.filter(|key| !key.is_empty())
}

/// Rejects flags that configure a server, for a command that uses a running one.
fn reject_server_flags(args: &Args, command: &str) -> anyhow::Result<()> {
    let set = args.given_except(&["--log", "--log-format"]);
    anyhow::ensure!(
        set.is_empty(),
        "{} configures a server: `extractd {command}` uses one that runs",
        set.join(", ")
    );
    Ok(())
}

/// Returns the server to send the inputs to: the one that `server` names, or one within this
/// process, which logs only warnings.
fn target_server(server: Option<&str>, args: &Args) -> anyhow::Result<cli::TargetServer> {
    if let Some(url) = server.filter(|url| !url.is_empty()) {
        let set = args.given_except(&["--model", "--log", "--log-format"]);
        anyhow::ensure!(
            set.is_empty(),
            "{} is the server's own setting: set it where {url} is started",
            set.join(", ")
        );
        return Ok(cli::TargetServer::Running {
            url: url.to_owned(),
            key: api_key(),
        });
    }
    let mut args = Args {
        listen: Some("127.0.0.1:0".to_owned()),
        ..args.clone()
    };
    if std::env::var_os("EXTRACTD_LOG").is_none() {
        args.log.get_or_insert_with(|| "warn".to_owned());
    }
    let loaded = load(&args, |name| !CLIENT_VARIABLES.contains(&name))?;
    start_log(&loaded)?;
    Ok(cli::TargetServer::InProcess(Box::new(loaded.config)))
}

/// Cancels `stop` on SIGTERM or Ctrl-C; a second signal ends the process at once with exit code
/// 130.
async fn wait_for_signal(stop: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return;
    };
    let Ok(mut interrupt) = signal(SignalKind::interrupt()) else {
        return;
    };
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
