//! The contract, promise by promise: the real binary on a free port over TCP, against a scripted provider. One file for each
//! promise, each test named as what it promises.

#![allow(
    clippy::disallowed_methods,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what is wrong by panicking"
)]

mod adaptive;
mod admission;
mod adversarial;
mod bad_requests;
mod batch_ndjson;
mod batch_ordered;
mod batch_sse;
mod breaker;
mod cache;
mod caller_auth;
mod callers;
mod callers_reload;
mod coerce;
mod command;
mod concurrency;
mod config;
mod disconnect;
mod documents;
mod error_bodies;
mod errors;
mod extra_body;
mod fair;
mod fallback;
mod grounding;
mod isolation;
mod jobs;
mod layers;
#[cfg(feature = "local")]
mod local_model;
mod mcp;
mod messages;
mod modes;
mod no_leaks;
mod openai_endpoint;
mod ops_endpoints;
mod otel;
mod outages;
mod partial;
mod provider_keys;
mod rate;
mod replies;
mod retry_budget;
mod retry_policy;
mod rules;
mod schema_drafts;
mod schemas;
mod shutdown;
mod single;
mod single_flight;
mod slow_reader;
mod storm;
mod support;
mod tls;
mod tokens;
mod trace;
mod validation_retry;
mod wire_formats;

use upstream_sim::scripted as upstream;
