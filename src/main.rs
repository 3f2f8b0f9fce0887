//! Entry point: parses the command line, loads the configuration and runs the chosen subcommand.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use extractd::config::{Args, Config, Format, Loaded};
use extractd::{app, cli, telemetry};
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
    /// Start the server (the default)
    Serve,
    /// Extract from a file or a folder of texts, through a running server or without one
    ///
    /// Results are saved as they arrive: after Ctrl-C, a crash or a lost connection, the same
    /// command resumes where it stopped. The output is in input order and is written atomically at
    /// the end. Exit codes: 0 all items succeeded, 1 some items failed, 2 the run failed, 130
    /// interrupted.
    Batch(Box<cli::Args>),
    /// Print the configuration in force, with secrets masked, and the source of each value
    Config {
        /// Print a reference of all keys as Markdown instead: environment variable, flag, default,
        /// description
        #[arg(long)]
        reference: bool,
    },
    /// Copy the job store to a new file, also while a server uses it
    Backup {
        /// File to create
        file: PathBuf,
    },
    /// Print the OpenAPI document
    Openapi,
    /// Check that a running server is alive; exits with 0 if it is, else with 1 (for containers)
    Healthcheck,
}

/// Stack size of a worker thread in bytes: a valid answer may be nested 128 deep, and validation
/// recurses.
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
        println!("{:#}", extractd::http::document());
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(Command::Batch(args)) = &cli.command {
        return batch(args, &cli.args);
    }
    if matches!(cli.command, Some(Command::Config { reference: true })) {
        print!("{}", extractd::config::reference());
        return Ok(ExitCode::SUCCESS);
    }
    let loaded = load(&cli.args, |_| true)?;
    match cli.command {
        Some(Command::Config { .. }) => {
            print!("{}", loaded.print());
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Backup { ref file }) => {
            app::back_up(&loaded.config, file)?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Healthcheck) => Ok(app::healthcheck(loaded.config.listen)),
        _ => serve(loaded),
    }
}

/// Environment variables of the `batch` client, which the server's configuration ignores.
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

/// Runs `work` to completion; its token is cancelled by SIGTERM or Ctrl-C.
#[expect(
    clippy::disallowed_methods,
    reason = "the task of the signals ends with the process"
)]
fn block_on<T>(work: impl AsyncFnOnce(CancellationToken) -> T) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK_BYTES)
        .build()?;
    Ok(runtime.block_on(async {
        let stop = CancellationToken::new();
        tokio::spawn(wait_for_signal(stop.clone()));
        work(stop).await
    }))
}

fn serve(loaded: Loaded) -> anyhow::Result<ExitCode> {
    start_log(&loaded)?;
    block_on(async |stop| app::serve(loaded.config, stop).await)??;
    Ok(ExitCode::SUCCESS)
}

fn batch(batch: &cli::Args, args: &Args) -> anyhow::Result<ExitCode> {
    let target = match target_server(batch, args) {
        Ok(target) => target,
        Err(error) => {
            eprintln!("extractd: {error:#}");
            return Ok(ExitCode::from(2));
        }
    };
    block_on(async |stop| cli::run(batch.clone(), target, args.model.clone(), stop).await)
}

/// Returns the server to send the inputs to: the one that `--server` names, or one within this
/// process, which logs only warnings.
fn target_server(batch: &cli::Args, args: &Args) -> anyhow::Result<cli::TargetServer> {
    if let Some(url) = batch.server.clone().filter(|url| !url.is_empty()) {
        let set = args.given_except(&["--model", "--log", "--log-format"]);
        anyhow::ensure!(
            set.is_empty(),
            "{} is the server's own setting: set it where {url} is started",
            set.join(", ")
        );
        return Ok(cli::TargetServer::Running {
            url,
            key: std::env::var("EXTRACTD_API_KEY")
                .ok()
                .filter(|key| !key.is_empty()),
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
