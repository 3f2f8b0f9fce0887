//! `/mcp`: the Model Context Protocol over streamable HTTP.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Request};
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::{HeaderValue, Method};
use axum::response::Response;
use axum::routing::any;
use futures_util::StreamExt;
use http_body::Body as _;
use tower::ServiceExt;

use super::super::problem::ApiError;
use super::super::request_body::{self, CompleteBody};
use super::super::request_memory::no_memory;
use super::super::state::AppState;
use super::super::upload_monitor::MEMORY_TIMEOUT;
use crate::long_work::{LONG_TEXT_BYTES, Piece, poll_by_piece, run_long, run_off_worker};
use crate::mcp::{Api, ApiReply, ApiRequest, HttpTransport, McpServer, check_repeated_texts};
use crate::types::parsed_size;
use throttle::{CallerId, MemoryLedger, MemoryReservation, MemoryUse, NoMemory};

/// Room in a reply beside the results of an ordered batch, in bytes.
const REPLY_OVERHEAD: usize = 1024 * 1024;

/// Size up to which a reply is never refused for lack of memory, in bytes.
const UNREFUSED_BYTES: usize = 64 * 1024;

/// Interval of the tries to reserve memory for a reply.
const MEMORY_RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// The service's own routes, called within the process.
#[derive(Debug, Clone)]
struct OwnApi {
    router: Router,
    max_reply_bytes: usize,
}

/// Returns the route `/mcp`, whose tools call the routes of `api`.
pub fn route(api: Router, state: Arc<AppState>) -> Router {
    let server = McpServer::new(OwnApi {
        router: api,
        max_reply_bytes: state.max_ordered_bytes.saturating_add(REPLY_OVERHEAD),
    });
    let ended = state.lifecycle.ended.clone();
    let transport = HttpTransport::new(server, state.max_body_bytes, ended);
    let handler = move |Extension(caller): Extension<CallerId>, request: Request| {
        respond(Arc::clone(&state), transport.clone(), caller, request)
    };
    Router::new().route("/mcp", any(handler))
}

async fn respond(
    state: Arc<AppState>,
    transport: HttpTransport<OwnApi>,
    caller: CallerId,
    request: Request,
) -> Result<Response, ApiError> {
    let (mut head, body) = request.into_parts();
    let _work = state.lifecycle.work.token();
    let mut complete = None;
    if head.method == Method::POST {
        let mut body = request_body::read_body(&state, caller, &head.headers, body).await?;
        body.reserve_values(check_repeated_texts).await?;
        complete = Some(body);
    }
    // The body's memory stays reserved until the tool has ended.
    let bytes = complete.as_ref().map(|body| body.bytes.clone());
    let body = Body::from(bytes.unwrap_or_default());
    let piece = complete.as_ref().and_then(CompleteBody::parsing_piece);
    let calls = ToolCalls::new(&state, caller, piece);
    head.extensions.insert(calls.clone());
    let handling = pin!(transport.handle(Request::from_parts(head, body)));
    let response = poll_by_piece(|| calls.piece_in_progress(), handling).await;
    drop((complete, calls));
    Ok(response.map(Body::new))
}

/// State that an MCP request shares with the calls of its tools.
#[derive(Debug, Clone)]
struct ToolCalls {
    ledger: MemoryLedger,
    /// Memory of the replies, of their JSON values and of the response with both, until the request has ended.
    replies: Arc<Mutex<Vec<MemoryReservation>>>,
    caller: CallerId,
    /// Long work that parsing the request, and writing a tool's arguments, may be.
    piece: Option<Piece>,
}

impl ToolCalls {
    fn new(state: &AppState, caller: CallerId, piece: Option<Piece>) -> Self {
        Self {
            ledger: state.extractor.limits().memory().clone(),
            replies: Arc::default(),
            caller,
            piece,
        }
    }

    /// Returns the piece of long work that the next poll of the request may be: parsing it, or writing the response with its replies.
    fn piece_in_progress(&self) -> Option<Piece> {
        let replies = self.replies.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = replies.iter().map(MemoryReservation::bytes).sum();
        let caller = self.caller;
        let writing = (bytes > LONG_TEXT_BYTES).then_some(Piece { caller, bytes });
        writing.or(self.piece)
    }

