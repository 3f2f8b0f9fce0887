//! Clients: each makes requests by its own random choices, loses patience at times, and records what it sees.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use futures_util::{StreamExt, stream};
use http::Method;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::record::{Action, Body, Event, History, Record, Reply, Segment};
use crate::support::client::{Client, Sending};
use crate::support::fixture::{batch, encoded, person, schema, schema_query, with};

/// Largest number of items of most jobs.
const ITEMS: usize = 12;
/// Jobs that a client keeps in mind.
const KEPT: usize = 6;
/// Longest time that a client waits for an answer: longer than any freeze.
const PATIENCE: Duration = Duration::from_secs(20);

/// Job of a client, which alone changes it.
#[derive(Debug, Clone)]
struct Own {
    id: String,
    /// Group and items of the creation, to repeat it.
    creation: Creation,
    is_deleted: bool,
}

/// Request that creates a job.
#[derive(Debug, Clone)]
struct Creation {
    group: String,
    has_key: bool,
    inputs: Vec<String>,
    is_ndjson: bool,
    /// Waits on `on_error: stop`.
    stops: bool,
}

pub struct Actor {
    number: u64,
    random: Rng,
    history: Arc<History>,
    server: watch::Receiver<Client>,
    own: Vec<Own>,
    /// Last event seen, by job.
    seen: BTreeMap<String, u64>,
    next: u64,
}

impl Actor {
    pub fn new(
        number: u64,
        seed: u64,
        history: Arc<History>,
        server: watch::Receiver<Client>,
    ) -> Self {
        Self {
            number,
            random: Rng::with_seed(seed.wrapping_mul(1_000_003).wrapping_add(number)),
            history,
            server,
            own: Vec::new(),
            seen: BTreeMap::new(),
            next: 0,
        }
    }

    pub async fn act_until(mut self, end: Instant) {
        while Instant::now() < end {
            let is_clear = self.act().await;
            // A server that is being started again is not asked at full speed.
            let pause = if is_clear { self.random.u64(..15) } else { 25 };
            sleep(Duration::from_millis(pause)).await;
        }
    }

    /// Makes one request. Returns false if its answer was unclear.
    async fn act(&mut self) -> bool {
        match self.random.u32(..100) {
            0..20 => self.create().await,
            20..28 => self.repeat(Body::Whole).await,
            28..31 => self.repeat(Body::Other).await,
            31..36 => self.break_upload().await,
            36..50 => self.look(|job| Action::Show { job }).await,
            50..60 => {
                let order = if self.random.bool() {
                    "input"
                } else {
                    "completion"
                };
                self.look(|job| Action::Results { job, order }).await
            }
            60..76 => self.follow().await,
            76..80 => self.change(|job| Action::Cancel { job }).await,
            80..84 => self.change(|job| Action::Retry { job }).await,
            84..88 => self.change(|job| Action::Delete { job }).await,
            88..97 => self.use_schema().await,
            _ => {
                let items = self.random.usize(1..6);
                self.request(Action::Batch { items }, None).await.is_some()
            }
        }
    }

    fn client(&self) -> Client {
        self.server.borrow().clone()
    }

    /// Sends a request and records it. Returns the answer; `None` if it is unclear.
    async fn request(
        &mut self,
        action: Action,
        creation: Option<&Creation>,
    ) -> Option<(u16, Value)> {
        let sending = sending(&self.client(), &action, creation);
        // One in ten clients leaves at any time.
        let patience = match self.random.u32(..10) {
            0 => Duration::from_millis(self.random.u64(..40)),
            _ => PATIENCE,
        };
        let began = self.history.tick();
        let reply = timeout(patience, answer(sending)).await.unwrap_or(None);
        let reply = reply.unwrap_or(Reply::Unclear);
        let result = match &reply {
            Reply::Answered(status, _, body) => Some((*status, body.clone())),
            Reply::Unclear => None,
        };
        self.history.add(Record {
            client: self.number,
            began,
            ended: self.history.tick(),
            action,
            reply,
        });
        result
    }

