//! Durable jobs: handed over once, worked off whatever happens to the process, their results kept until they are fetched.
//!
//! Knows nothing of the server's HTTP.

pub mod link;
mod mac;
mod sqlite;
pub mod store;
pub mod webhook;

pub use sqlite::Sqlite;