    /// Collects a reply, each of its frames once its memory is reserved.
    ///
    /// # Errors
    /// A message for the client: the reply is too large, is interrupted, or there is no memory for it.
    async fn collect(&self, body: Body, max_bytes: usize) -> Result<Collected, String> {
        let length = body.size_hint().exact();
        let most = length.and_then(|length| usize::try_from(length).ok());
        let most = most.unwrap_or(max_bytes);
        let mut collected = Collected {
            bytes: Vec::new(),
            memory: self.ledger.empty(self.caller, MemoryUse::Responses),
        };
        let mut frames = body.into_data_stream();
        while let Some(frame) = frames.next().await {
            let frame = frame.map_err(|error| format!("the reply could not be read: {error}"))?;
            if collected.bytes.len().saturating_add(frame.len()) > max_bytes {
                return Err(format!(
                    "the reply takes more than {max_bytes} bytes (`limits.max_ordered_bytes`); send fewer inputs, or use a job"
                ));
            }
            let is_long = frame.len() > LONG_TEXT_BYTES;
            wait_for_room(|| run_off_worker(is_long, || collected.add(&frame, most))).await?;
        }
        Ok(collected)
    }

    /// Keeps the memory of a reply until the request has ended.
    fn keep(&self, memory: MemoryReservation) {
        let mut replies = self.replies.lock().unwrap_or_else(PoisonError::into_inner);
        replies.push(memory);
    }
}

/// Reply in memory, with the memory reserved for it.
#[derive(Debug)]
struct Collected {
    bytes: Vec<u8>,
    memory: MemoryReservation,
}

impl Collected {
    /// Adds a frame of a reply that will have `most` bytes.
    fn add(&mut self, frame: &[u8], most: usize) -> Result<(), NoMemory> {
        if self.bytes.len() + frame.len() <= UNREFUSED_BYTES {
            self.bytes.reserve(frame.len());
            self.memory.record(self.bytes.capacity());
        } else {
            request_body::grow(&mut self.bytes, frame.len(), most, &mut self.memory)?;
        }
        self.bytes.extend_from_slice(frame);
        Ok(())
    }

    /// Returns the memory of the reply with its values, and of the response, which has the reply and once more as a string, in bytes.
    fn size_with_response(&self) -> usize {
        let is_escaped = |byte: &&u8| matches!(byte, b'"' | b'\\' | b'\n' | b'\r' | b'\t');
        let escapes = self.bytes.iter().filter(is_escaped).count();
        let response = 2 * self.bytes.len() + escapes;
        let with_values = self.bytes.capacity() + parsed_size(&self.bytes);
        // The buffer of the response doubles.
        with_values.saturating_add(2 * response)
    }
}

/// Waits until `reserve` finds room: what the reply has may have been paid for.
///
/// # Errors
/// A message for the client, if the reply is larger than its caller may ever hold, or no memory became free in time.
async fn wait_for_room(mut reserve: impl FnMut() -> Result<(), NoMemory>) -> Result<(), String> {
    let deadline = Instant::now() + MEMORY_TIMEOUT;
    while let Err(refused) = reserve() {
        if matches!(refused, NoMemory::TooLarge { .. }) || Instant::now() >= deadline {
            return Err(message(refused));
        }
        tokio::time::sleep(MEMORY_RETRY_INTERVAL).await;
    }
    Ok(())
}

/// Returns the message for a client for whose reply there is no memory.
fn message(refused: NoMemory) -> String {
    no_memory(&refused).detail.into()
}

