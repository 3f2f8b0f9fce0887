//! Creation of a job: inputs are written to the store as they arrive, and the job becomes visible once all are there.
//! Requests with the same idempotency key create one job.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::context::{JobCommand, JobContext, to_millis, unix_millis};
use super::errors::store_problem;
use super::hidden_jobs::UploadGuard;
use super::job_spec::JobSpec;
use super::store::{CreateOutcome, Digest, Idempotency, Job, JobKey, NewJob, Status, StoreError};
use crate::long_work::{Piece, run_long};
use crate::types::{Code, Error, Input, SentMetadata, TraceContext, Webhook};
use throttle::{CallerId, MemoryReservation, RETRY_SOON};

/// Number of inputs in one write, at which no further input is added to it.
const MAX_CHUNK: usize = 2_000;
/// Bytes of inputs in one write, at which no further input is added to it.
const MAX_CHUNK_BYTES: usize = 1 << 20;
/// Maximum wait for a further input of a write: what a slow upload has sent holds memory until it is written.
const MAX_CHUNK_WAIT: Duration = Duration::from_secs(1);
/// Time for which an idempotency key is remembered.
const IDEMPOTENCY_TTL: Duration = Duration::from_secs(24 * 3600);

/// Maximum wait for an earlier request with the same idempotency key that is still being received.
const MAX_KEY_WAIT: Duration = Duration::from_secs(2);
/// Interval at which the earlier request is looked for.
const KEY_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Part of its caller's share that a request holds: its memory and its place among the open requests.
pub type Held = Arc<dyn std::fmt::Debug + Send + Sync>;

/// Request to create a job.
#[derive(Debug)]
pub struct Creation {
    /// Public ID, `job_…`.
    pub id: String,
    /// Caller that owns the job.
    pub caller: CallerId,
    /// Fields of a batch without its inputs. A registered schema is included in full, not by name.
    pub batch: Box<RawValue>,
    /// Fields of the batch as the caller sent them, to be compared with another request of the same idempotency key.
    pub sent_fields: String,
    /// Caller's metadata.
    pub metadata: Option<SentMetadata>,
    /// ID of the request.
    pub request_id: String,
    /// Trace context of the request.
    pub trace_context: Option<TraceContext>,
    /// Webhook to which the job's end is delivered.
    pub webhook: Option<Webhook>,
    /// `Idempotency-Key` of at most 255 characters.
    pub idempotency_key: Option<String>,
    /// Share that is kept until the last write for which this request waits, even if the request is cancelled.
    pub held: Held,
}

/// Input of a job to be created, as it is stored.
#[derive(Debug)]
struct EncodedInput {
    /// JSON that parses as an `Item`.
    json: Vec<u8>,
    /// Memory reserved for this input, until it is stored. `None`: a body holds it.
    memory: Option<MemoryReservation>,
}

impl EncodedInput {
    /// Reserves the memory that the input takes in a chunk. Returns false if there is no room for it.
    fn reserve(&mut self) -> bool {
        let bytes = self.json.capacity() + size_of::<Self>();
        let memory = self.memory.as_mut();
        memory.is_none_or(|memory| memory.resize(bytes).is_ok())
    }
}

/// Created job.
#[derive(Debug)]
pub struct Created {
    /// Job, queued or further.
    pub job: Job,
    /// True if an earlier request with the same idempotency key created the job.
    pub is_replay: bool,
}

/// Creates a job; see [`Jobs::create`](super::Jobs::create).
pub async fn create_job(
    context: &Arc<JobContext>,
    creation: Creation,
    inputs: impl Stream<Item = Result<Input, Error>> + Unpin,
) -> Result<Created, Error> {
    let (caller, held) = (creation.caller, Arc::clone(&creation.held));
    let bytes = creation.sent_fields.len() + creation.batch.get().len();
    let hash_and_encode = || (digest_of_fields(&creation), new_job(context, creation));
    let (digest, job) = run_long(Piece::if_long(caller, bytes), hash_and_encode).await;
    let inputs = Chunks {
        caller,
        digest,
        inputs,
        total: 0,
    };
    match begin(context, job, &held).await? {
        Begun::Existing(job) => replay(*job, inputs).await,
        Begun::New(upload, key) => {
            let job = upload.run(key, inputs, held).await?;
            Ok(Created {
                job,
                is_replay: false,
            })
        }
    }
}

/// Begun creation of a job.
enum Begun {
    /// A job exists for the same idempotency key. It is returned with the metadata of this request.
    Existing(Box<Job>),
    /// The job is being uploaded.
    New(Upload, JobKey),
}

