//! State that the handle of the scripted provider and its server share.

use std::sync::Mutex;

use tokio::sync::watch;

use super::log::{Call, Log};
use super::reply::Reply;

/// Function that returns the reply to a call, given the call as it arrived.
pub(super) type Script = Box<dyn Fn(&Call) -> Reply + Send + Sync>;

/// Extent of the record of each call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    Everything,
    /// No headers and no bodies: for hundreds of thousands of calls.
    Times,
}

/// State that the handle and the server share.
pub(super) struct Shared {
    pub(super) script: Script,
    pub(super) keep: Keep,
    pub(super) log: Mutex<Log>,
    pub(super) changed: watch::Sender<()>,
}
