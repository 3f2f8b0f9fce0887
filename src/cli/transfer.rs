//! Sends the inputs and takes the results, over as many requests as it takes.

use std::time::{Duration, SystemTime};

use anyhow::{anyhow, bail};
use http::{HeaderMap, HeaderValue, header};
use indicatif::HumanDuration;
use serde_json::{Map, Value};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::interrupt::Interrupted;
use super::progress::{Progress, TICK};
use super::result_sink::ResultSink;
use super::target_server::ServerHandle;
use super::upload_queue::UploadQueue;
use crate::net::{Incoming, Lines, Url, retry_after};

/// Requests that bring no result, one after the other, before it is given up.
const MAX_TRIES: u32 = 5;
/// The wait after the first of them; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// Longer than this nobody sits before a terminal.
const MAX_WAIT: Duration = Duration::from_mins(2);
const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Every input has its result.
    Done,
    /// A failed item ended it, as `on_error` said.
    Stopped,
}

/// A request that was not brought to its end.
struct RequestFailure {
    /// What happened.
    said: String,
    /// How long the server wants to be left alone.
    wait: Option<Duration>,
}

/// What came of a request.
type Ended = Result<End, RequestFailure>;

impl RequestFailure {
    fn new(said: impl Into<String>) -> Self {
        Self {
            said: said.into(),
            wait: None,
        }
    }
}

/// One run's inputs on their way.
pub struct Transfer<'a> {
    pub asked: &'a ServerHandle,
    pub url: Url,
    pub feed: UploadQueue,
    pub sink: &'a mut ResultSink,
    pub progress: &'a mut Progress,
    pub stop: &'a CancellationToken,
}

impl Transfer<'_> {
    /// Until everything is answered. A request that breaks is followed by another with what is missing.
    ///
    /// # Errors
    /// When the server refuses the request or stays away, and when it is told to stop.
    pub async fn run(mut self) -> anyhow::Result<End> {
        let (mut tries, mut has_answered) = (0, false);
        loop {
            let before = self.progress.done();
            let lost = match self.request(&mut has_answered).await? {
                Ok(end) => return Ok(end),
                Err(lost) => lost,
            };
            tries = if self.progress.done() > before {
                1
            } else {
                tries + 1
            };
            let wait = lost
                .wait
                .unwrap_or(FIRST_WAIT * 2_u32.pow(tries.min(MAX_TRIES) - 1));
            if !has_answered || tries >= MAX_TRIES {
                bail!("{}: {}", self.asked.url, lost.said);
            }
            if wait > MAX_WAIT {
                bail!(
                    "{}: {}; come again in {}",
                    self.asked.url,
                    lost.said,
                    HumanDuration(wait)
                );
            }
            self.progress.tell(&format!(
                "{}; trying again in {:.1} s",
                lost.said,
                wait.as_secs_f64()
            ));
            tokio::select! {
                () = self.stop.cancelled() => return Err(Interrupted.into()),
                () = sleep(wait) => {}
            }
        }
    }

    async fn request(&mut self, has_answered: &mut bool) -> anyhow::Result<Ended> {
        let sending = self
            .asked
            .client
            .upload(&self.url, self.headers()?, self.feed.body());
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
            return refused(incoming, &self.asked.url).await.map(Err);
        }
        let media = incoming
            .headers
            .get(header::CONTENT_TYPE)
            .map(HeaderValue::as_bytes)
            .unwrap_or_default();
        if !media.starts_with(NDJSON.as_bytes()) {
            bail!(
                "{} does not answer as extractd does; is the address right?",
                self.asked.url
            );
        }
        self.take_all(incoming.lines()).await
    }

    fn headers(&self) -> anyhow::Result<HeaderMap> {
        let mut headers =
            HeaderMap::from_iter([(header::CONTENT_TYPE, NDJSON), (header::ACCEPT, NDJSON)]);
        if let Some(key) = &self.asked.key {
            let bearer = HeaderValue::try_from(format!("Bearer {key}"));
            let mut bearer =
                bearer.map_err(|_| anyhow!("EXTRACTD_API_KEY holds something that is no key"))?;
            bearer.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, bearer);
        }
        Ok(headers)
    }

    async fn take_all(&mut self, mut lines: Lines) -> anyhow::Result<Ended> {
        let mut tick = interval(TICK);
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
                    Ok(None) => return Ok(Err(RequestFailure::new("the server's answer ended too early"))),
                    Err(error) => return Ok(Err(RequestFailure::new(error.to_string()))),
                },
            };
            let mut ended = None;
            while let Some(line) = next.take().filter(|_| ended.is_none()) {
                ended = self.take(&line)?;
                next = lines.ready();
            }
            if self.sink.is_on_terminal() {
                self.progress.aside(|| self.sink.flush())?;
            } else {
                self.sink.flush()?;
            }
            if let Some(ended) = ended {
                return Ok(ended);
            }
        }
    }

    /// A line of the answer; how the request ended if it is the last.
    fn take(&mut self, line: &[u8]) -> anyhow::Result<Option<Ended>> {
        let Ok(reply) = serde_json::from_slice::<Map<String, Value>>(line) else {
            return Ok(Some(Err(RequestFailure::new(
                "the server's answer broke off within a line",
            ))));
        };
        if let Some(index) = reply.get("index").and_then(Value::as_u64) {
            self.take_result(index, reply)?;
            return Ok(None);
        }
        Ok(Some(match reply.get("status").and_then(Value::as_str) {
            Some("stopped") => Ok(End::Stopped),
            Some(_) if self.feed.is_done() => Ok(End::Done),
            Some(_) => Err(RequestFailure::new(
                "the server ended before it had answered everything",
            )),
            None => Err(problem(&reply, "the server broke off")),
        }))
    }

    fn take_result(&mut self, index: u64, mut result: Map<String, Value>) -> anyhow::Result<()> {
        let status = result
            .get("status")
            .and_then(Value::as_str)
            .unwrap_or_default();
        // It was not asked, and is when the same command goes on.
        if status == "cancelled" {
            return Ok(());
        }
        let has_succeeded = status == "succeeded";
        let Some(line) = self.feed.answered(index) else {
            bail!(
                "{} answered an input that it was not sent: index {index}",
                self.asked.url
            );
        };
        let cost = result
            .get("usage")
            .and_then(|usage| usage.get("cost_usd"))
            .and_then(Value::as_f64);
        result.insert("index".to_owned(), line.index.into());
        self.sink.take(&line, has_succeeded, &result)?;
        self.progress.count(has_succeeded, cost.unwrap_or_default());
        Ok(())
    }
}

