//! Durable jobs: handed over once, worked off whatever happens to the process, their results kept until they are fetched.
//!
//! Knows nothing of HTTP.

mod sqlite;
pub mod store;

pub use sqlite::Sqlite;
