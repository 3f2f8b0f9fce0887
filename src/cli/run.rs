//! One run of `extractd batch`: resume its jobs, create those that are missing, write the output, exit code.

use std::io::BufWriter;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use http::Method;
use indicatif::{HumanCount, HumanDuration};
use serde_json::Map;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::api::Rejection;
use super::args::Args;
use super::html_report;
use super::inputs::{self, Scan, Segment, StandardInput, Upload};
use super::interrupt::Interrupted;
use super::job::Job;
use super::jobs_client::JobsClient;
use super::output::Target;
use super::progress::Progress;
use super::results::Results;
use super::run_record::RunRecord;
use super::source::Source;
use super::spec_file::Spec;
use super::target_server::{self, TargetServer};
use crate::net::Url;

/// Exit code if some items did not succeed.
const SOME_FAILED: u8 = 1;
/// Exit code if the run failed.
const FAILED: u8 = 2;
/// Exit code after an interruption, as shells use it for SIGINT.
const INTERRUPTED: u8 = 130;
/// Buffer size of standard output in bytes: larger than the results that arrive together, which are written together.
const BUFFER_BYTES: usize = 1 << 20;

/// Runs `extractd batch`, reports the outcome on standard error, and returns the exit code. `model`
/// overrides the server's default model.
pub async fn run(
    args: Args,
    server: TargetServer,
    model: Option<String>,
    stop: CancellationToken,
) -> ExitCode {
    let code = match Run::run(args, server, model, stop).await {
        Ok(code) => code,
        Err(error) if error.is::<Interrupted>() => INTERRUPTED,
        Err(error) => {
            eprintln!("extractd: {error:#}");
            FAILED
        }
    };
    ExitCode::from(code)
}

/// End of a run's extraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RunEnd {
    /// Every input has a result.
    Completed,
    /// A failed item stopped the run (`on_error` is `stop`).
    Stopped,
}

/// Settings of one run.
struct Run {
    args: Args,
    source: Source,
    target: Target,
    stop: CancellationToken,
    started: Instant,
}

impl Run {
    /// Runs to the end, and returns the exit code.
    async fn run(
        args: Args,
        server: TargetServer,
        model: Option<String>,
        stop: CancellationToken,
    ) -> anyhow::Result<u8> {
        let source = Source::new(&args)?;
        let target = Target::new(&args, &source)?;
        let run = Self {
            args,
            source,
            target,
            stop,
            started: Instant::now(),
        };
        let mut record = match &run.target.folder {
            Some(folder) => RunRecord::open(folder, run.args.restart)?,
            None => RunRecord::default(),
        };
        let result = run.recorded(server, model.as_deref(), &mut record).await;
        if record.is_obsolete {
            record.remove()?;
        }
        result
    }

    /// Runs with a record, and returns the exit code.
    async fn recorded(
        &self,
        server: TargetServer,
        model: Option<&str>,
        record: &mut RunRecord,
    ) -> anyhow::Result<u8> {
        self.check_output(record)?;
        let counted = self.count(record).await?;
        let spec_fields = counted
            .as_ref()
            .map_or_else(Map::new, |counted| counted.spec_fields.clone());
        let mut spec = Spec::new(&self.args.spec, model, &spec_fields)?;
        if self.args.html.is_some() {
            spec = spec.with_evidence()?;
        }
        let total = counted.as_ref().map(|counted| counted.inputs.count);
        let progress = Progress::new(total, self.args.quiet);
        if !self.begins(record) {
            for name in record.check(&spec.fingerprint())? {
                progress.message(&format!(
                    "`{name}` stays as it is for the jobs of the earlier run"
                ));
            }
        }
        let server = match server {
            TargetServer::Running { url, key } => target_server::connect(&url, key)?,
            TargetServer::InProcess(config) => {
                let store = record.store(self.args.restart)?;
                target_server::start(*config, store.as_deref()).await?
            }
        };
        let stream = (!record.has_folder()).then(std::io::stdout);
        let stream = stream.map(|out| BufWriter::with_capacity(BUFFER_BYTES, out));
        let mut client = JobsClient::new(&server, &self.stop, progress, stream);
        let extracted = self.extract(&mut client, record, &spec, counted).await;
        client.progress.finish();
        let result = match extracted {
            Ok(RunEnd::Completed) => self.finish(&mut client, record, &spec).await,
            Ok(RunEnd::Stopped) => {
                report_incomplete(&client, record, "a failed item ended the run").await;
                Ok(SOME_FAILED)
            }
            Err(error) => {
                let is_interrupted = error.is::<Interrupted>();
                let reason = if is_interrupted {
                    "interrupted"
                } else {
                    "aborted"
                };
                report_incomplete(&client, record, reason).await;
                Err(error)
            }
        };
        drop(client);
        server.shut_down().await;
        result
    }

    /// Returns true if the run begins anew.
    const fn begins(&self, record: &RunRecord) -> bool {
        self.args.restart || record.is_new()
    }

