//! Budgets across a reload.

use super::*;

/// A model whose calls cost a dollar each.
const PRICED: &str = "[models.priced]\nprovider = \"openai\"\nmodel = \"test-model\"\n\
                      input_usd_per_million_tokens = 50000\noutput_usd_per_million_tokens = 100000\n";

/// Budgets begin anew at midnight, UTC: whoever tests one in the last minutes of a day learns nothing.
fn day_is_ending() -> bool {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    now.as_secs() % 86_400 > 86_400 - 120
}

async fn spend(client: &Client, first: usize, dollars: usize) {
    for number in first..first + dollars {
        client.extract(&single(person(number))).await.ok();
    }
}

#[tokio::test]
async fn the_spent_budget_survives_a_reload() {
    if day_is_ending() {
        return;
    }
    let callers = |quota: &str| format!("{A}{quota}\n{B}");
    let stage = Stage::set_with(
        Upstream::playing(),
        &callers("budget_usd_per_day = 2"),
        PRICED,
    )
    .await;
    let a = stage.client("key-a");
    spend(&a, 0, 2).await;
    a.extract(&single(person(2)))
        .await
        .problem(429, "quota_exceeded");
    // Another of its quotas is changed.
    stage.replace(&callers("budget_usd_per_day = 2\nmax_queue = 77"));
    until_limit(&stage, "queue", json!(77)).await;
    a.extract(&single(person(3)))
        .await
        .problem(429, "quota_exceeded");
    // Its key is rotated.
    stage.replace(&callers("budget_usd_per_day = 2\nmax_queue = 77").replace("key-a", "key-a-2"));
    stage.until("key-a-2", 200).await;
    let a = stage.client("key-a-2");
    a.extract(&single(person(4)))
        .await
        .problem(429, "quota_exceeded");
    // It gets a dollar more.
    stage.replace(&callers("budget_usd_per_day = 3\nmax_queue = 78"));
    until_limit(&stage, "queue", json!(78)).await;
    let a = stage.client("key-a");
    spend(&a, 5, 1).await;
    a.extract(&single(person(6)))
        .await
        .problem(429, "quota_exceeded");
    assert_eq!(stage.upstream.calls(), 3);
}

#[tokio::test]
async fn the_spent_budget_survives_a_temporary_removal_of_the_caller() {
    if day_is_ending() {
        return;
    }
    let callers = |quota: &str| format!("{A}{quota}\n{B}");
    let stage = Stage::set_with(
        Upstream::playing(),
        &callers("budget_usd_per_day = 2"),
        PRICED,
    )
    .await;
    let a = stage.client("key-a");
    spend(&a, 0, 2).await;
    stage.replace(B);
    stage.until("key-a", 401).await;
    stage.replace(&callers("budget_usd_per_day = 2"));
    stage.until("key-a", 200).await;
    a.extract(&single(person(2)))
        .await
        .problem(429, "quota_exceeded");
    // Nor by taking out its budget.
    stage.replace(&callers("max_queue = 77"));
    until_limit(&stage, "queue", json!(77)).await;
    spend(&a, 3, 1).await;
    stage.replace(&callers("max_queue = 78\nbudget_usd_per_day = 3"));
    until_limit(&stage, "queue", json!(78)).await;
    a.extract(&single(person(4)))
        .await
        .problem(429, "quota_exceeded");
    assert_eq!(stage.upstream.calls(), 3);
}

#[tokio::test]
async fn a_call_that_was_in_flight_when_its_caller_got_a_budget_does_not_pay_it_back() {
    if day_is_ending() {
        return;
    }
    let gate = Gate::closed();
    let held = gate.clone();
    let upstream = Upstream::start(move |call| match call.item() {
        Some(0) => Reply::Played.behind(&held),
        _ => Reply::Played,
    });
    // Who counts tokens reserves what a call is thought to cost, which is dear while nothing is known of the model.
    let config = format!("{PRICED}[providers.openai]\ntokens_per_minute = 100000000\n");
    let stage = Stage::set_with(upstream, &format!("{A}{B}"), &config).await;
    let a = stage.client("key-a");
    let early = tokio::spawn({
        let client = a.clone();
        async move { client.extract(&single(person(0))).await }
    });
    stage
        .upstream
        .wait_for("it is called", LIMIT, |log| log.in_flight == 1)
        .await;
    stage.replace(&format!("{A}budget_usd_per_day = 2\nmax_queue = 77\n{B}"));
    until_limit(&stage, "queue", json!(77)).await;
    let mut later = tokio::task::JoinSet::new();
    for number in 1..=3 {
        let client = a.clone();
        later.spawn(async move {
            client
                .extract(&single(person(number)))
                .await
                .status
                .as_u16()
        });
    }
    // They have been called, or wait for what the early one turns out to cost.
    eventually(LIMIT, "the later ones are under way", async || {
        let waiting =
            stage.client("key-b").limit_of("queue", "caller:a").await?["in_use"].as_u64()?;
        (waiting == 3 || stage.upstream.seen(|log| log.answered >= 2)).then_some(())
    })
    .await;
    gate.open();
    early.await.unwrap().ok();
    let succeeded = later
        .join_all()
        .await
        .into_iter()
        .filter(|status| *status == 200)
        .count();
    assert!(
        (1..=2).contains(&succeeded),
        "{succeeded} calls at a dollar each, with two dollars"
    );
    stage.client("key-b").wait_until_idle(LIMIT).await;
    a.extract(&single(person(4)))
        .await
        .problem(429, "quota_exceeded");
}
