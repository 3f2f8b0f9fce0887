//! The limits as their users see them, with real time.

mod callers;
mod providers;
mod stress;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;

const ANYONE: CallerId = CallerId(0);

const POOL: PoolId = PoolId(0);

const PATIENT: WaitBudget = WaitBudget::new(Duration::from_secs(60), Duration::from_secs(60));

fn non_zero(n: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(n)
}

fn pool(keys: Vec<KeyQuota>, max_in_flight: Option<usize>) -> Pool {
    Pool {
        name: "test".to_owned(),
        keys,
        max_in_flight,
        is_adaptive: false,
        has_trial: false,
    }
}

fn limits_with(max_concurrency: usize, max_queue: usize, pools: Vec<Pool>) -> Limits {
    Limits::new(
        Config {
            max_concurrency,
            max_queue,
        },
        pools,
        Arc::new(Ignore),
    )
    .unwrap()
}

fn limits(max_concurrency: usize, max_queue: usize) -> Limits {
    limits_with(
        max_concurrency,
        max_queue,
        vec![pool(vec![KeyQuota::default()], None)],
    )
}

fn admission_request(items: usize) -> AdmissionRequest {
    AdmissionRequest {
        class: Class::Direct,
        pool: POOL,
        items,
        is_single: items == 1,
        has_price: true,
    }
}

fn admit(limits: &Limits, caller: CallerId, wanted: usize) -> Admission {
    limits.admit(caller, &admission_request(wanted)).unwrap()
}

fn model(limits: &Limits) -> Arc<Model> {
    limits.model(POOL, "m", ModelLimits::default())
}

fn permit_request(model: &Arc<Model>) -> PermitRequest<'_> {
    PermitRequest {
        model,
        priority: Priority::First,
        wait_budget: PATIENT,
        text_tokens: 0,
        max_output: None,
        refused: KeySet::default(),
        is_first_call: true,
    }
}

fn in_use(limits: &Limits) -> (u64, u64, u64) {
    let readings = limits.snapshots();
    (readings[0].in_use, readings[0].waiting, readings[1].in_use)
}

async fn waits(pending_permit: &mut (impl Future + Unpin)) -> bool {
    tokio::time::timeout(Duration::from_millis(5), pending_permit)
        .await
        .is_err()
}

#[tokio::test]
async fn a_free_slot_is_granted_at_once_and_returned() {
    let limits = limits(1, 10);
    let admission = admit(&limits, ANYONE, 2);
    let permit = admission
        .enter(&permit_request(&model(&limits)))
        .await
        .unwrap();
    assert_eq!((in_use(&limits), admission.in_flight()), ((1, 0, 1), 1));
    drop(permit);
    drop(admission);
    assert_eq!(in_use(&limits), (0, 0, 0));
}

#[tokio::test]
async fn the_waiting_room_is_bounded_and_a_batch_gets_the_remaining_window() {
    let limits = limits(1, 3);
    let first = admit(&limits, ANYONE, 1);
    let permit = first.enter(&permit_request(&model(&limits))).await.unwrap();
    let batch = admit(&limits, ANYONE, 100);
    assert_eq!(batch.window(), 3);
    assert!(limits.admit(ANYONE, &admission_request(1)).is_err());
    drop(batch);
    assert_eq!(admit(&limits, ANYONE, 1).window(), 1);
    drop((permit, first));
    assert_eq!(in_use(&limits), (0, 0, 0));
}

#[tokio::test]
async fn leaving_the_queue_returns_everything() {
    let limits = limits(1, 100);
    let (admission, model) = (admit(&limits, ANYONE, 3), model(&limits));
    let permit = admission.enter(&permit_request(&model)).await.unwrap();
    {
        let mut waiting = admission.enter(&permit_request(&model));
        assert!(waits(&mut waiting).await);
        assert_eq!(in_use(&limits).1, 1);
        // Granted, but dropped before it was seen.
        drop(permit);
    }
    assert_eq!(in_use(&limits), (0, 0, 3));
}
