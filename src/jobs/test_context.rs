//! Context of jobs for tests: a store in a folder of its own, and a provider that never answers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::json;
use serde_json::value::to_raw_value;
use throttle::{Ignore, KeyQuota, Limits, Pool, PoolId};
use tokio::sync::mpsc;

use super::Jobs;
use super::context::{Config, JobCommand, JobContext, Shutdown};
use super::job_spec::JobSpec;
use super::sqlite::Sqlite;
use super::store::{CreateOutcome, ItemCounts, Job, JobEnd, JobKey, NewJob, Status, Store};
use crate::extraction::{self, Extractor, ModelEndpoint, ModelRoute, Models};
use crate::provider::{
    Answer, Failure, FailureKind, GenAiNames, Provider, Request, RequestPreview,
};
use crate::schema::{Quota, Registry};
use crate::telemetry::Traces;
use crate::types::{Dialect, ExtraBody, FallbackOn, Mode, Usage};

/// Maximum number of running jobs of a caller.
pub const MAX_RUNNING: usize = 2;
/// Memory budget, in bytes.
pub const MEMORY: usize = 1 << 30;

/// Context without a scheduler, and the folder of its store, which is removed on drop.
pub struct TestContext {
    pub context: Arc<JobContext>,
    folder: PathBuf,
    /// Commands that no scheduler takes.
    _commands: mpsc::Receiver<JobCommand>,
}

impl TestContext {
    /// Opens a store. `name` is unique among the tests.
    pub fn new(name: &str) -> Self {
        Self::with_store(name, Sqlite::open(&store_file(name)).unwrap())
    }

    /// Takes over a store in the file [`store_file`].
    pub fn with_store(name: &str, store: Sqlite) -> Self {
        let folder = folder(name);
        let config = Config {
            retention: Duration::from_secs(60),
            max_running_per_caller: MAX_RUNNING,
        };
        let (context, commands) = JobContext::new(
            config,
            Arc::new(store),
            Arc::new(extractor(&folder)),
            Shutdown::default(),
        );
        Self {
            context,
            folder,
            _commands: commands,
        }
    }

    /// Returns the jobs of the context.
    pub fn jobs(&self) -> Jobs {
        Jobs(Arc::clone(&self.context))
    }
}

fn folder(name: &str) -> PathBuf {
    let folder = format!("extractd-jobs-{}-{name}", std::process::id());
    std::env::temp_dir().join(folder)
}

/// Returns the file of the store that [`TestContext::new`] opens.
pub fn store_file(name: &str) -> PathBuf {
    folder(name).join("extractd.db")
}

/// Stores a job of the caller without a name that has no result.
pub async fn store_queued(store: &dyn Store, id: &str, items: u32) -> JobKey {
    store_inputs(store, id, vec![b"\"a text\"".to_vec(); items as usize]).await
}

/// Stores a job as [`store_queued`] does, with these inputs.
pub async fn store_inputs(store: &dyn Store, id: &str, inputs: Vec<Vec<u8>>) -> JobKey {
    let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}});
    let spec = JobSpec {
        batch: to_raw_value(&json!({"schema": schema})).unwrap(),
        request_id: "req_1".to_owned(),
        traceparent: None,
        tracestate: None,
        webhook: None,
    };
    let created = store.create_uploading(NewJob {
        id: id.to_owned(),
        caller: String::new(),
        spec: serde_json::to_string(&spec).unwrap(),
        metadata: None,
        created_at: 0,
        idempotency: None,
    });
    let CreateOutcome::New(job) = created.await.unwrap() else {
        panic!("the job is new");
    };
    let items = u32::try_from(inputs.len()).unwrap();
    store.add_inputs(job, 0, inputs).await.unwrap();
    store.finalize(job, items, [0; 32]).await.unwrap();
    job
}

/// Returns the end of a job that is kept, without a webhook.
pub fn job_end(status: Status) -> JobEnd {
    JobEnd {
        status,
        finished_at: 0,
        expires_at: i64::MAX,
        body: b"{}".to_vec(),
        error: None,
        webhook: None,
    }
}

/// Ends a job that is queued. Returns the job.
pub async fn end_queued(store: &dyn Store, job: JobKey, end: JobEnd) -> Job {
    let ended = store.complete(job, Status::Queued, end).await;
    ended.unwrap().expect("the job was queued")
}

/// Returns a job that runs and has no item.
pub fn running_job() -> Job {
    Job {
        key: JobKey(1),
        id: "job_1".to_owned(),
        caller: String::new(),
        metadata: None,
        status: Status::Running,
        counts: ItemCounts::default(),
        last_event: 0,
        usage: Usage::default(),
        created_at: 0,
        started_at: None,
        finished_at: None,
        expires_at: None,
        error: None,
        digest: None,
        grounding: None,
        delivery: None,
    }
}

impl Drop for TestContext {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

#[derive(Debug)]
struct SilentProvider;

impl Provider for SilentProvider {
    fn call<'a>(&'a self, _: &'a Request<'a>) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(std::future::pending())
    }

    fn preview(&self, _: &Request<'_>) -> Result<RequestPreview, Failure> {
        Err(Failure::new(FailureKind::Unusable, "it sends nothing"))
    }

    fn modes(&self) -> &'static [Mode] {
        &[Mode::JsonSchema]
    }

    fn dialect(&self, _: Mode) -> &'static Dialect {
        &schema_dialect::dialects::OPENAI_LOOSE
    }

    fn genai_names(&self) -> GenAiNames {
        GenAiNames {
            provider: "test",
            operation: "chat",
        }
    }
}

fn extractor(folder: &Path) -> Extractor {
    let pool = Pool {
        name: "test".to_owned(),
        keys: vec![KeyQuota::default()],
        max_in_flight: None,
        is_adaptive: false,
        has_trial: false,
    };
    let limits = throttle::Config {
        max_concurrency: 4,
        max_queue: 100,
        max_memory_bytes: MEMORY,
        max_body_memory_bytes: MEMORY,
    };
    let limits = Limits::new(limits, vec![pool], Arc::new(Ignore)).unwrap();
    let first = ModelEndpoint {
        provider_name: "test".to_owned(),
        provider: Arc::new(SilentProvider),
        model: "m".to_owned(),
        mode: Mode::JsonSchema,
        extra_body: ExtraBody::default(),
        limits: limits.model(PoolId(0), "m"),
        price: None,
        call_timeout: None,
    };
    let default = ModelRoute {
        first,
        fallback: Vec::new(),
        fallback_on: FallbackOn::default(),
    };
    let models = Models {
        default,
        default_name: None,
        named: BTreeMap::new(),
        providers: BTreeMap::new(),
    };
    let config = extraction::Config {
        max_tries: 1,
        max_job_tries: 1,
        max_wait: Duration::ZERO,
        max_batch_wait: Duration::ZERO,
        cache: None,
        has_shared_results: false,
        has_shared_schemas: false,
    };
    let quota = Quota {
        schemas: 1,
        bytes: 1,
    };
    let registry = Registry::open(None, folder, quota).unwrap();
    Extractor::new(
        config,
        models,
        limits,
        Arc::new(registry),
        Traces::default(),
    )
}
