//! A disk that is full, or cannot be written to: jobs can be deleted and cancelled, direct requests are served, and jobs go on by
//! themselves.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::Method;
use serde_json::{Value, json};

use super::quotas::{CALLERS, upload};
use super::{JOBS, LIMIT, asking, ended, made, path, post, results, show};
use crate::support::client::{Answer, Client, eventually};
use crate::support::disk::Disk;
use crate::support::fixture::{batch, check_each_once, person, schema, schema_query, single, with};
use crate::support::server::{Builder, Server};
use crate::upstream::{Reply, Upstream};

/// A disk for the data folder of a server.
fn disk(builder: &Builder, megabytes: u64) -> Option<Disk> {
    Disk::new(&builder.folder().join("data"), megabytes)
}

async fn ready(client: &Client, what: &str) {
    eventually(LIMIT, what, async || {
        (client.get("/readyz").await.status == 200).then_some(())
    })
    .await;
}

/// The reasons of `/readyz`, once it is not ready.
async fn not_ready(client: &Client) -> String {
    eventually(LIMIT, "it is not ready", async || {
        let answer = client.get("/readyz").await;
        (answer.status == 503).then(|| answer.json()["reasons"].to_string())
    })
    .await
}

/// Stores a schema, another one each time.
async fn put(client: &Client, name: &str) -> Answer {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed).to_string();
    let request = client.request(Method::PUT, &format!("/v1/schemas/{name}"));
    let schema = with(schema(), json!({"$comment": number}));
    request.json(&schema).answer().await
}

async fn delete(client: &Client, name: &str) -> Answer {
    let request = client.request(Method::DELETE, &format!("/v1/schemas/{name}"));
    request.answer().await
}

/// Direct requests are served, and jobs are not.
async fn serves_only_directly(client: &Client, reason: &str) {
    let reasons = not_ready(client).await;
    assert!(reasons.contains(reason), "{reasons}");
    let direct = client.extract(&single(person(1))).await;
    assert_eq!(direct.status, 200, "{}", direct.text());
    let job = client.post(JOBS, &batch(2)).await;
    let problem = job.json();
    assert_eq!(
        (job.status.as_u16(), &problem["code"]),
        (503, &json!("overloaded")),
        "{problem}"
    );
    assert!(
        problem["detail"].as_str().unwrap().contains(reason),
        "{problem}"
    );
    assert_eq!(client.get(JOBS).await.status, 503);
}

/// A job of this many bytes, that has ended.
async fn large_job(client: &Client, megabytes: usize) -> Value {
    let text = "x".repeat(100_000);
    let lines = (0..megabytes * 10).map(|_| json!({"input": text}).to_string());
    let target = format!("{JOBS}?{}", schema_query());
    let sent = client.request(Method::POST, &target).lines(lines).answer();
    let answer = sent.await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    ended(client, &answer.json()).await
}

#[tokio::test]
async fn an_upload_larger_than_the_disk_leaves_nothing_and_the_others_go_on() {
    const ITEMS: usize = 1_000;
    let upstream = Upstream::start(|_| Reply::Played.after(Duration::from_millis(20)));
    let builder = asking(&upstream, 4);
    let Some(disk) = disk(&builder, 64) else {
        return;
    };
    let server = builder.wrapped(disk.wrapper()).start().await;
    let victim = made(&server, &batch(ITEMS)).await;
    let line = Bytes::from(format!("{}\n", json!({"input": "y".repeat(200_000)})));
    let lines = stream::iter(std::iter::repeat_n(line, 2_000));
    let upload = server
        .request(Method::POST, &format!("{JOBS}?{}", schema_query()))
        .header("content-type", "application/x-ndjson")
        .stream(lines)
        .try_send()
        .await;
    if let Some(refused) = upload {
        assert_eq!(refused.status, 503);
    }
    eventually(LIMIT, "the space is given back", async || {
        let file = std::fs::metadata(disk.inside("extractd.db")).unwrap();
        (file.len() < 16 << 20).then_some(())
    })
    .await;
    ready(&server, "what the upload left is removed").await;
    let other = made(&server, &batch(3)).await;
    assert_eq!(ended(&server, &other).await["counts"]["succeeded"], 3);
    let victim = ended(&server, &victim).await;
    assert_eq!(victim["counts"]["succeeded"], ITEMS, "{victim}");
    check_each_once(&results(&server, &victim, "limit=1000").await, ITEMS);
    let jobs = server.get(JOBS).await.ok();
    assert_eq!(jobs["data"].as_array().unwrap().len(), 2, "{jobs}");
    let server = server.restart().await;
    ready(&server, "it starts again").await;
}

