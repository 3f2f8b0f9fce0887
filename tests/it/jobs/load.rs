//! Jobs, batches and singles together, for a while: nothing is lost, and nothing grows. `make soak` does it for an hour.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{asking, ended, made, results};
use crate::support::fixture::{batch, check_each_once, person, single};
use crate::upstream::{Reply, Upstream};

/// Room for what an allocator keeps.
const SLACK_BYTES: u64 = 32 << 20;

#[tokio::test]
async fn under_load_with_faults_no_item_is_lost_and_memory_stays_bounded() {
    let seconds = std::env::var("SOAK_SECONDS")
        .ok()
        .map_or(5, |seconds| seconds.parse().expect("a number"));
    let upstream = Upstream::light(|call| match call.index % 100 {
        13 => Reply::error(500, "oops"),
        47 => Reply::Reset,
        61 => Reply::error(429, "slow down"),
        _ => Reply::Played.after(Duration::from_millis(2)),
    });
    let server = asking(&upstream, 16)
        .env("EXTRACTD_LOG", "error,extractd::app=info")
        .config("[jobs]\nretention_ms = 2000\n")
        .start()
        .await;
    let (started, mut rounds, mut early) = (Instant::now(), 0, 0);
    while started.elapsed() < Duration::from_secs(seconds) {
        let job = async {
            let job = made(&server, &batch(200)).await;
            let results = results(&server, &ended(&server, &job).await, "limit=1000").await;
            check_each_once(&results, 200);
            assert!(results.iter().all(|result| result["status"] == "succeeded"));
        };
        let many = async {
            assert_eq!(
                server.batch(&batch(100)).await.ok()["summary"]["total"],
                json!(100)
            )
        };
        let one = async { assert_eq!(server.extract(&single(person(rounds))).await.status, 200) };
        tokio::join!(job, many, one);
        rounds += 1;
        if rounds == 3 || started.elapsed() < Duration::from_secs(seconds / 10) {
            early = early.max(server.resident_bytes());
        }
    }
    server.wait_until_idle(Duration::from_secs(30)).await;
    assert!(rounds >= 3, "only {rounds} rounds");
    let late = server.resident_bytes();
    assert!(
        late <= early + early / 4 + SLACK_BYTES,
        "{early} bytes early on, {late} at the end, after {rounds} rounds"
    );
}
