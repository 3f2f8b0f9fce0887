//! The simulated provider as a server of its own: it plays a model with a set latency, rate limits per key and faults, and
//! counts what it saw. `GET /meter` reports it, `POST /meter/reset` starts anew. Loopback only.

mod flags;
mod meter;
mod rate_gate;

use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use clap::Parser;
use tokio::net::{TcpSocket, TcpStream};

use crate::behaviour::Fate;
use crate::chat::{ChatAnswer, ChatRequest};
use crate::lock::lock;
use crate::texts::Delivery;
use crate::timer::Timer;
use crate::wire::{Connection, Request};
use crate::{chat, model, prompt, texts, tokens, wire};
pub use flags::Flags;
use flags::TpmCounts;
use meter::Meter;
use rate_gate::{Cost, Gate};

const JSON: &str = "application/json";

struct Upstream {
    flags: Flags,
    timer: Timer,
    gate: Gate,
    meter: Mutex<Meter>,
}

/// Parses the command line and serves until the process ends.
///
/// # Errors
/// If the port cannot be bound.
#[tokio::main(flavor = "current_thread")]
pub async fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, flags.port).into())?;
    // The 128 of `TcpListener::bind` would delay clients that open more connections at once by a second.
    let listener = socket.listen(4096)?;
    println!("listening on http://{}/v1", listener.local_addr()?);
    let (gate, meter) = (Gate::new(&flags), Mutex::new(Meter::new(&flags)));
    let upstream = Arc::new(Upstream {
        flags,
        timer: Timer::start(),
        gate,
        meter,
    });
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
        // The last answer, as long as it is not known whether it was read.
        let mut delivery: Option<Delivery> = None;
        loop {
            let request = match (connection.request().await, delivery.take()) {
                (Ok(Some(request)), _) => request,
                (ended, delivery) => {
                    self.closed(delivery, ended.is_err());
                    return ended.map(drop);
                }
            };
            match (request.method(), request.path()) {
                ("POST", "/v1/chat/completions") => {
                    match self.complete(&mut connection, &request).await? {
                        Then::GoOn => {}
                        Then::Delivered(delivered) => delivery = Some(delivered),
                        Then::Reset => {
                            connection.reset();
                            return Ok(());
                        }
                    }
                }
                ("GET", "/meter") => {
                    let report = lock(&self.meter).report().to_string();
                    connection
                        .send(&wire::response(200, JSON, &[], report.as_bytes()))
                        .await?;
                }
                ("POST", "/meter/reset") => {
                    lock(&self.meter).reset();
                    connection
                        .send(&wire::response(200, JSON, &[], b"{}"))
                        .await?;
                }
                _ => {
                    connection
                        .send(&wire::response(
                            404,
                            JSON,
                            &[],
                            br#"{"error":{"message":"no such path"}}"#,
                        ))
                        .await?
                }
            }
        }
    }

    /// Records the end of a connection whose last answer was this one.
    fn closed(&self, delivery: Option<Delivery>, broken: bool) {
        let Some(delivery) = delivery else { return };
        if let Some(texts) = &mut lock(&self.meter).texts {
            texts.closed(delivery, broken, Instant::now());
        }
    }

    async fn complete(&self, connection: &mut Connection, request: &Request) -> io::Result<Then> {
        let arrived = Instant::now();
        let key = key(request);
        let number = lock(&self.meter).arrived(arrived, key);
        let call = Call {
            arrived,
            number,
            fate: self.flags.behaviour.fate(number),
        };
        let question = match ChatRequest::parse(&request.body) {
            Ok(question) => question,
            Err(error) => {
                return self
                    .answer(connection, arrived, 400, &not_a_question(&error))
                    .await;
            }
        };
        let text = self.text(&question);
        // Made before the wait, so that the wait is the whole of the latency.
        let said = say(&question, call.fate);
        let usage = (
            prompt::tokens(&question),
            tokens::count(said.len(), said.as_bytes()).max(1),
        );
        let room = (self.flags.tpm_counts == TpmCounts::MaxTokens)
            .then(|| prompt::room(&request.body))
            .flatten();
        let pass = match self.gate.admit(
            key,
            arrived,
            Cost {
                prompt: usage.0,
                completion: usage.1,
                room,
            },
        ) {
            Ok(pass) => pass,
            Err(refusal) => {
                lock(&self.meter).refused(key, arrived, refusal.retry_after);
                let response = wire::response(429, JSON, &refusal.headers, refusal.body.as_bytes());
                return self.answer(connection, arrived, 429, &response).await;
            }
        };
        let admitted = lock(&self.meter).admitted(key, arrived, &pass);
        let (status, response) = respond(&question, call, &said, usage, &pass.headers);
        let is_slow = self.flags.behaviour.slow_ms > 0.0 && prompt::is_slow(&question);
        if !self.wait(connection, call, is_slow).await {
            lock(&self.meter).aborted();
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        if call.fate == Fate::Reset {
            lock(&self.meter).answered(arrived, 0);
            return Ok(Then::Reset);
        }
        if status == 200 {
            let more = self.gate.settle(key, pass.reserved, usage.0 + usage.1);
            lock(&self.meter).settled(key, admitted, more);
        }
        let then = self.answer(connection, arrived, status, &response).await?;
        let valid = text.filter(|_| call.fate == Fate::Answer);
        let mut meter = lock(&self.meter);
        let delivery =
            valid.and_then(|text| Some(meter.texts.as_mut()?.answered(text, Instant::now())));
        Ok(delivery.map_or(then, Then::Delivered))
    }

    /// Returns the hash of the text that a question is about, if texts are kept.
    fn text(&self, question: &ChatRequest) -> Option<u64> {
        if !self.flags.texts {
            return None;
        }
        let text = texts::subject(question.user_texts())?;
        lock(&self.meter)
            .texts
            .as_mut()
            .map(|texts| texts.asked(&text))
    }

    /// Lets the latency pass; false when the client went away meanwhile.
    async fn wait(&self, connection: &mut Connection, call: Call, is_slow: bool) -> bool {
        let latency = self.flags.behaviour.latency(call.number, is_slow);
        if call.fate == Fate::Stall {
            connection.disconnected().await;
            return false;
        }
        if latency.is_zero() {
            return true;
        }
        tokio::select! {
            () = self.timer.sleep_until(call.arrived + latency) => true,
            () = connection.disconnected() => false,
        }
    }

    async fn answer(
        &self,
        connection: &mut Connection,
        arrived: Instant,
        status: u16,
        response: &[u8],
    ) -> io::Result<Then> {
        match connection.send(response).await {
            Ok(()) => lock(&self.meter).answered(arrived, status),
            Err(error) => {
                lock(&self.meter).aborted();
                return Err(error);
            }
        }
        Ok(Then::GoOn)
    }
}

