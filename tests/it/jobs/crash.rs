//! Crashes of the process, which lose nothing. `make soak` runs the same at length.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{LIMIT, asking, ended, made, path, results, show};
use crate::support::client::{Client, eventually};
use crate::support::fixture::{batch, check_each_once, with};
use crate::support::server::Server;
use crate::upstream::{Call, Ending, Reply, Upstream};

/// Returns a number that `make soak` makes larger.
fn soaked(name: &str, short: usize) -> usize {
    std::env::var(name)
        .ok()
        .map_or(short, |value| value.parse().expect("a number"))
}

/// Starts a provider with faults, slow enough that a job outlives its kills.
fn faulty(latency: Duration) -> Upstream {
    Upstream::start(move |call| {
        if is_faulty(call) {
            fault(call)
        } else {
            Reply::Played.after(latency)
        }
    })
}

fn is_faulty(call: &Call) -> bool {
    matches!(call.index % 50, 7 | 23)
}

fn fault(call: &Call) -> Reply {
    if call.index % 50 == 7 {
        Reply::error(500, "oops")
    } else {
        Reply::Reset
    }
}

/// Follows a job over every restart, and keeps the events that have a number.
struct Follower {
    seen: Arc<Mutex<Vec<(u32, String, Value)>>>,
    task: JoinHandle<()>,
}

impl Follower {
    fn start(job: &Value, server: watch::Receiver<Client>) -> Self {
        let (seen, path) = (Arc::new(Mutex::new(Vec::new())), path(job, "/events"));
        let kept = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while follow(&server, &path, &kept).await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Self { seen, task }
    }

    /// Returns all events, once the last was seen.
    async fn all(self) -> Vec<(u32, String, Value)> {
        crate::support::client::within(LIMIT, "the follower sees the end", self.task)
            .await
            .unwrap();
        Arc::into_inner(self.seen)
            .expect("nobody follows any more")
            .into_inner()
            .unwrap()
    }
}

/// Follows as far as the connection goes; false when the end was seen.
async fn follow(
    server: &watch::Receiver<Client>,
    path: &str,
    seen: &Mutex<Vec<(u32, String, Value)>>,
) -> bool {
    let client = server.borrow().clone();
    let last = seen
        .lock()
        .unwrap()
        .last()
        .map_or(0, |(number, ..)| *number);
    let request = client
        .request(Method::GET, path)
        .header("last-event-id", &last.to_string());
    let Some(mut response) = request
        .try_send()
        .await
        .filter(|response| response.status == 200)
    else {
        return true;
    };
    while let Ok(Some(event)) = response.try_event().await {
        let Some(id) = event.id else { continue };
        let is_done = event.name == "done";
        seen.lock()
            .unwrap()
            .push((id.parse().unwrap(), event.name, event.data));
        if is_done {
            return false;
        }
    }
    true
}

/// Fails the test unless each event was seen once, in order, and each input has one result.
fn check_events(events: &[(u32, String, Value)], items: usize) {
    let numbers: Vec<_> = events.iter().map(|(number, ..)| *number as usize).collect();
    assert_eq!(
        numbers,
        (1..=items + 1).collect::<Vec<_>>(),
        "each event once, without a gap"
    );
    check_each_once(
        events
            .iter()
            .filter(|(_, name, _)| name == "result")
            .map(|(.., result)| result),
        items,
    );
}

/// Returns the times of correct answers, by item.
fn answered(upstream: &Upstream) -> BTreeMap<usize, Vec<Instant>> {
    upstream.seen(|log| {
        let mut answered: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for call in log
            .calls
            .iter()
            .filter(|call| call.is(Ending::Answered) && !is_faulty(call))
        {
            answered
                .entry(call.item().unwrap())
                .or_default()
                .push(call.ended_at());
        }
        answered
    })
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    Killed,
    /// Killed while the disk is full, or soon after there is room again.
    KilledWhenFull,
    Terminated,
}

