//! `POST /v1/extract/batch` in completion order as server-sent events (contract, section 2; reliability.md, SSE).

use std::time::Duration;

use serde_json::json;

use crate::support::client::Response;
use crate::support::fixture::{self, batch, check_each_once, with};
use crate::support::server::Server;
use crate::support::test_lock;
use crate::upstream::{Gate, Reply, Upstream};

const SSE: &str = "text/event-stream";

#[tokio::test]
async fn each_item_is_an_event_as_it_completes() {
    let gates: Vec<_> = (0..5).map(|_| Gate::closed()).collect();
    let held = gates.clone();
    let upstream = Upstream::start(move |call| Reply::Played.behind(&held[call.item().unwrap()]));
    let server = Server::with(&upstream).await;
    let mut response = server
        .open("/v1/extract/batch", SSE, &batch(5))
        .await
        .expect(200);
    for (number, index) in [3, 0, 4, 2, 1].into_iter().enumerate() {
        gates[index].open();
        let event = response.event_but_progress().await.unwrap();
        assert_eq!(event.name, "result");
        assert_eq!(
            event.id,
            Some((number + 1).to_string()),
            "the number of its completion"
        );
        assert_eq!(
            event.data["index"], index,
            "the one that was answered, before any other is"
        );
        assert_eq!(event.data["status"], "succeeded");
        assert_eq!(event.data["data"], fixture::found(index));
    }
    check_done(response, 5).await;
}

async fn check_done(mut response: Response, total: usize) {
    let done = response.event_but_progress().await.unwrap();
    assert_eq!(done.name, "done");
    assert_eq!(done.data["status"], "completed");
    assert_eq!(
        (&done.data["total"], &done.data["succeeded"]),
        (&json!(total), &json!(total)),
        "{done:?}"
    );
    assert!(done.data["elapsed_ms"].as_f64().unwrap() > 0.0, "{done:?}");
    assert!(response.event().await.is_none(), "nothing comes after done");
}

#[tokio::test]
async fn the_stream_is_requested_by_field_or_by_header() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let by_field = server
        .open(
            "/v1/extract/batch",
            "*/*",
            &with(batch(2), json!({"stream": true})),
        )
        .await;
    let by_header = server.open("/v1/extract/batch", SSE, &batch(2)).await;
    for response in [by_field, by_header] {
        assert!(
            response.header("content-type").starts_with(SSE),
            "{:?}",
            response.headers
        );
        assert_eq!(response.header("cache-control"), "no-store");
        assert_eq!(response.header("x-accel-buffering"), "no");
        let events = response.expect(200).events().await;
        check_each_once(
            events
                .iter()
                .filter(|event| event.name == "result")
                .map(|event| &event.data),
            2,
        );
    }
}

#[tokio::test]
async fn the_stream_begins_with_the_time_to_wait_before_a_reconnect() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let whole = server
        .open("/v1/extract/batch", SSE, &batch(1))
        .await
        .whole()
        .await;
    assert!(
        whole.text().starts_with("retry: 2000\n") || whole.text().starts_with("retry:2000\n"),
        "{}",
        whole.text()
    );
}

#[tokio::test]
async fn each_input_gets_exactly_one_result_failed_ones_too() {
    let upstream = Upstream::start(|call| {
        if call.item().unwrap() % 10 == 3 {
            Reply::error(413, "no")
        } else {
            Reply::Played
        }
    });
    let server = Server::with(&upstream).await;
    let events = server
        .open(
            "/v1/extract/batch",
            SSE,
            &with(batch(200), json!({"mode": "tools"})),
        )
        .await
        .expect(200)
        .events()
        .await;
    let results: Vec<_> = events
        .iter()
        .filter(|event| event.name == "result")
        .collect();
    check_each_once(results.iter().map(|event| &event.data), 200);
    let ids: Vec<_> = results
        .iter()
        .map(|event| event.id.clone().unwrap())
        .collect();
    assert_eq!(
        ids,
        (1..=200).map(|id| id.to_string()).collect::<Vec<_>>(),
        "ids count from 1 without a gap"
    );
    for event in &results {
        let index = usize::try_from(event.data["index"].as_u64().unwrap()).unwrap();
        assert_eq!(
            event.data["status"],
            if index % 10 == 3 {
                "failed"
            } else {
                "succeeded"
            },
            "{event:?}"
        );
    }
    let done = events.last().unwrap();
    assert_eq!(
        (
            done.name.as_str(),
            &done.data["succeeded"],
            &done.data["failed"]
        ),
        ("done", &json!(180), &json!(20))
    );
}

