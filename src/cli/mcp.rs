//! `extractd mcp`: the Model Context Protocol on standard input and output, through a running server or one within this process.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use super::api::Failure;
use super::exit_code;
use super::server_args::ServerArgs;
use super::target_server::{ServerHandle, TargetServer};
use crate::mcp::{Api, ApiReply, ApiRequest, McpServer, serve_stdio};

/// Folder in the data folder for the jobs of a server within this process.
const FOLDER: &str = "mcp";

/// Arguments of `extractd mcp`.
#[derive(Debug, Clone, clap::Args)]
pub struct McpArgs {
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Runs `extractd mcp` until standard input ends, and returns the exit code.
pub async fn run(server: TargetServer, stop: CancellationToken) -> ExitCode {
    exit_code::from_result(serve(server, stop).await.map(|()| 0))
}

async fn serve(target: TargetServer, stop: CancellationToken) -> anyhow::Result<()> {
    let folder = match &target {
        TargetServer::Running { .. } => None,
        TargetServer::InProcess(config) => Some(job_folder(config.data_dir.join(FOLDER))?),
    };
    let server = target.reach(folder.as_deref()).context(
        "the server within this process could not be started; if another `extractd mcp` runs, start `extractd serve`, and let both use it \
         with --server",
    )?;
    let server = Arc::new(server);
    let mcp = McpServer::new(OverHttp(Arc::clone(&server)));
    let ended = Box::pin(stop.run_until_cancelled(serve_stdio(mcp))).await;
    // Calls in flight hold the server, which then ends with the process.
    if let Some(server) = Arc::into_inner(server) {
        server.shut_down().await;
    }
    ended.unwrap_or(Ok(()))
}

fn job_folder(folder: PathBuf) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot create the folder {}", folder.display()))?;
    Ok(folder)
}

/// API of a server over HTTP.
#[derive(Clone)]
struct OverHttp(Arc<ServerHandle>);

impl Api for OverHttp {
    async fn send(&self, request: ApiRequest) -> Result<ApiReply, String> {
        let ApiRequest {
            method, path, body, ..
        } = request;
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let url = &self.0.url;
        let answered = async {
            let incoming = self.0.send_json(method, &path, body).await?;
            let status = incoming.status;
            Ok((status, incoming.whole().await?.body))
        };
        let (status, bytes) = answered
            .await
            .map_err(|failure: Failure| format!("{:#}", failure.into_error(url)))?;
        ApiReply::parse(status, bytes.into()).map_err(|_| {
            format!("{url} answered {path} with status {status} and no JSON; check that it is an extractd server")
        })
    }
}