    fn new_creation(&mut self) -> Creation {
        self.next += 1;
        let items = match self.random.u32(..10) {
            0 => 0,
            1 => self.random.usize(ITEMS..8 * ITEMS),
            _ => self.random.usize(1..=ITEMS),
        };
        let inputs = (0..items).map(|index| match self.random.u32(..8) {
            // Fails, so that there is something to retry.
            0 => " ".to_owned(),
            _ => person(index),
        });
        let inputs = inputs.collect();
        Creation {
            group: format!("{}-{}", self.number, self.next),
            has_key: self.random.u32(..10) < 7,
            inputs,
            is_ndjson: self.random.u32(..10) < 4,
            stops: self.random.u32(..10) < 2,
        }
    }

    async fn create(&mut self) -> bool {
        let creation = self.new_creation();
        let body = Body::Whole;
        if creation.has_key && self.random.u32(..4) == 0 {
            return self.create_twice(creation).await;
        }
        let mut answered = self.send_creation(&creation, body).await;
        // As a client should that cannot know: with a key until there is an answer.
        while creation.has_key && answered.is_none() && self.random.u32(..4) > 0 {
            sleep(Duration::from_millis(20)).await;
            answered = self.send_creation(&creation, body).await;
        }
        self.keep(creation, answered)
    }

    /// Sends the same creation twice at the same time.
    async fn create_twice(&mut self, creation: Creation) -> bool {
        let mut twin = Self {
            random: self.random.fork(),
            server: self.server.clone(),
            history: Arc::clone(&self.history),
            own: Vec::new(),
            seen: BTreeMap::new(),
            ..*self
        };
        let (first, second) = tokio::join!(
            self.send_creation(&creation, Body::Whole),
            twin.send_creation(&creation, Body::Whole)
        );
        let created = |answer: &Option<(u16, Value)>| matches!(answer, Some((200..300, _)));
        let answered = if created(&first) { first } else { second };
        self.keep(creation, answered)
    }

    async fn send_creation(&mut self, creation: &Creation, body: Body) -> Option<(u16, Value)> {
        let group = creation.group.clone();
        self.request(Action::Create { group, body }, Some(creation))
            .await
    }

    fn keep(&mut self, creation: Creation, answered: Option<(u16, Value)>) -> bool {
        let is_clear = answered.is_some();
        if let Some((200..300, job)) = answered {
            let id = job["id"].as_str().unwrap().to_owned();
            self.history.add_job(&id);
            if self.own.len() >= KEPT {
                self.own.swap_remove(self.random.usize(..KEPT));
            }
            self.own.push(Own {
                id,
                creation,
                is_deleted: false,
            });
        }
        is_clear
    }

    fn pick_own(&mut self) -> Option<usize> {
        (!self.own.is_empty()).then(|| self.random.usize(..self.own.len()))
    }

    /// Repeats the creation of an own job under its key.
    async fn repeat(&mut self, body: Body) -> bool {
        let Some(index) = self.pick_own() else {
            return true;
        };
        let Own {
            creation,
            is_deleted,
            ..
        } = self.own[index].clone();
        if !creation.has_key || is_deleted {
            return true;
        }
        self.send_creation(&creation, body).await.is_some()
    }

    async fn break_upload(&mut self) -> bool {
        let mut creation = self.new_creation();
        creation.is_ndjson = true;
        self.send_creation(&creation, Body::Broken).await.is_some()
    }

    /// Looks at a job of any client.
    async fn look(&mut self, action: impl FnOnce(String) -> Action) -> bool {
        let Some(job) = self.any_job() else {
            return true;
        };
        self.request(action(job), None).await.is_some()
    }

    fn any_job(&mut self) -> Option<String> {
        let jobs = self.history.jobs();
        // Recent ones, so that several clients look at the same.
        let recent = &jobs[jobs.len().saturating_sub(30)..];
        (!recent.is_empty()).then(|| recent[self.random.usize(..recent.len())].clone())
    }

    async fn change(&mut self, action: impl FnOnce(String) -> Action) -> bool {
        let Some(index) = self.pick_own() else {
            return true;
        };
        let action = action(self.own[index].id.clone());
        if matches!(action, Action::Delete { .. }) {
            self.own[index].is_deleted = true;
        }
        self.request(action, None).await.is_some()
    }

    /// Follows a job's events from where this client has seen them, for a while.
    async fn follow(&mut self) -> bool {
        let Some(job) = self.any_job() else {
            return true;
        };
        let after = self.seen.get(&job).copied().unwrap_or(0);
        let patience = Duration::from_millis(self.random.u64(20..1_500));
        let mut events = Vec::new();
        let client = self.client();
        let following = follow(&client, &job, after, &mut events);
        let is_clear = timeout(patience, following).await.unwrap_or(true);
        if let Some(last) = events.last() {
            self.seen.insert(job.clone(), last.number);
            self.history.add_segment(Segment { job, after, events });
        }
        is_clear
    }

