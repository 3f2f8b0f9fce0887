//! A run from its beginning to its end.

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
use super::transfer::{End, Transfer};
use super::upload_queue::UploadQueue;

/// Some items did not succeed.
const SOME_FAILED: u8 = 1;
/// It could not be done, or not be brought to its end.
const FAILED: u8 = 2;
/// As a shell has it for SIGINT.
const INTERRUPTED: u8 = 130;

/// Runs `extractd batch`, and says on standard error what came of it. `model` is who is asked, in place of the server's default.
pub async fn run(
    args: Args,
    host: TargetServer,
    model: Option<String>,
    stop: CancellationToken,
) -> ExitCode {
    let code = match Run::run(args, host, model, stop).await {
        Ok(code) => code,
        Err(error) if error.is::<Interrupted>() => INTERRUPTED,
        Err(error) => {
            eprintln!("extractd: {error:#}");
            FAILED
        }
    };
    ExitCode::from(code)
}

struct Run {
    args: Args,
    source: Source,
    target: Target,
    stop: CancellationToken,
    started: Instant,
}

impl Run {
    async fn run(
        args: Args,
        host: TargetServer,
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
        let kept = run.open()?;
        let known = kept
            .as_ref()
            .map(|kept| kept.known(run.args.retry_failed))
            .unwrap_or_default();
        let counted = run.count(known.clone()).await?;
        let beside = counted
            .as_ref()
            .map(|counted| counted.beside.clone())
            .unwrap_or_default();
        let spec = Spec::new(&run.args.spec, model.as_deref(), &beside)?;
        let mut sink = run.sink(kept, &spec)?;
        let ended = match counted.as_ref().map(|counted| counted.wanted) {
            Some(0) => Ok((End::Done, run.progress(&sink, counted.as_ref()))),
            _ => {
                run.exchange(host, &spec, known, &mut sink, counted.as_ref())
                    .await
            }
        };
        match ended {
            Ok((End::Done, progress)) => run.finish(sink, &progress, &spec),
            Ok((End::Stopped, progress)) => {
                let kept = if let ResultSink::Checkpoint(journal) = &sink {
                    goes_on(journal)
                } else {
                    String::new()
                };
                eprintln!(
                    "extractd: a failed item ended the run after {}{kept}",
                    HumanCount(progress.done())
                );
                Ok(SOME_FAILED)
            }
            Err(error) => {
                leave(sink, error.is::<Interrupted>())?;
                Err(error)
            }
        }
    }

    /// The journal of an earlier run of the same command.
    fn open(&self) -> anyhow::Result<Option<Checkpoint>> {
        let Some(path) = self.target.journal.as_ref().filter(|_| !self.args.restart) else {
            return Ok(None);
        };
        let kept = Checkpoint::open(path)?;
        if kept.is_none()
            && let Some(output) = self.target.path.as_ref().filter(|output| output.exists())
        {
            bail!(
                "{} is there already; name another --output, or --restart to make it anew",
                output.display()
            );
        }
        Ok(kept)
    }

    /// Looks through all inputs, so that what is wrong is told before anything is asked; `None` where they can be read only once.
    async fn count(&self, known: Checkpointed) -> anyhow::Result<Option<Counted>> {
        if self.source.is_stdin() {
            return Ok(None);
        }
        let (source, stop) = (self.source.clone(), self.stop.clone());
        let counting =
            tokio::task::spawn_blocking(move || reader::walk(&source, &known, &stop, |_| Ok(())));
        counting
            .await
            .context("the inputs could not be counted")?
            .map(Some)
    }

    fn sink(&self, kept: Option<Checkpoint>, spec: &Spec) -> anyhow::Result<ResultSink> {
        let Some(path) = &self.target.journal else {
            return Ok(ResultSink::stream());
        };
        let spec = spec.fingerprint();
        Ok(ResultSink::Checkpoint(match kept {
            Some(journal) => {
                journal.check(&spec)?;
                journal
            }
            None => Checkpoint::create(path, spec)?,
        }))
    }

