//! Usage, time and limits of an item that several models are called for.

use super::*;

// What it costs, and whom.

#[tokio::test]
async fn usage_is_summed_and_reported_per_model() {
    let first = Upstream::start(|call| match call.index {
        0 => Reply::Used(wrong().to_string(), 100, 10),
        _ => Reply::error(500, "oops"),
    });
    let second = Upstream::start(|call| match call.index {
        0 => Reply::Used(wrong().to_string(), 200, 20),
        _ => Reply::Used(found(1).to_string(), 300, 30),
    });
    let prices = |input: u32, output: u32| {
        format!("input_usd_per_million_tokens = {input}\noutput_usd_per_million_tokens = {output}")
    };
    let fallback = format!("fallback = [\"spare\"]\n{}", prices(10, 100));
    let config = [
        "model = \"main\"\n".to_owned(),
        provider("first", &first.url(), ""),
        provider("second", &second.url(), ""),
        model("main", "first", &fallback),
        model("spare", "second", &prices(1, 5)),
    ];
    let server = Server::configured(&config.concat()).start().await;
    let reply = server
        .extract(&with(single(person(1)), json!({"max_attempts": 5})))
        .await
        .ok();
    assert_eq!(
        (&reply["model"], &reply["attempts"]),
        (&json!("second/spare-1"), &json!(3))
    );
    check_usage(&reply["usage"], (600, 60), 0.002 + 0.000_75);
    let by_model = reply["usage_by_model"]
        .as_array()
        .expect("what was spent where");
    let models: Vec<_> = by_model
        .iter()
        .map(|entry| entry["model"].as_str().unwrap())
        .collect();
    assert_eq!(models, ["first/main-1", "second/spare-1"], "{by_model:?}");
    check_usage(&by_model[0], (100, 10), 0.002);
    check_usage(&by_model[1], (500, 50), 0.000_75);
}

#[track_caller]
fn check_usage(usage: &Value, (input, output): (u64, u64), cost_usd: f64) {
    let tokens = [
        &usage["input_tokens"],
        &usage["output_tokens"],
        &usage["total_tokens"],
    ];
    assert_eq!(
        tokens,
        [&json!(input), &json!(output), &json!(input + output)],
        "{usage}"
    );
    let cost = usage["cost_usd"]
        .as_f64()
        .unwrap_or_else(|| panic!("it has a price: {usage}"));
    assert!((cost - cost_usd).abs() < 1e-9, "{cost_usd}: {usage}");
}

#[tokio::test]
async fn a_batch_reports_the_model_of_each_item_and_the_total_cost() {
    let price = "input_usd_per_million_tokens = 2\noutput_usd_per_million_tokens = 4";
    // Every other item cannot be had from the first; one fails at both, after an answer that cost.
    let is_first = AtomicBool::new(true);
    let first = Upstream::start(move |call| match call.item() {
        Some(3) if is_first.swap(false, Ordering::Relaxed) => {
            Reply::Used(wrong().to_string(), 1_000, 100)
        }
        Some(item) if item % 2 == 1 => Reply::error(500, "oops"),
        _ => Reply::Used(found(call.item().unwrap()).to_string(), 100, 10),
    });
    let second = Upstream::start(|call| match call.item() {
        Some(3) => Reply::error(413, "not this one"),
        item => Reply::Used(found(item.unwrap()).to_string(), 200, 20),
    });
    let config = [
        "model = \"main\"\n".to_owned(),
        provider("first", &first.url(), ""),
        provider("second", &second.url(), ""),
        model("main", "first", &format!("fallback = [\"spare\"]\n{price}")),
        model("spare", "second", price),
    ];
    let server = Server::configured(&config.concat()).start().await;
    let reply = server
        .batch(&with(batch(10), json!({"mode": "tools"})))
        .await
        .ok();
    let results = reply["results"].as_array().unwrap();
    for (number, result) in results
        .iter()
        .enumerate()
        .filter(|(number, _)| *number != 3)
    {
        let (who, tokens) = if number % 2 == 1 {
            ("second/spare-1", (200, 20))
        } else {
            ("first/main-1", (100, 10))
        };
        assert_eq!(
            (&result["model"], &result["data"]),
            (&json!(who), &found(number)),
            "{result}"
        );
        check_usage(
            &result["usage"],
            tokens,
            (tokens.0 * 2 + tokens.1 * 4) as f64 / 1e6,
        );
    }
    let failed = &results[3];
    assert_eq!(failed["error"]["code"], "upstream_error", "{failed}");
    check_usage(&failed["usage"], (1_000, 100), 0.002_4);
    assert_eq!(
        failed["usage_by_model"].as_array().map(Vec::len),
        Some(1),
        "{failed}"
    );
    let summary = &reply["summary"];
    let input = 5 * 100 + 4 * 200 + 1_000;
    check_usage(
        &summary["usage"],
        (input, input / 10),
        (input * 2 + input / 10 * 4) as f64 / 1e6,
    );
}

// The item's time.

