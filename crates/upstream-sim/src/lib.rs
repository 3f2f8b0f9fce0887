//! A simulated provider, compatible with OpenAI's chat completions: scripted inside a test ([`scripted`]), or as a server of its
//! own with latency, rate limits and faults ([`metered`]).
//!
//! Shared parts: [`wire`] is HTTP, [`chat`] the request and response format, [`model`] and [`instance`] make the answers,
//! [`prompt`] and [`tokens`] count tokens, [`limiter`] and [`account`] keep limits, [`behaviour`] and [`timer`] decide latency
//! and faults, [`texts`] finds inputs that were sent twice.

#![allow(
    clippy::disallowed_methods,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a tool for tests and measurements, not the service"
)]

pub mod account;
pub mod behaviour;
pub mod chat;
pub mod instance;
pub mod limiter;
mod lock;
pub mod metered;
pub mod model;
pub mod prompt;
pub mod scripted;
pub mod texts;
pub mod timer;
pub mod tokens;
pub mod wire;