/// Ends the server `ends` times while it works on a job of `items`, and starts it anew. When each end was.
async fn ended_again_and_again(
    upstream: &Upstream,
    ends: usize,
    items: usize,
    how: End,
) -> (Server, Value, Vec<Instant>) {
    let builder = asking(upstream, 16);
    let mut server = if how == End::KilledWhenFull {
        builder.limited_to_kilobytes(1 << 20)
    } else {
        builder
    }
    .start()
    .await;
    let job = made(&server, &batch(items)).await;
    let (now, current) = watch::channel((*server).clone());
    let follower = Follower::start(&job, current);
    let (mut times, mut before, mut at_work) = (Vec::new(), 0, 0);
    for end in 0..ends {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(..600))).await;
        // At least some of them with something done in between.
        eventually(LIMIT, "it goes on", async || {
            let done = show(&server, &job).await["counts"]["succeeded"]
                .as_u64()
                .unwrap();
            (end % 4 > 0 || done > before || done == items as u64).then(|| before = done)
        })
        .await;
        if before < items as u64 {
            at_work += 1;
        }
        if how == End::KilledWhenFull {
            server.fill_disk();
            tokio::time::sleep(Duration::from_millis(fastrand::u64(..400))).await;
            if end % 2 == 0 {
                server.unlimited();
                tokio::time::sleep(Duration::from_millis(fastrand::u64(..200))).await;
            }
        }
        times.push(Instant::now());
        server = match how {
            End::Killed | End::KilledWhenFull => server.kill_and_restart().await,
            End::Terminated => server.restart().await,
        };
        now.send_replace((*server).clone());
    }
    assert!(
        at_work * 4 >= ends * 3,
        "only {at_work} of {ends} ends came while there was work"
    );
    let job = ended(&server, &job).await;
    check_events(&follower.all().await, items);
    assert_eq!(
        (&job["status"], &job["counts"]["succeeded"]),
        (&json!("completed"), &json!(items)),
        "{job}"
    );
    check_each_once(&results(&server, &job, "limit=1000").await, items);
    (server, job, times)
}

#[tokio::test]
async fn killed_again_and_again_a_job_has_each_result_and_each_event_once() {
    killed_again_and_again(
        soaked("SOAK_KILLS", 10),
        soaked("SOAK_ITEMS", 500),
        End::Killed,
    )
    .await;
}

#[tokio::test]
async fn killed_while_the_disk_is_full_a_job_has_each_result_and_each_event_once() {
    killed_again_and_again(
        soaked("SOAK_KILLS", 8),
        soaked("SOAK_ITEMS", 500),
        End::KilledWhenFull,
    )
    .await;
}

async fn killed_again_and_again(kills: usize, items: usize, how: End) {
    // So that the job outlives its kills.
    let upstream = faulty(Duration::from_millis(if kills > 50 { 250 } else { 120 }));
    let (_server, _, times) = ended_again_and_again(&upstream, kills, items, how).await;
    assert_eq!(times.len(), kills);
    // What was answered is asked again only when the process died before it could record the answer.
    for (item, answers) in answered(&upstream) {
        for answer in &answers[..answers.len() - 1] {
            let died = times.iter().any(|time| {
                *time + Duration::from_millis(500) > *answer
                    && time.saturating_duration_since(*answer) < Duration::from_secs(2)
            });
            assert!(
                died,
                "item {item} was answered and asked again, and no kill was near"
            );
        }
    }
}

#[tokio::test]
async fn after_a_clean_shutdown_no_item_is_called_twice() {
    let (ends, items) = (soaked("SOAK_KILLS", 5).min(50), soaked("SOAK_ITEMS", 400));
    let upstream = faulty(Duration::from_millis(120));
    ended_again_and_again(&upstream, ends, items, End::Terminated).await;
    let twice: Vec<_> = answered(&upstream)
        .into_iter()
        .filter(|(_, answers)| answers.len() > 1)
        .collect();
    assert!(twice.is_empty(), "{twice:?}");
}

#[tokio::test]
async fn a_job_that_stops_at_its_first_failure_is_not_stopped_by_a_restart() {
    let upstream = Upstream::start(|_| Reply::Played.after(Duration::from_millis(30)));
    let server = asking(&upstream, 2).start().await;
    let job = made(&server, &with(batch(100), json!({"on_error": "stop"}))).await;
    upstream
        .wait_for("some are called", LIMIT, |log| log.calls.len() > 10)
        .await;
    let server = server.restart().await;
    let job = ended(&server, &job).await;
    assert_eq!(
        (&job["status"], &job["counts"]["succeeded"]),
        (&json!("completed"), &json!(100)),
        "{job}"
    );
    assert_eq!(upstream.calls(), 100);
}

