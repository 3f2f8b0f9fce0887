//! After a thousand clients that left at any moment everything is as it was before them: slots, queue, rooms, buckets, flights, the
//! cache within its bound, and the memory.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use futures_util::stream;
use http::Method;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::support::client::{Client, LIMIT, eventually};
use crate::support::fixture::{self, person, schema, schema_query, single, with};
use crate::support::server::Server;
use crate::upstream::{Gate, Reply, Upstream};

const SEED: u64 = 20_261_122;
const SLOTS: usize = 16;
/// Clients at a time.
const CROWD: usize = 24;
/// Maximum time until all counts are balanced again.
const SOON: Duration = Duration::from_secs(10);
const CACHE_BYTES: u64 = 200_000;

const CONFIG: &str = r#"
[limits]
max_concurrency = 16
max_wait_ms = 200
max_batch_wait_ms = 200
[cache]
max_bytes = 200_000
[providers.openai]
requests_per_minute = 600_000
request_burst = 100
tokens_per_minute = 100_000_000
adaptive_concurrency = false
[models.main]
provider = "openai"
model = "main"
fallback = ["second"]
max_concurrency = 12
input_usd_per_million_tokens = 1
output_usd_per_million_tokens = 1
[models.second]
provider = "openai"
model = "second"
input_usd_per_million_tokens = 1
output_usd_per_million_tokens = 1
[callers.free]
key = "key-free"
[callers.paced]
key = "key-paced"
requests_per_minute = 30_000
tokens_per_minute = 10_000_000
max_queue = 60
[callers.narrow]
key = "key-narrow"
max_concurrency = 2
[callers.poor]
key = "key-poor"
budget_usd_per_day = 1000
"#;
const KEYS: [&str; 4] = ["key-free", "key-paced", "key-narrow", "key-poor"];

struct Stage {
    upstream: Upstream,
    server: Server,
    /// True if calls fail in all ways.
    is_stormy: Arc<AtomicBool>,
    gate: Gate,
    /// Number of calls of the model `well`. A loaded provider may read a call of a client that has left after everybody is at rest.
    calls_of_well: Arc<AtomicUsize>,
}

impl Stage {
    async fn set() -> Self {
        let (is_stormy, gate) = (Arc::new(AtomicBool::new(true)), Gate::closed());
        let (stormy, held) = (Arc::clone(&is_stormy), gate.clone());
        let calls_of_well = Arc::new(AtomicUsize::new(0));
        let of_well = Arc::clone(&calls_of_well);
        let upstream = Upstream::light(move |call| match stormy.load(Ordering::Relaxed) {
            true => stormy_reply(call.index),
            false => {
                let is_of_well = call.body()["model"] == "well";
                of_well.fetch_add(usize::from(is_of_well), Ordering::Relaxed);
                Reply::Played.behind(&held)
            }
        });
        let server = Server::asking(&upstream)
            .env("EXTRACTD_MODEL", "main")
            .config(CONFIG)
            .start()
            .await;
        Self {
            upstream,
            server,
            is_stormy,
            gate,
            calls_of_well,
        }
    }

    fn client(&self) -> Client {
        self.server.with_key("key-free")
    }

    /// Runs so many clients that connect and leave, `CROWD` at a time.
    async fn storm(&self, rng: &mut Rng, clients: usize) {
        let places = Arc::new(Semaphore::new(CROWD));
        let mut crowd = JoinSet::new();
        for _ in 0..clients {
            let place = Arc::clone(&places).acquire_owned().await.unwrap();
            let (client, mut rng) = (
                self.server.with_key(KEYS[rng.usize(..KEYS.len())]),
                rng.fork(),
            );
            crowd.spawn(async move {
                let stays = Duration::from_micros(rng.u64(0..80_000));
                // That it left is the point; what it has got is none.
                let _ = timeout(stays, visit(&client, &mut rng)).await;
                drop(place);
            });
            while crowd.try_join_next().is_some() {}
        }
        while let Some(left) = crowd.join_next().await {
            left.expect("a client only leaves");
        }
    }

