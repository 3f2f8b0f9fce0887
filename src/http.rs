//! HTTP server: routes, request bodies, streaming responses, problems, API keys and the OpenAPI document.
//!
//! `router` is the table of contents, `handlers` has one file per group of routes, `middleware` is what every request passes.
//! The only module that knows axum. Knows nothing of how an item is extracted.

mod api_keys;
mod body_frames;
mod body_inputs;
mod chat;
mod connection;
mod content_negotiation;
mod event_links;
mod handlers;
mod ids;
mod json_array_writer;
mod json_body;
mod middleware;
mod ndjson_reader;
mod ndjson_writer;
mod open_connections;
mod openapi;
mod problem;
mod query;
pub mod readers;
mod request_body;
mod request_memory;
mod response_memory;
mod response_stream;
mod router;
mod sse;
mod state;
mod trace_context;
mod unknown_path;
mod upload_monitor;

pub use api_keys::ApiKeys;
pub use connection::{ConnectionTimeouts, listen, serve};
pub use open_connections::OpenConnections;
pub use response_memory::MAX_CONNECTION_BUFFER;
pub use router::{document, router};
pub use state::{Lifecycle, Parts};