#[tokio::test]
async fn one_of_several_callers_leaves_room_on_the_disk_to_the_others() {
    const MEGABYTES: u64 = 64;
    let upstream = Upstream::playing();
    let builder = asking(&upstream, 4).config(CALLERS);
    let Some(disk) = disk(&builder, MEGABYTES) else {
        return;
    };
    let server = builder.wrapped(disk.wrapper()).start().await;
    let ann = server.with_key("key-of-ann-long-enough");
    let bob = server.with_key("key-of-bob-long-enough");
    let mut of_ann = Vec::new();
    let refused = loop {
        let answer = upload(&ann, 4).await;
        if answer.status != 202 {
            break answer;
        }
        let job = answer.json();
        ended(&ann, &job).await;
        of_ann.push(job);
        assert!(of_ann.len() < 16, "she stores more than the disk has");
    };
    assert!(!of_ann.is_empty(), "{}", refused.text());
    let problem = refused.problem(429, "quota_exceeded");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("on the disk"), "{detail}");
    assert!(detail.contains("delete jobs"), "{detail}");
    let of_bob = upload(&bob, 1).await;
    assert_eq!(of_bob.status, 202, "{}", of_bob.text());
    ended(&bob, &of_bob.json()).await;
    assert_eq!(server.get("/readyz").await.status, 200);
    for job in &of_ann {
        let deleted = ann.request(Method::DELETE, &path(job, "")).answer();
        assert_eq!(deleted.await.status, 204);
    }
    eventually(LIMIT, "her space is hers again", async || {
        (upload(&ann, 4).await.status == 202).then_some(())
    })
    .await;
}

#[tokio::test]
async fn on_a_full_disk_jobs_can_be_cancelled_and_deleted() {
    let upstream = Upstream::start(|call| match call.item() {
        Some(_) => Reply::Played.after(Duration::from_millis(50)),
        None => Reply::Json(crate::support::fixture::right()),
    });
    let builder = asking(&upstream, 8);
    let Some(disk) = disk(&builder, 96) else {
        return;
    };
    let server = builder.wrapped(disk.wrapper()).start().await;
    let large = large_job(&server, 30).await;
    let running = made(&server, &batch(5_000)).await;
    assert_eq!(put(&server, "kept").await.status, 201);
    assert_eq!(put(&server, "deleted").await.status, 201);
    disk.fill();
    let reasons = not_ready(&server).await;
    assert!(reasons.contains("the disk is full"), "{reasons}");
    let refused = server.post(JOBS, &batch(1)).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    for refused in [put(&server, "kept").await, put(&server, "new").await] {
        assert_eq!(refused.status, 503, "{}", refused.text());
    }
    let deleted = delete(&server, "deleted").await;
    assert_eq!(deleted.status, 204, "{}", deleted.text());
    let files = std::fs::read_dir(disk.inside("schemas")).unwrap();
    let files: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
    assert_eq!(files, ["kept.json"], "nothing is left of what was refused");
    let cancelled = post(&server, &path(&running, "/cancel")).await;
    assert_eq!(cancelled.status, 202, "{}", cancelled.text());
    let running = ended(&server, &running).await;
    assert_eq!(running["status"], "cancelled", "{running}");
    let named = json!({"input": person(1), "schema": "kept"});
    server.extract(&named).await.ok();
    let deleted = server.request(Method::DELETE, &path(&large, "")).answer();
    let deleted = deleted.await;
    assert_eq!(deleted.status, 204, "{}", deleted.text());
    // The job that was deleted takes more than the space that is reserved.
    ready(&server, "its space is used").await;
    assert_eq!(delete(&server, "kept").await.status, 204);
    let next = made(&server, &batch(3)).await;
    assert_eq!(ended(&server, &next).await["counts"]["succeeded"], 3);
}

