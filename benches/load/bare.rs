//! The bare loop: the same HTTP calls without a service around them, in a process of its own, with the client settings of
//! `src/net.rs` and the runtime of `src/main.rs`.

use std::io::{self, BufRead, BufReader, Lines, Read, Write};
use std::process::{ChildStdin, ChildStdout, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use tokio::task::JoinSet;

use super::process::Process;

/// The name under which this program is the bare loop.
pub const NAME: &str = "bare-loop";

/// A running bare loop.
pub struct Bare {
    pub process: Process,
    orders: ChildStdin,
    replies: Lines<BufReader<ChildStdout>>,
}

impl Bare {
    /// Starts a loop that posts `body` to the chat completions under `base_url`, so many calls at a time.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(base_url: &str, in_flight: usize, body: &[u8]) -> Result<Self> {
        let mut command = Process::own(NAME)?;
        command.args([
            &format!("{base_url}/chat/completions"),
            &in_flight.to_string(),
            &body.len().to_string(),
        ]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process::start(command)?;
        let mut orders = process
            .child()
            .stdin
            .take()
            .context("the bare loop's input")?;
        let output = process
            .child()
            .stdout
            .take()
            .context("the bare loop's output")?;
        orders.write_all(body)?;
        Ok(Self {
            process,
            orders,
            replies: BufReader::new(output).lines(),
        })
    }

    /// Makes so many calls; returns how long they took.
    ///
    /// # Errors
    /// If one fails.
    pub fn run(&mut self, calls: usize) -> Result<Duration> {
        writeln!(self.orders, "{calls}")?;
        let reply = self.replies.next().context("the bare loop has ended")??;
        Ok(Duration::from_micros(
            reply
                .parse()
                .with_context(|| format!("the bare loop says: {reply}"))?,
        ))
    }
}

/// Runs the other side: reads numbers of calls from standard input, and prints how many microseconds they took.
///
/// # Errors
/// If a call fails.
pub fn serve() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, in_flight, length] = arguments.as_slice() else {
        anyhow::bail!("three arguments: URL, in flight, bytes of the body")
    };
    let mut input = io::stdin().lock();
    let mut body = vec![0; length.parse()?];
    input.read_exact(&mut body)?;
    let caller = Caller {
        client: client()?,
        url: url.parse()?,
        body: body.into(),
    };
    let in_flight: usize = in_flight.parse()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    for order in input.lines() {
        let calls = order?.parse()?;
        let took = runtime.block_on(caller.clone().make(calls, in_flight))?;
        println!("{}", took.as_micros());
    }
    Ok(())
}

/// Creates a client with the settings of `src/net.rs`, without TLS.
fn client() -> Result<reqwest::Client> {
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = reqwest::Client::builder()
        .tls_certs_only([])
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .pool_idle_timeout(Duration::from_secs(50))
        .connect_timeout(Duration::from_secs(10))
        .user_agent("extractd/bench");
    Ok(client.build()?)
}

#[derive(Clone)]
struct Caller {
    client: reqwest::Client,
    url: reqwest::Url,
    body: Bytes,
}

impl Caller {
    async fn make(self, calls: usize, in_flight: usize) -> Result<Duration> {
        let (started, taken) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
        let mut loops = JoinSet::new();
        for _ in 0..in_flight {
            let (caller, taken) = (self.clone(), Arc::clone(&taken));
            loops.spawn(async move {
                while taken.fetch_add(1, Ordering::Relaxed) < calls {
                    caller.call().await?;
                }
                Ok::<_, anyhow::Error>(())
            });
        }
        while let Some(ended) = loops.join_next().await {
            ended??;
        }
        Ok(started.elapsed())
    }

    async fn call(&self) -> Result<()> {
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json");
        let response = request
            .header(AUTHORIZATION, "Bearer sk-simulated")
            .body(self.body.clone())
            .send()
            .await?;
        let status = response.status();
        let body = response.bytes().await?;
        ensure!(status.is_success() && !body.is_empty(), "status {status}");
        Ok(())
    }
}
