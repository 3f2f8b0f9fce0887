//! The scripted provider: an OpenAI-compatible server inside the test, on a thread of its own so that a busy test does not bend
//! its clock. A script decides what becomes of each call; a log keeps what was seen, and can be waited on.

mod log;
mod play;
mod reply;
mod shared;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

pub use log::{Call, Ending, Log};
pub use reply::{Gate, Reply};

use shared::{Keep, Script, Shared};

/// A running provider; dropped, it closes every connection.
pub struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    _stop: oneshot::Sender<()>,
}

impl Upstream {
    /// Starts one that does with each call what `script` says.
    pub fn start(script: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Self {
        Self::run(Box::new(script), Keep::Everything)
    }

    /// Starts a provider that answers every call at once as the simulated model does.
    pub fn playing() -> Self {
        Self::start(|_| Reply::Played)
    }

    /// Starts a provider that answers with `replies` in turn, and then as the simulated model does.
    pub fn saying(replies: impl IntoIterator<Item = Reply>) -> Self {
        let replies = Mutex::new(
            replies
                .into_iter()
                .collect::<std::collections::VecDeque<_>>(),
        );
        Self::start(move |_| replies.lock().unwrap().pop_front().unwrap_or(Reply::Played))
    }

    /// Starts a provider whose log keeps no bodies, for very many calls.
    pub fn light(script: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Self {
        Self::run(Box::new(script), Keep::Times)
    }

    fn run(script: Script, keep: Keep) -> Self {
        let shared = Arc::new(Shared {
            script,
            keep,
            log: Mutex::default(),
            changed: watch::Sender::new(()),
        });
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let served = Arc::clone(&shared);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = play::accept(tokio::net::TcpListener::from_std(listener).unwrap(), served) => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            address,
            shared,
            _stop: stop,
        }
    }

    /// Returns the base URL that a provider's SDK takes.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Returns a copy of the log.
    pub fn log(&self) -> Log {
        self.shared.log.lock().unwrap().clone()
    }

    /// Asks the log something without copying it.
    pub fn seen<T>(&self, question: impl FnOnce(&Log) -> T) -> T {
        question(&self.shared.log.lock().unwrap())
    }

    /// Returns the number of calls that have arrived.
    pub fn calls(&self) -> usize {
        self.seen(|log| log.calls.len())
    }

    /// Waits until `condition` holds; fails the test with `what` when it does not within `limit`.
    pub async fn wait_for(&self, what: &str, limit: Duration, condition: impl Fn(&Log) -> bool) {
        let mut changed = self.shared.changed.subscribe();
        let seen = tokio::time::timeout(limit, async {
            while !self.seen(&condition) {
                changed.changed().await.unwrap();
            }
        });
        assert!(seen.await.is_ok(), "not within {limit:?}: {what}");
    }
}
