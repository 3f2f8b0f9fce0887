//! extractd turns text into validated JSON with a language model: one text or a million, answered in input order or as they
//! finish, never over the provider's limits.
//!
//! # The layers
//! A module uses only what stands below it; a test (`tests/it/layers.rs`) keeps it so.
//!
//! | layer | module | what lives there |
//! |---|---|---|
//! | 7 | [`cli`] | the command line as a client of a running server, or of one within the process |
//! | 6 | [`app`] | the composition root: configuration to parts to router; bind, run, drain |
//! | 5 | [`http`] | routes, strict JSON, NDJSON and SSE framing, problems, keys, the reference |
//! | 4 | [`jobs`] | durable jobs: make, run, record, follow; their store |
//! | 3 | [`extraction`] | one item: prompt, permit, call, parse, validate, ask again; many items: a stream to a stream |
//! | 2 | [`schema`] | compile, bound, register, validate; an answer's text to JSON |
//! | 2 | [`limits`] | fair queue, slots, buckets, backoff |
//! | 2 | [`provider`] | one trait, a file for each wire format, the model built in |
//! | 1 | [`config`] | file, environment and flags to parsed types |
//! | 1 | [`net`] | the HTTP client |
//! | 1 | [`telemetry`] | logs and metrics, and every name in them |
//! | 0 | [`types`] | the contract's own types |
//!
//! # The way of a request
//! `http` reads a body into one `Spec` and a stream of `Input`s. `extraction::run` pulls them as its window moves; for each,
//! `Extractor::one` takes a permit from `limits`, calls the `provider`, has `schema` read and judge the answer, and asks again
//! with what was wrong. The outcomes are one stream, and `http::response_stream` sends it in one of three forms: ordered, SSE, NDJSON.
//! A single is a batch of one.

pub mod app;
pub mod cli;
pub mod config;
pub mod extraction;
pub mod http;
pub mod jobs;
pub mod limits;
pub mod net;
pub mod provider;
pub mod schema;
pub mod telemetry;
pub mod types;
