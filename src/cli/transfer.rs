//! Transfer of a run: uploads the inputs and reads the results, with as many requests as needed.
//!
//! A lost connection or a temporary refusal is followed by another request, after a backoff, with
//! the inputs that have no result yet.

use std::time::Duration;

use anyhow::{anyhow, bail};
use http::{HeaderMap, HeaderValue, header};
use indicatif::HumanDuration;
use serde_json::{Map, Value};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::interrupt::Interrupted;
use super::progress::{Progress, REDRAW_INTERVAL};
use super::result_sink::ResultSink;
use super::target_server::ServerHandle;
use super::upload_queue::UploadQueue;
use crate::net::{Incoming, Lines, Url, retry_after};

/// Maximum number of consecutive requests without any result.
const MAX_REQUESTS: u32 = 5;
/// Backoff after the first failed request; it doubles each time.
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
/// Maximum `Retry-After` that a run waits for; with a longer one it ends.
const MAX_RETRY_AFTER: Duration = Duration::from_mins(2);
/// Media type of request and response.
const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// End of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunEnd {
    /// Every input has a result.
    Completed,
    /// A failed item stopped the run (`on_error` is `stop`).
    Stopped,
}

/// Temporary failure of a request, to be followed by another request.
struct RequestFailure {
    /// Description for the user.
    message: String,
    /// Delay that the server asked for. `None`: the backoff applies.
    retry_after: Option<Duration>,
}

/// Outcome of one request.
type RequestOutcome = Result<RunEnd, RequestFailure>;

impl RequestFailure {
    /// Returns a failure without a delay.
    fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            retry_after: None,
        }
    }
}

/// Transfer of one run.
pub struct Transfer<'a> {
    pub server: &'a ServerHandle,
    pub url: Url,
    pub queue: UploadQueue,
    pub sink: &'a mut ResultSink,
    pub progress: &'a mut Progress,
    pub stop: &'a CancellationToken,
}

impl Transfer<'_> {
    /// Sends requests until every input has a result.
    ///
    /// # Errors
    /// If the server rejects the request or stays unreachable, or if the run is interrupted.
    pub async fn run(mut self) -> anyhow::Result<RunEnd> {
        let (mut failures, mut has_answered) = (0, false);
        loop {
            let done_before = self.progress.done();
            let failure = match self.request(&mut has_answered).await? {
                Ok(end) => return Ok(end),
                Err(failure) => failure,
            };
            failures = if self.progress.done() > done_before {
                1
            } else {
                failures + 1
            };
            let wait = failure
                .retry_after
                .unwrap_or(FIRST_BACKOFF * 2_u32.pow(failures.min(MAX_REQUESTS) - 1));
            if !has_answered || failures >= MAX_REQUESTS {
                bail!("{}: {}", self.server.url, failure.message);
            }
            if wait > MAX_RETRY_AFTER {
                bail!(
                    "{}: {}; run the same command again in {}",
                    self.server.url,
                    failure.message,
                    HumanDuration(wait)
                );
            }
            self.progress.message(&format!(
                "{}; trying again in {:.1} s",
                failure.message,
                wait.as_secs_f64()
            ));
            tokio::select! {
                () = self.stop.cancelled() => return Err(Interrupted.into()),
                () = sleep(wait) => {}
            }
        }
    }

    /// Sends one request, and reads its response to the end.
    async fn request(&mut self, has_answered: &mut bool) -> anyhow::Result<RequestOutcome> {
        let sending = self
            .server
            .client
            .upload(&self.url, self.headers()?, self.queue.body());
        let sent = tokio::select! {
            () = self.stop.cancelled() => return Err(Interrupted.into()),
            sent = sending => sent,
        };
        let incoming = match sent {
            Ok(incoming) => incoming,
            Err(error) => return Ok(Err(RequestFailure::new(error.to_string()))),
        };
        *has_answered = true;
        if !incoming.status.is_success() {
            return rejection(incoming, &self.server.url).await.map(Err);
        }
        let media = incoming
            .headers
            .get(header::CONTENT_TYPE)
            .map(HeaderValue::as_bytes)
            .unwrap_or_default();
        if !media.starts_with(NDJSON.as_bytes()) {
            bail!(
                "{} does not respond like an extractd server; check the URL",
                self.server.url
            );
        }
        self.read_results(incoming.lines()).await
    }

    /// Returns the headers of the request.
    fn headers(&self) -> anyhow::Result<HeaderMap> {
        let mut headers =
            HeaderMap::from_iter([(header::CONTENT_TYPE, NDJSON), (header::ACCEPT, NDJSON)]);
        if let Some(key) = &self.server.key {
            let bearer = HeaderValue::try_from(format!("Bearer {key}"));
            let mut bearer = bearer.map_err(|_| {
                anyhow!("EXTRACTD_API_KEY is not a valid key: it must be visible ASCII")
            })?;
            bearer.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, bearer);
        }
        Ok(headers)
    }

    /// Reads results until the response ends.
    async fn read_results(&mut self, mut lines: Lines) -> anyhow::Result<RequestOutcome> {
        let mut tick = interval(REDRAW_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let mut next = tokio::select! {
                () = self.stop.cancelled() => return Err(Interrupted.into()),
                _ = tick.tick() => {
                    self.progress.show();
                    continue;
                }
                line = lines.next() => match line {
                    Ok(Some(line)) => Some(line),
                    Ok(None) => return Ok(Err(RequestFailure::new("the server's response ended early"))),
                    Err(error) => return Ok(Err(RequestFailure::new(error.to_string()))),
                },
            };
            let mut ended = None;
            while let Some(line) = next.take().filter(|_| ended.is_none()) {
                ended = self.read_line(&line)?;
                next = lines.ready();
            }
            if self.sink.is_on_terminal() {
                self.progress.suspend(|| self.sink.flush())?;
            } else {
                self.sink.flush()?;
            }
            if let Some(ended) = ended {
                return Ok(ended);
            }
        }
    }

    /// Reads a line of the response. Returns the outcome of the request if the line is the last
    /// one.
    fn read_line(&mut self, line: &[u8]) -> anyhow::Result<Option<RequestOutcome>> {
        let Ok(reply) = serde_json::from_slice::<Map<String, Value>>(line) else {
            return Ok(Some(Err(RequestFailure::new(
                "the server's response was cut off within a line",
            ))));
        };
        if let Some(index) = reply.get("index").and_then(Value::as_u64) {
            self.add_result(index, reply)?;
            return Ok(None);
        }
        Ok(Some(match reply.get("status").and_then(Value::as_str) {
            Some("stopped") => Ok(RunEnd::Stopped),
            Some(_) if self.queue.is_done() => Ok(RunEnd::Completed),
            Some(_) => Err(RequestFailure::new(
                "the server ended the response before every input had a result",
            )),
            None => Err(problem(&reply, "the server aborted the request")),
        }))
    }

    /// Adds a result to the sink and to the progress.
    fn add_result(&mut self, index: u64, mut result: Map<String, Value>) -> anyhow::Result<()> {
        let status = result
            .get("status")
            .and_then(Value::as_str)
            .unwrap_or_default();
        // The item has not been called; the same command sends it again when it resumes.
        if status == "cancelled" {
            return Ok(());
        }
        let has_succeeded = status == "succeeded";
        let Some(line) = self.queue.take_sent(index) else {
            bail!(
                "{} sent a result for an unknown input: index {index}",
                self.server.url
            );
        };
        let cost = result
            .get("usage")
            .and_then(|usage| usage.get("cost_usd"))
            .and_then(Value::as_f64);
        result.insert("index".to_owned(), line.index.into());
        self.sink.push(&line, has_succeeded, &result)?;
        self.progress.count(has_succeeded, cost.unwrap_or_default());
        Ok(())
    }
}

