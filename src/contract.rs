//! JSON bodies of the API: item results, batch summaries, stream events, problems (RFC 9457) and job endings.
//!
//! These data transfer objects are the contract with clients. [`http`](crate::http) sends them; [`jobs`](crate::jobs) stores
//! them as recorded results and sends them to webhooks. Knows nothing of axum, stores, limits or providers.

mod batch;
mod evidence;
mod item;
mod job;
mod json;
mod problem;
mod stream;
mod time;

pub use crate::types::clock::rfc3339_of;
pub use batch::{BatchResult, BatchStatus, NdjsonSummary, Progress, SseDone, Summary};
pub use evidence::Evidence;
pub use item::{ItemResult, Status, Times};
pub use job::{JobDone, JobStatus, JobWebhook};
pub use json::{append_json, to_json};
pub use problem::{Problem, http_status};
pub use stream::{ListItem, PartialResult, SingleDone};
pub use time::{millis, rfc3339};
