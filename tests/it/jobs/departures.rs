//! Clients that leave while their job is created: the job is there, or nothing of it is, and its idempotency key is free.

use std::path::Path;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::{JOBS, LIMIT, asking};
use crate::support::client::{Client, eventually};
use crate::support::fixture::{batch, with};
use crate::support::server::Server;
use crate::upstream::Upstream;

/// Clients of a short body.
const CLIENTS: usize = 300;

/// Sends a whole request that creates a job, and leaves after `stay`.
async fn leave(client: &Client, key: &str, body: &str, stay: Duration) {
    let mut stream = TcpStream::connect(client.address()).await.unwrap();
    let head = format!(
        "POST {JOBS} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nidempotency-key: {key}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    // One write, so that the request is there at once.
    let request = [head.as_bytes(), body.as_bytes()].concat();
    stream.write_all(&request).await.unwrap();
    sleep(stay).await;
}

/// The number of rows in the store with this condition.
fn count(folder: &Path, rows: &str) -> i64 {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let store = rusqlite::Connection::open_with_flags(folder.join("data/extractd.db"), flags);
    let sql = format!("SELECT count(*) FROM {rows}");
    store
        .unwrap()
        .query_row(&sql, [], |row| row.get(0))
        .unwrap()
}

async fn repeated(client: &Client, key: &str, body: &Value) -> (u16, Value) {
    let answer = client
        .request(Method::POST, JOBS)
        .header("idempotency-key", key)
        .json(body)
        .answer()
        .await;
    (answer.status.as_u16(), answer.json())
}

async fn check_departures(body: &Value, clients: usize) {
    let upstream = Upstream::playing();
    let builder = asking(&upstream, 4);
    let folder = builder.folder().to_owned();
    let server: Server = builder.start().await;
    let text = body.to_string();
    for group in 0..clients / 10 {
        let leaving = (0..10).map(|one| {
            let (server, text) = (&server, &text);
            async move {
                let stay = Duration::from_millis(one);
                leave(server, &format!("k{group}-{one}"), text, stay).await;
            }
        });
        futures_util::future::join_all(leaving).await;
    }
    let mut jobs = std::collections::HashSet::new();
    for group in 0..clients / 10 {
        for one in 0..10 {
            let (status, job) = repeated(&server, &format!("k{group}-{one}"), body).await;
            assert_eq!(status, 202, "{group}, {one} ms: {job}");
            jobs.insert(job["id"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(jobs.len(), clients, "one job for each key");
    // No job for which nobody has the answer, and no row of one.
    eventually(LIMIT, "nothing hidden is left", async || {
        (count(&folder, "jobs WHERE status IN (0, 8)") == 0).then_some(())
    })
    .await;
    assert_eq!(count(&folder, "jobs"), i64::try_from(clients).unwrap());
    assert_eq!(
        count(&folder, "jobs"),
        count(&folder, "specs"),
        "no spec of a job that is not there"
    );
}

#[tokio::test]
async fn a_client_that_leaves_while_its_job_is_created_can_repeat_it_with_its_key() {
    check_departures(&batch(1), CLIENTS).await;
}

#[tokio::test]
async fn a_client_that_leaves_a_large_job_can_repeat_it_with_its_key() {
    let pad = "x".repeat(200_000);
    let body = with(batch(50), json!({"instructions": pad}));
    check_departures(&body, 60).await;
}

#[tokio::test]
async fn what_an_upload_left_in_the_store_is_removed_without_a_restart() {
    let upstream = Upstream::playing();
    let builder = asking(&upstream, 4);
    let folder = builder.folder().to_owned();
    let _server = builder.start().await;
    let store = rusqlite::Connection::open(folder.join("data/extractd.db")).unwrap();
    store.busy_timeout(LIMIT).unwrap();
    // As a removal that a store error interrupted leaves it.
    let row = "INSERT INTO jobs (id, caller, status, created_at) VALUES ('job_x', '', 0, 0)";
    store.execute(row, []).unwrap();
    eventually(Duration::from_secs(30), "it is removed", async || {
        (count(&folder, "jobs") == 0).then_some(())
    })
    .await;
}
