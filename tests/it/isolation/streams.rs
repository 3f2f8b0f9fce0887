//! Streams of single extractions: what is compiled for them is made once, and counted.

use serde_json::{Map, Value, json};

use super::with_attacker;
use crate::support::client::{LIMIT, within};
use crate::support::fixture::{person, single};
use crate::upstream::{Gate, Reply, Upstream};

const MIB: u64 = 1 << 20;

/// Each compiled pattern takes a megabyte or more, and the elements of the list have them too.
#[tokio::test]
async fn streams_of_one_schema_share_what_is_compiled_for_them() {
    const STREAMS: usize = 60;
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |call| {
        if call.prompt().contains("victim") {
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
    assert!(of_one > 6 * MIB, "{of_one}");
    server.forget_peak();
    let before = server.resident_bytes();
    for _ in 1..STREAMS {
        streams.push(open().await);
    }
    assert_eq!(schemas().await, of_one);
    let grown = server.peak_bytes().saturating_sub(before);
    assert!(grown < 96 * MIB, "{grown}");
    let text = format!("victim: {}", person(1));
    victim.extract(&single(text)).await.ok();
    drop(streams);
    gate.open();
}