impl Api for OwnApi {
    async fn send(&self, request: ApiRequest) -> Result<ApiReply, String> {
        let calls = request.extensions.get::<ToolCalls>().cloned();
        let calls = calls.ok_or_else(|| "a bug: the caller of the request is lost".to_owned())?;
        let body = match request.body {
            Some(body) => Body::from(run_long(calls.piece, move || body.to_string()).await),
            None => Body::empty(),
        };
        let mut inner = Request::new(body);
        *inner.method_mut() = request.method;
        *inner.uri_mut() = request
            .path
            .parse()
            .map_err(|_| "the arguments make no valid path".to_owned())?;
        let headers = inner.headers_mut();
        *headers = request.headers;
        headers.insert(HOST, HeaderValue::from_static("localhost"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let Ok(response) = self.router.clone().oneshot(inner).await;
        let status = response.status();
        let body = response.into_body();
        let collected = calls.collect(body, self.max_reply_bytes).await?;
        let piece = request_body::parsing_piece(&collected.bytes, calls.caller);
        let measured =
            request_body::do_work(piece, move || (collected.size_with_response(), collected));
        let (needed, mut collected) = measured.await.map_err(|error| String::from(error.detail))?;
        if collected.bytes.len() <= UNREFUSED_BYTES {
            collected.memory.record(needed);
        } else {
            wait_for_room(|| collected.memory.resize(needed)).await?;
        }
        let parsed = request_body::do_work(piece, move || {
            let Collected { bytes, memory } = collected;
            let reply = ApiReply::parse(status, bytes)
                .map_err(|error| format!("the reply of {} is no JSON: {error}", request.path))?;
            calls.keep(memory);
            Ok(reply)
        });
        parsed.await.map_err(|error| String::from(error.detail))?
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;

    use super::*;

    const PART: usize = 100_000;

    fn calls(ledger: &MemoryLedger) -> ToolCalls {
        ToolCalls {
            ledger: ledger.clone(),
            replies: Arc::default(),
            caller: CallerId(1),
            piece: None,
        }
    }

    /// Returns a reply of this many parts, each of which notes what is held when it is taken.
    fn reply(ledger: &MemoryLedger, parts: usize) -> (Body, Arc<Mutex<Vec<usize>>>) {
        let (ledger, held) = (ledger.clone(), Arc::<Mutex<Vec<usize>>>::default());
        let noted = Arc::clone(&held);
        let parts = (0..parts).map(move |_| {
            noted.lock().unwrap().push(ledger.snapshot().held);
            Ok::<_, axum::Error>(Bytes::from(vec![b'1'; PART]))
        });
        (Body::from_stream(futures_util::stream::iter(parts)), held)
    }

    #[tokio::test]
    async fn a_reply_is_reserved_while_it_is_collected_and_refused_at_the_limit() {
        let ledger = MemoryLedger::new(1 << 20, 1 << 20);
        let calls = calls(&ledger);
        let (body, held) = reply(&ledger, 4);
        let mut collected = calls.collect(body, 1 << 20).await.unwrap();
        assert_eq!(*held.lock().unwrap(), [0, 2 * PART, 2 * PART, 6 * PART]);
        assert_eq!(ledger.snapshot().held, collected.bytes.capacity());
        // The values of it have no room beside what another request holds.
        let other = ledger
            .reserve(CallerId(2), MemoryUse::Inputs, 400_000)
            .unwrap();
        let needed = collected.size_with_response();
        assert!(collected.memory.resize(needed).is_err());
        drop((collected, other));
        let (body, held) = reply(&ledger, 100);
        let error = calls.collect(body, 100 * PART).await.unwrap_err();
        assert!(error.contains("max_memory_bytes"), "{error}");
        assert!(held.lock().unwrap().len() < 12);
        let (body, _) = reply(&ledger, 100);
        let error = calls.collect(body, 3 * PART).await.unwrap_err();
        assert!(error.contains("more than 300000 bytes"), "{error}");
        assert_eq!(ledger.snapshot().held, 0);
    }

    #[tokio::test]
    async fn the_response_with_a_large_reply_is_long_work() {
        let ledger = MemoryLedger::new(1 << 24, 1 << 24);
        let calls = calls(&ledger);
        assert!(calls.piece_in_progress().is_none());
        for (size, is_long) in [(10, false), (LONG_TEXT_BYTES, true)] {
            let body = Body::from(format!("\"{}\"", "a".repeat(size)));
            let mut collected = calls.collect(body, 1 << 20).await.unwrap();
            let needed = collected.size_with_response();
            collected.memory.resize(needed).unwrap();
            calls.keep(collected.memory);
            assert_eq!(calls.piece_in_progress().is_some(), is_long);
        }
        let held = ledger.snapshot().held;
        drop(calls);
        assert!(held > 5 * LONG_TEXT_BYTES, "{held}");
        assert_eq!(ledger.snapshot().held, 0);
    }
}