#[tokio::test]
async fn a_full_disk_pauses_the_work_and_loses_nothing() {
    const ITEMS: usize = 3_000;
    let upstream = Upstream::playing();
    let server = asking(&upstream, 16)
        .limited_to_kilobytes(2_048)
        .start()
        .await;
    let job = made(&server, &batch(ITEMS)).await;
    let reasons = eventually(LIMIT, "the disk is full", async || {
        let ready = server.get("/readyz").await;
        (ready.status == 503).then(|| ready.json()["reasons"].clone())
    })
    .await;
    assert!(
        reasons[0].as_str().unwrap().contains("the disk is full"),
        "{reasons}"
    );
    // Where something long does not fit, something short may: from now on nothing does.
    server.fill_disk();
    let done = show(&server, &job).await["counts"]["succeeded"].clone();
    assert!(done.as_u64().unwrap() < ITEMS as u64, "{done}");
    let refused = server.post(super::JOBS, &batch(1)).await;
    assert_eq!(
        (refused.status.as_u16(), refused.json()["code"].clone()),
        (503, json!("overloaded")),
        "{}",
        refused.text()
    );
    assert_eq!(
        super::post(&server, &path(&job, "/cancel")).await.status,
        503,
        "it is not left waiting"
    );
    assert_eq!(
        server
            .extract(&crate::support::fixture::single(
                crate::support::fixture::person(1)
            ))
            .await
            .status,
        200,
        "the others are served"
    );
    server.unlimited();
    let job = ended(&server, &job).await;
    assert_eq!(job["counts"]["succeeded"], ITEMS, "{job}");
    check_each_once(&results(&server, &job, "limit=1000").await, ITEMS);
    assert_eq!(server.get("/readyz").await.status, 200);
    let twice: Vec<_> = answered(&upstream)
        .into_iter()
        .filter(|(_, answers)| answers.len() > 1)
        .collect();
    assert!(
        twice.len() <= 1,
        "only what was asked for by itself: {twice:?}"
    );
}

#[tokio::test]
async fn an_item_that_crashes_the_process_fails_and_the_other_items_succeed() {
    const POISON: usize = 30;
    let upstream = Upstream::start(|call| {
        if call.item() == Some(POISON) {
            Reply::Stall
        } else {
            Reply::Played
        }
    });
    let mut server = asking(&upstream, 4).start().await;
    let job = made(&server, &with(batch(60), json!({"timeout_ms": 3_600_000}))).await;
    let calls = || {
        upstream.seen(|log| {
            log.calls
                .iter()
                .filter(|call| call.item() == Some(POISON))
                .count()
        })
    };
    let mut deaths = 0;
    // It dies when the poison is called, each time.
    while eventually(LIMIT, "it is called, or the job ends", async || {
        let has_ended = !show(&server, &job).await["finished_at"].is_null();
        (has_ended || calls() > deaths).then_some(!has_ended)
    })
    .await
    {
        deaths += 1;
        assert!(deaths < 10, "it dies for ever");
        server = server.kill_and_restart().await;
    }
    let job = ended(&server, &job).await;
    assert_eq!(
        (&job["counts"]["succeeded"], &job["counts"]["failed"]),
        (&json!(59), &json!(1)),
        "{job}"
    );
    let failed = results(&server, &job, "status=failed").await;
    assert_eq!(
        (&failed[0]["index"], &failed[0]["error"]["code"]),
        (&json!(POISON), &json!("internal"))
    );
    assert_eq!(deaths, 6, "three times among others, and three times alone");
}

#[tokio::test]
async fn an_unusable_store_stops_the_start_with_its_reason() {
    let upstream = Upstream::playing();
    let refusal = async |folder: &std::path::Path| {
        let mut second = crate::support::server::binary();
        second
            .current_dir(folder)
            .env("EXTRACTD_LISTEN", "127.0.0.1:0")
            .env("EXTRACTD_DATA_DIR", folder.join("data"));
        let ended = second
            .env("OPENAI_BASE_URL", upstream.url())
            .env("EXTRACTD_MODEL", "openai/m")
            .arg("serve")
            .output();
        let ended = crate::support::client::within(LIMIT, "it refuses to start", ended)
            .await
            .unwrap();
        assert!(!ended.status.success());
        String::from_utf8_lossy(&ended.stderr).into_owned()
    };
    let builder = Server::asking(&upstream);
    let folder = builder.folder().to_owned();
    let _server = builder.start().await;
    let said = refusal(&folder).await;
    assert!(
        said.contains("another process has the store open"),
        "{said}"
    );
    let damaged = Server::asking(&upstream);
    std::fs::create_dir(damaged.folder().join("data")).unwrap();
    std::fs::write(
        damaged.folder().join("data/extractd.db"),
        "this is no database, and longer than a header of one".repeat(10),
    )
    .unwrap();
    let said = refusal(damaged.folder()).await;
    assert!(
        said.contains("is damaged or was not created by extractd") && said.contains("extractd.db"),
        "{said}"
    );
}
