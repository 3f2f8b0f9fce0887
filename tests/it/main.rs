//! The contract, promise by promise: the real binary on a free port over TCP, against a scripted provider. One file for each
//! promise, each test named as what it promises.

#![allow(
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what is wrong by panicking"
)]

mod client;
mod fixture;
mod server;
mod turn;

use upstream_sim::scripted as upstream;

mod adaptive;
mod admission;
mod auth;
mod bad_requests;
mod baseline;
mod batch_ndjson;
mod batch_ordered;
mod batch_sse;
mod breaker;
mod cache;
mod callers;
mod coerce;
mod command;
mod concurrency;
mod config;
mod disconnect;
mod errors;
mod fair;
mod fallback;
mod hostile;
mod jobs;
mod keys;
mod layers;
#[cfg(feature = "local")]
mod local_model;
mod modes;
mod partial;
mod rate;
mod reask;
mod reload;
mod retries;
mod retry;
mod rules;
mod schemas;
mod service;
mod shutdown;
mod single;
mod single_flight;
mod slow_reader;
mod storm;
mod tokens;
mod wires;