/// Begins the creation of a job. If an earlier request with the same idempotency key is still being received, waits a moment
/// for its end: its client may have left already.
async fn begin(context: &Arc<JobContext>, job: NewJob, held: &Held) -> Result<Begun, Error> {
    let deadline = Instant::now() + MAX_KEY_WAIT;
    let caller = context.caller_id(&job.caller);
    loop {
        let new = job.clone();
        // The task owns the job before its row exists. If this request is cancelled, the task's result is dropped, and with it
        // the job.
        let begun = context
            .run_to_completion(Arc::clone(held), |context| Upload::begin(context, new))
            .await?;
        match &begun {
            Begun::Existing(existing) if !existing.status.is_visible() => {
                if !wait_until_received(context, caller, existing.key, deadline).await? {
                    return Ok(begun);
                }
            }
            _ => return Ok(begun),
        }
    }
}

/// Waits until the upload of a job has ended. Returns false if it has not by the deadline.
async fn wait_until_received(
    context: &JobContext,
    caller: CallerId,
    job: JobKey,
    deadline: Instant,
) -> Result<bool, Error> {
    while Instant::now() < deadline {
        let turn = context.read_turn(caller).await;
        let found = context.store.job_by_key(job).await;
        drop(turn);
        let found = found.map_err(|error| store_problem(&error))?;
        if found.is_none_or(|job| job.status != Status::Uploading) {
            return Ok(true);
        }
        tokio::time::sleep(KEY_POLL_INTERVAL).await;
    }
    Ok(false)
}

/// Returns the digest of a request's fields, to which its inputs are added.
fn digest_of_fields(creation: &Creation) -> Sha256 {
    let metadata = serde_json::to_string(&creation.metadata).unwrap_or_default();
    let webhook = creation
        .webhook
        .as_ref()
        .map(Webhook::to_json)
        .unwrap_or_default();
    let mut digest = Sha256::new();
    for part in [creation.sent_fields.as_str(), &metadata, &webhook] {
        add_part(&mut digest, part.as_bytes());
    }
    digest
}

/// Adds a part with its length, so that different lists of parts have different digests.
fn add_part(digest: &mut Sha256, part: &[u8]) {
    digest.update((part.len() as u64).to_le_bytes());
    digest.update(part);
}

fn new_job(context: &JobContext, creation: Creation) -> NewJob {
    let created_at = unix_millis();
    let until = created_at.saturating_add(to_millis(IDEMPOTENCY_TTL));
    let webhook = creation
        .webhook
        .and_then(|webhook| RawValue::from_string(webhook.to_json()).ok());
    let (traceparent, tracestate) = creation
        .trace_context
        .map(|context| (context.parent, context.state))
        .unzip();
    let spec = JobSpec {
        batch: creation.batch,
        request_id: creation.request_id,
        traceparent,
        tracestate: tracestate.flatten(),
        webhook,
    };
    NewJob {
        id: creation.id,
        caller: context.caller_name(creation.caller),
        spec: serde_json::to_string(&spec).unwrap_or_default(),
        metadata: creation.metadata,
        created_at,
        idempotency: creation
            .idempotency_key
            .map(|key| Idempotency { key, until }),
    }
}

/// Inputs of a request, in chunks that are written together.
struct Chunks<S> {
    inputs: S,
    caller: CallerId,
    /// Digest of the fields and the inputs received so far.
    digest: Sha256,
    /// Number of inputs received so far.
    total: u32,
}

/// Inputs that are written together.
#[derive(Debug, Default)]
struct Chunk {
    inputs: Vec<Vec<u8>>,
    /// Memory of the inputs.
    memory: Vec<MemoryReservation>,
}

impl<S: Stream<Item = Result<Input, Error>> + Unpin> Chunks<S> {
    /// Waits for the next chunk. Returns an empty chunk at the end.
    async fn next_chunk(&mut self) -> Result<Chunk, Error> {
        let mut chunk = Chunk::default();
        let (mut bytes, mut has_room) = (0, true);
        while chunk.inputs.len() < MAX_CHUNK && bytes < MAX_CHUNK_BYTES && has_room {
            let max_wait = if chunk.inputs.is_empty() {
                Duration::MAX
            } else {
                MAX_CHUNK_WAIT
            };
            let Ok(Some(input)) = tokio::time::timeout(max_wait, self.inputs.next()).await else {
                break;
            };
            let mut input = self.encode(input?).await?;
            self.total = self.total.checked_add(1).ok_or_else(too_many_inputs)?;
            bytes += input.json.len();
            // Without room for more, the chunk is written at once.
            has_room = input.reserve();
            chunk.inputs.push(input.json);
            chunk.memory.extend(input.memory);
        }
        Ok(chunk)
    }