/// What is said in place of results: worth another try, or an error.
async fn refused(incoming: Incoming, url: &Url) -> anyhow::Result<RequestFailure> {
    let status = incoming.status.as_u16();
    let wait = retry_after(&incoming.headers, SystemTime::now());
    let body = incoming
        .whole()
        .await
        .map(|response| response.body)
        .unwrap_or_default();
    let Ok(said) = serde_json::from_slice::<Map<String, Value>>(&body) else {
        let lost = RequestFailure {
            said: format!("{url} answered with status {status}"),
            wait,
        };
        return if is_passing(status) {
            Ok(lost)
        } else {
            bail!("{}; is it an extractd server?", lost.said)
        };
    };
    let lost = problem(&said, "the request was refused");
    if is_passing(status) {
        return Ok(RequestFailure {
            wait: lost.wait.or(wait),
            ..lost
        });
    }
    let faults = said
        .get("errors")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let faults: Vec<_> = faults.iter().filter_map(fault).collect();
    match faults.as_slice() {
        [] => bail!(lost.said),
        // Then the sentence says the same.
        [fault] => bail!("{fault}"),
        faults => bail!("{}\n  {}", lost.said, faults.join("\n  ")),
    }
}

/// Whether the same request may be taken later.
const fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 429 | 502 | 503 | 504)
}

/// A problem, as the server describes it or as an item of its answer.
fn problem(reply: &Map<String, Value>, otherwise: &str) -> RequestFailure {
    let problem = reply
        .get("error")
        .and_then(Value::as_object)
        .unwrap_or(reply);
    let said = problem
        .get("detail")
        .and_then(Value::as_str)
        .unwrap_or(otherwise)
        .to_owned();
    RequestFailure {
        said,
        wait: problem
            .get("retry_after_ms")
            .and_then(Value::as_u64)
            .map(Duration::from_millis),
    }
}

/// `/max_attempts` is what stands behind `--max-attempts`.
fn fault(fault: &Value) -> Option<String> {
    let pointer = fault.get("pointer")?.as_str()?.strip_prefix('/')?;
    let message = fault.get("message")?.as_str()?;
    let (field, within) = pointer.split_once('/').unwrap_or((pointer, ""));
    let within = if within.is_empty() {
        String::new()
    } else {
        format!(", at /{within}")
    };
    Some(format!("--{}{within}: {message}", field.replace('_', "-")))
}
