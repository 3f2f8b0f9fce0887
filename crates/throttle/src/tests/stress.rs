//! Many tasks under every kind of limit at once.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinSet;

use super::*;

/// Limits of every kind, tight enough that items wait for each of them.
fn every_limit(max_queue: usize) -> Limits {
    let rate = Rate {
        per_minute: NonZeroU32::new(100_000_000).unwrap(),
        burst: NonZeroU32::new(100).unwrap(),
    };
    let key = KeyQuota {
        requests: Some(rate),
        tokens_per_minute: non_zero(1_000_000_000),
    };
    let limits = limits_with(
        6,
        max_queue,
        vec![
            pool(vec![key; 2], Some(4)),
            pool(vec![KeyQuota::default()], None),
        ],
    );
    let quota = Quota {
        requests_per_minute: non_zero(10_000_000),
        max_in_flight: non_zero(2),
        max_queue: non_zero(u32::MAX),
        ..Quota::default()
    };
    // One of the callers leaves slots to the others.
    let unlimited = Quota {
        max_queue: non_zero(u32::MAX),
        ..Quota::default()
    };
    let callers = (1..4).map(|id| (CallerId(id), quota.clone()));
    limits.set_callers(callers.chain([(CallerId(4), unlimited)]).collect());
    limits
}

/// Models of both providers, with and without a limit of their own.
fn every_model(limits: &Limits) -> Vec<Arc<Model>> {
    (0..4)
        .map(|n| {
            let model_limits = ModelLimits {
                max_in_flight: (n % 2 == 0).then_some(2),
                price: None,
            };
            limits.configured_model(PoolId(n % 2), &n.to_string(), model_limits)
        })
        .collect()
}

/// Tasks that come, wait, hold, fail and leave at random moments, under every kind of limit: no permit is lost, none is given
/// twice, no wake-up is missed, and nothing is held at the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_wake_up_is_lost() {
    const ROUNDS: usize = 200_000;
    const AT_A_TIME: usize = 500;
    let limits = every_limit(ROUNDS);
    let models = every_model(&limits);
    let in_flight = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    let run_item = |n: usize| {
        let class = if n.is_multiple_of(3) {
            Class::Job
        } else {
            Class::Direct
        };
        let model = Arc::clone(&models[n % models.len()]);
        let admission = limits
            .admit(
                CallerId(n as u64 % 5),
                &AdmissionRequest {
                    class,
                    pool: model.pool(),
                    ..admission_request(1)
                },
            )
            .unwrap();
        let in_flight = Arc::clone(&in_flight);
        async move {
            let wait = admission.enter(&PermitRequest {
                text_tokens: 50,
                ..permit_request(&model)
            });
            let permit = match n % 7 {
                0 => match tokio::time::timeout(Duration::from_micros(n as u64 % 50), wait).await {
                    Ok(permit) => permit,
                    Err(_) => return,
                },
                _ => wait.await,
            };
            let mut permit = permit.unwrap();
            assert!(in_flight.fetch_add(1, Ordering::SeqCst) < 6);
            permit.begin();
            tokio::task::yield_now().await;
            in_flight.fetch_sub(1, Ordering::SeqCst);
            if !n.is_multiple_of(11) {
                let spent = UsageReport::Tokens(TokenUsage {
                    input: 40,
                    output: 20,
                });
                permit.release(CallReport {
                    spent,
                    ..CallReport::new(Health::Success)
                });
            }
        }
    };
    let all = async {
        for n in 0..ROUNDS {
            if tasks.len() >= AT_A_TIME {
                tasks.join_next().await.transpose().unwrap();
            }
            tasks.spawn(run_item(n));
        }
        while tasks.join_next().await.transpose().unwrap().is_some() {}
    };
    tokio::time::timeout(Duration::from_secs(120), all)
        .await
        .expect("every task ends");
    assert_eq!(in_use(&limits), (0, 0, 0));
    for row in limits
        .snapshots(None)
        .iter()
        .filter(|row| row.kind == LimitKind::Concurrency)
    {
        assert_eq!((row.in_use, row.waiting), (0, 0), "{row:?}");
    }
}