    /// Waits until every limit is where it was before anybody came.
    async fn until_at_rest(&self) {
        let client = self.client();
        let mut last = Value::Null;
        let rest = async {
            loop {
                let limits = client.get("/v1/limits").await.ok();
                let rows = limits["limits"].as_array().unwrap();
                let busy: Vec<_> = rows
                    .iter()
                    .filter(|row| row["in_use"] != 0 || row["waiting"] != 0)
                    // Compiled schemas stay in their cache, which counts for the caller and in total.
                    .filter(|row| {
                        let held_as = ["request_bodies", "inputs", "responses"];
                        row["kind"] != "memory_bytes"
                            || held_as.contains(&row["scope"].as_str().unwrap())
                    })
                    .cloned()
                    .collect();
                if busy.is_empty() {
                    return limits;
                }
                last = Value::from(busy);
                sleep(Duration::from_millis(10)).await;
            }
        };
        let Ok(limits) = timeout(SOON, rest).await else {
            panic!("not given back within {SOON:?}: {last}")
        };
        for row in limits["limits"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|row| !row["limit"].is_null())
        {
            assert!(row["available"].as_u64() > Some(0), "{row}");
        }
        assert!(
            limits["cache"]["size_bytes"].as_u64() <= Some(CACHE_BYTES),
            "{}",
            limits["cache"]
        );
        for budget in limits["budgets"].as_array().into_iter().flatten() {
            // What was reserved for calls in flight is settled: what is left is what calls have used, or may have.
            assert!(budget["spent_usd"].as_f64() < Some(5.0), "{budget}");
        }
        // The provider hears of it a moment later.
        self.upstream
            .wait_for("no call is left that nobody waits for", SOON, |log| {
                log.in_flight == 0
            })
            .await;
    }
}

fn stormy_reply(index: usize) -> Reply {
    let ms = Duration::from_millis;
    match index % 40 {
        0 => Reply::error(500, "oops"),
        7 => Reply::Reset,
        13 => Reply::CutBody,
        19 => Reply::error(429, "slow down").with_header("retry-after-ms", 5),
        22 => Reply::error(503, "busy").with_header("retry-after-ms", 5),
        25 => Reply::Json(fixture::wrong()),
        28 => Reply::Truncated("{\"name\": \"Ad".to_owned()),
        31 => Reply::Stall,
        33 => Reply::WrongContentType,
        35 => Reply::SlowBody(ms(10)),
        37 => Reply::Played.after(ms(40)),
        _ => Reply::Played.after(ms(3)),
    }
}

/// Returns the item of a client: one of a few that many clients send, or its own.
fn item(rng: &mut Rng) -> usize {
    if rng.bool() {
        rng.usize(..5)
    } else {
        rng.usize(1_000..1_000_000)
    }
}

fn spec(rng: &mut Rng) -> Value {
    let mut spec = json!({"max_attempts": rng.u32(1..4), "timeout_ms": rng.u32(20..2_000)});
    if rng.u8(..3) == 0 {
        spec["cache"] = json!(["use", "refresh", "off"][rng.usize(..3)]);
    }
    if rng.u8(..4) == 0 {
        spec["model"] = json!("second");
    }
    spec
}

