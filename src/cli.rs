//! Command line of `extractd`, and the commands that are clients of a server: a running one, or one that is started within the
//! process.
//!
//! A run of `extractd batch` is one job of `/v1/jobs` with all inputs of a file; standard input, which may come slowly, is as
//! many consecutive jobs as its pace needs. A source yields each input as a line of JSON, which a thread reads ahead of the
//! upload. The run follows the events of its jobs, and writes the output from their results. Results and progress are durable in
//! the jobs alone; the record in the run's folder only names them, so that the same command can resume. This module knows the
//! server only by its HTTP API.

mod api;
mod batch_args;
mod command_line;
mod compact_json;
mod dry_run;
mod exit_code;
mod extract;
mod format;
mod html_report;
mod inputs;
mod interrupt;
mod job;
mod job_commands;
mod jobs_client;
mod mcp;
mod output;
mod problem;
mod progress;
mod results;
mod run;
mod run_record;
mod running_server;
mod schema_commands;
mod server_args;
mod source;
mod spec_args;
mod spec_file;
mod target_server;
mod utf8;

pub use batch_args::Args as BatchArgs;
pub use command_line::{Command, CommandLine, print_completions, print_man_page};
pub use extract::{ExtractArgs, run as extract};
pub use job_commands::{JobsArgs, run as jobs};
pub use mcp::{McpArgs, run as mcp};
pub use run::run as batch;
pub use schema_commands::{SchemasArgs, run as schemas};
pub use target_server::TargetServer;
