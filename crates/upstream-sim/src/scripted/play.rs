//! Plays a script: reads each call, does with it what the script says, and writes the log.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::log::{Call, Ending};
use super::reply::{Gate, Reply};
use super::shared::{Keep, Shared};
use crate::chat::{self, ChatAnswer, ChatRequest};
use crate::model;
use crate::wire::{self, Connection};

const JSON: &str = "application/json";

/// Accepts for ever; dropped, every connection closes.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.expect("the loopback accepts");
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            // A broken connection is in the log as an aborted call, or was idle.
            let _ = serve(stream, &shared).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut connection = Connection::new(stream)?;
    while let Some(request) = connection.request().await? {
        let mut call = Call::new(0, &request);
        let entry = Entry::open(shared, &mut call);
        let reply = (shared.script)(&call);
        let played = tokio::select! {
            biased;
            played = prepare(reply, &call) => played,
            () = connection.disconnected() => return Ok(()),
        };
        match played {
            Played::Whole(bytes) => {
                entry.end(Ending::Answered);
                connection.send(&bytes).await?;
            }
            Played::Pieces(head, pause, body) => {
                connection.send(&head).await?;
                tokio::select! {
                    () = sleep(pause) => {}
                    () = connection.disconnected() => return Ok(()),
                }
                entry.end(Ending::Answered);
                connection.send(&body).await?;
            }
            Played::Cut(bytes) => {
                entry.end(Ending::Broken);
                return connection.send(&bytes).await;
            }
            Played::Endless(head, piece) => {
                connection.send(&head).await?;
                loop {
                    connection.send(&piece).await?;
                }
            }
            Played::Streamed(pieces, gate, is_whole) => {
                connection.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n").await?;
                for piece in &pieces {
                    tokio::select! {
                        () = gate.pass() => {}
                        () = connection.disconnected() => return Ok(()),
                    }
                    connection.send(piece).await?;
                }
                entry.end(if is_whole {
                    Ending::Answered
                } else {
                    Ending::Broken
                });
                return if is_whole {
                    connection.send(STREAM_END).await
                } else {
                    Ok(())
                };
            }
            Played::Reset => {
                entry.end(Ending::Broken);
                connection.reset();
                return Ok(());
            }
        }
    }
    Ok(())
}

/// A call's entry in the log. Dropping it before its end is recorded records an aborted call. The end is recorded just before the
/// last bytes go out, so that a client that starts its next call on seeing them is never counted twice.
struct Entry<'a> {
    shared: &'a Shared,
    index: usize,
    has_ended: bool,
}

impl<'a> Entry<'a> {
    fn open(shared: &'a Shared, call: &mut Call) -> Self {
        let mut log = shared.log.lock().unwrap();
        call.index = log.calls.len();
        log.calls.push(call.clone());
        if shared.keep == Keep::Times {
            log.calls.last_mut().unwrap().lighten();
        }
        log.in_flight += 1;
        log.max_in_flight = log.max_in_flight.max(log.in_flight);
        drop(log);
        shared.changed.send_replace(());
        Self {
            shared,
            index: call.index,
            has_ended: false,
        }
    }

    fn end(mut self, how: Ending) {
        self.record_end(how);
    }

    fn record_end(&mut self, how: Ending) {
        self.has_ended = true;
        let mut log = self.shared.log.lock().unwrap();
        log.calls[self.index].ended = Some((Instant::now(), how));
        log.in_flight -= 1;
        match how {
            Ending::Answered => log.answered += 1,
            Ending::Aborted => log.aborted += 1,
            Ending::Broken => {}
        }
        drop(log);
        self.shared.changed.send_replace(());
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.record_end(Ending::Aborted);
        }
    }
}

/// Bytes that go over the wire.
enum Played {
    Whole(Vec<u8>),
    Pieces(Vec<u8>, Duration, Vec<u8>),
    Cut(Vec<u8>),
    Endless(Vec<u8>, Vec<u8>),
    Streamed(Vec<Vec<u8>>, Gate, bool),
    Reset,
}

