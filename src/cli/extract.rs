//! `extractd extract`: one text, through a running server or one within this process.

use std::io::{IsTerminal, Read};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use http::Method;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::api::{Failure, Rejection};
use super::exit_code;
use super::interrupt::Interrupted;
use super::problem::{problem_detail, rejection};
use super::server_args::ServerArgs;
use super::spec_args::SpecArgs;
use super::spec_file::Spec;
use super::target_server::{ServerHandle, TargetServer};
use super::utf8::{decode, text_file};

/// Arguments of `extractd extract`: the text, and the spec.
#[derive(Debug, Clone, clap::Args)]
pub struct ExtractArgs {
    /// Text to extract from; or the path of a text file; or - for standard input
    #[arg(value_name = "TEXT|FILE|-")]
    pub input: String,
    #[command(flatten)]
    pub server: ServerArgs,
    /// Print the whole result, with model, usage and timing, instead of the extracted value alone
    #[arg(long)]
    pub full: bool,
    /// Call no model: print the request to it, and an estimate of its tokens
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub spec: SpecArgs,
}

/// Runs `extractd extract`, and returns the exit code. `model` overrides the server's default model.
pub async fn run(
    args: ExtractArgs,
    server: TargetServer,
    model: Option<String>,
    stop: CancellationToken,
) -> ExitCode {
    let extracted = async {
        tokio::select! {
            () = stop.cancelled() => Err(Interrupted.into()),
            extracted = extract(&args, server, model.as_deref()) => extracted,
        }
    };
    exit_code::from_result(extracted.await)
}

async fn extract(
    args: &ExtractArgs,
    server: TargetServer,
    model: Option<&str>,
) -> anyhow::Result<u8> {
    let spec = Spec::new(&args.spec, model, &Map::new(), &[])?;
    let input = args.input.clone();
    let text = tokio::task::spawn_blocking(move || input_text(&input)).await??;
    let server = server.reach(None)?;
    let answered = answer(&server, spec.body(&text, args.dry_run)).await;
    server.shut_down().await;
    let answer = match answered? {
        Ok(answer) => answer,
        Err(failed) => {
            eprintln!("extractd: {failed}");
            return Ok(exit_code::SOME_FAILED);
        }
    };
    let is_invalid = answer
        .get("status")
        .is_some_and(|status| status == "invalid");
    let value = if args.full || args.dry_run || is_invalid {
        Value::Object(answer)
    } else {
        answer.get("data").cloned().unwrap_or_default()
    };
    println!("{value:#}");
    Ok(if is_invalid {
        exit_code::SOME_FAILED
    } else {
        0
    })
}

/// Returns the text: that of a file if the argument names one, and else the argument.
fn input_text(input: &str) -> anyhow::Result<String> {
    if input == "-" {
        if std::io::stdin().is_terminal() {
            eprintln!("extractd: type the text, and end it with Ctrl-D");
        }
        let mut bytes = Vec::new();
        std::io::stdin()
            .read_to_end(&mut bytes)
            .context("cannot read standard input")?;
        return decode(&bytes, "standard input");
    }
    let path = Path::new(input);
    if path.is_dir() {
        bail!("{input} is a folder; `extractd batch {input}` extracts from each of its texts");
    }
    if path.is_file() {
        return text_file(path);
    }
    // A text has words; a path has none.
    let ending = path.extension().unwrap_or_default().as_encoded_bytes();
    let has_ending = (1..=5).contains(&ending.len()) && ending.iter().all(u8::is_ascii_alphabetic);
    if !input.contains(char::is_whitespace) && (has_ending || input.contains('/')) {
        bail!(
            "there is no file {input}; if that is the text itself, pass it on standard input: echo TEXT | extractd extract -"
        );
    }
    Ok(input.to_owned())
}

/// Sends the request. Returns the result, or the message of an extraction that failed.
///
/// # Errors
/// If the server cannot be reached, or rejects the request.
async fn answer(
    server: &ServerHandle,
    body: String,
) -> anyhow::Result<Result<Map<String, Value>, String>> {
    let url = &server.url;
    let sent = server.send_json(Method::POST, "/v1/extract", body).await;
    let incoming = sent.map_err(|failure: Failure| failure.into_error(url))?;
    let status = incoming.status.as_u16();
    let body = incoming
        .whole()
        .await
        .map_err(|error| Failure::from(error).into_error(url))?
        .body;
    let Ok(answer) = serde_json::from_slice::<Map<String, Value>>(&body) else {
        bail!("{url} answered with status {status}; check that it is an extractd server")
    };
    match status {
        200..=299 => Ok(Ok(answer)),
        500.. => Ok(Err(problem_detail(&answer).to_owned())),
        _ => bail!(Rejection(rejection(
            &answer,
            problem_detail(&answer),
            server.field_names
        ))),
    }
}
