//! The daily budget of a caller.

use super::*;

/// A model whose calls cost a dollar each, for 10 tokens read and 5 written.
const PRICED: &str = "[models.priced]\nprovider = \"openai\"\nmodel = \"test-model\"\n\
                      input_usd_per_million_tokens = 50000\noutput_usd_per_million_tokens = 100000\n";

fn with_budget(dollars: u32) -> String {
    format!(
        "{PRICED}[callers.poor]\nkey = \"key-poor\"\nbudget_usd_per_day = {dollars}\n[callers.other]\nkey = \"key-other\"\n"
    )
}

/// Returns the seconds to the next midnight, UTC.
fn to_midnight() -> u64 {
    86_400
        - SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_secs()
            % 86_400
}

/// Budgets begin anew at midnight: whoever tests one in the last minutes of a day learns nothing.
fn day_is_ending() -> bool {
    to_midnight() < 120
}

#[track_caller]
fn check_broke(answer: &Answer) {
    answer.problem(429, "quota_exceeded");
    let after: u64 = answer
        .header("retry-after")
        .parse()
        .expect("Retry-After in seconds");
    let left = to_midnight();
    assert!(
        after.abs_diff(left) <= 60,
        "{after} s, and midnight is in {left} s"
    );
}

#[tokio::test]
async fn the_items_after_the_budget_is_spent_fail() {
    if day_is_ending() {
        return;
    }
    let upstream = Upstream::start(|_| Reply::Played.after(Duration::from_millis(2)));
    let server = serving(&upstream, 4, &with_budget(10)).await;
    let (poor, other) = (server.with_key("key-poor"), server.with_key("key-other"));
    let reply = poor.batch(&batch(30)).await.ok();
    let succeeded = reply["summary"]["succeeded"].as_u64().unwrap();
    assert!(
        (10..=14).contains(&succeeded),
        "ten dollars, and at most what was in flight: {}",
        reply["summary"]
    );
    assert_eq!(reply["summary"]["failed"], 30 - succeeded);
    assert_eq!(
        reply["summary"]["usage"]["cost_usd"].as_f64(),
        Some(succeeded as f64),
        "{}",
        reply["summary"]
    );
    assert_eq!(upstream.calls() as u64, succeeded);
    for result in reply["results"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|result| result["status"] == "failed")
    {
        check_problem(&result["error"], 429, "quota_exceeded");
        assert_eq!(result["usage"]["total_tokens"], 0, "{result}");
    }
    // Nothing more, in any form.
    check_broke(&poor.extract(&single(fixture::person(50))).await);
    for accept in [
        "application/json",
        "text/event-stream",
        "application/x-ndjson",
    ] {
        check_broke(
            &poor
                .open("/v1/extract/batch", accept, &batch(2))
                .await
                .whole()
                .await,
        );
    }
    assert_eq!(upstream.calls() as u64, succeeded);
    // And nobody else is affected.
    assert_eq!(
        other.batch(&batch_from(OTHER, 20)).await.ok()["summary"]["succeeded"],
        20
    );
}

#[tokio::test]
async fn a_budget_is_overshot_by_no_more_than_the_calls_in_flight() {
    if day_is_ending() {
        return;
    }
    // Ten times as dear as the first ones let expect.
    let upstream = Upstream::start(|call| {
        let used = if call.index < 5 { (10, 5) } else { (100, 50) };
        Reply::Used(fixture::right().to_string(), used.0, used.1).after(Duration::from_millis(2))
    });
    let server = serving(&upstream, 4, &with_budget(40)).await;
    let poor = server.with_key("key-poor");
    let (one, two) = (batch(60), batch_from(60, 60));
    let (one, two) = tokio::join!(poor.batch(&one), poor.batch(&two));
    let spent: f64 = [one.ok(), two.ok()]
        .iter()
        .map(|reply| reply["summary"]["usage"]["cost_usd"].as_f64().unwrap())
        .sum();
    assert!(
        (40.0..40.0 + 4.0 * 10.0).contains(&spent),
        "{spent} dollars of 40, with 4 calls at a time at 10 dollars"
    );
    check_broke(&poor.extract(&single(fixture::person(500))).await);
}

#[tokio::test]
async fn equal_items_fail_together_when_the_budget_is_exhausted() {
    if day_is_ending() {
        return;
    }
    let upstream = Upstream::playing();
    let server = serving(&upstream, 4, &with_budget(1)).await;
    let poor = server.with_key("key-poor");
    // One slot for it, so that the others wait until the dollar is spent.
    let inputs: Vec<_> = [0, 1, 1, 1, 1].map(fixture::person).into();
    let reply = poor
        .batch(&json!({"inputs": inputs, "schema": fixture::schema()}))
        .await
        .ok();
    let results = reply["results"].as_array().unwrap();
    let failed: Vec<_> = results
        .iter()
        .filter(|result| result["status"] == "failed")
        .collect();
    assert!(
        !failed.is_empty(),
        "a dollar is not enough for both: {}",
        reply["summary"]
    );
    for result in failed {
        check_problem(&result["error"], 429, "quota_exceeded");
    }
    assert_eq!(reply["summary"]["cancelled"], 0, "{}", reply["summary"]);
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn a_failed_call_costs_nothing() {
    if day_is_ending() {
        return;
    }
    let upstream = Upstream::start(|call| {
        if call.index < 3 {
            Reply::error(413, "no")
        } else {
            Reply::Played
        }
    });
    let server = serving(&upstream, 4, &with_budget(2)).await;
    let poor = server.with_key("key-poor");
    for number in 0..3 {
        poor.extract(&single(fixture::person(number)))
            .await
            .problem(502, "upstream_error");
    }
    for number in 3..5 {
        poor.extract(&single(fixture::person(number))).await.ok();
    }
    check_broke(&poor.extract(&single(fixture::person(5))).await);
}

#[tokio::test]
async fn a_model_without_a_price_is_forbidden_to_a_caller_with_a_budget() {
    let upstream = Upstream::playing();
    let config = format!(
        "{}[models.free]\nprovider = \"openai\"\nmodel = \"unpriced\"\n\
         [models.half]\nprovider = \"openai\"\nmodel = \"half\"\nfallback = [\"free\"]\n\
         input_usd_per_million_tokens = 1\noutput_usd_per_million_tokens = 1\n",
        with_budget(100)
    );
    let server = serving(&upstream, 4, &config).await;
    let (poor, other) = (server.with_key("key-poor"), server.with_key("key-other"));
    for model in ["free", "openai/unpriced", "openai/anything", "half"] {
        let (one, many) = (
            with(single("Ada"), json!({"model": model})),
            with(batch(2), json!({"model": model})),
        );
        poor.extract(&one).await.problem(403, "forbidden");
        poor.batch(&many).await.problem(403, "forbidden");
        other.extract(&one).await.ok();
    }
    assert_eq!(upstream.calls(), 4);
    for model in ["priced", "openai/test-model"] {
        let reply = poor
            .extract(&with(
                single(fixture::person(1)),
                json!({"model": model, "cache": "off"}),
            ))
            .await
            .ok();
        assert_eq!(reply["usage"]["cost_usd"], 1.0, "{reply}");
    }
    poor.extract(&single(fixture::person(2))).await.ok();
}
