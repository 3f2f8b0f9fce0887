//! Semaphore whose permits go to the callers in turn, by the cost of what each of them was given.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::caller_id::CallerId;
use crate::fair_order::FairOrder;

/// Semaphore that is shared fairly: a caller that has used less goes before one that has used more, however many requests the other
/// one has sent before. The requests of one caller are served in the order in which they came.
#[derive(Debug, Clone)]
pub struct FairSemaphore(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// Number of permits that nobody holds. Zero while somebody waits.
    free: usize,
    order: FairOrder<CallerId>,
    /// Waiting requests of each caller, with their costs.
    waiting: BTreeMap<CallerId, VecDeque<(u64, oneshot::Sender<FairPermit>)>>,
}

/// Permit of a [`FairSemaphore`], which is returned when this is dropped.
#[derive(Debug)]
pub struct FairPermit(FairSemaphore);

impl FairSemaphore {
    /// Creates a semaphore of this many permits.
    #[must_use]
    pub fn new(permits: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            free: permits,
            order: FairOrder::default(),
            waiting: BTreeMap::new(),
        })))
    }

    /// Waits until it is the caller's turn and a permit is free. `cost` is what the caller is charged, in any unit that is the same
    /// for all.
    pub async fn acquire(&self, caller: CallerId, cost: u64) -> FairPermit {
        let turn = self.lock().enter(caller, cost);
        match turn {
            None => FairPermit(self.clone()),
            Some(turn) => match turn.await {
                Ok(permit) => permit,
                // A sender is dropped only after it has sent.
                Err(_) => std::future::pending().await,
            },
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes a free permit, or returns the receiver of one.
    fn enter(&mut self, caller: CallerId, cost: u64) -> Option<oneshot::Receiver<FairPermit>> {
        self.order.enter(caller, false);
        if self.free > 0 {
            self.free -= 1;
            self.order.charge(caller, cost);
            self.order.leave(caller);
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        let own = self.waiting.entry(caller).or_default();
        own.push_back((cost, sender));
        Some(receiver)
    }

    /// Returns the request whose turn it is, and charges its caller; requests that were given up are dropped. Without one, the permit
    /// is free.
    fn next_waiting(&mut self) -> Option<oneshot::Sender<FairPermit>> {
        while let Some(caller) = self.order.first() {
            let own = self.waiting.get_mut(&caller);
            let next = own.and_then(|own| {
                std::iter::from_fn(|| own.pop_front()).find(|(_, sender)| !sender.is_closed())
            });
            if let Some((cost, _)) = &next {
                self.order.charge(caller, *cost);
            }
            if self.waiting.get(&caller).is_none_or(VecDeque::is_empty) {
                self.waiting.remove(&caller);
                self.order.leave(caller);
            }
            if let Some((_, sender)) = next {
                return Some(sender);
            }
        }
        self.free += 1;
        None
    }
}

impl Drop for FairPermit {
    fn drop(&mut self) {
        let next = self.0.lock().next_waiting();
        if let Some(next) = next {
            // If the request is given up now, the permit comes back and is dropped, which serves the next one.
            drop(next.send(Self(self.0.clone())));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt;

    use super::*;

    const ALICE: CallerId = CallerId(1);
    const BOB: CallerId = CallerId(2);

    #[tokio::test]
    async fn a_caller_that_has_used_less_goes_first() {
        let semaphore = FairSemaphore::new(1);
        let first = semaphore.acquire(ALICE, 10).await;
        let mut of_alice = pin!(semaphore.acquire(ALICE, 10));
        let mut also_of_alice = pin!(semaphore.acquire(ALICE, 10));
        let mut of_bob = pin!(semaphore.acquire(BOB, 10));
        assert!(of_alice.as_mut().now_or_never().is_none());
        assert!(also_of_alice.as_mut().now_or_never().is_none());
        assert!(of_bob.as_mut().now_or_never().is_none());
        drop(first);
        // Alice came first, but has had a turn.
        assert!(of_alice.as_mut().now_or_never().is_none());
        let permit = of_bob.await;
        assert!(of_alice.as_mut().now_or_never().is_none());
        drop(permit);
        assert!(also_of_alice.as_mut().now_or_never().is_none());
        drop(of_alice.await);
        drop(also_of_alice.await);
    }

    #[tokio::test]
    async fn a_costly_turn_counts_for_more() {
        let semaphore = FairSemaphore::new(1);
        let first = semaphore.acquire(ALICE, 100).await;
        let mut of_alice = pin!(semaphore.acquire(ALICE, 1));
        assert!(of_alice.as_mut().now_or_never().is_none());
        let mut of_bob: Vec<_> = (0..9)
            .map(|_| Box::pin(semaphore.acquire(BOB, 10)))
            .collect();
        for request in &mut of_bob {
            assert!(request.now_or_never().is_none());
        }
        drop(first);
        for request in of_bob {
            assert!(of_alice.as_mut().now_or_never().is_none());
            drop(request.await);
        }
        drop(of_alice.await);
    }

    #[tokio::test]
    async fn a_request_that_is_given_up_takes_no_turn() {
        let semaphore = FairSemaphore::new(2);
        let permits = [
            semaphore.acquire(ALICE, 1).await,
            semaphore.acquire(ALICE, 1).await,
        ];
        for _ in 0..100 {
            assert!(semaphore.acquire(ALICE, 1).now_or_never().is_none());
        }
        // Given up before its turn, and after it.
        let mut before = Box::pin(semaphore.acquire(ALICE, 1));
        let mut after = Box::pin(semaphore.acquire(BOB, 1));
        assert!(before.as_mut().now_or_never().is_none());
        assert!(after.as_mut().now_or_never().is_none());
        drop(before);
        drop(permits);
        drop(after);
        let state = semaphore.lock();
        assert_eq!((state.free, state.waiting.len()), (2, 0));
        assert!(state.order.is_empty());
        drop(state);
        // The permits are there as at first.
        let _permits = [
            semaphore.acquire(BOB, 1).now_or_never().unwrap(),
            semaphore.acquire(ALICE, 1).now_or_never().unwrap(),
        ];
        assert!(semaphore.acquire(ALICE, 1).now_or_never().is_none());
    }
}
