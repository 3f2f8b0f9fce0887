//! Making a job: its inputs go to the disk as they arrive, and it exists once all of them are there.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::job_spec::JobSpec;
use super::store::{BeginOutcome, Digest, Idempotency, Job, JobKey, NewJob};
use super::{Jobs, Shared, job_scheduler, now, unavailable};
use crate::types::{Code, Error, Metadata, Webhook};
use throttle::CallerId;

/// Inputs that go to the store together: so many, or so many bytes.
const CHUNK: usize = 2_000;
const CHUNK_BYTES: usize = 1 << 20;
/// How long the next input is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long an idempotency key is known.
const IDEMPOTENT: Duration = Duration::from_secs(24 * 3600);

/// A job that somebody wants.
#[derive(Debug)]
pub struct Creation {
    /// `job_…`
    pub id: String,
    pub caller: CallerId,
    /// The fields of a batch, without its inputs; the schema itself, not its name.
    pub batch: Box<RawValue>,
    /// The same as they were sent, to be compared with those of another request.
    pub sent: String,
    pub metadata: Option<Metadata>,
    pub request_id: String,
    pub traceparent: Option<String>,
    /// Where its end is told.
    pub webhook: Option<Webhook>,
    /// At most 255 characters.
    pub idempotency_key: Option<String>,
}

/// What came of it.
#[derive(Debug)]
pub struct Created {
    pub job: Job,
    /// It was made by an earlier request with the same idempotency key.
    pub is_replay: bool,
}

impl Jobs {
    /// Makes a job of inputs, each as JSON that reads as an `Item`. It is on the disk when this is done; when it fails, or is
    /// dropped before, nothing is left.
    ///
    /// # Errors
    /// The first error among the inputs; `conflict` and `idempotency_mismatch`; when the store fails.
    pub async fn create(
        &self,
        creation: Creation,
        inputs: impl Stream<Item = Result<Vec<u8>, Error>> + Unpin,
    ) -> Result<Created, Error> {
        let shared = &self.0;
        let digest = digest(&creation);
        let new = new_job(shared, creation);
        let inputs = Chunks {
            inputs,
            digest,
            total: 0,
        };
        match shared
            .store
            .create_uploading(new)
            .await
            .map_err(|error| unavailable(&error))?
        {
            BeginOutcome::Known(job) => replay(*job, inputs).await,
            BeginOutcome::New(key) => {
                let upload = Upload {
                    shared: Arc::clone(shared),
                    job: Some(key),
                };
                Ok(Created {
                    job: upload.run(key, inputs).await?,
                    is_replay: false,
                })
            }
        }
    }
}

/// Begins with what is said beside the inputs.
fn digest(creation: &Creation) -> Sha256 {
    let metadata = serde_json::to_string(&creation.metadata).unwrap_or_default();
    let mut digest = Sha256::new();
    let webhook = creation
        .webhook
        .as_ref()
        .map(Webhook::to_json)
        .unwrap_or_default();
    for part in [creation.sent.as_str(), &metadata, &webhook] {
        add(&mut digest, part.as_bytes());
    }
    digest
}

/// Each part with its length, so that no two lists of parts are one text.
fn add(digest: &mut Sha256, part: &[u8]) {
    digest.update((part.len() as u64).to_le_bytes());
    digest.update(part);
}

fn new_job(shared: &Shared, creation: Creation) -> NewJob {
    let created_at = now();
    let until = created_at + i64::try_from(IDEMPOTENT.as_millis()).unwrap_or(i64::MAX);
    let webhook = creation
        .webhook
        .and_then(|webhook| RawValue::from_string(webhook.to_json()).ok());
    let record = JobSpec {
        batch: creation.batch,
        request_id: creation.request_id,
        traceparent: creation.traceparent,
        webhook,
    };
    NewJob {
        id: creation.id,
        caller: shared.name(creation.caller),
        spec: serde_json::to_string(&record).unwrap_or_default(),
        metadata: creation.metadata,
        created_at,
        idempotency: creation
            .idempotency_key
            .map(|key| Idempotency { key, until }),
    }
}

/// The inputs, some at a time.
struct Chunks<S> {
    inputs: S,
    digest: Sha256,
    total: u32,
}

impl<S: Stream<Item = Result<Vec<u8>, Error>> + Unpin> Chunks<S> {
    /// The next of them; none at the end.
    async fn next(&mut self) -> Result<Vec<Vec<u8>>, Error> {
        let (mut chunk, mut bytes) = (Vec::new(), 0);
        while chunk.len() < CHUNK && bytes < CHUNK_BYTES {
            let next = tokio::time::timeout(PATIENCE, self.inputs.next()).await;
            let Some(input) = next.map_err(|_| too_slow(self.total))? else {
                break;
            };
            let input = input?;
            add(&mut self.digest, &input);
            self.total = self.total.checked_add(1).ok_or_else(too_many)?;
            bytes += input.len();
            chunk.push(input);
        }
        Ok(chunk)
    }

    fn digest(&self) -> Digest {
        self.digest.clone().finalize().into()
    }
}

fn too_slow(after: u32) -> Error {
    let detail = format!(
        "nothing came for {} s after input {after}; nothing was kept, send it again",
        PATIENCE.as_secs()
    );
    Error::new(Code::InvalidJson, detail)
}

fn too_many() -> Error {
    Error::new(
        Code::PayloadTooLarge,
        format!("a job has at most {} inputs; make more than one", u32::MAX),
    )
}

/// The job that an equal request has made.
async fn replay<S: Stream<Item = Result<Vec<u8>, Error>> + Unpin>(
    job: Job,
    mut inputs: Chunks<S>,
) -> Result<Created, Error> {
    if !job.status.is_visible() {
        let detail = "the first request with this `Idempotency-Key` is still being received; wait for its answer, or try again in a moment";
        return Err(Error::new(Code::Conflict, detail).retry_after(Duration::from_secs(1)));
    }
    while !inputs.next().await?.is_empty() {}
    if job.digest == Some(inputs.digest()) {
        return Ok(Created {
            job,
            is_replay: true,
        });
    }
    let detail = format!(
        "this `Idempotency-Key` made the job {} of another body; use a new key for another job, or send the same body again",
        job.id
    );
    Err(Error::new(Code::IdempotencyMismatch, detail))
}

/// Dropped before its end, it leaves nothing behind.
struct Upload {
    shared: Arc<Shared>,
    /// `None` once it exists.
    job: Option<JobKey>,
}

impl Upload {
    async fn run<S>(mut self, job: JobKey, mut inputs: Chunks<S>) -> Result<Job, Error>
    where
        S: Stream<Item = Result<Vec<u8>, Error>> + Unpin,
    {
        let store = Arc::clone(&self.shared.store);
        loop {
            let first = inputs.total;
            let chunk = inputs.next().await?;
            if chunk.is_empty() {
                break;
            }
            store
                .add_inputs(job, first, chunk)
                .await
                .map_err(|error| unavailable(&error))?;
        }
        // From here on it may exist, whether its caller still waits or not.
        self.job = None;
        let (total, digest) = (inputs.total, inputs.digest());
        let made = self.shared.surely(move |shared| async move {
            let made = shared.store.finalize(job, total, digest).await;
            match &made {
                Ok(made) => shared.order(job_scheduler::JobCommand::Run(
                    made.key,
                    made.caller.clone(),
                )),
                Err(_) => shared.remove(job),
            }
            made
        });
        made.await
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(job) = self.job.take() {
            self.shared.remove(job);
        }
    }
}
