//! Adaptive concurrency: fewer calls at a time while the provider says that there are too many, more again when it does not
//! (reliability.md, which upstream outcomes are retried).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::support::client::{LIMIT, eventually};
use crate::support::fixture::{batch, one_provider, person, single};
use crate::support::server::Server;
use crate::upstream::{Call, Gate, Reply, Upstream};

/// As many as the service makes at a time where nothing keeps it from that.
const CAP: usize = 32;
/// As many as the provider takes.
const TAKEN: usize = 8;
const A_CALL: Duration = Duration::from_millis(40);

async fn serve(upstream: &Upstream, more: &str) -> Server {
    let limits = format!("\n[limits]\nmax_concurrency = {CAP}");
    Server::configured(&(one_provider(&upstream.url(), more) + &limits))
        .start()
        .await
}

/// Takes so many calls at a time, and answers 429 to more; how many can be changed while it runs.
struct Narrow {
    upstream: Upstream,
    taken: Arc<AtomicUsize>,
}

impl Narrow {
    fn new() -> Self {
        let taken = Arc::new(AtomicUsize::new(TAKEN));
        let (now_taken, until) = (Arc::clone(&taken), Mutex::<Vec<Instant>>::default());
        let upstream = Upstream::light(move |call| {
            let mut until = until.lock().unwrap();
            until.retain(|until| *until > call.arrived);
            if until.len() >= now_taken.load(Ordering::Relaxed) {
                return Reply::error(429, "too many at a time");
            }
            until.push(call.arrived + A_CALL);
            Reply::Played.after(A_CALL)
        });
        Self { upstream, taken }
    }

    /// Runs a batch that is long enough for the service to adapt. Returns the share of calls that were rejected afterwards.
    async fn refused(&self, server: &Server) -> f64 {
        let running = server
            .open("/v1/extract/batch", "text/event-stream", &batch(100_000))
            .await
            .expect(200);
        // The time is what is tested here: a pause of half a second follows each refusal.
        sleep(Duration::from_secs(5)).await;
        let from = self.upstream.calls();
        sleep(Duration::from_secs(3)).await;
        drop(running);
        server.wait_until_idle(LIMIT).await;
        // A call that was taken takes longer than one that was not.
        let at_once = |call: &&Call| {
            call.ended
                .is_some_and(|(ended, _)| ended - call.arrived < A_CALL / 2)
        };
        self.upstream.seen(|log| {
            let calls = &log.calls[from..];
            calls.iter().filter(at_once).count() as f64 / calls.len() as f64
        })
    }
}

#[tokio::test]
async fn adaptive_concurrency_follows_the_providers_capacity() {
    let (narrow, other) = (Narrow::new(), Narrow::new());
    let mut adaptive = serve(&narrow.upstream, "adaptive_concurrency = true").await;
    let mut fixed = serve(&other.upstream, "adaptive_concurrency = false").await;
    adaptive.rest();
    fixed.rest();
    let (with, without) = tokio::join!(narrow.refused(&adaptive), other.refused(&fixed));
    assert!(without > 0.5, "there was trouble: {:.1} %", without * 100.0);
    assert!(
        with < without / 3.0,
        "{:.1} % were refused, and {:.1} % without",
        with * 100.0,
        without * 100.0
    );

    narrow.taken.store(1_000, Ordering::Relaxed);
    let running = adaptive
        .open("/v1/extract/batch", "text/event-stream", &batch(100_000))
        .await
        .expect(200);
    narrow
        .upstream
        .wait_for("as many as before are in flight", LIMIT, |log| {
            log.in_flight == CAP
        })
        .await;
    drop(running);
}

/// Returns the concurrency that the provider's row of limits allows; without one, the global limit.
async fn allowed(server: &Server) -> u64 {
    let answer = server.get("/v1/limits").await.ok();
    let rows = answer["limits"].as_array().unwrap();
    let row = rows.iter().find(|row| {
        row["kind"] == "concurrency" && row["scope"].as_str().is_some_and(|scope| scope == "first")
    });
    row.map_or(CAP as u64, |row| row["limit"].as_u64().unwrap())
}

/// Returns the allowed concurrency after one of twenty concurrent calls ended with `reply`.
async fn after(reply: impl Fn() -> Reply + Send + Sync + 'static) -> u64 {
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |call| {
        if call.index == 19 {
            reply()
        } else {
            Reply::Played.behind(&held)
        }
    });
    let server = serve(&upstream, "").await;
    let running = server
        .open("/v1/extract/batch", "text/event-stream", &batch(20))
        .await
        .expect(200);
    upstream
        .wait_for("one of twenty has ended", LIMIT, |log| {
            log.calls.len() >= 20 && log.calls[19].ended.is_some()
        })
        .await;
    eventually(LIMIT, "the service has seen it", async || {
        let row = server.limit("concurrency").await.unwrap();
        (row["in_use"] == 19 || upstream.calls() > 20).then_some(())
    })
    .await;
    let allowed = allowed(&server).await;
    drop((running, gate));
    allowed
}

#[tokio::test]
async fn overload_lowers_the_concurrency_and_failures_do_not() {
    let cap = CAP as u64;
    assert!(after(|| Reply::error(429, "slow down")).await < cap, "429");
    assert!(after(|| Reply::error(503, "busy")).await < cap, "503");
    assert!(after(|| Reply::error(529, "busy")).await < cap, "529");
    assert_eq!(after(|| Reply::error(500, "oops")).await, cap, "500");
    assert_eq!(after(|| Reply::error(413, "not so")).await, cap, "400");
    assert_eq!(after(|| Reply::Reset).await, cap, "reset");
}

#[tokio::test]
async fn a_429_of_a_lone_call_does_not_lower_the_concurrency() {
    let upstream = Upstream::start(|call| match call.index {
        0 => Reply::error(429, "slow down").with_header("retry-after-ms", 10),
        1 => Reply::Played,
        _ => Reply::Stall,
    });
    let server = serve(&upstream, "").await;
    server.extract(&single(person(1))).await.ok();
    let running = server
        .open("/v1/extract/batch", "text/event-stream", &batch(100))
        .await
        .expect(200);
    upstream
        .wait_for("some are in flight", Duration::from_secs(10), |log| {
            log.in_flight >= 8
        })
        .await;
    drop(running);
}