async fn prepare(mut reply: Reply, call: &Call) -> Played {
    loop {
        reply = match reply {
            Reply::Delay(time, then) => {
                sleep(time).await;
                *then
            }
            Reply::Gate(gate, then) => {
                gate.pass().await;
                *then
            }
            Reply::Stall => std::future::pending().await,
            ready => return put(ready, call),
        };
    }
}

fn put(reply: Reply, call: &Call) -> Played {
    match reply {
        Reply::Status(status, headers, body) => {
            Played::Whole(wire::response(status, JSON, &headers, body.as_bytes()))
        }
        Reply::Reset => Played::Reset,
        Reply::WrongContentType => Played::Whole(wire::response(
            200,
            "text/html",
            &[],
            b"<html><body>Welcome to the proxy</body></html>",
        )),
        Reply::Raw(bytes) => Played::Whole(bytes),
        Reply::RawCut(bytes) => Played::Cut(bytes),
        Reply::Endless(head, piece) => Played::Endless(head, piece),
        reply => complete(reply, call),
    }
}

/// Converts a reply to the bytes of a completion.
fn complete(reply: Reply, call: &Call) -> Played {
    let raw = call.raw();
    let Ok(question) = ChatRequest::parse(&raw) else {
        return Played::Whole(wire::response(
            400,
            JSON,
            &[],
            br#"{"error":{"message":"not a chat-completions request"}}"#,
        ));
    };
    let say = |content: &str, finish_reason, usage| {
        let said = ChatAnswer {
            content,
            tool: question.tool(),
            finish_reason,
            usage,
        };
        chat::completion(call.index, &question.model, &said)
    };
    let whole = |body: Vec<u8>| Played::Whole(wire::response(200, JSON, &[], &body));
    match reply {
        Reply::Played => whole(say(&model::answer(&question), "stop", (10, 5))),
        Reply::Json(value) => whole(say(&value.to_string(), "stop", (10, 5))),
        Reply::Text(text) => whole(say(&text, "stop", (10, 5))),
        Reply::Used(text, input, output) => whole(say(&text, "stop", (input, output))),
        Reply::Truncated(text) => whole(say(&text, "length", (10, 100))),
        Reply::Refusal(words) => {
            let message = json!({"role": "assistant", "content": null, "refusal": words});
            whole(chat::with_message(
                call.index,
                &question.model,
                &message,
                "stop",
                (10, 5),
            ))
        }
        Reply::Streamed(pieces, gate, is_whole) => {
            let pieces = pieces
                .iter()
                .map(|piece| streamed(piece, question.tool()))
                .collect();
            Played::Streamed(pieces, gate, is_whole)
        }
        Reply::CutBody => {
            let mut bytes = wire::response(
                200,
                JSON,
                &[],
                &say(&model::answer(&question), "stop", (10, 5)),
            );
            bytes.truncate(bytes.len() - 40);
            Played::Cut(bytes)
        }
        Reply::SlowBody(pause) => {
            let body = say(&model::answer(&question), "stop", (10, 5));
            Played::Pieces(wire::head(200, JSON, body.len(), &[]), pause, body)
        }
        other => unreachable!(
            "put and prepare have resolved the others: {:?}",
            std::mem::discriminant(&other)
        ),
    }
}

/// Returns an event with a piece of the answer.
fn streamed(piece: &str, tool: Option<&str>) -> Vec<u8> {
    let delta = match tool {
        None => json!({"content": piece}),
        Some(name) => {
            json!({"tool_calls": [{"index": 0, "function": {"name": name, "arguments": piece}}]})
        }
    };
    format!(
        "data: {}\n\n",
        json!({"choices": [{"index": 0, "delta": delta}]})
    )
    .into_bytes()
}

/// End of a complete stream.
const STREAM_END: &[u8] = b"data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
    data: {\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":5,\"total_tokens\":15}}\n\ndata: [DONE]\n\n";
