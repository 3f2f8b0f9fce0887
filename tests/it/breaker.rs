//! The breaker: who is down is left alone and asked now and then, so that a dead provider costs next to nothing where there is
//! another, and a short outage costs no item where there is none (reliability.md, breaker and fallback).
//!
//! It opens for 5 s at first; what waits for that rests meanwhile, so that tests that measure can run beside it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::client::{LIMIT, within};
use crate::support::fixture::{
    Nobody, batch, check_each_once, model, one_provider, person, provider, single, with,
};
use crate::support::server::Server;
use crate::upstream::{Call, Gate, Reply, Upstream};

/// Time that the breaker stays open at first.
const OPEN: Duration = Duration::from_secs(5);

/// Starts a server with the model `main` at the first address, and `spare` at the second.
async fn pair(first: &str, second: &Upstream) -> Server {
    pair_with(first, second, "").await
}

/// The same, with these lines for the first provider.
async fn pair_with(first: &str, second: &Upstream, more: &str) -> Server {
    let models = model("main", "first", "fallback = [\"spare\"]") + &model("spare", "second", "");
    let providers = provider("first", first, more) + &provider("second", &second.url(), "");
    Server::configured(&format!("model = \"main\"\n{providers}{models}"))
        .start()
        .await
}

fn ask(number: usize) -> Value {
    with(single(person(number)), json!({"mode": "tools"}))
}

/// Asks for so many items one after the other; how long it took, and who answered.
async fn one_by_one(
    server: &Server,
    numbers: std::ops::Range<usize>,
    more: Value,
) -> (Duration, Vec<String>) {
    let begun = Instant::now();
    let mut who = Vec::new();
    for number in numbers {
        let reply = server.extract(&with(ask(number), more.clone())).await.ok();
        who.push(reply["model"].as_str().unwrap().to_owned());
    }
    (begun.elapsed(), who)
}

/// Behaviour of the upstream, which can be changed while it runs.
#[derive(Clone, Default)]
struct Phase(Arc<AtomicUsize>);

impl Phase {
    fn set(&self, phase: usize) {
        self.0.store(phase, Ordering::SeqCst);
    }

