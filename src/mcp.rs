//! Server of the Model Context Protocol (MCP): lets an assistant extract through tools, and read the registered schemas as
//! resources.
//!
//! Each tool is one request to the HTTP API, so limits, validation and errors are those of the API. [`Api`] sends it: within the
//! process for `/mcp`, over HTTP for `extractd mcp`.

mod api;
mod repeated_texts;
mod server;
mod tools;
mod transport;

pub use api::{Api, ApiReply, ApiRequest};
pub use repeated_texts::check_repeated_texts;
pub use server::McpServer;
pub use transport::{HttpTransport, serve_stdio};
