//! Request handlers: per route its parameters, response, OpenAPI description and handler.

pub mod batch;
pub mod chat;
pub mod extract;
pub mod jobs;
pub mod mcp;
pub mod ops;
pub mod schemas;
pub mod ui;