    fn progress(&self, sink: &ResultSink, counted: Option<&Counted>) -> Progress {
        let (done, failed) = match sink {
            ResultSink::Checkpoint(journal) if self.args.retry_failed => {
                (journal.done() - journal.failed(), 0)
            }
            ResultSink::Checkpoint(journal) => (journal.done(), journal.failed()),
            ResultSink::Stream(_) => (0, 0),
        };
        Progress::new(
            counted.map(|counted| counted.total),
            done,
            failed,
            self.args.quiet,
        )
    }

    async fn exchange(
        &self,
        host: TargetServer,
        spec: &Spec,
        known: Checkpointed,
        sink: &mut ResultSink,
        counted: Option<&Counted>,
    ) -> anyhow::Result<(End, Progress)> {
        let mut progress = self.progress(sink, counted);
        if progress.done() > 0 {
            progress.tell(&format!(
                "going on: {} are done",
                HumanCount(progress.done())
            ));
        }
        let asked = host.start().await?;
        let url = spec.url(&asked.url)?;
        let reading = reader::start(self.source.clone(), known, self.stop.clone())
            .context("cannot start a thread")?;
        let feed = UploadQueue::new(reading.lines);
        let exchange = Transfer {
            asked: &asked,
            url,
            feed: feed.clone(),
            sink,
            progress: &mut progress,
            stop: &self.stop,
        };
        let end = exchange.run().await;
        progress.end();
        asked.end().await;
        let end = end?;
        // All that it has read is answered, so that it has ended by itself, unless the run was stopped.
        if end == End::Done {
            reading
                .end
                .await
                .context("the reading thread has ended early")??;
        }
        Ok((end, progress))
    }

    fn finish(&self, sink: ResultSink, progress: &Progress, spec: &Spec) -> anyhow::Result<u8> {
        let (done, failed) = match &sink {
            ResultSink::Checkpoint(journal) => (journal.done(), journal.failed()),
            ResultSink::Stream(_) => (progress.done(), progress.failed()),
        };
        let mut advice = String::new();
        if let ResultSink::Checkpoint(journal) = sink {
            self.target
                .write(&journal, &spec.properties(), &self.stop)?;
            if failed == 0 {
                journal.remove()?;
            } else {
                advice = format!(
                    "; the same command with --retry-failed asks those again ({} is kept for it)",
                    journal.path().display()
                );
            }
        }
        if !self.args.quiet || failed > 0 {
            let mut parts = vec![format!("{} succeeded", HumanCount(done - failed))];
            if failed > 0 {
                parts.push(format!("{} failed", HumanCount(failed)));
            }
            parts.extend(progress.cost());
            parts.push(format!("in {}", took(self.started.elapsed())));
            eprintln!("{}: {}{advice}", parts.join(", "), self.target.name());
        }
        Ok(if failed > 0 { SOME_FAILED } else { 0 })
    }
}

/// Says what is left of a run that did not come to its end.
fn leave(sink: ResultSink, is_interrupted: bool) -> anyhow::Result<()> {
    let how = if is_interrupted {
        "interrupted"
    } else {
        "broken off"
    };
    match sink {
        ResultSink::Checkpoint(journal) if journal.done() == 0 => journal.remove()?,
        ResultSink::Checkpoint(journal) => eprintln!("extractd: {how}{}", goes_on(&journal)),
        ResultSink::Stream(_) if is_interrupted => {
            eprintln!(
                "extractd: interrupted; with --output or --journal the same command could go on from here"
            );
        }
        ResultSink::Stream(_) => {}
    }
    Ok(())
}

fn goes_on(journal: &Checkpoint) -> String {
    let (done, path) = (HumanCount(journal.done()), journal.path().display());
    format!("; {done} results are kept in {path}, and the same command goes on from there")
}

fn took(time: Duration) -> String {
    if time < Duration::from_mins(1) {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        HumanDuration(time).to_string()
    }
}
