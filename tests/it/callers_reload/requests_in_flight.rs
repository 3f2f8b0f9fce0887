//! Requests that are in flight when their caller changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

#[tokio::test]
async fn the_batch_of_a_removed_caller_runs_to_its_end() {
    for quota in ["", "requests_per_minute = 100000\nmax_concurrency = 2\n"] {
        let (stage, gate) = gated(&format!("{A}{quota}{B}")).await;
        let reply = at_work(&stage, "key-a").await;
        stage.replace(B);
        stage.until("key-a", 401).await;
        assert_eq!(
            stage.upstream.seen(|log| (log.in_flight, log.aborted)),
            (2, 0)
        );
        gate.open();
        check_whole(reply, 40).await;
        assert_eq!(stage.upstream.seen(|log| log.aborted), 0);
        stage.client("key-b").wait_until_idle(LIMIT).await;
    }
}

#[tokio::test]
async fn the_running_job_of_a_removed_caller_waits_until_it_is_back() {
    // At least 20 s of calls, in which the scheduler looks for absent callers several times.
    const ITEMS: usize = 400;
    const SLOW: Duration = Duration::from_millis(100);
    let is_slow = Arc::new(AtomicBool::new(true));
    let slow = Arc::clone(&is_slow);
    let upstream = Upstream::start(move |_| {
        let is_slow = slow.load(Ordering::SeqCst);
        Reply::Played.after(if is_slow { SLOW } else { Duration::ZERO })
    });
    // One of the slots is left to the other caller.
    let config = "[limits]\nmax_concurrency = 3\n";
    let stage = Stage::set_with(upstream, &format!("{A}{B}"), config).await;
    let created = stage.client("key-a").post("/v1/jobs", &batch(ITEMS)).await;
    assert_eq!(created.status, 202, "{}", created.text());
    let job = created.json()["links"]["self"].as_str().unwrap().to_owned();
    stage
        .upstream
        .wait_for("it is at work", LIMIT, |log| log.in_flight == 2)
        .await;
    stage.replace(B);
    stage.until("key-a", 401).await;
    eventually(LIMIT, "it does not run", async || {
        let metrics = stage.client("key-b").get("/metrics").await;
        metrics
            .text()
            .contains("extractd_jobs_running 0\n")
            .then_some(())
    })
    .await;
    let (calls, aborted) = stage.upstream.seen(|log| (log.calls.len(), log.aborted));
    assert!(calls < ITEMS, "it ran to its end");
    assert_eq!(aborted, 0);
    is_slow.store(false, Ordering::SeqCst);
    stage.replace(&format!("{A}{B}"));
    stage.until("key-a", 200).await;
    let job = eventually(LIMIT, "it ends", async || {
        let shown = stage.client("key-a").get(&job).await.ok();
        (!shown["finished_at"].is_null()).then_some(shown)
    })
    .await;
    assert_eq!(job["counts"]["succeeded"], ITEMS, "{job}");
    assert_eq!(stage.upstream.calls(), ITEMS, "each item is called once");
}

#[tokio::test]
async fn after_a_rotation_only_the_new_key_is_accepted() {
    let (stage, gate) = gated(A).await;
    let reply = at_work(&stage, "key-a").await;
    stage.replace("[callers.a]\nkey = \"key-a-2\"\n");
    stage.until("key-a-2", 200).await;
    assert_eq!(stage.status("key-a").await, 401);
    gate.open();
    check_whole(reply, 40).await;
    stage
        .client("key-a-2")
        .extract(&single(person(1)))
        .await
        .ok();
}

#[tokio::test]
async fn each_request_of_a_kept_connection_is_authenticated() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let stage = Stage::set(Upstream::playing(), &format!("{A}{B}")).await;
    let mut stream = tokio::net::TcpStream::connect(stage.server.address())
        .await
        .unwrap();
    let mut ask = async || {
        let head =
            "GET /v1/models HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer key-a\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = vec![0; 16 * 1024];
        let read = crate::support::client::within(LIMIT, "an answer", stream.read(&mut answer))
            .await
            .unwrap();
        String::from_utf8_lossy(&answer[..read])
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    assert_eq!(ask().await, "HTTP/1.1 200 OK");
    stage.replace(B);
    stage.until("key-a", 401).await;
    assert_eq!(ask().await, "HTTP/1.1 401 Unauthorized");
}
