//! Client of `/v1/jobs`: creates jobs, follows their events, and controls them. A lost connection or a temporary refusal is
//! followed by another request, after a backoff.

use std::io::{BufWriter, IsTerminal, Stdout, Write};
use std::time::Duration;

use anyhow::{Context, anyhow};
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::api::{Failure, JSON, NDJSON};
use super::inputs::Upload;
use super::interrupt::Interrupted;
use super::job::Job;
use super::progress::{JobProgress, Progress};
use super::target_server::ServerHandle;
use crate::net::{Framing, Incoming, Url};
use crate::types::plain_message;

/// Time for requests on the way out, which are not repeated.
const LAST_REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Status of the response if no event follows.
const NO_CONTENT: u16 = 204;
const EVENTS: &str = "text/event-stream";

/// Data of an event, as far as it distinguishes the kinds: a result has an `index` and a `status`, an end of the
/// job only a `status`, and progress neither.
#[derive(Deserialize)]
struct EventHead<'a> {
    index: Option<u64>,
    #[serde(borrow)]
    status: Option<&'a str>,
}

/// Client of one server for one run.
pub struct JobsClient<'a> {
    server: &'a ServerHandle,
    stop: &'a CancellationToken,
    pub progress: Progress,
    /// Standard output, if results are written to it as they are recorded.
    stream: Option<BufWriter<Stdout>>,
    /// True once the server was reached: until then a failure is not worth a retry.
    was_reached: bool,
    /// ID of the job that runs or ran last, and the index of its first input among all inputs.
    current: Option<(String, u64)>,
}

impl<'a> JobsClient<'a> {
    /// Returns a client that shows `progress`, and writes results to `stream` as they are recorded.
    pub const fn new(
        server: &'a ServerHandle,
        stop: &'a CancellationToken,
        progress: Progress,
        stream: Option<BufWriter<Stdout>>,
    ) -> Self {
        Self {
            server,
            stop,
            progress,
            stream,
            was_reached: false,
            current: None,
        }
    }

