use std::num::NonZeroU32;

use tokio::task::JoinSet;

use super::*;

fn limits(max_concurrency: usize, max_queue: usize, rate: Option<Rate>) -> Limits {
    let pool = Pool { name: "test".to_owned(), rate, max_in_flight: None };
    Limits::new(Config { max_concurrency, max_queue }, vec![pool]).unwrap()
}

const POOL: PoolId = PoolId(0);
const PATIENT: Patience = Patience::new(Duration::from_secs(60));

fn in_use(limits: &Limits) -> (u64, u64, u64) {
    let readings = limits.readings();
    (readings[0].in_use, readings[0].waiting, readings[1].in_use)
}

#[tokio::test]
async fn a_free_slot_is_taken_at_once_and_given_back() {
    let limits = limits(1, 10, None);
    let lane = limits.admit(CallerId(0), POOL, 2).unwrap();
    let permit = lane.enter(POOL, Turn::New, PATIENT).await.unwrap();
    assert_eq!(in_use(&limits), (1, 0, 1));
    assert_eq!(lane.in_flight(), 1);
    drop(permit);
    drop(lane);
    assert_eq!(in_use(&limits), (0, 0, 0));
}

#[tokio::test]
async fn the_room_is_bounded_and_a_batch_takes_what_is_left() {
    let limits = limits(1, 3, None);
    let first = limits.admit(CallerId(0), POOL, 1).unwrap();
    let held = first.enter(POOL, Turn::New, PATIENT).await.unwrap();
    let batch = limits.admit(CallerId(0), POOL, 100).unwrap();
    assert_eq!(batch.window(), 3);
    assert!(limits.admit(CallerId(0), POOL, 1).is_err());
    drop(batch);
    assert_eq!(limits.admit(CallerId(0), POOL, 1).unwrap().window(), 1);
    drop((held, first));
    assert_eq!(in_use(&limits), (0, 0, 0));
}

#[tokio::test]
async fn who_leaves_the_line_gives_back_everything() {
    let limits = limits(1, 100, None);
    let lane = limits.admit(CallerId(0), POOL, 3).unwrap();
    let held = lane.enter(POOL, Turn::New, PATIENT).await.unwrap();
    {
        let waiting = lane.enter(POOL, Turn::New, PATIENT);
        tokio::pin!(waiting);
        assert!(tokio::time::timeout(Duration::from_millis(5), &mut waiting).await.is_err());
        assert_eq!(in_use(&limits).1, 1);
        // Granted, but dropped before it was seen.
        drop(held);
    }
    assert_eq!(in_use(&limits), (0, 0, 3));
}

#[tokio::test]
async fn an_impatient_item_is_told_at_once_a_patient_one_waits() {
    let limits = limits(4, 100, None);
    let lane = limits.admit(CallerId(0), POOL, 3).unwrap();
    let until = Instant::now() + Duration::from_millis(100);
    limits.pause(POOL, until);
    let brief = Patience::new(Duration::from_millis(20));
    assert_eq!(lane.enter(POOL, Turn::New, brief).await.unwrap_err(), Denied { until });
    let _permit = lane.enter(POOL, Turn::Again, PATIENT).await.unwrap();
    let woke = Instant::now();
    assert!(woke >= until);
}

#[tokio::test]
async fn a_pause_that_begins_while_an_item_waits_reaches_it() {
    let limits = limits(1, 100, None);
    let lane = limits.admit(CallerId(0), POOL, 3).unwrap();
    let _held = lane.enter(POOL, Turn::New, PATIENT).await.unwrap();
    let waiting = lane.enter(POOL, Turn::New, Patience::new(Duration::from_millis(20)));
    tokio::pin!(waiting);
    assert!(tokio::time::timeout(Duration::from_millis(5), &mut waiting).await.is_err());
    limits.pause(POOL, Instant::now() + Duration::from_secs(5));
    assert!(waiting.await.is_err());
}

#[tokio::test]
async fn a_pool_with_slots_of_its_own_leaves_the_rest_to_the_others() {
    let pools = [Some(1), None].map(|max_in_flight| Pool { name: "p".to_owned(), rate: None, max_in_flight });
    let limits = Limits::new(Config { max_concurrency: 2, max_queue: 10 }, pools.to_vec()).unwrap();
    let lane = limits.admit(CallerId(0), POOL, 3).unwrap();
    let _held = lane.enter(POOL, Turn::New, PATIENT).await.unwrap();
    let narrow = lane.enter(POOL, Turn::New, PATIENT);
    assert!(tokio::time::timeout(Duration::from_millis(5), narrow).await.is_err());
    assert!(lane.enter(PoolId(1), Turn::New, PATIENT).await.is_ok());
}

/// Tasks that come, wait, hold and leave at random moments: no permit is lost, none is given twice, no wake-up is missed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_wake_up_is_lost() {
    const ROUNDS: usize = 20_000;
    let rate = Rate { per_minute: NonZeroU32::new(u32::MAX).unwrap(), burst: NonZeroU32::new(100).unwrap() };
    let limits = limits(3, ROUNDS, Some(rate));
    let flying = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for n in 0..ROUNDS {
        let lane = limits.admit(CallerId(n as u64 % 5), POOL, 1).unwrap();
        let flying = Arc::clone(&flying);
        tasks.spawn(async move {
            let wait = lane.enter(POOL, Turn::New, PATIENT);
            let permit = match n % 7 {
                0 => match tokio::time::timeout(Duration::from_micros(n as u64 % 50), wait).await {
                    Ok(permit) => permit,
                    Err(_) => return,
                },
                _ => wait.await,
            };
            let permit = permit.unwrap();
            assert!(flying.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 3);
            tokio::task::yield_now().await;
            flying.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
            drop(permit);
        });
    }
    let all = async { while tasks.join_next().await.transpose().unwrap().is_some() {} };
    tokio::time::timeout(Duration::from_secs(60), all).await.expect("every task ends");
    assert_eq!(in_use(&limits), (0, 0, 0));
}
