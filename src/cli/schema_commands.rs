//! `extractd schemas`: the registered schemas of a running server.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use http::Method;
use serde_json::Value;

use super::api::{JSON, expect_success};
use super::compact_json::compact;
use super::exit_code;
use super::problem::FieldNames;
use super::running_server::{self, RunningServerArgs};
use super::target_server::ServerHandle;
use super::utf8::{decode, text_file};

/// Arguments of `extractd schemas`.
#[derive(Debug, Clone, clap::Args)]
pub struct SchemasArgs {
    #[command(flatten)]
    server: RunningServerArgs,
    #[command(subcommand)]
    command: SchemasCommand,
}

/// A command about schemas.
#[derive(Debug, Clone, clap::Subcommand)]
enum SchemasCommand {
    /// List the registered schemas
    List,
    /// Print a schema
    Show {
        /// Name of the schema
        name: String,
    },
    /// Register a schema, or replace it
    Put {
        /// Name of the schema: a-z, 0-9, _ and -
        name: String,
        /// File with the JSON Schema, or - for standard input
        file: PathBuf,
    },
    /// Delete a schema
    Delete {
        /// Name of the schema
        name: String,
    },
}

/// Runs `extractd schemas`, and returns the exit code.
pub async fn run(args: SchemasArgs, key: Option<String>) -> ExitCode {
    let ran = async {
        let mut server = running_server::connect(&args.server, key)?;
        server.field_names = FieldNames::Pointers;
        run_command(args.command, &server).await
    };
    exit_code::from_result(ran.await)
}

async fn run_command(command: SchemasCommand, server: &ServerHandle) -> anyhow::Result<u8> {
    let path_of = |name: &str| format!("/v1/schemas/{}", running_server::path_segment(name));
    match command {
        SchemasCommand::List => list(server).await?,
        SchemasCommand::Show { name } => {
            let body = running_server::request(server, Method::GET, &path_of(&name), JSON).await?;
            let schema: Value = serde_json::from_slice(&body)?;
            println!("{schema:#}");
        }
        SchemasCommand::Put { name, file } => {
            let schema = tokio::task::spawn_blocking(move || read_schema(&file)).await??;
            let put = async {
                let path = path_of(&name);
                let sent = server.send_json(Method::PUT, &path, schema).await?;
                expect_success(sent, server).await
            };
            put.await
                .map_err(|failure| failure.into_error(&server.url))?;
        }
        SchemasCommand::Delete { name } => {
            running_server::request(server, Method::DELETE, &path_of(&name), JSON).await?;
        }
    }
    Ok(0)
}

/// Reads a schema from a file or standard input.
fn read_schema(file: &Path) -> anyhow::Result<String> {
    let (name, text) = if file == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin()
            .read_to_end(&mut bytes)
            .context("cannot read standard input")?;
        let name = "standard input".to_owned();
        let text = decode(&bytes, &name)?;
        (name, text)
    } else {
        (file.display().to_string(), text_file(file)?)
    };
    compact(&text).with_context(|| format!("{name} is not JSON"))
}

/// Prints the registered schemas, in pages.
async fn list(server: &ServerHandle) -> anyhow::Result<()> {
    println!("{:<40} {:<12} {:<10} UPDATED", "NAME", "HASH", "SOURCE");
    let mut path = "/v1/schemas?limit=1000".to_owned();
    loop {
        let body = running_server::request(server, Method::GET, &path, JSON).await?;
        let page: Value = serde_json::from_slice(&body)?;
        for schema in page
            .get("data")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let text = |name: &str| schema.get(name).and_then(Value::as_str).unwrap_or_default();
            let hash = text("hash");
            let hash = hash.rsplit(':').next().unwrap_or(hash);
            println!(
                "{:<40} {hash:<12.12} {:<10} {}",
                text("name"),
                text("source"),
                text("updated_at")
            );
        }
        let Some(next) = page.get("next").and_then(Value::as_str) else {
            return Ok(());
        };
        path = format!(
            "/v1/schemas?limit=1000&after={}",
            running_server::path_segment(next)
        );
    }
}
