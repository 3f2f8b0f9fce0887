//! State of the server after the last fault: what all answers have to agree with.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::client::follow;
use crate::record::{Action, Event, History};
use crate::support::client::{Client, eventually};
use crate::support::server::Server;

/// Longer than all jobs that are left take.
const SETTLED: Duration = Duration::from_secs(120);

/// Final state of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    pub group: String,
    pub shown: Value,
    pub by_input: Vec<Value>,
    pub by_completion: Vec<Value>,
    pub events: Vec<Event>,
}

/// Final state of the server.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Truth {
    pub jobs: BTreeMap<String, Job>,
    /// Version of each registered schema.
    pub schemas: BTreeMap<String, String>,
}

/// Waits until all jobs have ended, and reads everything.
pub async fn settle(server: &Server, history: &History, seed: u64) -> Truth {
    let what = format!("all jobs end (HISTORY_SEED={seed})");
    eventually(SETTLED, &what, async || {
        let jobs = list(server).await;
        let is_settled = jobs.values().all(|job| !job["finished_at"].is_null());
        is_settled.then_some(())
    })
    .await;
    read(server, history).await
}

/// Reads all jobs with their results and events, and all schemas that the history names.
pub async fn read(server: &Server, history: &History) -> Truth {
    let mut truth = Truth::default();
    for (id, shown) in list(server).await {
        let mut events = Vec::new();
        follow(server, &id, 0, &mut events).await;
        let job = Job {
            group: shown["metadata"]["group"].as_str().unwrap().to_owned(),
            by_input: pages(server, &format!("/v1/jobs/{id}/results?order=input")).await,
            by_completion: pages(server, &format!("/v1/jobs/{id}/results?order=completion")).await,
            shown,
            events,
        };
        truth.jobs.insert(id, job);
    }
    for record in history.records() {
        if let Action::Put { name, .. } = record.action {
            let stored = server.get(&format!("/v1/schemas/{name}")).await;
            match stored.status.as_u16() {
                200 => {
                    let title = stored.json()["title"].as_str().unwrap().to_owned();
                    truth.schemas.insert(name, title);
                }
                status => assert_eq!(status, 404, "{}", stored.text()),
            }
        }
    }
    truth
}

async fn list(client: &Client) -> BTreeMap<String, Value> {
    let jobs = pages(client, "/v1/jobs?limit=1000").await;
    let count = jobs.len();
    let by_id: BTreeMap<_, _> = jobs
        .into_iter()
        .map(|job| (job["id"].as_str().unwrap().to_owned(), job))
        .collect();
    assert_eq!(by_id.len(), count, "a job is listed twice");
    by_id
}

async fn pages(client: &Client, path: &str) -> Vec<Value> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("{path}{after}")).await.ok();
        all.extend(page["data"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return all,
        }
    }
}
