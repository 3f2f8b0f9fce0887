//! The harness of the tests: the server under test, an HTTP client, fixtures, and the lock for tests that measure time.

pub mod client;
pub mod disk;
pub mod fixture;
pub mod response;
pub mod server;
pub mod test_lock;
pub mod wait;
