//! One run of `extractd batch`: reads the inputs, resumes and creates its jobs, and writes the output.

mod report;
mod transfer;

use std::io::BufWriter;
use std::process::ExitCode;

use anyhow::{Context, bail};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::batch_args::Args;
use super::dry_run;
use super::exit_code;
use super::html_report;
use super::inputs::{self, Scan};
use super::interrupt::Interrupted;
use super::jobs_client::JobsClient;
use super::output::{KnownColumns, Target};
use super::progress::Progress;
use super::results::Results;
use super::run_record::RunRecord;
use super::source::{Source, Surroundings};
use super::spec_file::Spec;
use super::target_server::TargetServer;
use report::{delete_jobs, report_incomplete, summary};
use transfer::{RunEnd, Transfer};

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
    exit_code::from_result(Run::run(args, server, model, stop).await)
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
        if args.dry_run {
            return dry_run::run(&args, source, server, model.as_deref(), stop).await;
        }
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
        let spec = self.spec(model, counted.as_ref())?;
        let total = counted.as_ref().map(|counted| counted.inputs.count);
        let progress = Progress::new(total, self.args.quiet);
        if !self.begins(record) {
            for name in record.check(&spec.fingerprint())? {
                progress.message(&format!(
                    "`{name}` stays as it is for the jobs of the earlier run"
                ));
            }
        }
        let store = if server.is_running() {
            None
        } else {
            record.store(self.args.restart)?
        };
        let server = server.keeping_jobs().reach(store.as_deref())?;
        let stream = (!record.has_folder()).then(std::io::stdout);
        let stream = stream.map(|out| BufWriter::with_capacity(BUFFER_BYTES, out));
        let mut client = JobsClient::new(&server, &self.stop, progress, stream);
        let result = self.extract(&mut client, record, &spec, counted).await;
        drop(client);
        server.shut_down().await;
        result
    }

    /// Returns the spec, from the flags and the fields beside the inputs of a JSON file.
    fn spec(&self, model: Option<&str>, counted: Option<&Scan>) -> anyhow::Result<Spec> {
        let none = Surroundings::default();
        let surroundings = counted.map_or(&none, |counted| &counted.surroundings);
        let fields = &surroundings.spec_fields;
        let spec = Spec::new(&self.args.spec, model, fields, &self.args.batch_fields())?;
        if self.args.html.is_some() {
            return spec.with_evidence();
        }
        Ok(spec)
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

    /// Runs the jobs, and writes the output. Returns the exit code.
    async fn extract(
        &self,
        client: &mut JobsClient<'_>,
        record: &mut RunRecord,
        spec: &Spec,
        counted: Option<Scan>,
    ) -> anyhow::Result<u8> {
        let mut transfer = Transfer {
            source: &self.source,
            retries_failed: self.args.retry_failed,
            begins: self.begins(record),
            client,
            record,
        };
        let ended = transfer.run(spec, counted).await;
        client.progress.finish();
        match ended {
            Ok(RunEnd::Completed(columns)) => self.finish(client, record, spec, columns).await,
            Ok(RunEnd::Stopped) => {
                report_incomplete(client, record, "a failed item ended the run").await;
                Ok(exit_code::SOME_FAILED)
            }
            Err(error) => {
                let is_interrupted = error.is::<Interrupted>();
                let reason = if is_interrupted {
                    "interrupted"
                } else {
                    "aborted"
                };
                report_incomplete(client, record, reason).await;
                Err(error)
            }
        }
    }

    /// Writes the output and the summary. Returns the exit code.
    async fn finish(
        &self,
        client: &mut JobsClient<'_>,
        record: &mut RunRecord,
        spec: &Spec,
        columns: Vec<String>,
    ) -> anyhow::Result<u8> {
        let failed = client.progress.failed();
        if record.has_folder() {
            let columns = KnownColumns {
                input: columns,
                properties: spec.properties(),
            };
            let mut results = Results::new(client, record.jobs());
            self.target.write(&mut results, &columns).await?;
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
            let summary = summary(&client.progress, self.started.elapsed());
            eprintln!("{summary}: {}{advice}", self.target.name());
        }
        Ok(exit_code::for_failed(failed))
    }
}