/// Sends one request of any kind.
async fn visit(client: &Client, rng: &mut Rng) {
    let kind = rng.u8(..6);
    if kind < 2 {
        let body = with(single(person(item(rng))), spec(rng));
        let accept = if kind == 0 {
            "application/json"
        } else {
            "text/event-stream"
        };
        drain(client.open("/v1/extract", accept, &body).await).await;
        return;
    }
    let accept = [
        "application/json",
        "text/event-stream",
        "application/x-ndjson",
    ][rng.usize(..3)];
    if kind < 5 {
        let inputs: Vec<_> = (0..rng.usize(1..80)).map(|_| person(item(rng))).collect();
        let mut body = with(json!({"inputs": inputs, "schema": schema()}), spec(rng));
        if rng.u8(..3) == 0 {
            body["on_error"] = json!("stop");
        }
        if rng.u8(..3) == 0 {
            body["concurrency"] = json!(rng.u32(1..8));
        }
        drain(client.open("/v1/extract/batch", accept, &body).await).await;
        return;
    }
    // An upload that pauses, and may never end.
    let lines: Vec<_> = (0..rng.usize(1..60))
        .map(|_| Value::from(person(item(rng))).to_string())
        .collect();
    let (ends, pause) = (rng.bool(), Duration::from_micros(rng.u64(..2_000)));
    let body = stream::unfold(lines.into_iter(), move |mut lines| async move {
        match lines.next() {
            Some(line) => {
                sleep(pause).await;
                Some((Bytes::from(format!("{line}\n")), lines))
            }
            None if ends => None,
            None => pending().await,
        }
    });
    let path = format!("/v1/extract/batch?{}&timeout_ms=500", schema_query());
    let request = client
        .request(Method::POST, &path)
        .header("content-type", "application/x-ndjson")
        .header("accept", accept);
    drain(request.stream(Box::pin(body)).send().await).await;
}

async fn drain(mut response: crate::support::client::Response) {
    while let Ok(Some(_)) = response.try_chunk().await {}
}

#[tokio::test]
async fn a_thousand_clients_that_disconnect_at_any_moment_leave_nothing_behind() {
    let mut rng = Rng::with_seed(SEED);
    let stage = Stage::set().await;
    stage.storm(&mut rng, 300).await;
    stage.until_at_rest().await;
    let warm = stage.server.resident_bytes();
    stage.storm(&mut rng, 400).await;
    stage.until_at_rest().await;
    let first = stage.server.resident_bytes();
    stage.storm(&mut rng, 300).await;
    stage.until_at_rest().await;
    let second = stage.server.resident_bytes();
    eprintln!(
        "resident: {warm} after warm-up, {first} after a round, {second} after another; {} calls",
        stage.upstream.calls()
    );
    assert!(
        first.saturating_sub(warm) <= 16 << 20,
        "{first} bytes after a round, {warm} after the first clients"
    );
    assert!(
        second.saturating_sub(first) <= 8 << 20,
        "{second} bytes after another round, {first} before"
    );

    // The provider is well again, and answers when it is told to.
    stage.is_stormy.store(false, Ordering::Relaxed);
    let client = stage.client();
    let inputs: Vec<_> = (2_000_000..2_000_200).map(person).collect();
    let body = json!({"inputs": inputs, "schema": schema(), "model": "openai/well"});
    let test = async {
        stage
            .upstream
            .wait_for("all slots that a caller may take", LIMIT, |log| {
                // Five eighths are left by callers with long calls, less by others.
                log.in_flight >= SLOTS * 3 / 8 && log.in_flight < SLOTS
            })
            .await;
        stage.gate.open();
    };
    let (reply, ()) = tokio::join!(client.batch(&body), test);
    assert_eq!(reply.ok()["summary"]["succeeded"], 200);
    assert_eq!(stage.calls_of_well.load(Ordering::Relaxed), 200);
    // Nobody waits for a flight that was left: the items that many asked for are answered, in any form.
    for key in KEYS {
        let client = stage.server.with_key(key);
        for item in 0..5 {
            let answered = async || {
                let answer = client.extract(&single(person(item))).await;
                // A breaker that has opened lets its probes through after a while.
                (answer.status == 200).then_some(())
            };
            eventually(LIMIT, "an answer", answered).await;
        }
        let body = json!({"inputs": (0..5).map(person).collect::<Vec<_>>(), "schema": schema()});
        assert_eq!(
            client.batch(&body).await.ok()["summary"]["succeeded"],
            5,
            "{key}"
        );
    }
    stage.until_at_rest().await;
}
