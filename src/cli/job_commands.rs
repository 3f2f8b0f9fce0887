//! `extractd jobs`: lists, shows, follows and controls the jobs of a running server.

mod list;

use std::path::PathBuf;
use std::process::ExitCode;

use http::Method;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::api::JSON;
use super::exit_code;
use super::format::OutputFormat;
use super::interrupt::Interrupted;
use super::job::Job;
use super::jobs_client::JobsClient;
use super::output::{KnownColumns, Target};
use super::problem::FieldNames;
use super::progress::Progress;
use super::results::Results;
use super::run_record::RecordedJob;
use super::running_server::{self, RunningServerArgs};
use super::target_server::ServerHandle;
use list::{ListArgs, list};

/// Arguments of `extractd jobs`.
#[derive(Debug, Clone, clap::Args)]
pub struct JobsArgs {
    #[command(flatten)]
    server: RunningServerArgs,
    #[command(subcommand)]
    command: JobsCommand,
}

/// A command about jobs.
#[derive(Debug, Clone, clap::Subcommand)]
enum JobsCommand {
    /// List the jobs of the API key, newest first
    List(ListArgs),
    /// Print a job as JSON: status, counts, cost, webhook deliveries
    Show {
        /// ID of the job
        id: String,
    },
    /// Show the progress of a job until it ends; Ctrl-C leaves the job running
    ///
    /// Exit codes: 0 all items succeeded, 1 some items failed or the job did not complete.
    Follow {
        /// ID of the job
        id: String,
        /// Print only errors
        #[arg(long, short)]
        quiet: bool,
    },
    /// Write the results of a job, in input order; while it runs, those before the first unfinished item
    Results {
        /// ID of the job
        id: String,
        /// Output file; without it results go to standard output
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Format of the output [default: by its file name; ndjson on standard output]
        #[arg(long, value_enum, value_name = "FORMAT")]
        output_format: Option<OutputFormat>,
    },
    /// Cancel a job; results so far are kept
    Cancel {
        /// ID of the job
        id: String,
    },
    /// Run the failed, invalid and cancelled items of a job again
    Retry {
        /// ID of the job
        id: String,
        /// Only the items with this status: failed, invalid or cancelled
        #[arg(long, value_name = "STATUS")]
        status: Option<String>,
    },
    /// Delete a job that has ended, with its inputs and results
    Delete {
        /// ID of the job
        id: String,
    },
}

/// Runs `extractd jobs`, and returns the exit code.
pub async fn run(args: JobsArgs, key: Option<String>, stop: CancellationToken) -> ExitCode {
    let ran = async {
        let mut server = running_server::connect(&args.server, key)?;
        server.field_names = FieldNames::Pointers;
        run_command(args.command, &server, &stop).await
    };
    exit_code::from_result(ran.await)
}

async fn run_command(
    command: JobsCommand,
    server: &ServerHandle,
    stop: &CancellationToken,
) -> anyhow::Result<u8> {
    let id_path = |id: &str| format!("/v1/jobs/{}", running_server::path_segment(id));
    match command {
        JobsCommand::List(args) => list(&args, server).await,
        JobsCommand::Show { id } => {
            let job = send(server, Method::GET, &id_path(&id)).await?;
            println!("{job:#}");
            Ok(0)
        }
        JobsCommand::Follow { id, quiet } => follow(&id, quiet, server, stop).await,
        JobsCommand::Results {
            id,
            output,
            output_format,
        } => {
            let target = Target::without_folder(output, output_format)?;
            results(&id, &target, server, stop).await
        }
        JobsCommand::Cancel { id } => {
            let job = send(server, Method::POST, &format!("{}/cancel", id_path(&id))).await?;
            println!("{}", list::line(&job));
            Ok(0)
        }
        JobsCommand::Retry { id, status } => {
            let query = status.map_or_else(String::new, |status| {
                format!("?status={}", running_server::path_segment(&status))
            });
            let job = send(
                server,
                Method::POST,
                &format!("{}/retry{query}", id_path(&id)),
            )
            .await?;
            println!("{}", list::line(&job));
            Ok(0)
        }
        JobsCommand::Delete { id } => {
            running_server::request(server, Method::DELETE, &id_path(&id), JSON).await?;
            Ok(0)
        }
    }
}

/// Sends a request, and returns the job of the response.
async fn send(server: &ServerHandle, method: Method, path: &str) -> anyhow::Result<Value> {
    let body = running_server::request(server, method, path, JSON).await?;
    Ok(serde_json::from_slice(&body)?)
}

/// Follows a job to its end. Returns the exit code.
async fn follow(
    id: &str,
    is_quiet: bool,
    server: &ServerHandle,
    stop: &CancellationToken,
) -> anyhow::Result<u8> {
    let mut client = JobsClient::new(server, stop, Progress::new(None, true), None);
    let mut job = client.job(Method::GET, id, "").await?;
    let mut client = JobsClient::new(
        server,
        stop,
        Progress::new(Some(job.counts.total), is_quiet),
        None,
    );
    client.begin(&job, 0);
    if !job.is_ended() {
        let followed = client.follow(&job).await;
        client.progress.finish();
        job = followed.inspect_err(|error| {
            if error.is::<Interrupted>() {
                eprintln!("extractd: the job {id} goes on at {}", server.url);
            }
        })?;
    }
    client.progress.finish();
    if !is_quiet {
        eprintln!("{}", ended_text(&job));
    }
    let has_failed = job.status != "completed" || job.counts.unsuccessful() > 0;
    Ok(exit_code::for_failed(has_failed.into()))
}

/// Returns the end of a job in words.
fn ended_text(job: &Job) -> String {
    let counts = job.counts;
    let mut parts = vec![format!("{} succeeded", counts.succeeded)];
    for (count, name) in [
        (counts.failed, "failed"),
        (counts.invalid, "invalid"),
        (counts.cancelled, "cancelled"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {name}"));
        }
    }
    let text = format!("{} {}: {}", job.id, job.status, parts.join(", "));
    if job.status == "failed" {
        format!("{text}; {}", job.error())
    } else {
        text
    }
}

/// Writes the results of a job. Returns the exit code.
async fn results(
    id: &str,
    target: &Target,
    server: &ServerHandle,
    stop: &CancellationToken,
) -> anyhow::Result<u8> {
    let mut client = JobsClient::new(server, stop, Progress::new(None, true), None);
    let job = client.job(Method::GET, id, "").await?;
    let jobs = [RecordedJob::whole(job.id.clone(), job.counts.total)];
    let mut results = Results::new(&mut client, &jobs);
    target.write(&mut results, &KnownColumns::default()).await?;
    if !job.is_ended() {
        eprintln!(
            "extractd: the job is {}; `extractd jobs follow {id}` waits for its end",
            job.status
        );
    }
    Ok(0)
}