    /// Returns the server.
    pub const fn server(&self) -> &'a ServerHandle {
        self.server
    }

    /// Returns the token that is cancelled when the run is interrupted.
    pub const fn stop(&self) -> &'a CancellationToken {
        self.stop
    }

    /// Returns true if the server was reached.
    pub const fn was_reached(&self) -> bool {
        self.was_reached
    }

    /// Creates a job with the inputs of `body`, or returns the one that was created with the same key.
    ///
    /// # Errors
    /// [`Rejection`](super::api::Rejection) by the server; if it stays unreachable, or the run is interrupted.
    pub async fn create(
        &mut self,
        url: &Url,
        key: &str,
        mut body: impl FnMut() -> std::io::Result<Upload>,
    ) -> anyhow::Result<Job> {
        let server = self.server;
        self.retrying(async || {
            let body = body().context("cannot start the thread that reads the inputs")?;
            parse_job(server.upload(url, key, body).await?).await
        })
        .await
    }

    /// Sends a request about a job and returns the job. `action` is the end of the path.
    ///
    /// # Errors
    /// As [`JobsClient::create`].
    pub async fn job(&mut self, method: Method, id: &str, action: &str) -> anyhow::Result<Job> {
        let server = self.server;
        let path = format!("/v1/jobs/{id}{action}");
        self.retrying(async || parse_job(server.request(method.clone(), &path, JSON).await?).await)
            .await
    }

    /// Sends a request about a job once, and waits for at most a few seconds. Returns the job if the response shows it.
    pub async fn try_job(&self, method: Method, id: &str, action: &str) -> Option<Job> {
        let path = format!("/v1/jobs/{id}{action}");
        let request = async {
            let incoming = self.server.request(method, &path, JSON).await.ok()?;
            parse_job(incoming).await.ok()
        };
        timeout(LAST_REQUEST_TIMEOUT, request).await.ok()?
    }

    /// Requests the results of a job in input order, after the one with the index `after`.
    ///
    /// # Errors
    /// As [`JobsClient::create`].
    pub async fn results(&mut self, id: &str, after: Option<u64>) -> anyhow::Result<Incoming> {
        let after = after.map_or_else(String::new, |after| format!("?after={after}"));
        let path = format!("/v1/jobs/{id}/results{after}");
        let server = self.server;
        self.retrying(async || server.request(Method::GET, &path, NDJSON).await)
            .await
    }

    /// Repeats a request until it succeeds.
    async fn retrying<T>(
        &mut self,
        mut request: impl AsyncFnMut() -> Result<T, Failure>,
    ) -> anyhow::Result<T> {
        for failures in 1_u32.. {
            let failure = tokio::select! {
                () = self.stop.cancelled() => return Err(Interrupted.into()),
                answered = request() => match answered {
                    Ok(answer) => {
                        self.was_reached = true;
                        return Ok(answer);
                    }
                    Err(failure) => failure,
                },
            };
            self.back_off(failure, failures).await?;
        }
        Err(anyhow!("{}: too many failures", self.server.url))
    }

    /// Waits before the next request.
    ///
    /// # Errors
    /// If another request is of no use, or the run is interrupted.
    pub async fn back_off(&mut self, failure: Failure, failures: u32) -> anyhow::Result<()> {
        let (message, wait) = failure.backoff(&self.server.url, failures, &mut self.was_reached)?;
        let message = format!("{message}; trying again in {:.1} s", wait.as_secs_f64());
        self.progress.message(&message);
        tokio::select! {
            () = self.stop.cancelled() => Err(Interrupted.into()),
            () = sleep(wait) => Ok(()),
        }
    }

    /// Begins with a job. `first` is the index of its first input among all inputs.
    pub fn begin(&mut self, job: &Job, first: u64) {
        self.current = Some((job.id.clone(), first));
        self.progress.begin_job();
        self.progress.update(job.into());
    }

    /// Returns the ID of the job that runs or ran last.
    pub fn current(&self) -> Option<&str> {
        self.current.as_ref().map(|(id, _)| &**id)
    }

    /// Follows the events of the current job until it has ended.
    ///
    /// # Errors
    /// As [`JobsClient::create`]; if standard output cannot be written.
    pub async fn follow(&mut self, job: &Job) -> anyhow::Result<Job> {
        // Each recorded result has an event. Those before are of interest only for standard output.
        let mut after = if self.stream.is_some() {
            0
        } else {
            job.counts.ended()
        };
        let mut failures = 0;
        loop {
            let before = after;
            let failure = match self.read_events(&job.id, &mut after).await? {
                Ok(true) => {
                    let job = self.job(Method::GET, &job.id, "").await?;
                    self.progress.update((&job).into());
                    return Ok(job);
                }
                Ok(false) if after > before => {
                    failures = 0;
                    continue;
                }
                Ok(false) => Failure::broken("the server's response ended early"),
                Err(failure) => failure,
            };
            failures = if after > before { 1 } else { failures + 1 };
            self.back_off(failure, failures).await?;
        }
    }

    /// Reads events after the number `after`, and advances it, until the response ends. Returns true if no event follows.
    async fn read_events(
        &mut self,
        id: &str,
        after: &mut u64,
    ) -> anyhow::Result<Result<bool, Failure>> {
        let path = format!("/v1/jobs/{id}/events?after={after}");
        let sent = tokio::select! {
            () = self.stop.cancelled() => return Err(Interrupted.into()),
            sent = self.server.request(Method::GET, &path, EVENTS) => sent,
        };
        let incoming = match sent {
            Ok(incoming) if incoming.status.as_u16() == NO_CONTENT => return Ok(Ok(true)),
            Ok(incoming) => incoming,
            Err(failure) => return Ok(Err(failure)),
        };
        let mut events = incoming.messages(Framing::Events);
        loop {
            let next = tokio::select! {
                () = self.stop.cancelled() => return Err(Interrupted.into()),
                next = events.next() => next,
            };
            let mut next = match next {
                Ok(Some(event)) => Some(event),
                Ok(None) => return Ok(Ok(false)),
                Err(error) => return Ok(Err(error.into())),
            };
            while let Some(event) = next {
                self.read_event(&event, after)?;
                next = events.ready();
            }
            if let Some(stream) = &mut self.stream {
                let is_terminal = stream.get_ref().is_terminal();
                let mut flush = || stream.flush().context("cannot write to standard output");
                if is_terminal {
                    self.progress.suspend(flush)?;
                } else {
                    flush()?;
                }
            }
            self.progress.show();
        }
    }

    /// Reads one event.
    fn read_event(&mut self, data: &[u8], after: &mut u64) -> anyhow::Result<()> {
        let invalid = || format!("{} sent an event that is not valid", self.server.url);
        let head: EventHead = serde_json::from_slice(data).with_context(invalid)?;
        let Some(index) = head.index else {
            if head.status.is_some() {
                *after += 1;
            } else {
                let progress: JobProgress = serde_json::from_slice(data).with_context(invalid)?;
                self.progress.update(progress);
            }
            return Ok(());
        };
        *after += 1;
        // An item that was cancelled runs again when the same command resumes.
        if let Some(stream) = &mut self.stream
            && head.status != Some("cancelled")
        {
            let text = std::str::from_utf8(data).with_context(invalid)?;
            let first = self.current.as_ref().map_or(0, |(_, first)| *first);
            let result = renumber(text, index, first)?;
            writeln!(stream, "{result}").context("cannot write to standard output")?;
        }
        Ok(())
    }
}

/// Parses a response that shows a job.
async fn parse_job(incoming: Incoming) -> Result<Job, Failure> {
    let body = incoming.whole().await?.body;
    serde_json::from_slice(&body).map_err(|error| {
        anyhow!(
            "the response is no job: {}; check that it is an extractd server of this version",
            plain_message(&error)
        )
        .into()
    })
}

/// Returns a result with its index among all inputs, where `first` is the index of its job's first input.
///
/// # Errors
/// If the result is no JSON object.
pub fn renumber(result: &str, index: u64, first: u64) -> anyhow::Result<std::borrow::Cow<'_, str>> {
    if first == 0 {
        return Ok(result.into());
    }
    let mut result: Map<String, Value> = serde_json::from_str(result)?;
    result.insert("index".to_owned(), (first + index).into());
    Ok(serde_json::to_string(&result)?.into())
}