/// The results of its items find no room in what is reserved.
#[tokio::test]
async fn on_a_full_disk_a_large_job_can_be_cancelled_and_deleted() {
    const ITEMS: usize = 40_000;
    let upstream = Upstream::start(|_| Reply::Played.after(Duration::from_millis(50)));
    let builder = asking(&upstream, 4);
    let Some(disk) = disk(&builder, 160) else {
        return;
    };
    let server = builder.wrapped(disk.wrapper()).start().await;
    let metadata = json!({"k": "m".repeat(1_000)});
    let lines = (0..ITEMS).map(|n| json!({"input": person(n), "metadata": metadata}).to_string());
    let target = format!("{JOBS}?{}", schema_query());
    let sent = server.request(Method::POST, &target).lines(lines).answer();
    let job = sent.await;
    assert_eq!(job.status, 202, "{}", job.text());
    let job = job.json();
    disk.fill();
    not_ready(&server).await;
    let cancelled = post(&server, &path(&job, "/cancel")).await;
    assert_eq!(cancelled.status, 202, "{}", cancelled.text());
    let deleted = server.request(Method::DELETE, &path(&job, "")).answer();
    let deleted = deleted.await;
    assert_eq!(deleted.status, 204, "{}", deleted.text());
    ready(&server, "its space is used").await;
    let next = made(&server, &batch(3)).await;
    assert_eq!(ended(&server, &next).await["counts"]["succeeded"], 3);
}

/// Creates a job of one input of this many bytes.
async fn job_of_one_input(client: &Client, bytes: usize) -> Answer {
    let body = json!({"inputs": ["x".repeat(bytes)], "schema": schema()});
    client.post(JOBS, &body).await
}

/// The log of the write would fill the disk, and could not be copied into the store's file: nothing could be removed any more.
#[tokio::test]
async fn an_input_that_fits_only_once_is_refused_and_the_others_go_on() {
    let upstream = Upstream::playing();
    let builder = asking(&upstream, 8);
    let Some(disk) = disk(&builder, 76) else {
        return;
    };
    let server = builder.wrapped(disk.wrapper()).start().await;
    let earlier = ended(&server, &made(&server, &batch(3)).await).await;
    let refused = job_of_one_input(&server, 40 << 20).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.text().contains("the disk"), "{}", refused.text());
    assert_eq!(server.get("/readyz").await.status, 200);
    let deleted = server.request(Method::DELETE, &path(&earlier, "")).answer();
    let deleted = deleted.await;
    assert_eq!(deleted.status, 204, "{}", deleted.text());
    let next = made(&server, &batch(3)).await;
    assert_eq!(ended(&server, &next).await["counts"]["succeeded"], 3);
}

/// Overwriting the input takes more of the log than the reserved space.
#[tokio::test]
async fn on_a_full_disk_a_job_of_one_large_input_can_be_deleted() {
    let upstream = Upstream::start(|call| match call.item() {
        Some(_) => Reply::Played.after(Duration::from_millis(50)),
        None => Reply::Json(crate::support::fixture::right()),
    });
    let builder = asking(&upstream, 8);
    let Some(disk) = disk(&builder, 128) else {
        return;
    };
    let server = builder.wrapped(disk.wrapper()).start().await;
    let large = job_of_one_input(&server, 24 << 20).await;
    assert_eq!(large.status, 202, "{}", large.text());
    let large = ended(&server, &large.json()).await;
    let running = made(&server, &batch(5_000)).await;
    disk.fill();
    not_ready(&server).await;
    let cancelled = post(&server, &path(&running, "/cancel")).await;
    assert_eq!(cancelled.status, 202, "{}", cancelled.text());
    ended(&server, &running).await;
    let deleted = server.request(Method::DELETE, &path(&large, "")).answer();
    let deleted = deleted.await;
    assert_eq!(deleted.status, 204, "{}", deleted.text());
    ready(&server, "its space is used").await;
    let next = made(&server, &batch(3)).await;
    assert_eq!(ended(&server, &next).await["counts"]["succeeded"], 3);
}

#[tokio::test]
async fn it_starts_on_a_full_disk_that_has_no_store() {
    let upstream = Upstream::playing();
    let builder = asking(&upstream, 8);
    let Some(disk) = disk(&builder, 64) else {
        return;
    };
    disk.fill();
    let server = builder.wrapped(disk.wrapper()).start().await;
    serves_only_directly(&server, "the disk is full").await;
    disk.make_room();
    ready(&server, "the store is opened by itself").await;
    let job = made(&server, &batch(3)).await;
    assert_eq!(ended(&server, &job).await["counts"]["succeeded"], 3);
}

