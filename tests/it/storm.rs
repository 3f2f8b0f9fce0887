//! A storm in short: behind limits of requests and of tokens, with resets, stalls and wrong answers, each input gets exactly one
//! result, nothing is asked again whose answer had arrived, hardly a call is refused, and everything is given back. `make storm`
//! has it in full.
//!
//! It needs a service that keeps `EXTRACTD_TOKENS_PER_MINUTE`; with the limit of requests alone a third of the calls is refused.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::client::LIMIT;
use crate::support::fixture::{self, check_each_once};
use crate::support::server::Server;
use crate::support::test_lock;
use upstream_sim::tokens;

use crate::upstream::{Call, Ending, Log, Reply, Upstream};
use upstream_sim::behaviour::{Behaviour, Fate};
use upstream_sim::limiter::{Limit, Limiter, Limits, Shape};

/// At 160 tokens each some ten seconds.
const ITEMS: usize = 600;
const REQUESTS_PER_MINUTE: u32 = 6_000;
const TOKENS_PER_MINUTE: u32 = 600_000;
/// Of an answer.
const COMPLETION_TOKENS: u64 = 4;
/// An item's time in calls: a stalled one is given up after it.
const TIMEOUT_MS: u64 = 2_000;

const BEHAVIOUR: Behaviour = Behaviour {
    latency_ms: 20.0,
    slow_ms: 0.0,
    jitter: 60.0,
    resets: 0.02,
    stalls: 0.02,
    invalid: 0.05,
    errors_500: 0.0,
    seed: 1,
};

/// The provider: limits, and what it did with each call, by the call's index.
struct Provider {
    limiter: Limiter,
    /// `None`: it was over a limit.
    fates: Vec<Option<Fate>>,
}

impl Provider {
    fn new() -> Self {
        // At once what is due in a second.
        let limit = |per_minute| {
            Some(Limit {
                per_minute,
                burst: per_minute / 60,
            })
        };
        let limits = Limits {
            shape: Shape::Bucket,
            requests: limit(REQUESTS_PER_MINUTE),
            tokens: limit(TOKENS_PER_MINUTE),
        };
        Self {
            limiter: Limiter::new(limits, Instant::now().into_std()),
            fates: Vec::new(),
        }
    }

    fn reply(&mut self, call: &Call) -> Reply {
        let prompt = call.prompt();
        let prompt_tokens = tokens::count(prompt.len(), prompt.as_bytes());
        if let Err((_, wait)) = self
            .limiter
            .admit(call.arrived.into_std(), prompt_tokens + COMPLETION_TOKENS)
        {
            self.fates.push(None);
            // To the millisecond: who does not know the limits comes back at once, and is refused again and again.
            let refusal = Reply::error(429, "rate limit reached")
                .with_header("retry-after", wait.as_secs_f64().ceil());
            return refusal.with_header("retry-after-ms", wait.as_nanos().div_ceil(1_000_000));
        }
        let fate = BEHAVIOUR.fate(call.index);
        self.fates.push(Some(fate));
        let say =
            |answer: &Value| Reply::Used(answer.to_string(), prompt_tokens, COMPLETION_TOKENS);
        let reply = match fate {
            Fate::Answer => say(&found(
                call.item().expect("the call is for a numbered item"),
            )),
            Fate::Invalid => say(&json!({"age": "many"})),
            Fate::Reset => Reply::Reset,
            Fate::Stall => return Reply::Stall,
            Fate::Error500 => Reply::error(500, "oops"),
        };
        reply.after(BEHAVIOUR.latency(call.index, false))
    }
}

/// Texts of many lengths, and a schema so small that they are a good part of the prompt.
fn body() -> Value {
    let text = |item: usize| {
        format!(
            "{}. {}",
            fixture::person(item),
            "and so on ".repeat(item * 37 % 50)
        )
    };
    json!({
        "inputs": (0..ITEMS).map(text).collect::<Vec<_>>(),
        "schema": {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]},
        "examples": [{"input": "Al is 9", "output": {"age": 9}}],
        "max_attempts": 10, "timeout_ms": TIMEOUT_MS,
    })
}

fn found(item: usize) -> Value {
    json!({"age": fixture::found(item)["age"]})
}

/// Returns the items that were called again although a valid answer had been written before.
fn asked_again(log: &Log, fates: &[Option<Fate>]) -> Vec<usize> {
    let mut answered: HashMap<usize, Instant> = HashMap::new();
    for (call, fate) in log.calls.iter().zip(fates) {
        if *fate == Some(Fate::Answer) && call.is(Ending::Answered) {
            let first = answered
                .entry(call.item().unwrap())
                .or_insert(call.ended_at());
            *first = call.ended_at().min(*first);
        }
    }
    let again = log.calls.iter().filter(|call| {
        let item = call.item().unwrap();
        answered
            .get(&item)
            .is_some_and(|answered| *answered < call.arrived)
    });
    again.map(|call| call.item().unwrap()).collect()
}

#[tokio::test]
async fn in_a_request_storm_each_input_gets_one_result_and_few_calls_are_rejected() {
    let _lock = test_lock::exclusive().await;
    let provider = Arc::new(Mutex::new(Provider::new()));
    let script = Arc::clone(&provider);
    let upstream = Upstream::start(move |call| script.lock().unwrap().reply(call));
    let server = Server::asking(&upstream)
        .env("EXTRACTD_REQUESTS_PER_MINUTE", REQUESTS_PER_MINUTE)
        .env("EXTRACTD_TOKENS_PER_MINUTE", TOKENS_PER_MINUTE)
        .start()
        .await;

    let reply = server.batch(&body()).await.ok();

    let results = reply["results"].as_array().unwrap();
    check_each_once(results, ITEMS);
    let (succeeded, failed): (Vec<_>, Vec<_>) = results
        .iter()
        .partition(|result| result["status"] == "succeeded");
    for result in &succeeded {
        assert_eq!(
            result["data"],
            found(result["index"].as_u64().unwrap() as usize),
            "{result}"
        );
    }
    for result in &failed {
        assert_eq!(
            (&result["status"], &result["error"]["code"]),
            (&json!("failed"), &json!("timeout")),
            "{result}"
        );
    }
    assert!(
        failed.len() <= ITEMS / 20,
        "{} of {ITEMS} failed, but only 2 % of the calls stall",
        failed.len()
    );

    let log = upstream.log();
    let fates = provider.lock().unwrap().fates.clone();
    assert_eq!(
        asked_again(&log, &fates),
        [0_usize; 0],
        "asked again though their answer had arrived"
    );
    let refused = fates.iter().filter(|fate| fate.is_none()).count();
    assert!(
        refused * 100 < fates.len(),
        "{refused} of {} calls were over a limit",
        fates.len()
    );
    server.wait_until_idle(LIMIT).await;
    upstream
        .wait_for("no call is left behind", Duration::from_secs(5), |log| {
            log.in_flight == 0
        })
        .await;
}
