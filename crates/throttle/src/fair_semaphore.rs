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
    /// Number of permits that nobody holds.
    free: usize,
    /// True if a caller holds at most as many permits as it leaves free.
    leaves_room: bool,
    /// Number of permits of each caller that has any.
    held: BTreeMap<CallerId, usize>,
    order: FairOrder<CallerId>,
    /// Waiting requests of each caller, with their costs.
    waiting: BTreeMap<CallerId, VecDeque<(u64, oneshot::Sender<FairPermit>)>>,
}

/// Permit of a [`FairSemaphore`], which is returned when this is dropped.
#[derive(Debug)]
pub struct FairPermit {
    semaphore: FairSemaphore,
    caller: CallerId,
}

impl FairSemaphore {
    /// Creates a semaphore of this many permits, all of which one caller may hold.
    #[must_use]
    pub fn new(permits: usize) -> Self {
        Self::with(permits, false)
    }

    /// Creates a semaphore of this many permits, of which a caller holds at most as many as it leaves free: half of them while it is
    /// alone. For permits that are held for long.
    #[must_use]
    pub fn leaving_room(permits: usize) -> Self {
        Self::with(permits, true)
    }

    fn with(permits: usize, leaves_room: bool) -> Self {
        Self(Arc::new(Mutex::new(State {
            free: permits,
            leaves_room,
            held: BTreeMap::new(),
            order: FairOrder::default(),
            waiting: BTreeMap::new(),
        })))
    }

    /// Changes whether a caller holds at most as many permits as it leaves free. A request that waits learns of it when a permit is
    /// returned: only a caller that holds one is refused a free one.
    pub fn set_leaves_room(&self, leaves_room: bool) {
        self.lock().leaves_room = leaves_room;
    }

    /// Waits until it is the caller's turn and a permit is free. `cost` is what the caller is charged, in any unit that is the same
    /// for all.
    pub async fn acquire(&self, caller: CallerId, cost: u64) -> FairPermit {
        let turn = self.lock().enter(caller, cost);
        match turn {
            None => self.permit(caller),
            Some(turn) => match turn.await {
                Ok(permit) => permit,
                // A sender is dropped only after it has sent.
                Err(_) => std::future::pending().await,
            },
        }
    }

    fn permit(&self, caller: CallerId) -> FairPermit {
        FairPermit {
            semaphore: self.clone(),
            caller,
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
        if self.may_take(caller) {
            self.take(caller);
            self.order.charge(caller, cost);
            self.leave_if_done(caller);
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        let own = self.waiting.entry(caller).or_default();
        own.push_back((cost, sender));
        Some(receiver)
    }

    /// Returns true if there is a permit for the caller now.
    fn may_take(&self, caller: CallerId) -> bool {
        let held = self.held.get(&caller).copied().unwrap_or(0);
        self.free > 0 && (!self.leaves_room || held < self.free)
    }

    fn take(&mut self, caller: CallerId) {
        self.free -= 1;
        *self.held.entry(caller).or_default() += 1;
    }

    fn give_back(&mut self, caller: CallerId) {
        self.free += 1;
        if let Some(held) = self.held.get_mut(&caller) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(&caller);
            }
        }
    }

    /// Charges a caller a cost that is not that of a turn.
    fn charge(&mut self, caller: CallerId, cost: u64) {
        self.order.settle(caller, 0, cost);
    }

    fn leave_if_done(&mut self, caller: CallerId) {
        if self.waiting.get(&caller).is_none_or(VecDeque::is_empty) {
            self.waiting.remove(&caller);
            self.order.leave(caller);
        }
    }

    /// Takes a permit for the request whose turn it is, if there is one for it, and charges its caller. Requests that were given up
    /// are dropped.
    fn next_waiting(&mut self) -> Option<(CallerId, oneshot::Sender<FairPermit>)> {
        // Callers that leave no room for others are skipped: no more than hold permits.
        let mut skipped = Vec::new();
        let mut next = None;
        while next.is_none()
            && self.free > 0
            && let Some(caller) = self.order.first()
        {
            if !self.may_take(caller) {
                self.order.park(caller);
                skipped.push(caller);
                continue;
            }
            let own = self.waiting.get_mut(&caller);
            let first = own.and_then(|own| {
                std::iter::from_fn(|| own.pop_front()).find(|(_, sender)| !sender.is_closed())
            });
            if let Some((cost, sender)) = first {
                self.order.charge(caller, cost);
                self.take(caller);
                next = Some((caller, sender));
            }
            self.leave_if_done(caller);
        }
        for caller in skipped {
            self.order.unpark(caller);
        }
        next
    }
}

