//! `extractd jobs list`.

use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::cli::api::JSON;
use crate::cli::format::parse_count;
use crate::cli::running_server;
use crate::cli::target_server::ServerHandle;

/// Maximum number of jobs in one response.
const MAX_PAGE: u64 = 1000;

/// Arguments of `extractd jobs list`.
#[derive(Debug, Clone, clap::Args)]
pub struct ListArgs {
    /// Only jobs with this status: queued, running, completed, stopped, cancelling, cancelled or failed; several, separated by commas
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,
    /// Only jobs whose metadata has this value; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_and_value)]
    metadata: Vec<(String, String)>,
    /// Maximum number of jobs
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = parse_count)]
    limit: u64,
    /// Print each job as a line of JSON instead of a table
    #[arg(long)]
    json: bool,
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    let (key, value) = pair.ok_or("expected KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Prints the jobs. Returns the exit code.
pub async fn list(args: &ListArgs, server: &ServerHandle) -> anyhow::Result<u8> {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let status = args.status.iter();
    let status = status.map(|status| format!("&status={}", encoded(status)));
    let metadata = args.metadata.iter();
    let metadata =
        metadata.map(|(key, value)| format!("&metadata.{}={}", encoded(key), encoded(value)));
    let filter = status.chain(metadata).collect::<Vec<_>>().concat();
    let (mut left, mut after) = (args.limit, String::new());
    let mut jobs = Vec::new();
    loop {
        let limit = left.min(MAX_PAGE);
        let path = format!("/v1/jobs?limit={limit}{filter}{after}");
        let body = running_server::request(server, Method::GET, &path, JSON).await?;
        let mut page: Value = serde_json::from_slice(&body)?;
        let data = page.get_mut("data").and_then(Value::as_array_mut);
        let data = data.map(std::mem::take).unwrap_or_default();
        left = left.saturating_sub(data.len() as u64);
        jobs.extend(data);
        match page.get("next").and_then(Value::as_str) {
            Some(next) if left > 0 => after = format!("&after={}", encoded(next)),
            _ => break,
        }
    }
    if args.json {
        for job in &jobs {
            println!("{job}");
        }
    } else {
        println!(
            "{:<40} {:<10} {:>17} {:>8}  CREATED",
            "ID", "STATUS", "DONE", "FAILED"
        );
        for job in &jobs {
            println!("{}", line(job));
        }
    }
    Ok(0)
}

/// Returns a job as a line of the table.
pub fn line(job: &Value) -> String {
    let text = |name: &str| job.get(name).and_then(Value::as_str).unwrap_or_default();
    let count = |name: &str| {
        let count = job
            .get("counts")
            .and_then(|counts| counts.get(name)?.as_u64());
        count.unwrap_or_default()
    };
    let failed = count("failed") + count("invalid");
    let done = format!("{}/{}", count("succeeded") + failed, count("total"));
    let metadata = job.get("metadata").and_then(Value::as_object);
    let pairs = metadata
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("  {key}={}", value.as_str().unwrap_or_default()));
    let metadata = pairs.collect::<Vec<_>>().concat();
    let (id, status, created) = (text("id"), text("status"), text("created_at"));
    format!("{id:<40} {status:<10} {done:>17} {failed:>8}  {created}{metadata}")
}
