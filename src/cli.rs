//! Command line client, `extractd batch`: extracts from a file or folder through a running server,
//! or through one that it starts within the process.
//!
//! A run is a pipeline, the same for all formats. A source yields each input as a line of JSON; a
//! thread reads ahead of the upload, which is the body of `POST /v1/extract/batch`. The transfer
//! writes results to the checkpoint in completion order. At the end the output is written from the
//! checkpoint in input order. This module knows the server only by its HTTP API.

mod args;
mod checkpoint;
mod format;
mod input_line;
mod interrupt;
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
