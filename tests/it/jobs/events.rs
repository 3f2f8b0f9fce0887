//! Following a job.

use std::time::Duration;

use http::Method;
use serde_json::json;

use super::{asking, ended, made, path, post};
use crate::support::client::{Client, Event, Response};
use crate::support::fixture::{batch, check_each_once, with};
use crate::support::server::Server;
use crate::upstream::{Reply, Upstream};

async fn follow(client: &Client, job: &serde_json::Value, after: usize) -> Response {
    let request = client.request(Method::GET, &path(job, "/events"));
    let request = if after > 0 {
        request.header("last-event-id", &after.to_string())
    } else {
        request
    };
    request.send().await
}

/// Returns the numbers and indexes of events that have a number.
fn numbered(events: &[Event]) -> Vec<usize> {
    events
        .iter()
        .filter_map(|event| event.id.as_ref())
        .map(|id| id.parse().unwrap())
        .collect()
}

#[tokio::test]
async fn many_followers_see_each_event_once_and_the_end() {
    let upstream = Upstream::start(|_| Reply::Played.after(Duration::from_millis(5)));
    let server = asking(&upstream, 8).start().await;
    let job = made(&server, &batch(400)).await;
    let followers: Vec<_> = (0..20).map(|_| follow(&server, &job, 0)).collect();
    for follower in futures_util::future::join_all(followers).await {
        assert_eq!(follower.header("content-type"), "text/event-stream");
        let events = follower.expect(200).events().await;
        assert_eq!(numbered(&events), (1..=401).collect::<Vec<_>>());
        check_each_once(
            events
                .iter()
                .filter(|event| event.name == "result")
                .map(|event| &event.data),
            400,
        );
        let done = events.last().unwrap();
        assert_eq!(
            (
                done.name.as_str(),
                &done.data["status"],
                &done.data["total"]
            ),
            ("done", &json!("completed"), &json!(400))
        );
    }
    // Who comes late sees the same.
    assert_eq!(
        numbered(&follow(&server, &job, 0).await.events().await),
        (1..=401).collect::<Vec<_>>()
    );
    let rest = follow(&server, &job, 398).await.expect(200).events().await;
    assert_eq!(numbered(&rest), [399, 400, 401]);
    let by_query = server.get(&path(&job, "/events?after=400")).await;
    assert!(
        by_query.text().contains("\nid: 401\n") && !by_query.text().contains("\nid: 400\n"),
        "{}",
        by_query.text()
    );
    assert_eq!(
        follow(&server, &job, 401).await.status,
        204,
        "nothing follows"
    );
    assert_eq!(follow(&server, &job, 402).await.status, 410);
}

#[tokio::test]
async fn the_event_numbers_continue_after_a_retry() {
    let upstream = Upstream::start(|call| {
        if call.index == 1 {
            Reply::error(413, "no")
        } else {
            Reply::Played
        }
    });
    let server = asking(&upstream, 1).start().await;
    let job = made(&server, &with(batch(3), json!({"mode": "tools"}))).await;
    ended(&server, &job).await;
    post(&server, &path(&job, "/retry")).await;
    ended(&server, &job).await;
    let all = follow(&server, &job, 0).await.events().await;
    let names: Vec<_> = all.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(
        (numbered(&all), names),
        (
            vec![1, 2, 3, 4, 5, 6],
            vec!["result", "result", "result", "retried", "result", "done"]
        )
    );
    let second = follow(&server, &job, 4).await.events().await;
    assert_eq!(
        second
            .iter()
            .map(|event| event.name.as_str())
            .collect::<Vec<_>>(),
        ["result", "done"]
    );
    assert_eq!(
        (numbered(&second), &second[0].data["status"]),
        (vec![5, 6], &json!("succeeded"))
    );
}

