//! Command line of `extractd`: its subcommands, their completions for shells, and their manual pages.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use super::batch_args;
use super::extract::ExtractArgs;
use super::job_commands::JobsArgs;
use super::schema_commands::SchemasArgs;
use crate::config;

/// Turns text into validated JSON with a language model, over HTTP.
#[derive(Debug, Parser)]
#[command(name = "extractd", version, about)]
pub struct CommandLine {
    #[command(flatten)]
    pub args: config::Args,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Subcommand of `extractd`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the server (the default)
    Serve,
    /// Extract from one text and print the result, through a running server or without one
    ///
    /// Exit codes: 0 success, 1 the extraction failed, 2 it could not be tried, 130 interrupted.
    Extract(Box<ExtractArgs>),
    /// Extract from a file or a folder of texts, through a running server or without one
    ///
    /// Results are saved as they arrive: after Ctrl-C, a crash or a lost connection, the same
    /// command resumes where it stopped. The output is in input order and is written atomically at
    /// the end. Exit codes: 0 all items succeeded, 1 some items failed, 2 the run failed, 130
    /// interrupted.
    Batch(Box<batch_args::Args>),
    /// List, show, follow and control the jobs of a running server
    Jobs(JobsArgs),
    /// List, show, register and delete the schemas of a running server
    Schemas(SchemasArgs),
    /// Print the configuration in force, with secrets masked, and the source of each value
    Config {
        /// Print a reference of all keys as Markdown instead: environment variable, flag, default,
        /// description
        #[arg(long)]
        reference: bool,
    },
    /// Copy the job store to a new file, also while a server uses it
    Backup {
        /// File to create
        file: PathBuf,
    },
    /// Print the OpenAPI document
    Openapi,
    /// Check that a running server is alive; exits with 0 if it is, else with 1 (for containers)
    Healthcheck,
    /// Print the completions for a shell
    ///
    /// For example: extractd completions bash > ~/.local/share/bash-completion/completions/extractd
    Completions {
        /// Shell: bash, zsh, fish, elvish or powershell
        shell: Shell,
    },
    /// Print the manual page of extractd or of a subcommand
    ///
    /// For example: extractd man batch | man -l -
    Man {
        /// Subcommand, such as batch, or jobs list
        command: Vec<String>,
    },
}

/// Prints the completions for a shell.
///
/// # Errors
/// If standard output cannot be written.
pub fn print_completions(shell: Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut CommandLine::command(), "extractd", &mut script);
    print(&script)
}

/// Prints the manual page of a subcommand.
///
/// # Errors
/// If there is no such subcommand, or standard output cannot be written.
pub fn print_man_page(names: &[String]) -> anyhow::Result<()> {
    let mut command = CommandLine::command();
    command.build();
    let mut title = "extractd".to_owned();
    let mut command = &command;
    for name in names {
        command = command.find_subcommand(name).with_context(|| {
            let known: Vec<_> = command
                .get_subcommands()
                .map(clap::Command::get_name)
                .collect();
            format!(
                "there is no subcommand `{name}`; the subcommands are {}",
                known.join(", ")
            )
        })?;
        title = format!("{title}-{name}");
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone().display_name(title.clone()))
        .title(title)
        .source(concat!("extractd ", env!("CARGO_PKG_VERSION")))
        .render(&mut page)?;
    print(&page)
}

fn print(bytes: &[u8]) -> anyhow::Result<()> {
    match io::stdout().write_all(bytes) {
        // The reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}