#[tokio::test]
async fn the_time_of_an_item_covers_all_the_models_that_it_asks() {
    let pair = Pair::with(
        Upstream::start(|_| Reply::Stall),
        Upstream::start(|_| Reply::Stall),
    )
    .await;
    let begun = Instant::now();
    pair.server
        .extract(&with(ask(), json!({"timeout_ms": 1_500})))
        .await
        .problem(504, "timeout");
    assert!(
        begun.elapsed() >= Duration::from_millis(1_450),
        "all of it: {:?}",
        begun.elapsed()
    );
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "and no more: {:?}",
        begun.elapsed()
    );
    assert_eq!(pair.calls(), (1, 1), "both had their chance");
    let aborted = |upstream: &Upstream| upstream.log().calls[0].is(Ending::Aborted);
    pair.second
        .wait_for("the call is aborted", LIMIT, |log| log.aborted == 1)
        .await;
    assert!(aborted(&pair.first) && aborted(&pair.second));
}

#[tokio::test]
async fn a_slow_model_that_answers_in_time_is_not_aborted() {
    let first = Upstream::start(|_| Reply::Played.after(Duration::from_millis(400)));
    let pair = Pair::new(first).await;
    let reply = pair
        .server
        .extract(&with(ask(), json!({"timeout_ms": 4_000})))
        .await
        .ok();
    assert_eq!(
        (&reply["model"], pair.calls()),
        (&json!("first/main-1"), (1, 0))
    );
}

#[tokio::test]
async fn the_first_model_is_called_again_once_it_has_recovered() {
    let is_well = Arc::new(AtomicBool::new(false));
    let well = Arc::clone(&is_well);
    let first = Upstream::start(move |_| match well.load(Ordering::Relaxed) {
        true => Reply::Played,
        false => Reply::error(429, "slow down").with_header("retry-after-ms", 200),
    });
    let pair = Pair::new(first).await;
    assert_eq!(
        pair.server.extract(&ask()).await.ok()["model"],
        "second/spare-1"
    );
    is_well.store(true, Ordering::Relaxed);
    let again = async {
        for number in 2.. {
            if pair.server.extract(&single(person(number))).await.ok()["model"] == "first/main-1" {
                return;
            }
        }
    };
    within(
        Duration::from_secs(10),
        "the first model answers again",
        again,
    )
    .await;
}

// Limits of their own.

#[tokio::test]
async fn the_limits_of_a_model_and_of_a_provider_are_reached_and_never_exceeded_and_hold_up_nobody_else()
 {
    let gate = Gate::closed();
    let held = gate.clone();
    let shared = Upstream::start(move |call| match call.body()["model"].as_str() {
        Some("narrow-1") => Reply::Played.behind(&held),
        _ => Reply::Played.after(Duration::from_millis(5)),
    });
    let other = Upstream::start(|_| Reply::Played.after(Duration::from_millis(5)));
    let config = [
        "model = \"narrow\"\n[limits]\nmax_concurrency = 20\n".to_owned(),
        provider("shared", &shared.url(), "max_concurrency = 5"),
        provider("other", &other.url(), "max_concurrency = 3"),
        model("narrow", "shared", "max_concurrency = 2"),
        model("wide", "shared", ""),
        model("elsewhere", "other", ""),
    ];
    let server = Server::configured(&config.concat()).start().await;
    let narrow = server
        .open("/v1/extract/batch", "text/event-stream", &batch(30))
        .await
        .expect(200);
    shared
        .wait_for("the narrow model is at its limit", LIMIT, |log| {
            log.in_flight == 2
        })
        .await;
    // While the narrow one is stuck at its limit, the others are served in full.
    let asking = |name: &str| with(batch(60), json!({"model": name, "cache": "off"}));
    let (wide, elsewhere) = (asking("wide"), asking("elsewhere"));
    let (wide, elsewhere) = within(Duration::from_secs(20), "the others are served", async {
        tokio::join!(server.batch(&wide), server.batch(&elsewhere))
    })
    .await;
    assert_eq!(
        (
            &wide.ok()["summary"]["succeeded"],
            &elsewhere.ok()["summary"]["succeeded"]
        ),
        (&json!(60), &json!(60))
    );
    assert_eq!(
        shared.seen(|log| log.max_in_flight),
        5,
        "the provider's limit, two of them the narrow model's"
    );
    assert_eq!(other.seen(|log| log.max_in_flight), 3);
    gate.open();
    assert_eq!(narrow.events().await.last().unwrap().data["succeeded"], 30);
    let log = shared.log();
    let narrow: Vec<_> = log
        .calls
        .into_iter()
        .filter(|call| call.body()["model"] == "narrow-1")
        .collect();
    assert_eq!(
        crate::concurrency::most_at_once(&narrow),
        2,
        "the model's limit"
    );
    let rows = server.get("/v1/limits").await.ok();
    let limits: Vec<_> = rows["limits"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["kind"] == "concurrency")
        .collect();
    for limit in [20, 5, 3, 2] {
        assert!(
            limits.iter().any(|row| row["limit"] == limit),
            "{limit} is shown: {limits:?}"
        );
    }
    assert_eq!(fixture::found(0)["age"], 20);
}