impl FairPermit {
    /// Charges the caller for more than it was at its turn.
    pub fn charge(&self, cost: u64) {
        self.semaphore.lock().charge(self.caller, cost);
    }
}

impl Drop for FairPermit {
    fn drop(&mut self) {
        let mut state = self.semaphore.lock();
        state.give_back(self.caller);
        let served: Vec<_> = std::iter::from_fn(|| state.next_waiting()).collect();
        drop(state);
        for (caller, sender) in served {
            // If the request is given up now, the permit comes back and is dropped, which serves the next one.
            drop(sender.send(self.semaphore.permit(caller)));
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

    #[tokio::test]
    async fn a_caller_leaves_as_many_permits_as_it_holds() {
        let semaphore = FairSemaphore::leaving_room(6);
        let acquire = |caller| semaphore.acquire(caller, 1).now_or_never();
        let mut of_alice: Vec<_> = (0..3).map(|_| acquire(ALICE).unwrap()).collect();
        let mut waiting = Box::pin(semaphore.acquire(ALICE, 1));
        assert!(waiting.as_mut().now_or_never().is_none());
        let of_bob = [acquire(BOB).unwrap(), acquire(BOB).unwrap()];
        assert!(acquire(BOB).is_none(), "one is left for a third caller");
        assert!(acquire(CallerId(3)).is_some());
        drop(of_alice.pop());
        assert!(
            waiting.as_mut().now_or_never().is_none(),
            "she holds as many as are free"
        );
        drop(of_bob);
        assert!(waiting.as_mut().now_or_never().is_some());
    }

    #[tokio::test]
    async fn all_requests_for_which_permits_are_free_have_their_turn_at_once() {
        let semaphore = FairSemaphore::leaving_room(6);
        let acquire = |caller| semaphore.acquire(caller, 1).now_or_never();
        let mut of_alice: Vec<_> = (0..3).map(|_| acquire(ALICE).unwrap()).collect();
        let mut waiting = [(); 3].map(|()| Box::pin(semaphore.acquire(ALICE, 1)));
        for request in &mut waiting {
            assert!(request.as_mut().now_or_never().is_none());
        }
        semaphore.set_leaves_room(false);
        drop(of_alice.pop());
        let permits = waiting.map(|mut request| request.as_mut().now_or_never().unwrap());
        drop((permits, of_alice));
        assert_eq!(semaphore.lock().free, 6);
    }

    #[tokio::test]
    async fn a_caller_has_all_permits_until_it_must_leave_room() {
        let semaphore = FairSemaphore::new(2);
        let acquire = |caller| semaphore.acquire(caller, 1).now_or_never();
        let of_alice = [acquire(ALICE).unwrap(), acquire(ALICE).unwrap()];
        let mut waiting = Box::pin(semaphore.acquire(ALICE, 1));
        assert!(waiting.as_mut().now_or_never().is_none());
        semaphore.set_leaves_room(true);
        let [first, second] = of_alice;
        drop(first);
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(acquire(BOB).expect("one is left for him"));
        semaphore.set_leaves_room(false);
        drop(second);
        let _first = waiting.as_mut().now_or_never().unwrap();
        let _second = acquire(ALICE).unwrap();
    }

    #[tokio::test]
    async fn time_that_is_charged_at_the_end_counts_for_the_next_turn() {
        let semaphore = FairSemaphore::new(1);
        let long = semaphore.acquire(ALICE, 1).await;
        let mut of_alice = Box::pin(semaphore.acquire(ALICE, 1));
        assert!(of_alice.as_mut().now_or_never().is_none());
        let mut of_bob: Vec<_> = (0..9)
            .map(|_| Box::pin(semaphore.acquire(BOB, 10)))
            .collect();
        for request in &mut of_bob {
            assert!(request.as_mut().now_or_never().is_none());
        }
        long.charge(100);
        drop(long);
        for request in of_bob {
            assert!(of_alice.as_mut().now_or_never().is_none());
            drop(request.await);
        }
        drop(of_alice.await);
        let state = semaphore.lock();
        assert_eq!(
            (state.free, state.held.len(), state.waiting.len()),
            (1, 0, 0)
        );
        assert!(state.order.is_empty());
    }
}
