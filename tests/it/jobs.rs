//! `/v1/jobs`: durable jobs (contract, section 3).

mod bounds;
mod crash;
mod departures;
mod disk;
mod events;
mod faults;
mod folder;
mod load;
mod quotas;
mod requests;
mod webhooks;

use std::time::Duration;

use http::Method;
use serde_json::Value;

use crate::support::client::{Answer, Client, eventually};
use crate::support::server::{Builder, Server};
use crate::upstream::Upstream;

const JOBS: &str = "/v1/jobs";
/// Longer than any job here takes.
const LIMIT: Duration = Duration::from_secs(120);

/// Creates a job.
async fn made(client: &Client, body: &Value) -> Value {
    let answer = client.post(JOBS, body).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let job = answer.json();
    assert_eq!(
        answer.header("location"),
        job["links"]["self"].as_str().unwrap()
    );
    job
}

fn path(job: &Value, rest: &str) -> String {
    format!(
        "/v1/jobs/{}{rest}",
        job["id"].as_str().expect("a job has an id")
    )
}

async fn show(client: &Client, job: &Value) -> Value {
    client.get(&path(job, "")).await.ok()
}

async fn post(client: &Client, path: &str) -> Answer {
    client.request(Method::POST, path).answer().await
}

/// Waits for the job's end.
async fn ended(client: &Client, job: &Value) -> Value {
    eventually(LIMIT, "the job ends", async || {
        let shown = show(client, job).await;
        (!shown["finished_at"].is_null()).then_some(shown)
    })
    .await
}

/// Returns all results in an order, page by page.
async fn results(client: &Client, job: &Value, query: &str) -> Vec<Value> {
    let (mut results, mut after) = (Vec::new(), String::new());
    loop {
        let page = client
            .get(&path(job, &format!("/results?{query}{after}")))
            .await
            .ok();
        results.extend(
            page["data"]
                .as_array()
                .expect("a page has data")
                .iter()
                .cloned(),
        );
        if page["has_more"] == false {
            return results;
        }
        after = format!("&after={}", page["next"].as_str().expect("there is more"));
    }
}

/// Starts a server with few calls in flight, so that a job takes long.
fn asking(upstream: &Upstream, calls: usize) -> Builder {
    Server::asking(upstream).env("EXTRACTD_MAX_CONCURRENCY", calls)
}