    /// Encodes an input, and adds it to the digest.
    async fn encode(&mut self, input: Input) -> Result<EncodedInput, Error> {
        let bytes = input.content.as_ref().map_or(0, String::len);
        run_long(Piece::if_long(self.caller, bytes), || {
            let json = input.to_json()?;
            add_part(&mut self.digest, &json);
            let memory = input.memory;
            Ok(EncodedInput { json, memory })
        })
        .await
    }

    fn digest(&self) -> Digest {
        self.digest.clone().finalize().into()
    }
}

fn too_many_inputs() -> Error {
    let detail = format!(
        "a job has at most {} inputs; split them into several jobs",
        u32::MAX
    );
    Error::new(Code::PayloadTooLarge, detail)
}

/// Returns the job that an earlier request with the same idempotency key created, if both requests are equal.
async fn replay<S: Stream<Item = Result<Input, Error>> + Unpin>(
    job: Job,
    mut inputs: Chunks<S>,
) -> Result<Created, Error> {
    if !job.status.is_visible() {
        let detail = "the first request with this `Idempotency-Key` is still being received; wait for its response, or send the request again in a moment";
        return Err(Error::new(Code::Conflict, detail).retry_after(RETRY_SOON));
    }
    while !inputs.next_chunk().await?.inputs.is_empty() {
        // No write separates the chunks, and the inputs of a complete body need not be waited for.
        tokio::task::yield_now().await;
    }
    if job.digest == Some(inputs.digest()) {
        return Ok(Created {
            job,
            is_replay: true,
        });
    }
    let detail = format!(
        "this `Idempotency-Key` created the job {} from a different body; use a new key for another job, or send the same body again",
        job.id
    );
    Err(Error::new(Code::IdempotencyMismatch, detail))
}

/// Upload of a job's inputs. Dropping it before the end removes the job.
struct Upload {
    context: Arc<JobContext>,
    /// Job to be removed on drop; `None` before its row exists, and once it is visible.
    unfinished: Option<JobKey>,
    /// Name of the job's caller.
    caller: String,
    /// Registration, without which a sweep removes the job. It is dropped last.
    _guard: UploadGuard,
}

impl Upload {
    async fn begin(context: Arc<JobContext>, job: NewJob) -> Result<Begun, StoreError> {
        let mut upload = Self {
            _guard: context.hidden.begin_upload(job.id.clone()),
            context,
            unfinished: None,
            caller: job.caller.clone(),
        };
        let metadata = job.metadata.clone();
        match upload.context.store.create_uploading(job).await? {
            // The inputs may arrive slowly, and meanwhile a request keeps no other metadata than it has sent. That of an equal request is
            // equal.
            CreateOutcome::Existing(job) => Ok(Begun::Existing(Box::new(Job { metadata, ..*job }))),
            CreateOutcome::New(key) => {
                upload.unfinished = Some(key);
                Ok(Begun::New(upload, key))
            }
        }
    }

    async fn run<S>(self, job: JobKey, mut inputs: Chunks<S>, held: Held) -> Result<Job, Error>
    where
        S: Stream<Item = Result<Input, Error>> + Unpin,
    {
        loop {
            let first = inputs.total;
            let chunk = inputs.next_chunk().await?;
            if chunk.inputs.is_empty() {
                break;
            }
            let added = self.context.store.add_inputs(job, first, chunk.inputs);
            added.await.map_err(|error| store_problem(&error))?;
            drop(chunk.memory);
        }
        let (total, digest) = (inputs.total, inputs.digest());
        let context = Arc::clone(&self.context);
        let finalized = context.run_to_completion(held, move |context| async move {
            // The upload belongs to this task: from here on, the job is created even if the request is cancelled.
            let mut upload = self;
            let job = context.store.finalize(job, total, digest).await?;
            upload.unfinished = None;
            let command = JobCommand::Run(job.key, job.caller.clone());
            context.send_command(command).await;
            Ok(job)
        });
        finalized.await
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(job) = self.unfinished.take() {
            let caller = std::mem::take(&mut self.caller);
            self.context.abandon_in_background(job, caller);
        }
    }
}

#[cfg(test)]
mod tests;
