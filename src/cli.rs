//! `extractd batch`: the command line as a client of a running server, or of one that it starts within the process.
//!
//! One way through, whatever is read and written: a source gives each input as a line of JSON; a thread reads them ahead of the feed,
//! which is the body of `POST /v1/extract/batch`; the exchange takes the results in the order in which they are done into the
//! journal; and the output is written from that in input order. It knows the server by its HTTP contract alone.

mod args;
mod checkpoint;
mod output;
mod progress;
mod reader;
mod result_sink;
mod run;
mod source;
mod spec_file;
mod target_server;
mod transfer;
mod upload_queue;

pub use args::Args;
pub use run::run;
pub use target_server::TargetServer;

/// It was told to stop.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
struct Interrupted;

/// What is sent, and kept to tell whether it is still the same.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    /// Its place among the inputs, from 0.
    index: u64,
    hash: u64,
    json: bytes::Bytes,
}

impl Line {
    fn new(index: u64, json: &str) -> Self {
        Self {
            index,
            hash: hash(json.as_bytes()),
            json: bytes::Bytes::copy_from_slice(json.as_bytes()),
        }
    }
}

/// Eight bytes of the SHA-256: enough to see a change that nobody hides.
fn hash(bytes: &[u8]) -> u64 {
    use sha2::{Digest, Sha256};
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    digest
        .iter()
        .take(8)
        .fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}