#[tokio::test]
async fn an_end_before_a_retry_is_not_the_end_while_no_item_has_ended_again() {
    let upstream = Upstream::start(|call| match call.index {
        0 => Reply::error(413, "no"),
        _ => Reply::Played.after(Duration::from_millis(500)),
    });
    let server = asking(&upstream, 1).start().await;
    let job = made(&server, &with(batch(1), json!({"mode": "tools"}))).await;
    ended(&server, &job).await;
    post(&server, &path(&job, "/retry")).await;
    let all = follow(&server, &job, 0).await.events().await;
    let numbers = numbered(&all);
    let names: Vec<_> = all
        .iter()
        .filter(|event| event.name != "progress")
        .map(|event| event.name.as_str())
        .collect();
    assert_eq!(names, ["result", "retried", "result", "done"]);
    assert_eq!(numbers, [1, 2, 3, 4]);
}

#[tokio::test]
async fn progress_events_show_counts_and_rate() {
    let upstream = Upstream::start(|_| Reply::Played.after(Duration::from_millis(100)));
    let server = asking(&upstream, 4).start().await;
    let job = made(&server, &batch(120)).await;
    let events = follow(&server, &job, 0).await.events().await;
    let progress: Vec<_> = events
        .iter()
        .filter(|event| event.name == "progress")
        .collect();
    assert!(
        !progress.is_empty(),
        "a job of three seconds tells how far it is"
    );
    for event in progress {
        assert_eq!(event.id, None);
        let count = |name: &str| event.data[name].as_u64().unwrap();
        assert_eq!(count("total"), 120);
        assert_eq!(
            count("succeeded") + count("in_flight") + count("queued"),
            120,
            "{event:?}"
        );
        let rate = event.data["rate_per_s"].as_f64();
        assert!(
            rate.is_none_or(|rate| rate > 1.0 && rate < 100.0),
            "{event:?}"
        );
    }
}

#[tokio::test]
async fn a_signed_link_opens_the_events_and_nothing_else() {
    let upstream = Upstream::playing();
    let server = Server::asking(&upstream)
        .env("EXTRACTD_API_KEYS", "first-key")
        .start()
        .await;
    let ann = server.with_key("first-key");
    let job = ended(&ann, &made(&ann, &batch(2)).await).await;
    let link = job["links"]["events"].as_str().unwrap();
    let events = server
        .request(Method::GET, link)
        .send()
        .await
        .expect(200)
        .events()
        .await;
    assert_eq!(numbered(&events), [1, 2, 3]);
    let (_, signature) = link.split_once('?').unwrap();
    assert_eq!(server.get(&path(&job, "/events")).await.status, 401);
    assert_eq!(
        server
            .get(&path(&job, &format!("/results?{signature}")))
            .await
            .status,
        401
    );
    let other = ended(&ann, &made(&ann, &batch(1)).await).await;
    assert_eq!(
        server
            .get(&path(&other, &format!("/events?{signature}")))
            .await
            .status,
        403
    );
    let server = server.restart().await;
    assert_eq!(
        server.get(link).await.status,
        200,
        "it holds over a restart"
    );
}

#[tokio::test]
async fn a_server_shutdown_ends_the_stream_without_done_and_it_resumes_after_the_restart() {
    let upstream = Upstream::start(|_| Reply::Played.after(Duration::from_millis(20)));
    let server = asking(&upstream, 4).start().await;
    let job = made(&server, &batch(300)).await;
    let mut seen = Vec::new();
    let mut following = follow(&server, &job, 0).await.expect(200);
    while seen.len() < 50 {
        seen.extend(following.event_but_progress().await);
    }
    let (server, rest) = tokio::join!(server.restart(), following.events());
    seen.extend(rest);
    assert!(seen.iter().all(|event| event.name != "done"));
    let seen: Vec<_> = seen
        .into_iter()
        .filter(|event| event.name == "result")
        .collect();
    let rest = follow(&server, &job, seen.len())
        .await
        .expect(200)
        .events()
        .await;
    let all: Vec<_> = seen
        .iter()
        .chain(&rest)
        .filter(|event| event.id.is_some())
        .cloned()
        .collect();
    assert_eq!(numbered(&all), (1..=301).collect::<Vec<_>>());
    check_each_once(
        all.iter()
            .filter(|event| event.name == "result")
            .map(|event| &event.data),
        300,
    );
    assert_eq!(
        upstream.calls(),
        300,
        "within the grace nothing is called twice"
    );
}
