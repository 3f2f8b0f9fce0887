//! Command line client, `extractd batch`: extracts from a file or folder through a running server,
//! or through one that it starts within the process.
//!
//! A run is one job of `/v1/jobs` with all inputs of a file; standard input, which may come slowly, is as many consecutive
//! jobs as its pace needs. A source yields each input as a line of JSON, which a thread reads ahead of the upload. The run
//! follows the events of its jobs, and writes the output from their results. Results and progress are durable in the jobs
//! alone; the record in the run's folder only names them, so that the same command can resume. This module knows the server
//! only by its HTTP API.

mod api;
mod args;
mod format;
mod html_report;
mod inputs;
mod interrupt;
mod job;
mod jobs_client;
mod output;
mod problem;
mod progress;
mod results;
mod run;
mod run_record;
mod source;
mod spec_file;
mod target_server;

pub use args::Args;
pub use run::run;
pub use target_server::TargetServer;
