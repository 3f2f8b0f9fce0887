//! Jobs whose provider or store misbehaves: each item is called once, and no error is repeated for ever.

use std::time::Duration;

use http::Method;
use serde_json::json;

use super::{LIMIT, asking, ended, made, path, post, results, show};
use crate::support::client::eventually;
use crate::support::fixture::{batch, check_each_once, found};
use crate::upstream::{Gate, Reply, Upstream};

#[tokio::test]
async fn a_token_count_that_no_call_can_have_is_not_counted_and_called_once() {
    const ITEMS: usize = 200;
    let absurd = [
        "18446744073709551615",
        "-5",
        "1e300",
        "9223372036854775807",
        "\"many\"",
        "4294967296",
    ];
    let upstream = Upstream::start(move |call| {
        let Some(item) = call.item() else {
            return Reply::Played;
        };
        let tokens = absurd[item % absurd.len()];
        let content = json!(found(item).to_string());
        let body = format!(
            r#"{{"id":"x","object":"chat.completion","model":"m","choices":[{{"index":0,"finish_reason":"stop","message":{{"role":"assistant","content":{content}}}}}],"usage":{{"prompt_tokens":{tokens},"completion_tokens":{tokens},"total_tokens":{tokens}}}}}"#
        );
        let json = ("content-type".to_owned(), "application/json".to_owned());
        Reply::Status(200, vec![json], body)
    });
    let mut server = asking(&upstream, 8).start().await;
    let job = made(&server, &batch(ITEMS)).await;
    let job = ended(&server, &job).await;
    assert_eq!(job["counts"]["succeeded"], ITEMS, "{job}");
    check_each_once(&results(&server, &job, "limit=1000").await, ITEMS);
    assert_eq!(upstream.calls(), ITEMS, "each item is called once");
    let tokens = job["usage"]["total_tokens"].as_u64().unwrap();
    assert!(tokens < 1_000_000_000, "{job}");
    let limits = server.get("/v1/limits").await.ok();
    assert!(limits.is_object(), "{limits}");
    server.terminate();
    server.exit(LIMIT).await;
    let warnings = server
        .output()
        .matches("number of tokens that no call can have")
        .count();
    assert_eq!(warnings, 1, "said once");
}

#[tokio::test]
async fn a_job_that_is_cancelled_and_deleted_while_others_wait_is_forgotten() {
    let gate = Gate::closed();
    let shut = gate.clone();
    let upstream = Upstream::start(move |_| Reply::Gate(shut.clone(), Box::new(Reply::Played)));
    let server = asking(&upstream, 4)
        .config("[jobs]\nmax_running_per_caller = 1\n")
        .start()
        .await;
    let first = made(&server, &batch(20)).await;
    let others = [
        made(&server, &batch(2)).await,
        made(&server, &batch(2)).await,
    ];
    eventually(LIMIT, "the first runs", async || {
        (show(&server, &first).await["status"] == "running").then_some(())
    })
    .await;
    assert_eq!(post(&server, &path(&first, "/cancel")).await.status, 202);
    ended(&server, &first).await;
    let deleted = server.request(Method::DELETE, &path(&first, "")).answer();
    assert_eq!(deleted.await.status, 204);
    gate.open();
    for job in &others {
        assert_eq!(ended(&server, job).await["status"], "completed");
    }
    // Longer than the wait after a failed run.
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert!(!server.output().contains("ERROR"), "{}", server.output());
}

#[tokio::test]
async fn a_job_whose_results_cannot_be_stored_is_given_up_with_the_reason() {
    const ITEMS: usize = 200;
    let upstream = Upstream::start(|_| Reply::Played.after(Duration::from_millis(20)));
    let builder = asking(&upstream, 4);
    let file = builder.folder().join("data/extractd.db");
    let server = builder.start().await;
    let store = rusqlite::Connection::open(file).unwrap();
    store.busy_timeout(LIMIT).unwrap();
    let broken = "CREATE TRIGGER broken BEFORE INSERT ON events WHEN new.item IS NOT NULL
                  BEGIN SELECT RAISE(ABORT, 'broken on purpose'); END";
    store.execute_batch(broken).unwrap();
    let job = made(&server, &batch(ITEMS)).await;
    let job = ended(&server, &job).await;
    assert_eq!(job["status"], "failed", "{job}");
    let detail = job["error"]["detail"].as_str().unwrap();
    assert!(detail.contains("broken on purpose"), "{job}");
    // Five runs, each of which ends with the first results.
    let wasted = upstream.calls();
    assert!(wasted <= 5 * 16, "{wasted} calls");
    store.execute_batch("DROP TRIGGER broken").unwrap();
    assert_eq!(post(&server, &path(&job, "/retry")).await.status, 202);
    let job = ended(&server, &job).await;
    assert_eq!(job["counts"]["succeeded"], ITEMS, "{job}");
    assert_eq!(upstream.calls(), wasted + ITEMS);
}
