//! `/mcp`: the Model Context Protocol over streamable HTTP.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Request};
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::{HeaderValue, Method};
use axum::response::Response;
use axum::routing::any;
use tower::ServiceExt;

use super::super::problem::ApiError;
use super::super::request_body::{self, CompleteBody};
use super::super::request_memory::no_memory;
use super::super::state::AppState;
use crate::long_work::{Piece, poll_long, run_long};
use crate::mcp::{Api, ApiReply, ApiRequest, HttpTransport, McpServer};
use crate::types::parsed_size;
use throttle::{CallerId, MemoryReservation, MemoryUse};

/// Room in a reply beside the results of an ordered batch, in bytes.
const REPLY_OVERHEAD: usize = 1024 * 1024;

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
        body.reserve_values().await?;
        complete = Some(body);
    }
    // The body's memory stays reserved until the tool has ended.
    let bytes = complete.as_ref().map(|body| body.bytes.clone());
    let body = Body::from(bytes.unwrap_or_default());
    let piece = complete.as_ref().and_then(CompleteBody::parsing_piece);
    let calls = ToolCalls::new(&state, caller, piece);
    head.extensions.insert(calls.clone());
    let handling = pin!(transport.handle(Request::from_parts(head, body)));
    let response = poll_long(piece, handling).await;
    drop((complete, calls));
    Ok(response.map(Body::new))
}

/// State that an MCP request shares with the calls of its tools.
#[derive(Debug, Clone)]
struct ToolCalls {
    /// Memory of the JSON values of the replies, until the request has ended.
    replies: Arc<Mutex<MemoryReservation>>,
    caller: CallerId,
    /// Long work that writing a tool's arguments may be.
    piece: Option<Piece>,
}

impl ToolCalls {
    fn new(state: &AppState, caller: CallerId, piece: Option<Piece>) -> Self {
        let ledger = state.extractor.limits().memory();
        let memory = ledger.empty(caller, MemoryUse::Responses);
        Self {
            replies: Arc::new(Mutex::new(memory)),
            caller,
            piece,
        }
    }

    /// Reserves the memory of one more reply. Without room, returns the message of an overloaded server.
    fn add_reply(&self, bytes: usize) -> Result<(), String> {
        let mut memory = self.replies.lock().unwrap_or_else(PoisonError::into_inner);
        let all = memory.bytes().saturating_add(bytes);
        memory
            .resize(all)
            .map_err(|refused| no_memory(&refused).detail.into())
    }
}

impl Api for OwnApi {
    async fn send(&self, request: ApiRequest) -> Result<ApiReply, String> {
        let calls = request.extensions.get::<ToolCalls>().cloned();
        let piece = calls.as_ref().and_then(|calls| calls.piece);
        let body = match request.body {
            Some(body) => Body::from(run_long(piece, || body.to_string()).await),
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
        let bytes = axum::body::to_bytes(response.into_body(), self.max_reply_bytes)
            .await
            .map_err(|error| format!("the reply could not be read: {error}"))?;
        let caller = calls
            .as_ref()
            .map_or_else(CallerId::default, |calls| calls.caller);
        let parsed = request_body::work_on(bytes, caller, move |bytes| {
            if let Some(calls) = calls {
                calls.add_reply(parsed_size(bytes))?;
            }
            serde_json::from_slice(bytes)
                .map_err(|error| format!("the reply of {} is no JSON: {error}", request.path))
        });
        let body = parsed.await.map_err(|error| String::from(error.detail))??;
        Ok(ApiReply { status, body })
    }
}
