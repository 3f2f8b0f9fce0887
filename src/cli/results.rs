//! Reader of the results of a run's jobs, in input order.

use anyhow::Context;
use serde::Deserialize;

use super::api::Failure;
use super::interrupt::Interrupted;
use super::jobs_client::{JobsClient, renumber};
use super::run_record::RecordedJob;
use crate::net::{Framing, Messages};

/// Results of all jobs of a run.
pub struct Results<'c, 'a> {
    client: &'c mut JobsClient<'a>,
    jobs: &'c [RecordedJob],
    /// Position of the current job in `jobs`.
    position: usize,
    /// Index within the job of the last result that was read.
    after: Option<u64>,
    response: Option<Messages>,
    /// Number of consecutive failures.
    failures: u32,
}

#[derive(Deserialize)]
struct ResultHead {
    index: u64,
}

impl<'c, 'a> Results<'c, 'a> {
    pub const fn new(client: &'c mut JobsClient<'a>, jobs: &'c [RecordedJob]) -> Self {
        Self {
            client,
            jobs,
            position: 0,
            after: None,
            response: None,
            failures: 0,
        }
    }

    /// Begins again at the first result.
    pub fn rewind(&mut self) {
        (self.position, self.after, self.response) = (0, None, None);
    }

    /// Returns the next result as JSON; `None` after the last.
    ///
    /// # Errors
    /// If the server stays unreachable, or the run is interrupted.
    pub async fn next(&mut self) -> anyhow::Result<Option<String>> {
        loop {
            let Some(job) = self.jobs.get(self.position) else {
                return Ok(None);
            };
            let response = match &mut self.response {
                Some(response) => response,
                None => self.response.insert(
                    self.client
                        .results(&job.id, self.after)
                        .await?
                        .messages(Framing::Lines),
                ),
            };
            let next = tokio::select! {
                () = self.client.stop().cancelled() => return Err(Interrupted.into()),
                next = response.next() => next,
            };
            let failure = match next {
                Ok(Some(line)) => {
                    let text = String::from_utf8(line).context("a result is not UTF-8")?;
                    let head: ResultHead = serde_json::from_str(&text)?;
                    (self.after, self.failures) = (Some(head.index), 0);
                    return Ok(Some(
                        renumber(&text, head.index, job.inputs.first)?.into_owned(),
                    ));
                }
                Ok(None) => {
                    self.position += 1;
                    (self.after, self.response) = (None, None);
                    continue;
                }
                Err(error) => Failure::from(error),
            };
            self.response = None;
            self.failures += 1;
            self.client.back_off(failure, self.failures).await?;
        }
    }
}