    /// Rejects an output that exists and is not that of the run to resume.
    fn check_output(&self, record: &RunRecord) -> anyhow::Result<()> {
        let output = self.target.path.as_ref().filter(|output| output.exists());
        if let Some(output) = output.filter(|_| record.covered() == 0 && !self.args.restart) {
            bail!(
                "the output {} already exists; name another --output, or use --restart to replace it",
                output.display()
            );
        }
        Ok(())
    }

    /// Reads all inputs once, so that an invalid or changed input is reported before anything is sent. `None`: they can be
    /// read only once.
    async fn count(&self, record: &RunRecord) -> anyhow::Result<Option<Scan>> {
        if self.source.is_stdin() {
            return Ok(None);
        }
        let known = if self.begins(record) {
            Vec::new()
        } else {
            record.prefixes()
        };
        let (source, stop) = (self.source.clone(), self.stop.clone());
        let counting = tokio::task::spawn_blocking(move || {
            inputs::scan(&source, &known, &stop, |_, _, _| Ok(()))
        });
        counting
            .await
            .context("the inputs could not be counted")?
            .map(Some)
    }

    /// Resumes the recorded jobs, and creates those for the other inputs.
    async fn extract(
        &self,
        client: &mut JobsClient<'_>,
        record: &mut RunRecord,
        spec: &Spec,
        counted: Option<Scan>,
    ) -> anyhow::Result<RunEnd> {
        let url = spec.url(&client.server().url)?;
        if self.begins(record) {
            for job in record.jobs() {
                client.try_job(Method::POST, &job.id, "/cancel").await;
                client.try_job(Method::DELETE, &job.id, "").await;
            }
            record.begin(spec.fingerprint())?;
        }
        if self.resume(client, record).await? == RunEnd::Stopped {
            return Ok(RunEnd::Stopped);
        }
        match counted {
            Some(counted) => self.send_file(client, record, &url, counted).await,
            None => self.send_standard_input(client, record, &url).await,
        }
    }

    /// Resumes the recorded jobs.
    async fn resume(
        &self,
        client: &mut JobsClient<'_>,
        record: &RunRecord,
    ) -> anyhow::Result<RunEnd> {
        let mut jobs = Vec::new();
        for recorded in record.jobs() {
            let job = client.job(Method::GET, &recorded.id, "").await;
            let job = job.with_context(|| {
                format!(
                    "cannot resume the job {} of the earlier run; --restart starts over without its results",
                    recorded.id
                )
            })?;
            jobs.push((job, recorded.inputs.first));
        }
        let done: u64 = jobs.iter().map(|(job, _)| job.counts.done()).sum();
        if done > 0 {
            let message = format!("resuming: {} are done", HumanCount(done));
            client.progress.message(&message);
        }
        for (job, first) in jobs {
            client.begin(&job, first);
            let job = self.retry(client, job).await?;
            if follow_to_end(client, job).await? == RunEnd::Stopped {
                return Ok(RunEnd::Stopped);
            }
        }
        Ok(RunEnd::Completed)
    }

    /// Runs the items of a recorded job again that have no result, or did not succeed. Returns the job.
    async fn retry(&self, client: &mut JobsClient<'_>, mut job: Job) -> anyhow::Result<Job> {
        let retries_failed = self.args.retry_failed;
        if job.status == "cancelling" || (retries_failed && !job.is_ended()) {
            job = client.follow(&job).await?;
        }
        let action = if retries_failed && job.counts.unsuccessful() > 0 {
            "/retry"
        } else if job.is_ended() && job.counts.has_unstarted() {
            "/retry?status=cancelled"
        } else {
            return Ok(job);
        };
        client.job(Method::POST, &job.id, action).await
    }

    /// Creates the job for the inputs of a file that have none: all of them, or those that were appended since the earlier
    /// run.
    async fn send_file(
        &self,
        client: &mut JobsClient<'_>,
        record: &mut RunRecord,
        url: &Url,
        counted: Scan,
    ) -> anyhow::Result<RunEnd> {
        if counted.inputs.count == record.covered() {
            return Ok(RunEnd::Completed);
        }
        let inputs = Segment {
            first: record.covered(),
            end: counted.inputs,
        };
        let body = || Upload::of_file(self.source.clone(), inputs.clone(), self.stop.clone());
        send(client, record, url, &inputs, body).await
    }

    /// Creates jobs for standard input, one after the other: while a job runs, the lines of the next one arrive.
    async fn send_standard_input(
        &self,
        client: &mut JobsClient<'_>,
        record: &mut RunRecord,
        url: &Url,
    ) -> anyhow::Result<RunEnd> {
        let started =
            StandardInput::start(self.source.clone(), record.prefixes(), self.stop.clone());
        let mut input = started.context("cannot start the thread that reads the inputs")?;
        loop {
            let next = tokio::select! {
                () = self.stop.cancelled() => return Err(Interrupted.into()),
                next = input.next() => next,
            };
            let Some((lines, end)) = next else {
                input.end().await?;
                return Ok(RunEnd::Completed);
            };
            let inputs = Segment {
                first: record.covered(),
                end,
            };
            let body = || Ok(Upload::of_bytes(lines.clone()));
            if send(client, record, url, &inputs, body).await? == RunEnd::Stopped {
                return Ok(RunEnd::Stopped);
            }
        }
    }

