//! One run of `extractd batch`: resume from the checkpoint, transfer, output, exit code.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use indicatif::{HumanCount, HumanDuration};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::args::Args;
use super::checkpoint::{Checkpoint, Checkpointed};
use super::interrupt::Interrupted;
use super::output::Target;
use super::progress::Progress;
use super::reader::{self, Counted};
use super::result_sink::ResultSink;
use super::source::Source;
use super::spec_file::Spec;
use super::target_server::TargetServer;
use super::transfer::{RunEnd, Transfer};
use super::upload_queue::UploadQueue;

/// Exit code if some items did not succeed.
const SOME_FAILED: u8 = 1;
/// Exit code if the run failed.
const FAILED: u8 = 2;
/// Exit code after an interruption, as shells use it for SIGINT.
const INTERRUPTED: u8 = 130;

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

/// State of one run.
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
        let resumed = run.open()?;
        let earlier = resumed
            .as_ref()
            .map(|checkpoint| checkpoint.inputs(run.args.retry_failed))
            .unwrap_or_default();
        let counted = run.count(earlier.clone()).await?;
        let spec_fields = counted
            .as_ref()
            .map(|counted| counted.spec_fields.clone())
            .unwrap_or_default();
        let spec = Spec::new(&run.args.spec, model.as_deref(), &spec_fields)?;
        let mut sink = run.sink(resumed, &spec)?;
        let ended = match counted.as_ref().map(|counted| counted.missing) {
            Some(0) => Ok((RunEnd::Completed, run.progress(&sink, counted.as_ref()))),
            _ => {
                run.transfer(server, &spec, earlier, &mut sink, counted.as_ref())
                    .await
            }
        };
        match ended {
            Ok((RunEnd::Completed, progress)) => run.finish(sink, &progress, &spec),
            Ok((RunEnd::Stopped, progress)) => {
                let advice = if let ResultSink::Checkpoint(checkpoint) = &sink {
                    resume_advice(checkpoint)
                } else {
                    String::new()
                };
                eprintln!(
                    "extractd: a failed item ended the run after {} results{advice}",
                    HumanCount(progress.done())
                );
                Ok(SOME_FAILED)
            }
            Err(error) => {
                report_incomplete(sink, error.is::<Interrupted>())?;
                Err(error)
            }
        }
    }

    /// Opens the checkpoint of an earlier run of the same command. `None`: the run starts from the
    /// beginning.
    fn open(&self) -> anyhow::Result<Option<Checkpoint>> {
        let Some(path) = self
            .target
            .checkpoint
            .as_ref()
            .filter(|_| !self.args.restart)
        else {
            return Ok(None);
        };
        let checkpoint = Checkpoint::open(path)?;
        if checkpoint.is_none()
            && let Some(output) = self.target.path.as_ref().filter(|output| output.exists())
        {
            bail!(
                "the output {} already exists; name another --output, or use --restart to replace it",
                output.display()
            );
        }
        Ok(checkpoint)
    }

    /// Reads all inputs once, so that an invalid input is reported before anything is sent. `None`:
    /// they can be read only once.
    async fn count(&self, earlier: Checkpointed) -> anyhow::Result<Option<Counted>> {
        if self.source.is_stdin() {
            return Ok(None);
        }
        let (source, stop) = (self.source.clone(), self.stop.clone());
        let counting = tokio::task::spawn_blocking(move || {
            reader::read_missing(&source, &earlier, &stop, |_| Ok(()))
        });
        counting
            .await
            .context("the inputs could not be counted")?
            .map(Some)
    }

    /// Returns the sink of the results: the checkpoint, or standard output.
    fn sink(&self, resumed: Option<Checkpoint>, spec: &Spec) -> anyhow::Result<ResultSink> {
        let Some(path) = &self.target.checkpoint else {
            return Ok(ResultSink::stream());
        };
        let spec = spec.fingerprint();
        Ok(ResultSink::Checkpoint(match resumed {
            Some(checkpoint) => {
                checkpoint.check(&spec)?;
                checkpoint
            }
            None => Checkpoint::create(path, spec)?,
        }))
    }

    /// Returns the progress display, which starts with the results of earlier runs.
    fn progress(&self, sink: &ResultSink, counted: Option<&Counted>) -> Progress {
        let (done, failed) = match sink {
            ResultSink::Checkpoint(checkpoint) if self.args.retry_failed => {
                (checkpoint.done() - checkpoint.failed(), 0)
            }
            ResultSink::Checkpoint(checkpoint) => (checkpoint.done(), checkpoint.failed()),
            ResultSink::Stream(_) => (0, 0),
        };
        Progress::new(
            counted.map(|counted| counted.total),
            done,
            failed,
            self.args.quiet,
        )
    }

    /// Sends the inputs that have no result yet, and collects the results.
    async fn transfer(
        &self,
        server: TargetServer,
        spec: &Spec,
        earlier: Checkpointed,
        sink: &mut ResultSink,
        counted: Option<&Counted>,
    ) -> anyhow::Result<(RunEnd, Progress)> {
        let mut progress = self.progress(sink, counted);
        if progress.done() > 0 {
            progress.message(&format!(
                "resuming: {} are done",
                HumanCount(progress.done())
            ));
        }
        let server = server.start().await?;
        let url = spec.url(&server.url)?;
        let reading = reader::start(self.source.clone(), earlier, self.stop.clone())
            .context("cannot start the thread that reads the inputs")?;
        let queue = UploadQueue::new(reading.lines);
        let transfer = Transfer {
            server: &server,
            url,
            queue,
            sink,
            progress: &mut progress,
            stop: &self.stop,
        };
        let end = transfer.run().await;
        progress.finish();
        server.shut_down().await;
        let end = end?;
        // Every input was read and answered, so the thread has ended, unless the run was stopped.
        if end == RunEnd::Completed {
            reading
                .end
                .await
                .context("the thread that reads the inputs ended early")??;
        }
        Ok((end, progress))
    }

    /// Writes the output and the summary, and returns the exit code.
    fn finish(&self, sink: ResultSink, progress: &Progress, spec: &Spec) -> anyhow::Result<u8> {
        let (done, failed) = match &sink {
            ResultSink::Checkpoint(checkpoint) => (checkpoint.done(), checkpoint.failed()),
            ResultSink::Stream(_) => (progress.done(), progress.failed()),
        };
        let mut advice = String::new();
        if let ResultSink::Checkpoint(checkpoint) = sink {
            self.target
                .write(&checkpoint, &spec.properties(), &self.stop)?;
            if failed == 0 {
                checkpoint.remove()?;
            } else {
                advice = format!(
                    "; the same command with --retry-failed runs those again (from {})",
                    checkpoint.path().display()
                );
            }
        }
        if !self.args.quiet || failed > 0 {
            let mut parts = vec![format!("{} succeeded", HumanCount(done - failed))];
            if failed > 0 {
                parts.push(format!("{} failed", HumanCount(failed)));
            }
            parts.extend(progress.cost());
            parts.push(format!("in {}", duration_text(self.started.elapsed())));
            eprintln!("{}: {}{advice}", parts.join(", "), self.target.name());
        }
        Ok(if failed > 0 { SOME_FAILED } else { 0 })
    }
}

/// Reports on standard error what is saved of a run that did not complete.
fn report_incomplete(sink: ResultSink, is_interrupted: bool) -> anyhow::Result<()> {
    let reason = if is_interrupted {
        "interrupted"
    } else {
        "aborted"
    };
    match sink {
        ResultSink::Checkpoint(checkpoint) if checkpoint.done() == 0 => checkpoint.remove()?,
        ResultSink::Checkpoint(checkpoint) => {
            eprintln!("extractd: {reason}{}", resume_advice(&checkpoint));
        }
        ResultSink::Stream(_) if is_interrupted => {
            eprintln!(
                "extractd: interrupted; with --output or --checkpoint the same command could resume here"
            );
        }
        ResultSink::Stream(_) => {}
    }
    Ok(())
}

/// Returns the end of a message: the number of saved results, and how to resume.
fn resume_advice(checkpoint: &Checkpoint) -> String {
    let (done, path) = (HumanCount(checkpoint.done()), checkpoint.path().display());
    format!("; {done} results are kept in {path}; the same command resumes from there")
}

/// Returns a duration for people.
fn duration_text(time: Duration) -> String {
    if time < Duration::from_mins(1) {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        HumanDuration(time).to_string()
    }
}