#[tokio::test]
async fn progress_comes_at_most_once_a_second_and_adds_up() {
    let _lock = test_lock::exclusive().await;
    let upstream = Upstream::start(|_| Reply::Played.after(Duration::from_millis(100)));
    let server = Server::asking(&upstream)
        .env("EXTRACTD_MAX_CONCURRENCY", 2)
        .start()
        .await;
    let begun = tokio::time::Instant::now();
    let events = server
        .open("/v1/extract/batch", SSE, &batch(50))
        .await
        .expect(200)
        .events()
        .await;
    let seconds = begun.elapsed().as_secs_f64();
    let progress: Vec<_> = events
        .iter()
        .filter(|event| event.name == "progress")
        .collect();
    assert!(!progress.is_empty(), "2.5 s of work tell of their progress");
    assert!(
        progress.len() as f64 <= seconds + 1.0,
        "{} in {seconds} s",
        progress.len()
    );
    for event in progress {
        assert_eq!(event.id, None, "progress has no id");
        let count = |name: &str| {
            event.data[name]
                .as_u64()
                .unwrap_or_else(|| panic!("{name}: {event:?}"))
        };
        let sum = count("succeeded")
            + count("failed")
            + count("invalid")
            + count("cancelled")
            + count("in_flight")
            + count("queued");
        assert_eq!((count("total"), sum), (50, 50), "{event:?}");
        assert!(count("in_flight") <= 2, "{event:?}");
    }
}

#[tokio::test]
async fn a_stopped_batch_has_a_result_for_each_input() {
    let upstream = Upstream::start(|call| {
        if call.item() == Some(1) {
            Reply::error(413, "no")
        } else {
            Reply::Played
        }
    });
    let server = Server::with(&upstream).await;
    let body = with(
        batch(20),
        json!({"on_error": "stop", "concurrency": 1, "mode": "tools"}),
    );
    let events = server
        .open("/v1/extract/batch", SSE, &body)
        .await
        .expect(200)
        .events()
        .await;
    check_each_once(
        events
            .iter()
            .filter(|event| event.name == "result")
            .map(|event| &event.data),
        20,
    );
    let done = &events.last().unwrap().data;
    assert_eq!(
        (&done["status"], &done["cancelled"]),
        (&json!("stopped"), &json!(18))
    );
}

#[tokio::test]
async fn an_empty_batch_is_done_at_once() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let response = server
        .open("/v1/extract/batch", SSE, &batch(0))
        .await
        .expect(200);
    let events = response.events().await;
    let last = events.last().unwrap();
    assert_eq!(
        (
            last.name.as_str(),
            &last.data["status"],
            &last.data["total"]
        ),
        ("done", &json!("completed"), &json!(0))
    );
    assert!(
        events.iter().all(|event| event.name != "result"),
        "{events:?}"
    );
}

#[tokio::test]
async fn an_invalid_request_is_answered_with_a_status() {
    let upstream = Upstream::playing();
    let server = Server::with(&upstream).await;
    let body = with(batch(2), json!({"concurrency": 0}));
    let answer = server
        .open("/v1/extract/batch", SSE, &body)
        .await
        .whole()
        .await;
    crate::support::client::check_pointer(&answer.problem(422, "invalid_request"), "/concurrency");
}
