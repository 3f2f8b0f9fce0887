use serde_json::json;

use super::*;

const KEY: CacheKey = [7; 32];

fn success() -> Success {
    Success {
        data: json!(1).into(),
        model: "m".into(),
        repairs: Vec::new(),
        cached: false,
    }
}

#[tokio::test]
async fn one_item_leads_and_the_others_share_its_outcome() {
    let flights = SingleFlight::default();
    let (first, second) = (flights.join(KEY), flights.join(KEY));
    let leader = second.lead().unwrap();
    assert!(first.lead().is_none());
    first.led().await;
    let waiting = tokio::spawn(async move { first.outcome().await });
    tokio::task::yield_now().await;
    leader.complete(&Ok(success()), RequestClass::Single, true);
    assert_eq!(waiting.await.unwrap().unwrap().result, Ok(success()));
    drop(second);
    assert_eq!(flights.len(), 0);
}

#[tokio::test]
async fn when_the_leader_is_cancelled_another_item_leads() {
    let flights = SingleFlight::default();
    let (first, second) = (flights.join(KEY), flights.join(KEY));
    let leader = first.lead().unwrap();
    drop((leader, first));
    assert!(second.outcome().await.is_none());
    let leader = second.lead().unwrap();
    leader.complete(&Ok(success()), RequestClass::Single, true);
    drop(second);
    assert_eq!(flights.len(), 0);
}

#[tokio::test]
async fn an_outcome_that_is_not_shareable_lets_another_item_lead() {
    let flights = SingleFlight::default();
    let (first, second) = (flights.join(KEY), flights.join(KEY));
    let quota_exceeded = Error::new(crate::types::Code::QuotaExceeded, "the leader's own quota");
    first
        .lead()
        .unwrap()
        .complete(&Err(quota_exceeded), RequestClass::Single, false);
    assert!(second.outcome().await.is_none());
    assert!(second.lead().is_some());
}

#[tokio::test]
async fn an_item_that_joins_after_completion_forms_a_new_group() {
    let flights = SingleFlight::default();
    let first = flights.join(KEY);
    first
        .lead()
        .unwrap()
        .complete(&Ok(success()), RequestClass::Single, true);
    let second = flights.join(KEY);
    assert!(second.lead().is_some());
    drop(first);
    assert_eq!(flights.len(), 1, "the second item's group remains");
}

#[test]
fn an_item_that_tries_more_often_does_not_share_a_failure() {
    let failed = |code| SharedOutcome {
        result: Err(Error::new(code, "")),
        class: RequestClass::Batch,
    };
    for (code, expected) in [
        (Code::UpstreamError, [true, true, false]),
        (Code::UpstreamRateLimited, [true, true, false]),
        (Code::ExtractionFailed, [true, true, true]),
        (Code::ModelRefused, [true, true, true]),
    ] {
        let classes = [RequestClass::Single, RequestClass::Batch, RequestClass::Job];
        assert_eq!(
            classes.map(|class| failed(code).holds_for(class)),
            expected,
            "{code:?}"
        );
    }
}