#[tokio::test]
async fn it_restarts_on_a_full_disk_and_its_jobs_go_on_once_there_is_room() {
    const ITEMS: usize = 600;
    let upstream = Upstream::start(|_| Reply::Played.after(Duration::from_millis(30)));
    let builder = asking(&upstream, 4);
    let Some(disk) = disk(&builder, 64) else {
        return;
    };
    let server = builder.wrapped(disk.wrapper()).start().await;
    let job = made(&server, &batch(ITEMS)).await;
    eventually(LIMIT, "it is at work", async || {
        let done = show(&server, &job).await["counts"]["succeeded"].as_u64();
        (done > Some(20)).then_some(())
    })
    .await;
    disk.fill();
    let server = server.kill_and_restart().await;
    let reasons = not_ready(&server).await;
    assert!(reasons.contains("the disk is full"), "{reasons}");
    assert_eq!(server.extract(&single(person(1))).await.status, 200);
    let server = server.restart().await;
    not_ready(&server).await;
    disk.make_room();
    ready(&server, "there is room").await;
    let job = ended(&server, &job).await;
    assert_eq!(job["counts"]["succeeded"], ITEMS, "{job}");
    check_each_once(&results(&server, &job, "limit=1000").await, ITEMS);
}

#[tokio::test]
async fn it_starts_on_a_disk_that_cannot_be_written_to() {
    let upstream = Upstream::playing();
    for has_store in [false, true] {
        let builder = asking(&upstream, 8);
        let Some(disk) = disk(&builder, 64) else {
            return;
        };
        let mut builder = builder.wrapped(disk.wrapper());
        let mut earlier = None;
        if has_store {
            let folder = builder.folder().to_owned();
            let mut server = builder.start().await;
            ended(&server, &made(&server, &batch(2)).await).await;
            server.terminate();
            server.exit(LIMIT).await;
            builder = asking(&upstream, 8)
                .env("EXTRACTD_DATA_DIR", folder.join("data").display())
                .wrapped(disk.wrapper());
            // Its folder is removed with it.
            earlier = Some(server);
        }
        disk.set_writable(false);
        let server = builder.start().await;
        serves_only_directly(&server, "cannot be written to").await;
        disk.set_writable(true);
        ready(&server, "the store is opened by itself").await;
        let job = made(&server, &batch(3)).await;
        assert_eq!(ended(&server, &job).await["counts"]["succeeded"], 3);
        let jobs = server.get(JOBS).await.ok();
        let jobs = jobs["data"].as_array().unwrap().len();
        assert_eq!(jobs, if has_store { 2 } else { 1 });
        drop(earlier);
    }
}

#[tokio::test]
async fn a_data_folder_that_cannot_be_made_is_made_later() {
    let upstream = Upstream::playing();
    let builder = Server::asking(&upstream);
    let blocker = builder.folder().join("blocker");
    std::fs::write(&blocker, "a file where a folder has to be").unwrap();
    let server = builder
        .env("EXTRACTD_DATA_DIR", blocker.join("data").display())
        .start()
        .await;
    serves_only_directly(&server, "cannot be opened").await;
    std::fs::remove_file(&blocker).unwrap();
    ready(&server, "the folder is made").await;
    let job = made(&server, &with(batch(2), json!({}))).await;
    assert_eq!(ended(&server, &job).await["counts"]["succeeded"], 2);
}

/// Makes a link to a folder, beside it.
fn link_to(folder: &Path) -> PathBuf {
    let link = folder.with_extension("link");
    std::os::unix::fs::symlink(folder, &link).unwrap();
    link
}

/// A disk that is mounted after the start. Otherwise its schemas would be replaced unseen, without a version.
#[tokio::test]
async fn the_schemas_of_a_data_folder_that_comes_later_are_there_with_it() {
    let upstream = Upstream::playing();
    let builder = Server::asking(&upstream);
    let (blocker, later) = (
        builder.folder().join("blocker"),
        builder.folder().join("later"),
    );
    std::fs::write(&blocker, "a file where a folder has to be").unwrap();
    let stored = later.join("data/schemas");
    std::fs::create_dir_all(&stored).unwrap();
    std::fs::write(stored.join("kept.json"), schema().to_string()).unwrap();
    let server = builder
        .env("EXTRACTD_DATA_DIR", blocker.join("data").display())
        .start()
        .await;
    serves_only_directly(&server, "cannot be opened").await;
    assert_eq!(server.get("/v1/schemas/kept").await.status, 503);
    assert_eq!(put(&server, "kept").await.status, 503);
    // In one step: nothing is made in its place before.
    let link = link_to(&later);
    std::fs::rename(link, &blocker).unwrap();
    ready(&server, "the folder is used").await;
    assert_eq!(server.get("/v1/schemas/kept").await.ok(), schema());
    assert_eq!(put(&server, "kept").await.status, 200, "it is replaced");
    let versions = server.get("/v1/schemas/kept/versions").await.ok();
    assert_eq!(versions["data"].as_array().unwrap().len(), 2, "{versions}");
}