    /// Stores, reads or removes a schema of this client's own.
    async fn use_schema(&mut self) -> bool {
        let name = format!("client-{}-{}", self.number, self.random.u32(..2));
        self.next += 1;
        let action = match self.random.u32(..10) {
            0..4 => Action::Put {
                name,
                version: self.next,
            },
            4..9 => Action::Get { name },
            _ => Action::Remove { name },
        };
        self.request(action, None).await.is_some()
    }
}

/// Returns a request, ready to be sent.
fn sending(client: &Client, action: &Action, creation: Option<&Creation>) -> Sending {
    let job =
        |method, job: &str, rest: &str| client.request(method, &format!("/v1/jobs/{job}{rest}"));
    let named = |method, name: &str| client.request(method, &format!("/v1/schemas/{name}"));
    match action {
        Action::Create { body, .. } => creating(client, creation.unwrap(), *body),
        Action::Show { job: id } => job(Method::GET, id, ""),
        Action::Cancel { job: id } => job(Method::POST, id, "/cancel"),
        Action::Retry { job: id } => job(Method::POST, id, "/retry"),
        Action::Delete { job: id } => job(Method::DELETE, id, ""),
        Action::Results { job: id, order } => job(
            Method::GET,
            id,
            &format!("/results?limit=1000&order={order}"),
        ),
        Action::Put { name, version } => {
            let version = json!({"title": format!("version {version}")});
            named(Method::PUT, name).json(&with(schema(), version))
        }
        Action::Get { name } => named(Method::GET, name),
        Action::Remove { name } => named(Method::DELETE, name),
        Action::Batch { items } => client
            .request(Method::POST, "/v1/extract/batch")
            .json(&batch(*items)),
    }
}

fn creating(client: &Client, creation: &Creation, body: Body) -> Sending {
    let metadata = json!({"group": creation.group});
    let mut inputs = creation.inputs.clone();
    if body == Body::Other {
        inputs.push("more".to_owned());
    }
    let on_error = if creation.stops { "stop" } else { "continue" };
    let path = if creation.is_ndjson {
        let metadata = encoded(&metadata.to_string());
        format!(
            "/v1/jobs?{}&metadata={metadata}&on_error={on_error}",
            schema_query()
        )
    } else {
        "/v1/jobs".to_owned()
    };
    let mut request = client.request(Method::POST, &path);
    if creation.has_key {
        request = request.header("idempotency-key", &creation.group);
    }
    if body == Body::Broken {
        let line = Bytes::from(format!("{}\n", json!(person(1))));
        let lines = stream::iter([line.clone(), line]);
        // The client waits with the rest until it loses patience.
        return request
            .header("content-type", "application/x-ndjson")
            .stream(lines.chain(stream::pending()));
    }
    if creation.is_ndjson {
        return request.lines(inputs.iter().map(|input| json!(input).to_string()));
    }
    request.json(&json!({
        "inputs": inputs, "schema": schema(), "metadata": metadata, "on_error": on_error,
    }))
}

/// Sends a request, and reads the whole answer. `None` if the connection is lost before its end.
async fn answer(sending: Sending) -> Option<Reply> {
    let mut response = sending.try_send().await?;
    let mut body = Vec::new();
    while let Some(chunk) = response.try_chunk().await.ok()? {
        body.extend_from_slice(&chunk);
    }
    let json = if body.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&body).ok()?
    };
    let is_replayed = response.header("idempotent-replayed") == "true";
    Some(Reply::Answered(response.status.as_u16(), is_replayed, json))
}

/// Follows a job's events to the end of the connection. Returns false if there was none.
pub async fn follow(client: &Client, job: &str, after: u64, events: &mut Vec<Event>) -> bool {
    let request = client
        .request(Method::GET, &format!("/v1/jobs/{job}/events"))
        .header("last-event-id", &after.to_string());
    let Some(mut response) = request.try_send().await else {
        return false;
    };
    if response.status != 200 {
        return true;
    }
    while let Ok(Some(event)) = response.try_event().await {
        if let Some(number) = event.id {
            events.push(Event {
                number: number.parse().unwrap(),
                name: event.name,
                data: event.data,
            });
        }
    }
    true
}
