//! extractd turns text into validated JSON with a language model: one text or a million, answered in input order or as items
//! complete, within the provider's limits.
//!
//! # The layers
//! A module uses only modules of lower layers; `tests/it/layers.rs` checks it. `docs/architecture.md` has the details.
//!
//! | layer | module | contents |
//! |---|---|---|
//! | 7 | [`cli`] | the command line: a client of a running server, or of one in the process |
//! | 6 | [`app`] | composition root: configuration → parts → router; bind, run, drain |
//! | 5 | [`http`] | router, middleware, handlers; strict JSON, NDJSON and SSE framing; API document |
//! | 4 | [`jobs`] | durable jobs: create, run, record, follow; the store; webhook delivery |
//! | 3 | [`extraction`] | one item: prompt → permit → call → parse → validate → validation retry; many items: a stream to a stream |
//! | 2 | [`schema`] | compile, bound, lower, validate, coerce; registered schemas; rules |
//! | 2 | [`provider`] | one trait, one file per wire format, the built-in model |
//! | 1 | [`config`] | file, environment and flags to parsed types |
//! | 1 | [`net`] | the HTTP client, the SSRF guard, upstream SSE framing |
//! | 1 | [`mcp`] | the Model Context Protocol: tools and resources over the HTTP API |
//! | 1 | [`telemetry`] | logging, metrics and traces, and every name in them |
//! | 1 | [`contract`] | JSON bodies of the API: results, problems, job endings |
//! | 0 | [`long_work`] | CPU-bound work that takes long, off the workers, bounded in number and shared fairly |
//! | 0 | [`private_files`] | files and folders that only the owner of the process can read, and their syncs |
//! | 0 | [`turn`] | how much a task does before the other tasks run |
//! | 0 | [`types`] | the types of the contract: spec, input, outcome, usage, errors |
//! | 0 | [`workers`] | worker threads: those of requests and jobs, and those of connections |
//!
//! The crates `throttle` (limits, fair queue, circuit breaker), `llm-json` (answer parsing), `bounded-cel` (rules) and
//! `upstream-sim` (simulated provider) depend on nothing of the service.
//!
//! # The way of a request
//! `http` parses a body into one [`types::Spec`] and a stream of [`types::Input`]s. `Extractor::prepare` compiles it;
//! `Extractor::submit` admits it. For each input, `extraction` acquires a permit from `throttle`, calls the `provider`, parses and
//! validates the answer with `schema`, and starts a validation retry if it is invalid. The outcomes are one stream, which
//! `http::response_stream` sends in one of three forms: ordered, SSE, NDJSON. A single is a batch of one.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        clippy::too_many_lines,
        reason = "tests spawn tasks, read the clock and hold long tables"
    )
)]

pub mod app;
pub mod cli;
pub mod config;
pub mod contract;
pub mod extraction;
pub mod http;
pub mod jobs;
pub mod long_work;
pub mod mcp;
pub mod net;
pub mod private_files;
pub mod provider;
pub mod schema;
pub mod telemetry;
pub mod turn;
pub mod types;
pub mod workers;