/// Returns the temporary failure that an error response describes.
///
/// # Errors
/// If the same request would be rejected again; the message names the flags of invalid fields.
async fn rejection(incoming: Incoming, url: &Url) -> anyhow::Result<RequestFailure> {
    let status = incoming.status.as_u16();
    let retry_after = retry_after(&incoming.headers, crate::types::clock::now());
    let body = incoming
        .whole()
        .await
        .map(|response| response.body)
        .unwrap_or_default();
    let Ok(reply) = serde_json::from_slice::<Map<String, Value>>(&body) else {
        let failure = RequestFailure {
            message: format!("{url} answered with status {status}"),
            retry_after,
        };
        return if is_temporary(status) {
            Ok(failure)
        } else {
            bail!("{}; check that it is an extractd server", failure.message)
        };
    };
    let failure = problem(&reply, "the server rejected the request");
    if is_temporary(status) {
        return Ok(RequestFailure {
            retry_after: failure.retry_after.or(retry_after),
            ..failure
        });
    }
    let errors = reply
        .get("errors")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let errors: Vec<_> = errors.iter().filter_map(flag_error).collect();
    match errors.as_slice() {
        [] => bail!(failure.message),
        // The problem's detail would repeat a single error.
        [error] => bail!("{error}"),
        errors => bail!("{}\n  {}", failure.message, errors.join("\n  ")),
    }
}

/// Returns true if the same request may be accepted later.
const fn is_temporary(status: u16) -> bool {
    matches!(status, 408 | 429 | 502 | 503 | 504)
}

/// Converts a problem, which is the response itself or its last line. `default` is the message of a
/// problem without a detail.
fn problem(reply: &Map<String, Value>, default: &str) -> RequestFailure {
    let problem = reply
        .get("error")
        .and_then(Value::as_object)
        .unwrap_or(reply);
    let message = problem
        .get("detail")
        .and_then(Value::as_str)
        .unwrap_or(default)
        .to_owned();
    RequestFailure {
        message,
        retry_after: problem
            .get("retry_after_ms")
            .and_then(Value::as_u64)
            .map(Duration::from_millis),
    }
}

/// Converts an error about a field to one about its flag: `/max_attempts` is `--max-attempts`.
fn flag_error(error: &Value) -> Option<String> {
    let pointer = error.get("pointer")?.as_str()?.strip_prefix('/')?;
    let message = error.get("message")?.as_str()?;
    let (field, within) = pointer.split_once('/').unwrap_or((pointer, ""));
    let within = if within.is_empty() {
        String::new()
    } else {
        format!(", at /{within}")
    };
    Some(format!("--{}{within}: {message}", field.replace('_', "-")))
}
