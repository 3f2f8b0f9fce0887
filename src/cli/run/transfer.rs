//! Jobs of a run: resumes those that are recorded, creates those that are missing, and follows each to its end.

use anyhow::{Context, bail};
use http::Method;
use indicatif::HumanCount;

use crate::cli::api::Rejection;
use crate::cli::inputs::{Scan, Segment, StandardInput, Upload};
use crate::cli::interrupt::Interrupted;
use crate::cli::job::Job;
use crate::cli::jobs_client::JobsClient;
use crate::cli::run_record::RunRecord;
use crate::cli::source::Source;
use crate::cli::spec_file::Spec;
use crate::net::Url;

/// End of a run's jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunEnd {
    /// Every input has a result. With the names of the input's columns.
    Completed(Vec<String>),
    /// A failed item stopped the run (`on_error` is `stop`).
    Stopped,
}

/// End of one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum JobEnd {
    Completed,
    Stopped,
}

/// Jobs of a run, from its inputs to their end.
pub struct Transfer<'t, 'c> {
    pub source: &'t Source,
    /// True if the items run again that did not succeed.
    pub retries_failed: bool,
    /// True if the run begins anew.
    pub begins: bool,
    pub client: &'t mut JobsClient<'c>,
    pub record: &'t mut RunRecord,
}

impl Transfer<'_, '_> {
    /// Resumes the recorded jobs, and creates those for the other inputs.
    pub async fn run(&mut self, spec: &Spec, counted: Option<Scan>) -> anyhow::Result<RunEnd> {
        let url = spec.url(&self.client.server().url)?;
        if self.begins {
            for job in self.record.jobs() {
                self.client.try_job(Method::POST, &job.id, "/cancel").await;
                self.client.try_job(Method::DELETE, &job.id, "").await;
            }
            self.record.begin(spec.fingerprint())?;
        }
        if self.resume().await? == JobEnd::Stopped {
            return Ok(RunEnd::Stopped);
        }
        match counted {
            Some(counted) => self.send_file(&url, counted).await,
            None => self.send_standard_input(&url).await,
        }
    }

    /// Resumes the recorded jobs.
    async fn resume(&mut self) -> anyhow::Result<JobEnd> {
        let mut jobs = Vec::new();
        for recorded in self.record.jobs() {
            let job = self.client.job(Method::GET, &recorded.id, "").await;
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
            self.client.progress.message(&message);
        }
        for (job, first) in jobs {
            self.client.begin(&job, first);
            let job = self.retry(job).await?;
            if self.follow_to_end(job).await? == JobEnd::Stopped {
                return Ok(JobEnd::Stopped);
            }
        }
        Ok(JobEnd::Completed)
    }

    /// Runs the items of a recorded job again that have no result, or did not succeed. Returns the job.
    async fn retry(&mut self, mut job: Job) -> anyhow::Result<Job> {
        if job.status == "cancelling" || (self.retries_failed && !job.is_ended()) {
            job = self.client.follow(&job).await?;
        }
        let action = if self.retries_failed && job.counts.unsuccessful() > 0 {
            "/retry"
        } else if job.is_ended() && job.counts.has_unstarted() {
            "/retry?status=cancelled"
        } else {
            return Ok(job);
        };
        self.client.job(Method::POST, &job.id, action).await
    }

    /// Creates the job for the inputs of a file that have none: all of them, or those that were appended since the earlier
    /// run.
    async fn send_file(&mut self, url: &Url, counted: Scan) -> anyhow::Result<RunEnd> {
        let columns = counted.surroundings.columns;
        if counted.inputs.count == self.record.covered() {
            return Ok(RunEnd::Completed(columns));
        }
        let inputs = Segment {
            first: self.record.covered(),
            end: counted.inputs,
        };
        let (source, stop) = (self.source, self.client.stop());
        let body = || Upload::of_file(source.clone(), inputs.clone(), stop.clone());
        Ok(match self.send(url, &inputs, body).await? {
            JobEnd::Completed => RunEnd::Completed(columns),
            JobEnd::Stopped => RunEnd::Stopped,
        })
    }

    /// Creates jobs for standard input, one after the other: while a job runs, the lines of the next one arrive.
    async fn send_standard_input(&mut self, url: &Url) -> anyhow::Result<RunEnd> {
        let stop = self.client.stop();
        let started =
            StandardInput::start(self.source.clone(), self.record.prefixes(), stop.clone());
        let mut input = started.context("cannot start the thread that reads the inputs")?;
        loop {
            let next = tokio::select! {
                () = stop.cancelled() => return Err(Interrupted.into()),
                next = input.next() => next,
            };
            let Some((lines, end)) = next else {
                return Ok(RunEnd::Completed(input.end().await?.columns));
            };
            let inputs = Segment {
                first: self.record.covered(),
                end,
            };
            let body = || Ok(Upload::of_bytes(lines.clone()));
            if self.send(url, &inputs, body).await? == JobEnd::Stopped {
                return Ok(RunEnd::Stopped);
            }
        }
    }

    /// Creates the job with these inputs, records it, and follows it to its end.
    async fn send(
        &mut self,
        url: &Url,
        inputs: &Segment,
        body: impl FnMut() -> std::io::Result<Upload>,
    ) -> anyhow::Result<JobEnd> {
        let key = self.record.idempotency_key(inputs);
        let created = self.client.create(url, &key, body).await;
        let job = created.inspect_err(|error| {
            // The same command finds a job that was created without an answer.
            self.record.is_obsolete &= !self.client.was_reached() || error.is::<Rejection>();
        })?;
        self.record.add(job.id.clone(), inputs.clone())?;
        self.client.begin(&job, inputs.first);
        self.follow_to_end(job).await
    }

    /// Follows the current job to its end.
    ///
    /// # Errors
    /// If the job could not run or was cancelled; those of [`JobsClient::follow`].
    async fn follow_to_end(&mut self, mut job: Job) -> anyhow::Result<JobEnd> {
        if !job.is_ended() {
            job = self.client.follow(&job).await?;
        }
        match &*job.status {
            "completed" => Ok(JobEnd::Completed),
            "stopped" => Ok(JobEnd::Stopped),
            "cancelled" => bail!("the job {} was cancelled at the server", job.id),
            _ => bail!("the job {} could not run: {}", job.id, job.error()),
        }
    }
}
