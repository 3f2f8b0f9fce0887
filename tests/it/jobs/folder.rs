//! The data folder: removed or replaced while the server runs, closed at the end, copied, and readable by its owner only.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::{JOBS, LIMIT, asking, ended, made, path, results, show};
use crate::support::client::{eventually, within};
use crate::support::fixture::{batch, check_each_once};
use crate::support::server::{Server, binary};
use crate::upstream::{Reply, Upstream};

async fn is_gone(server: &Server, what: &str) {
    let reasons = eventually(Duration::from_secs(5), "it is noticed", async || {
        let answer = server.get("/readyz").await;
        (answer.status == 503).then(|| answer.json()["reasons"].to_string())
    })
    .await;
    assert!(reasons.contains(what), "{reasons}");
    let refused = server.post(JOBS, &batch(1)).await;
    assert_eq!(
        (refused.status.as_u16(), &refused.json()["code"]),
        (503, &json!("overloaded")),
        "{}",
        refused.text()
    );
    assert!(server.output().contains("WARN"), "{}", server.output());
    let metrics = server.get("/metrics").await.text().to_owned();
    assert!(metrics.contains("extractd_store_ready 0"), "{metrics}");
}

#[tokio::test]
async fn a_job_is_never_accepted_into_a_folder_that_was_removed() {
    let upstream = Upstream::playing();
    let builder = asking(&upstream, 4);
    let data = builder.folder().join("data");
    let server = builder.start().await;
    ended(&server, &made(&server, &batch(3)).await).await;
    std::fs::remove_dir_all(&data).unwrap();
    // At once, before anything had the time to look.
    let refused = server.post(JOBS, &batch(1)).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    is_gone(&server, "was removed").await;
    let schema = json!({"type": "object"});
    let put = server
        .request(http::Method::PUT, "/v1/schemas/thing")
        .json(&schema);
    let refused = put.answer().await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(!data.exists(), "no other store is made in its place");
    let server = server.restart().await;
    let jobs = server.get(JOBS).await.ok();
    assert_eq!(jobs["data"], json!([]));
}

#[tokio::test]
async fn a_folder_that_is_replaced_is_noticed_and_put_back_it_is_used_again() {
    const ITEMS: usize = 400;
    let upstream = Upstream::start(|_| Reply::Played.after(Duration::from_millis(30)));
    let server = asking(&upstream, 4).start().await;
    let (data, aside) = (server.folder().join("data"), server.folder().join("aside"));
    let job = made(&server, &batch(ITEMS)).await;
    eventually(LIMIT, "it is at work", async || {
        let done = show(&server, &job).await["counts"]["succeeded"].as_u64();
        (done > Some(10)).then_some(())
    })
    .await;
    std::fs::rename(&data, &aside).unwrap();
    std::fs::create_dir(&data).unwrap();
    for entry in std::fs::read_dir(&aside).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), data.join(entry.file_name())).unwrap();
    }
    is_gone(&server, "was replaced").await;
    assert_eq!(
        server.get(&path(&job, "")).await.status,
        503,
        "the copy is not read in its place"
    );
    std::fs::remove_dir_all(&data).unwrap();
    std::fs::rename(&aside, &data).unwrap();
    eventually(LIMIT, "it is used again", async || {
        (server.get("/readyz").await.status == 200).then_some(())
    })
    .await;
    let job = ended(&server, &job).await;
    assert_eq!(job["counts"]["succeeded"], ITEMS, "{job}");
    check_each_once(&results(&server, &job, "limit=1000").await, ITEMS);
    assert!(upstream.calls() <= ITEMS + 4, "{}", upstream.calls());
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The status of the only job of a server on a folder with this store.
async fn check_copy(upstream: &Upstream, store: &Path, items: usize) {
    let builder = asking(upstream, 4);
    let data = builder.folder().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::copy(store, data.join("extractd.db")).unwrap();
    let server = builder.start().await;
    let jobs = server.get(JOBS).await.ok();
    assert_eq!(jobs["data"].as_array().unwrap().len(), 1, "{jobs}");
    let job = ended(&server, &jobs["data"][0]).await;
    assert_eq!(job["counts"]["succeeded"], items, "{job}");
    check_each_once(&results(&server, &job, "limit=1000").await, items);
}

#[tokio::test]
async fn after_sigterm_the_whole_store_is_one_file() {
    let upstream = Upstream::playing();
    let builder = asking(&upstream, 4);
    let data = builder.folder().join("data");
    let mut server = builder.start().await;
    ended(&server, &made(&server, &batch(200)).await).await;
    server.terminate();
    assert_eq!(server.exit(LIMIT).await, Some(0));
    assert_eq!(
        files(&data),
        ["extractd.db", "extractd.lock", "extractd.reserve"]
    );
    check_copy(&upstream, &data.join("extractd.db"), 200).await;
}

#[tokio::test]
async fn a_backup_of_a_running_server_is_whole() {
    const ITEMS: usize = 500;
    let upstream = Upstream::start(|_| Reply::Played.after(Duration::from_millis(20)));
    let builder = asking(&upstream, 4);
    let folder = builder.folder().to_owned();
    let server = builder.start().await;
    let job = made(&server, &batch(ITEMS)).await;
    eventually(LIMIT, "it is at work", async || {
        let done = show(&server, &job).await["counts"]["succeeded"].as_u64();
        (done > Some(50)).then_some(())
    })
    .await;
    let copy = folder.join("copy.db");
    let back_up = async || {
        let mut command = binary();
        command
            .current_dir(&folder)
            .env("EXTRACTD_DATA_DIR", folder.join("data"))
            .arg("backup")
            .arg(&copy);
        within(LIMIT, "the backup", command.output()).await.unwrap()
    };
    let done = back_up().await;
    assert!(done.status.success(), "{done:?}");
    let mode = std::fs::metadata(&copy).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = back_up().await;
    assert!(!again.status.success(), "a backup is never overwritten");
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(said.contains("copy.db exists"), "{said}");
    assert_eq!(ended(&server, &job).await["counts"]["succeeded"], ITEMS);
    check_copy(&upstream, &copy, ITEMS).await;
}

#[tokio::test]
async fn the_folder_and_its_files_are_readable_by_their_owner_only() {
    let upstream = Upstream::playing();
    let builder = asking(&upstream, 4);
    let data = builder.folder().join("data");
    let server = builder.start().await;
    ended(&server, &made(&server, &batch(3)).await).await;
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    let put = server
        .request(http::Method::PUT, "/v1/schemas/one")
        .json(&schema)
        .answer()
        .await;
    assert!(put.status.is_success(), "{}", put.text());
    let mut open = Vec::new();
    let mut folders = vec![data];
    while let Some(folder) = folders.pop() {
        let mode = std::fs::metadata(&folder).unwrap().permissions().mode();
        if mode & 0o777 != 0o700 {
            open.push(format!("{} {mode:o}", folder.display()));
        }
        for name in files(&folder) {
            let file = folder.join(name);
            if file.is_dir() {
                folders.push(file);
                continue;
            }
            let mode = std::fs::metadata(&file).unwrap().permissions().mode();
            if mode & 0o777 != 0o600 {
                open.push(format!("{} {mode:o}", file.display()));
            }
        }
    }
    assert!(open.is_empty(), "{open:?}");
}
