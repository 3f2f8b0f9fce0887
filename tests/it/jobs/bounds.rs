//! Bounds of what requests take of the server: pages of jobs in bytes, and file descriptors.

use std::time::Duration;

use serde_json::json;

use crate::support::fixture;
use crate::support::server::Server;
use crate::upstream::{Reply, Upstream};

#[tokio::test]
async fn a_lack_of_file_descriptors_fails_no_item() {
    let upstream = Upstream::start(|_| Reply::Played.after(Duration::from_millis(50)));
    let script = "ulimit -n 64; exec \"$0\" \"$@\"";
    let server = Server::asking(&upstream)
        .wrapped(["/bin/sh", "-c", script].map(str::to_owned).to_vec())
        .start()
        .await;
    // On one connection, because there may be none for another.
    let reply = server.batch(&fixture::batch(150)).await.ok();
    assert_eq!(reply["summary"]["succeeded"], 150, "{}", reply["summary"]);
    assert!(
        server.output().contains("Too many open files"),
        "there was a lack"
    );
}

#[tokio::test]
async fn a_page_of_jobs_is_bounded_in_bytes() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let note = "n".repeat(60_000);
    for number in 0..40 {
        let body = json!({"inputs": ["a"], "schema": fixture::schema(), "metadata": {"number": number.to_string(), "note": note}});
        let created = server.post("/v1/jobs", &body).await;
        assert_eq!(created.status, 202, "{}", created.text());
    }
    let (mut numbers, mut after, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = server.get(&format!("/v1/jobs?limit=1000{after}")).await;
        assert!(page.text().len() < 1_300_000, "{}", page.text().len());
        let page = page.ok();
        let jobs = page["data"].as_array().unwrap();
        let own = jobs.iter();
        numbers.extend(own.map(|job| job["metadata"]["number"].as_str().unwrap().to_owned()));
        pages += 1;
        assert_eq!(page["has_more"], page["next"].is_string());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert!(pages > 1);
    let expected = (0..40).rev().map(|number| number.to_string());
    assert_eq!(numbers, expected.collect::<Vec<_>>());
}
