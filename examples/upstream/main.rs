//! A simulated provider, compatible with OpenAI's chat completions, for the benchmarks and the demo: it plays a model with a set
//! latency, a rate limit and faults, and counts what it saw.
//!
//!     cargo run --release --example upstream -- --latency-ms 850
//!
//! prints `listening on http://127.0.0.1:PORT/v1`. `GET /meter` tells what it saw, `POST /meter/reset` starts anew. Loopback
//! only.

#![allow(
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a tool for measuring, not the service"
)]

mod chat;
mod faults;
mod flags;
mod instance;
mod meter;
mod model;
mod timer;
mod wire;

use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clap::Parser;
use tokio::net::{TcpListener, TcpStream};

use chat::{Question, Said};
use faults::Fate;
use flags::Flags;
use meter::Meter;
use timer::Timer;
use wire::{Connection, Request};

const JSON: &str = "application/json";

struct Upstream {
    flags: Flags,
    timer: Timer,
    meter: Mutex<Meter>,
    /// When the next call fits the rate limit: GCRA's theoretical arrival time.
    next_due: Mutex<Instant>,
}

#[tokio::main(flavor = "current_thread")]
pub async fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, flags.port)).await?;
    println!("listening on http://{}/v1", listener.local_addr()?);
    let meter = Mutex::new(Meter::new(flags.arrivals));
    let upstream = Arc::new(Upstream { flags, timer: Timer::start(), meter, next_due: Mutex::new(Instant::now()) });
    loop {
        let (stream, _) = listener.accept().await?;
        let upstream = Arc::clone(&upstream);
        // Owned by the runtime, which ends with the process: there is nothing to drain.
        tokio::spawn(async move {
            // A connection that breaks is the client's business; the meter has counted it.
            let _ = upstream.serve(stream).await;
        });
    }
}

impl Upstream {
    async fn serve(&self, stream: TcpStream) -> io::Result<()> {
        let mut connection = Connection::new(stream)?;
        while let Some(request) = connection.request().await? {
            match (request.method(), request.path()) {
                ("POST", "/v1/chat/completions") => match self.complete(&mut connection, &request).await? {
                    Then::GoOn => {}
                    Then::Reset => {
                        connection.reset();
                        return Ok(());
                    }
                },
                ("GET", "/meter") => {
                    let report = lock(&self.meter).report().to_string();
                    connection.send(&wire::response(200, JSON, &[], report.as_bytes())).await?;
                }
                ("POST", "/meter/reset") => {
                    lock(&self.meter).reset();
                    connection.send(&wire::response(200, JSON, &[], b"{}")).await?;
                }
                _ => connection.send(&wire::response(404, JSON, &[], br#"{"error":{"message":"no such path"}}"#)).await?,
            }
        }
        Ok(())
    }

    async fn complete(&self, connection: &mut Connection, request: &Request) -> io::Result<Then> {
        let arrived = Instant::now();
        let number = lock(&self.meter).arrived(arrived);
        if let Some(wait) = self.over_the_rate(arrived) {
            return self.answer(connection, arrived, 429, &too_many(wait)).await;
        }
        let fate = faults::fate(&self.flags, number);
        let latency = Duration::from_secs_f64(faults::latency_ms(&self.flags, number).max(0.0) / 1000.0);
        // Made before the wait, so that the wait is the whole of the latency.
        let (status, response) = respond(request, number, fate);
        if !self.wait(connection, arrived, latency, fate).await {
            lock(&self.meter).aborted();
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        if fate == Fate::Reset {
            lock(&self.meter).answered(arrived, 0);
            return Ok(Then::Reset);
        }
        self.answer(connection, arrived, status, &response).await
    }

    /// Lets the latency pass; false when the client went away meanwhile.
    async fn wait(&self, connection: &mut Connection, arrived: Instant, latency: Duration, fate: Fate) -> bool {
        if fate == Fate::Stall {
            connection.left().await;
            return false;
        }
        if latency.is_zero() {
            return true;
        }
        tokio::select! {
            () = self.timer.sleep_until(arrived + latency) => true,
            () = connection.left() => false,
        }
    }

    async fn answer(&self, connection: &mut Connection, arrived: Instant, status: u16, response: &[u8]) -> io::Result<Then> {
        match connection.send(response).await {
            Ok(()) => lock(&self.meter).answered(arrived, status),
            Err(error) => {
                lock(&self.meter).aborted();
                return Err(error);
            }
        }
        Ok(Then::GoOn)
    }

    /// How long the call comes too early for the rate limit; `None` when it fits.
    fn over_the_rate(&self, now: Instant) -> Option<Duration> {
        if self.flags.rate_limit_rpm == 0 {
            return None;
        }
        let every = Duration::from_secs(60) / self.flags.rate_limit_rpm;
        let ahead = every * self.flags.rate_limit_burst.saturating_sub(1);
        let mut next_due = lock(&self.next_due);
        let early = next_due.saturating_duration_since(now).saturating_sub(ahead);
        if !early.is_zero() {
            return Some(early);
        }
        *next_due = now.max(*next_due) + every;
        None
    }
}

/// What becomes of the connection after a call.
enum Then {
    GoOn,
    Reset,
}

fn respond(request: &Request, number: usize, fate: Fate) -> (u16, Vec<u8>) {
    let question = match Question::parse(&request.body) {
        Ok(question) => question,
        Err(error) => {
            let body = serde_json::json!({"error": {"message": error.to_string(), "type": "invalid_request_error"}});
            return (400, wire::response(400, JSON, &[], body.to_string().as_bytes()));
        }
    };
    let content = match fate {
        Fate::Error500 => {
            return (500, wire::response(500, JSON, &[], br#"{"error":{"message":"simulated","type":"server_error"}}"#));
        }
        Fate::Invalid => r#"{"unexpected":[true]}"#.to_owned(),
        Fate::Answer | Fate::Reset | Fate::Stall => model::answer(&question),
    };
    // Four bytes a token is near enough for a meter.
    let usage = (request.body.len() as u64 / 4, content.len() as u64 / 4);
    let said = Said { content: &content, tool: question.tool(), finish_reason: "stop", usage };
    (200, wire::response(200, JSON, &[], &chat::completion(number, &question.model, &said)))
}

fn too_many(wait: Duration) -> Vec<u8> {
    let headers = [
        ("retry-after".to_owned(), wait.as_secs_f64().ceil().to_string()),
        ("retry-after-ms".to_owned(), (wait.as_secs_f64() * 1000.0).ceil().to_string()),
    ];
    wire::response(429, JSON, &headers, br#"{"error":{"message":"rate limit reached","type":"requests"}}"#)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
