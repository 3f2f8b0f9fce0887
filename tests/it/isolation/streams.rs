//! Streams of single extractions: what is compiled and checked for them is made once, counted, and no work of an async worker.

use std::time::Duration;

use http::Method;
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::with_attacker;
use crate::openai_endpoint::{PATH, asking_for};
use crate::support::client::{LIMIT, within};
use crate::support::fixture::{person, single, with};
use crate::upstream::{Gate, Reply, Upstream};

const MIB: u64 = 1 << 20;

/// Each compiled pattern takes a megabyte or more, and the elements of the list have them too.
#[tokio::test]
async fn streams_of_one_schema_share_what_is_compiled_for_them() {
    const STREAMS: usize = 60;
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |call| {
        if call.item().is_some() {
            Reply::Played
        } else {
            Reply::Played.behind(&held)
        }
    });
    let (server, attacker, victim) = with_attacker(&upstream, "").await;
    let patterns: Map<String, Value> = (0..3)
        .map(|n| {
            let pattern = format!("(a|b|ab){{{}}}", 3000 + n);
            (
                format!("p{n}"),
                json!({"type": "string", "pattern": pattern}),
            )
        })
        .collect();
    let schema = json!({"type": "array", "items": {"type": "object", "properties": patterns}});
    let body = json!({"input": "a", "schema": schema, "stream": true});
    let schemas = async || {
        let row = victim.limit_of("memory_bytes", "schemas").await.unwrap();
        row["in_use"].as_u64().unwrap()
    };
    let open = async || {
        let response = attacker.open("/v1/extract", "text/event-stream", &body);
        within(LIMIT, "a stream begins", response).await.expect(200)
    };
    let mut streams = vec![open().await];
    let of_one = schemas().await;
    // The schema, and that of its elements.
    assert!(of_one > 10 * MIB, "{of_one}");
    server.forget_peak();
    let before = server.resident_bytes();
    for _ in 1..STREAMS {
        streams.push(open().await);
    }
    assert_eq!(schemas().await, of_one);
    let grown = server.peak_bytes().saturating_sub(before);
    assert!(grown < 96 * MIB, "{grown}");
    victim.extract(&single(person(1))).await.ok();
    drop(streams);
    gate.open();
}

/// Each of 60 references leads to 60 others, for each number of the answer, and the provider writes faster than it is checked.
#[tokio::test]
async fn costly_checks_of_live_chats_do_not_keep_others_waiting() {
    const CHATS: usize = 8;
    const PIECES: usize = 40;
    let list = std::iter::repeat_n("7, 8, 9, 10, 11, 12, 13, 14, 15, 16, ", PIECES);
    let pieces = std::iter::once(r#"{"list": ["#).chain(list);
    let pieces: Vec<_> = pieces.map(str::to_owned).collect();
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |_| Reply::Streamed(pieces.clone(), held.clone(), true));
    let (server, attacker, _) = with_attacker(&upstream, "").await;
    let all = |name: &str| json!({"allOf": vec![json!({"$ref": format!("#/$defs/{name}")}); 60]});
    let schema = json!({
        "type": "object",
        "properties": {"list": {"type": "array", "items": {"$ref": "#/$defs/a"}}},
        "required": ["list"],
        "$defs": {"a": all("b"), "b": all("c"), "c": {"type": "integer"}},
    });
    let mut chats = JoinSet::new();
    for number in 0..CHATS {
        let attacker = attacker.clone();
        // Equal ones would share one answer.
        let chat = asking_for(&format!("Count {number}"), &schema);
        let body = with(chat, json!({"stream": true}));
        chats.spawn(async move {
            let response = attacker
                .request(Method::POST, PATH)
                .json(&body)
                .send()
                .await;
            let mut response = response.expect(200);
            while response.chunk().await.is_some() {}
        });
    }
    let mut slowest = Duration::ZERO;
    for _ in 0..=PIECES {
        gate.let_through(CHATS);
        let began = Instant::now();
        let answer = within(LIMIT, "the server answers", server.get("/healthz")).await;
        assert_eq!(answer.status, 200);
        slowest = slowest.max(began.elapsed());
        sleep(Duration::from_millis(50)).await;
    }
    // Milliseconds on an idle machine; tests share theirs with others.
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
}
