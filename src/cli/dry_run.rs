//! `extractd batch --dry-run`: the request for the first input, and an estimate for all, without a call to a model.

use anyhow::{Context, bail};
use http::Method;
use indicatif::HumanCount;
use serde::Deserialize;
use serde_json::Value;
use throttle::estimate_tokens;
use tokio_util::sync::CancellationToken;

use super::api::expect_success;
use super::batch_args::Args;
use super::inputs;
use super::source::Source;
use super::spec_file::Spec;
use super::target_server::{ServerHandle, TargetServer};
use crate::types::Item;

/// Reply of the server to a dry run.
#[derive(Deserialize)]
struct DryRun {
    model: String,
    request: Request,
    estimate: Estimate,
}

#[derive(Deserialize)]
struct Request {
    target: String,
    body: Value,
}

/// Estimate of one call.
#[expect(clippy::struct_field_names, reason = "the API's names")]
#[derive(Deserialize)]
struct Estimate {
    input_tokens: u64,
    output_tokens: u64,
    input_usd_per_million_tokens: Option<f64>,
    output_usd_per_million_tokens: Option<f64>,
}

/// Texts of all inputs.
#[derive(Default)]
struct Texts {
    first: Option<String>,
    count: u64,
    /// Estimated tokens of the texts.
    tokens: u64,
}

/// Shows the request for the first input, and the estimate for all. Returns the exit code.
///
/// # Errors
/// If an input is invalid, the source has no input, or the server rejects the request.
pub async fn run(
    args: &Args,
    source: Source,
    server: TargetServer,
    model: Option<&str>,
    stop: CancellationToken,
) -> anyhow::Result<u8> {
    let name = source.name();
    let reading = tokio::task::spawn_blocking(move || read_texts(&source, &stop));
    let (texts, spec_fields) = reading.await.context("the inputs could not be read")??;
    let spec = Spec::new(&args.spec, model, &spec_fields, &args.batch_fields())?;
    let Some(first) = &texts.first else {
        bail!("{name} has no input")
    };
    let server = server.reach(None)?;
    let answered = request(&server, spec.body(first, true)).await;
    server.shut_down().await;
    let dry_run = answered?;
    print!("{}", shown_request(&dry_run, texts.count));
    println!("{}", shown_estimate(&dry_run.estimate, &texts));
    Ok(0)
}

fn read_texts(
    source: &Source,
    stop: &CancellationToken,
) -> anyhow::Result<(Texts, serde_json::Map<String, Value>)> {
    let mut texts = Texts::default();
    let scan = inputs::scan(source, &[], stop, |_, json, _| {
        let text = serde_json::from_str::<Item>(json)?.content.0;
        texts.count += 1;
        texts.tokens += estimate_tokens(&text);
        texts.first.get_or_insert(text);
        Ok(())
    })?;
    Ok((texts, scan.surroundings.spec_fields))
}

async fn request(server: &ServerHandle, body: String) -> anyhow::Result<DryRun> {
    let answered = async {
        let incoming = server.send_json(Method::POST, "/v1/extract", body).await?;
        expect_success(incoming, server).await
    };
    let incoming = answered
        .await
        .map_err(|failure| failure.into_error(&server.url))?;
    let body = incoming.whole().await?.body;
    serde_json::from_slice(&body).with_context(|| {
        format!(
            "{} sent no dry run; check that it is an extractd server of this version",
            server.url
        )
    })
}

/// Returns the provider's request: its messages as text, and the rest as JSON.
fn shown_request(dry_run: &DryRun, count: u64) -> String {
    let (inputs, model) = (HumanCount(count), &dry_run.model);
    let mut shown = format!(
        "First of {inputs} inputs, to {model} ({}):\n",
        dry_run.request.target
    );
    let mut body = dry_run.request.body.clone();
    let messages = body.get("messages").and_then(Value::as_array);
    let messages: Option<Vec<_>> = messages.map(|messages| {
        let texts = messages.iter().map(|message| {
            let role = message.get("role")?.as_str()?;
            let text = message.get("content")?.as_str()?;
            Some(format!("--- {role}\n{text}\n"))
        });
        texts.collect::<Option<_>>().unwrap_or_default()
    });
    if let Some(messages) = messages.filter(|messages| !messages.is_empty()) {
        if let Some(body) = body.as_object_mut() {
            body.shift_remove("messages");
        }
        shown.extend(messages);
        shown.push_str("--- other fields\n");
    }
    shown + &format!("{body:#}\n---\n")
}

/// Returns the tokens and the cost of all inputs.
#[expect(clippy::cast_precision_loss, reason = "an estimate, for display")]
fn shown_estimate(estimate: &Estimate, texts: &Texts) -> String {
    let first = texts.first.as_deref().map_or(0, estimate_tokens);
    let frame = estimate.input_tokens.saturating_sub(first);
    let input = frame.saturating_mul(texts.count) + texts.tokens;
    let output = estimate.output_tokens.saturating_mul(texts.count);
    let prices = estimate
        .input_usd_per_million_tokens
        .zip(estimate.output_usd_per_million_tokens);
    let cost = prices.map_or_else(
        || "cost unknown: the model has no price in the server's configuration".to_owned(),
        |(of_input, of_output)| {
            let usd = (input as f64 * of_input + output as f64 * of_output) / 1e6;
            let digits = if usd > 0.0 && usd < 1.0 { 4 } else { 2 };
            format!("about ${usd:.digits$}")
        },
    );
    format!(
        "Estimate for {} inputs, one attempt each: {} input tokens, {} output tokens; {cost}. Nothing was sent to the model.",
        HumanCount(texts.count),
        HumanCount(input),
        HumanCount(output)
    )
}