    /// Writes the output and the summary. Returns the exit code.
    async fn finish(
        &self,
        client: &mut JobsClient<'_>,
        record: &mut RunRecord,
        spec: &Spec,
    ) -> anyhow::Result<u8> {
        let failed = client.progress.failed();
        if record.has_folder() {
            let mut results = Results::new(client, record.jobs());
            self.target.write(&mut results, &spec.properties()).await?;
            if let Some(path) = &self.args.html {
                results.rewind();
                html_report::write(path, &self.source, &mut results, &self.stop).await?;
            }
        }
        record.is_obsolete = failed == 0 || !record.has_folder();
        let mut advice = String::new();
        if record.is_obsolete {
            delete_jobs(client, record).await;
        } else {
            advice = format!(
                "; the same command with --retry-failed runs those again (from {})",
                record.name()
            );
        }
        if !self.args.quiet || failed > 0 {
            let succeeded = HumanCount(client.progress.succeeded());
            let mut parts = vec![format!("{succeeded} succeeded")];
            if failed > 0 {
                parts.push(format!("{} failed", HumanCount(failed)));
            }
            parts.extend(client.progress.cost());
            parts.push(format!("in {}", duration_text(self.started.elapsed())));
            eprintln!("{}: {}{advice}", parts.join(", "), self.target.name());
        }
        Ok(if failed > 0 { SOME_FAILED } else { 0 })
    }
}

/// Creates the job with these inputs, records it, and follows it to its end.
async fn send(
    client: &mut JobsClient<'_>,
    record: &mut RunRecord,
    url: &Url,
    inputs: &Segment,
    body: impl FnMut() -> std::io::Result<Upload>,
) -> anyhow::Result<RunEnd> {
    let key = record.idempotency_key(inputs);
    let created = client.create(url, &key, body).await;
    let job = created.inspect_err(|error| {
        // The same command finds a job that was created without an answer.
        record.is_obsolete &= !client.was_reached() || error.is::<Rejection>();
    })?;
    record.add(job.id.clone(), inputs.clone())?;
    client.begin(&job, inputs.first);
    follow_to_end(client, job).await
}

/// Follows the current job to its end.
///
/// # Errors
/// If the job could not run or was cancelled; those of [`JobsClient::follow`].
async fn follow_to_end(client: &mut JobsClient<'_>, mut job: Job) -> anyhow::Result<RunEnd> {
    if !job.is_ended() {
        job = client.follow(&job).await?;
    }
    match &*job.status {
        "completed" => Ok(RunEnd::Completed),
        "stopped" => Ok(RunEnd::Stopped),
        "cancelled" => bail!("the job {} was cancelled at the server", job.id),
        _ => bail!("the job {} could not run: {}", job.id, job.error()),
    }
}

/// Deletes the jobs of a run that is not resumed. A store within the process is removed as a whole.
async fn delete_jobs(client: &JobsClient<'_>, record: &RunRecord) {
    for job in record.jobs() {
        if !client.server().is_in_process() {
            client.try_job(Method::DELETE, &job.id, "").await;
        }
    }
}

/// Reports on standard error why a run did not complete, and what is kept of it. After Ctrl-C, or if nothing is kept, a job on
/// a server is cancelled; otherwise it goes on.
async fn report_incomplete(client: &JobsClient<'_>, record: &RunRecord, reason: &str) {
    let is_interrupted = client.stop().is_cancelled();
    let is_in_process = client.server().is_in_process();
    let mut done = client.progress.done();
    let mut place = record.name();
    if let Some(id) = client.current() {
        let cancels = !is_in_process && (is_interrupted || !record.has_folder());
        let (method, action) = if cancels {
            (Method::POST, "/cancel")
        } else {
            (Method::GET, "")
        };
        if let Some(job) = client.try_job(method, id, action).await {
            done = client.progress.done_with(&job);
        }
        if !is_in_process {
            place = format!("the job {id} at {}", client.server().url);
        }
    }
    let done = HumanCount(done);
    if !record.has_folder() {
        delete_jobs(client, record).await;
        if is_interrupted {
            eprintln!(
                "extractd: interrupted; with --output or --checkpoint the same command could resume here"
            );
        } else if client.current().is_some() {
            eprintln!("extractd: {reason} after {done} results");
        }
    } else if !record.is_obsolete {
        eprintln!(
            "extractd: {reason} after {done} results, which are kept in {place}; the same command resumes from there"
        );
    }
}

/// Returns a duration for people.
fn duration_text(time: Duration) -> String {
    if time < Duration::from_mins(1) {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        HumanDuration(time).to_string()
    }
}