/// A call that can be read.
#[derive(Clone, Copy)]
struct Call {
    arrived: Instant,
    number: usize,
    fate: Fate,
}

/// State of the connection after a call.
enum Then {
    GoOn,
    /// It goes on; a valid answer has just been written to it.
    Delivered(Delivery),
    Reset,
}

/// Returns the key that a call came with; empty without one.
fn key(request: &Request) -> &str {
    let sent = request.header("authorization").unwrap_or_default();
    sent.strip_prefix("Bearer ").unwrap_or(sent)
}

/// Returns the text of the model's answer.
fn say(question: &ChatRequest, fate: Fate) -> String {
    match fate {
        Fate::Invalid => r#"{"unexpected":[true]}"#.to_owned(),
        Fate::Answer | Fate::Reset | Fate::Stall | Fate::Error500 => model::answer(question),
    }
}

fn respond(
    question: &ChatRequest,
    call: Call,
    content: &str,
    usage: (u64, u64),
    headers: &[(String, String)],
) -> (u16, Vec<u8>) {
    let asked = prompt::status(question);
    if let Some(status) = asked.or((call.fate == Fate::Error500).then_some(500)) {
        let body = br#"{"error":{"message":"simulated","type":"server_error"}}"#;
        return (status, wire::response(status, JSON, headers, body));
    }
    let said = ChatAnswer {
        content,
        tool: question.tool(),
        finish_reason: "stop",
        usage,
    };
    (
        200,
        wire::response(
            200,
            JSON,
            headers,
            &chat::completion(call.number, &question.model, &said),
        ),
    )
}

fn not_a_question(error: &serde_json::Error) -> Vec<u8> {
    let body = serde_json::json!({"error": {"message": error.to_string(), "type": "invalid_request_error"}});
    wire::response(400, JSON, &[], body.to_string().as_bytes())
}
