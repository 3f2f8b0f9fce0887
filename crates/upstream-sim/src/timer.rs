//! Waiting to within some 0.1 ms. The runtime's own timer has steps of a millisecond, too coarse for an upstream whose latency is
//! the yardstick of a benchmark. So a thread keeps the one next deadline, and a task of the runtime wakes all calls that are due:
//! one wake-up across threads for a whole wave of calls, not one each.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use tokio::sync::{Notify, oneshot};

use crate::lock::lock;

/// The timer's handle.
#[derive(Clone)]
pub struct Timer(Arc<Shared>);

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// Time of the thread's next wake-up; `None`: nothing waits.
    alarm: Mutex<Option<Instant>>,
    changed: Condvar,
    rings: Notify,
}

#[derive(Default)]
struct Waiting {
    /// Whom to wake, by deadline and a number that tells equal deadlines apart.
    calls: BTreeMap<(Instant, u64), oneshot::Sender<()>>,
    numbers: u64,
}

impl Timer {
    /// Starts the thread and the task, which live as long as the process. To be called inside the runtime.
    pub fn start() -> Self {
        let timer = Self(Arc::default());
        let (thread, task) = (timer.clone(), timer.clone());
        thread::spawn(move || thread.0.ring());
        tokio::spawn(async move {
            loop {
                task.0.rings.notified().await;
                task.0.wake();
            }
        });
        timer
    }

    /// Waits until `deadline`; at once when it has passed.
    pub async fn sleep_until(&self, deadline: Instant) {
        let (sender, woken) = oneshot::channel();
        let first = {
            let mut waiting = lock(&self.0.waiting);
            waiting.numbers += 1;
            let number = waiting.numbers;
            let first = waiting
                .calls
                .first_key_value()
                .is_none_or(|(first, _)| deadline < first.0);
            waiting.calls.insert((deadline, number), sender);
            first
        };
        if first {
            self.0.set_alarm(Some(deadline));
        }
        // An error would mean that the task is gone; it ends with the process only.
        let _ = woken.await;
    }
}

impl Shared {
    /// Wakes every call that is due, and sets the alarm for the next.
    fn wake(&self) {
        let now = Instant::now();
        let mut waiting = lock(&self.waiting);
        while let Some(first) = waiting.calls.first_entry() {
            if first.key().0 > now {
                break;
            }
            // The call may have been given up.
            let _ = first.remove().send(());
        }
        let next = waiting.calls.first_key_value().map(|(key, _)| key.0);
        drop(waiting);
        self.set_alarm(next);
    }

    fn set_alarm(&self, at: Option<Instant>) {
        *lock(&self.alarm) = at;
        self.changed.notify_one();
    }

    /// Runs the thread: wakes the task once at each alarm.
    fn ring(&self) {
        let mut alarm = lock(&self.alarm);
        loop {
            let now = Instant::now();
            alarm = match *alarm {
                None => self
                    .changed
                    .wait(alarm)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(at) if at > now => {
                    self.changed
                        .wait_timeout(alarm, at - now)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
                Some(_) => {
                    *alarm = None;
                    self.rings.notify_one();
                    alarm
                }
            };
        }
    }
}