    fn now(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

// A dead provider with another in its place.

#[tokio::test]
async fn a_closed_port_costs_a_few_calls_until_the_breaker_opens() {
    let (nobody, second) = (Nobody::new(), Upstream::playing());
    let server = pair(&nobody.url(), &second).await;
    one_by_one(&server, 0..3, json!({})).await;
    // A try each would cost half a minute of backoff.
    let (took, who) = one_by_one(&server, 3..43, json!({})).await;
    assert!(
        took < Duration::from_secs(3),
        "forty requests took {took:?}"
    );
    assert!(who.iter().all(|who| who == "second/spare-1"), "{who:?}");
}

#[tokio::test]
async fn a_stalled_provider_costs_one_timeout_until_the_breaker_opens() {
    let (first, second) = (Upstream::start(|_| Reply::Stall), Upstream::playing());
    let server = pair_with(&first.url(), &second, "timeout_ms = 900").await;
    let allowed = json!({"timeout_ms": 2_000});
    let (took, _) = one_by_one(&server, 0..1, allowed.clone()).await;
    assert!(took < Duration::from_secs(2), "{took:?}");
    let (took, who) = one_by_one(&server, 1..31, allowed).await;
    assert!(
        took < Duration::from_secs(2),
        "thirty requests took {took:?}"
    );
    assert_eq!((first.calls(), who.len()), (1, 30));
}

#[tokio::test]
async fn a_body_that_breaks_off_counts_as_a_failure() {
    let (first, second) = (Upstream::start(|_| Reply::CutBody), Upstream::playing());
    let server = pair(&first.url(), &second).await;
    let (_, who) = one_by_one(&server, 0..20, json!({})).await;
    assert!(who.iter().all(|who| who == "second/spare-1"), "{who:?}");
    // Three tries each would be 60.
    assert!(
        first.calls() < 10,
        "it is left alone after a few: {} calls",
        first.calls()
    );
}

// Asked now and then.

#[tokio::test]
async fn at_most_three_probes_run_at_a_time_and_their_success_closes_the_breaker() {
    let (phase, gate) = (Phase::default(), Gate::closed());
    let (seen, held) = (phase.clone(), gate.clone());
    let first = Upstream::start(move |_| match seen.now() {
        0 => Reply::error(500, "down"),
        1 => Reply::Played.behind(&held),
        _ => Reply::Played.after(Duration::from_millis(100)),
    });
    let second = Upstream::playing();
    let mut server = pair(&first.url(), &second).await;
    one_by_one(&server, 0..3, json!({})).await;
    let asked = first.calls();
    phase.set(1);
    server.rest();
    // Requests keep coming. Whoever is not a probe has its answer from the other model.
    let mut probes = JoinSet::new();
    let half_open = async {
        for number in 3.. {
            let before = first.calls();
            let client = server.clone();
            let mut request = tokio::spawn(async move { client.extract(&ask(number)).await });
            tokio::select! {
                answer = &mut request => assert_eq!(answer.unwrap().ok()["model"], "second/spare-1"),
                () = first.wait_for("it is a probe", LIMIT, |log| log.calls.len() > before) => drop(probes.spawn(request)),
            }
            if probes.len() == 3 {
                return number + 1;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        unreachable!("there are numbers enough");
    };
    let next = within(
        Duration::from_secs(20),
        "three probes are under way",
        half_open,
    )
    .await;
    let log = first.log();
    let alone = log.calls[asked].arrived - log.calls[asked - 1].ended_at();
    assert!(alone >= OPEN, "left alone for {alone:?}");
    let (took, who) = within(
        Duration::from_secs(20),
        "nobody waits for them",
        one_by_one(&server, next..next + 20, json!({})),
    )
    .await;
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert!(who.iter().all(|who| who == "second/spare-1"), "{who:?}");
    assert_eq!(
        (first.calls() - asked, first.seen(|log| log.in_flight)),
        (3, 3),
        "three and no more"
    );
    phase.set(2);
    gate.open();
    for probe in probes.join_all().await {
        assert_eq!(probe.unwrap().ok()["model"], "first/main-1");
    }
    // As many as want to.
    let reply = server
        .batch(&with(batch(12), json!({"cache": "off"})))
        .await
        .ok();
    assert!(
        reply["results"]
            .as_array()
            .unwrap()
            .iter()
            .all(|result| result["model"] == "first/main-1"),
        "{reply}"
    );
    assert!(first.seen(|log| log.max_in_flight) > 3, "it is closed");
}

#[tokio::test]
async fn passed_through_streams_close_the_breaker_when_they_begin() {
    let phase = Phase::default();
    let seen = phase.clone();
    let first = Upstream::start(move |_| match seen.now() {
        0 => Reply::error(500, "down"),
        1 => {
            let gate = Gate::closed();
            gate.let_through(1);
            Reply::Streamed(vec!["Hello".to_owned(), " you".to_owned()], gate, true)
        }
        _ => Reply::Played,
    });
    let second = Upstream::playing();
    let mut server = pair(&first.url(), &second).await;
    one_by_one(&server, 0..3, json!({})).await;
    phase.set(1);
    server.rest();
    // The time is what is tested here: it is asked again after this.
    tokio::time::sleep(OPEN + Duration::from_millis(200)).await;
    let messages = json!([{"role": "user", "content": "Hello?"}]);
    let body = json!({"model": "main", "stream": true, "messages": messages});
    let mut streams = Vec::new();
    for _ in 0..3 {
        let stream = server.open("/v1/chat/completions", "text/event-stream", &body);
        let mut stream = stream.await.expect(200);
        let begun = within(LIMIT, "the first piece", stream.chunk()).await;
        assert!(begun.is_some());
        streams.push(stream);
    }
    phase.set(2);
    let (_, who) = one_by_one(&server, 3..13, json!({})).await;
    assert!(who.iter().all(|who| who == "first/main-1"), "{who:?}");
}

#[tokio::test]
async fn a_stalled_provider_gets_at_most_three_probes_and_other_items_do_not_wait() {
    let (first, second) = (Upstream::start(|_| Reply::Stall), Upstream::playing());
    let mut server = pair_with(&first.url(), &second, "timeout_ms = 700").await;
    one_by_one(&server, 0..1, json!({"timeout_ms": 1_500})).await;
    server.rest();
    // The time is what is tested here: it is asked again after this.
    tokio::time::sleep(OPEN + Duration::from_millis(200)).await;
    let mut requests = JoinSet::new();
    let begun = Instant::now();
    for number in 1..21 {
        let client = server.clone();
        requests.spawn(async move {
            client
                .extract(&with(ask(number), json!({"timeout_ms": 6_000})))
                .await
                .ok();
            begun.elapsed()
        });
    }
    let took = requests.join_all().await;
    let slow = took
        .iter()
        .filter(|took| **took > Duration::from_secs(2))
        .count();
    assert!(
        slow <= 3,
        "{slow} of 20 waited for a provider that does not answer: {took:?}"
    );
    assert!(first.calls() <= 1 + 3, "{} calls", first.calls());
}

// What does not open it.

async fn stays_closed(what: &str, reply: impl Fn(&Call) -> Reply + Send + Sync + 'static) {
    let (first, second) = (Upstream::start(reply), Upstream::playing());
    let server = pair(&first.url(), &second).await;
    for number in 0..40 {
        server.extract(&ask(number)).await;
        // A pause of a millisecond is over then.
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    let limits = server.get("/v1/limits").await.ok();
    let breaker = limits["breakers"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["model"] == "first/main-1")
        .unwrap()
        .clone();
    assert_eq!(
        breaker["state"],
        "closed",
        "{what}: after {} calls",
        first.calls()
    );
}

#[tokio::test]
async fn rejected_requests_do_not_open_the_breaker() {
    for status in [400, 404, 413, 422] {
        stays_closed(&status.to_string(), move |_| {
            Reply::error(status, "not like this")
        })
        .await;
    }
}

/// Returns true for four of ten numbers, without a pattern.
fn by_chance(number: usize) -> bool {
    let mixed = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33) % 10 < 4
}

#[tokio::test]
async fn four_failures_of_ten_do_not_open_the_breaker() {
    const ITEMS: usize = 600;
    let upstream = Upstream::light(|call| match by_chance(call.index) {
        true => Reply::error(500, "oops").with_header("x-should-retry", false),
        false => Reply::Played,
    });
    let config = one_provider(&upstream.url(), "") + "\n[limits]\nmax_concurrency = 8";
    let server = Server::configured(&config).start().await;
    let summary = server.batch(&batch(ITEMS)).await.ok()["summary"].clone();
    assert_eq!(
        upstream.calls(),
        ITEMS,
        "none was given up without a call: {summary}"
    );
    let failed = (0..ITEMS).filter(|number| by_chance(*number)).count();
    assert_eq!(
        (&summary["failed"], failed > ITEMS / 3),
        (&json!(failed), true),
        "{summary}"
    );
}

#[tokio::test]
async fn rate_limits_do_not_open_the_breaker() {
    stays_closed("429", |_| {
        Reply::error(429, "slow down").with_header("retry-after-ms", 1)
    })
    .await;
    stays_closed("503", |_| {
        Reply::error(503, "busy").with_header("retry-after-ms", 1)
    })
    .await;
}

#[tokio::test]
async fn invalid_answers_and_model_refusals_do_not_open_the_breaker() {
    stays_closed("invalid", |_| Reply::Text("I cannot say.".to_owned())).await;
    stays_closed("refusal", |_| {
        Reply::Refusal("I would rather not.".to_owned())
    })
    .await;
}

#[tokio::test]
async fn short_timeouts_of_one_caller_do_not_open_the_breaker_for_others() {
    let first = Upstream::start(|_| Reply::Played.after(Duration::from_millis(30)));
    let second = Upstream::playing();
    let server = pair(&first.url(), &second).await;
    for number in 0..40 {
        // The fallback may have answered in time.
        server
            .extract(&with(ask(number), json!({"timeout_ms": 1})))
            .await;
    }
    let (_, who) = one_by_one(&server, 40..45, json!({})).await;
    assert!(who.iter().all(|who| who == "first/main-1"), "{who:?}");
}

#[tokio::test]
async fn short_timeouts_of_one_caller_do_not_take_the_slots_of_others() {
    let upstream = Upstream::start(|_| Reply::Played.after(Duration::from_millis(100)));
    let server = Server::configured(&one_provider(&upstream.url(), ""))
        .start()
        .await;
    for number in 0..20 {
        server
            .extract(&with(ask(number), json!({"timeout_ms": 1})))
            .await
            .problem(504, "timeout");
    }
    assert_eq!(
        server.batch(&batch(64)).await.ok()["summary"]["succeeded"],
        64
    );
    assert!(
        upstream.seen(|log| log.max_in_flight) >= 48,
        "{} at a time",
        upstream.seen(|log| log.max_in_flight)
    );
}

#[tokio::test]
async fn disconnecting_clients_do_not_open_the_breaker() {
    let first = Upstream::start(|call| match call.item() {
        Some(item) if item < 30 => Reply::Stall,
        _ => Reply::Played,
    });
    let second = Upstream::playing();
    let server = pair(&first.url(), &second).await;
    for number in 0..30 {
        let client = server.clone();
        let request = tokio::spawn(async move { client.extract(&ask(number)).await });
        first
            .wait_for("it is called", LIMIT, |log| log.calls.len() > number)
            .await;
        request.abort();
        first
            .wait_for("it is gone", LIMIT, |log| log.in_flight == 0)
            .await;
    }
    let (_, who) = one_by_one(&server, 30..33, json!({})).await;
    assert!(who.iter().all(|who| who == "first/main-1"), "{who:?}");
}

// Without another.

/// Returns a script that answers for `well` from the first call on, fails for three seconds, then answers again.
fn outage(well: Duration, down: impl Fn() -> Reply + Send + Sync + 'static) -> Upstream {
    let first = OnceLock::new();
    Upstream::light(move |call| {
        let since = call.arrived - *first.get_or_init(|| call.arrived);
        let is_down = (well..well + Duration::from_secs(3)).contains(&since);
        if is_down {
            down()
        } else {
            Reply::Played.after(Duration::from_millis(40))
        }
    })
}

async fn survived(what: &str, upstream: Upstream, items: usize) {
    let mut server = Server::configured(&one_provider(&upstream.url(), ""))
        .start()
        .await;
    server.rest();
    let reply = within(LIMIT, what, server.batch(&batch(items))).await.ok();
    let results = reply["results"].as_array().unwrap();
    check_each_once(results, items);
    let lost: Vec<_> = results
        .iter()
        .filter(|result| result["status"] != "succeeded")
        .collect();
    assert!(
        lost.is_empty(),
        "{what}: {} of {items} items lost, such as {}",
        lost.len(),
        lost[0]
    );
}

#[tokio::test]
async fn a_batch_survives_an_outage_of_three_seconds_without_losing_an_item() {
    let none = Duration::ZERO;
    tokio::join!(
        survived(
            "from the beginning, 500",
            outage(none, || Reply::error(500, "down")),
            200
        ),
        survived(
            "from the beginning, reset",
            outage(none, || Reply::Reset),
            200
        ),
        survived(
            "in the midst, 500",
            outage(Duration::from_millis(1_200), || Reply::error(500, "down")),
            2_500
        ),
    );
}

#[tokio::test]
async fn a_batch_against_a_provider_that_stays_dead_ends_within_40_seconds() {
    let nobody = Nobody::new();
    let mut server = Server::configured(&one_provider(&nobody.url(), ""))
        .start()
        .await;
    server.rest();
    let begun = Instant::now();
    let reply = within(LIMIT, "it ends", server.batch(&batch(500)))
        .await
        .ok();
    assert!(
        begun.elapsed() < Duration::from_secs(42),
        "{:?}",
        begun.elapsed()
    );
    let results = reply["results"].as_array().unwrap();
    check_each_once(results, 500);
    for result in results {
        assert_eq!(result["error"]["code"], "upstream_error", "{result}");
    }
}

#[tokio::test]
async fn a_single_waits_once_for_a_dead_provider_to_be_asked_again() {
    let is_well = Phase::default();
    let well = is_well.clone();
    let upstream = Upstream::start(move |_| match well.now() {
        1 => Reply::Played,
        _ => Reply::error(500, "down").with_header("x-should-retry", false),
    });
    let mut server = Server::configured(&one_provider(&upstream.url(), ""))
        .start()
        .await;
    for number in 0..5 {
        server
            .extract(&ask(number))
            .await
            .problem(502, "upstream_error");
    }
    server.rest();
    is_well.set(1);
    server.extract(&ask(9)).await.ok();
    let log = upstream.log();
    assert_eq!(log.calls.len(), 6);
    let waited = log.calls[5].arrived - log.calls[4].ended_at();
    assert!(waited >= OPEN && waited < OPEN * 2, "{waited:?}");
}
