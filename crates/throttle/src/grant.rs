//! The grant of a permit: what a call asks of its provider's limits, what it then holds, and why it can not be granted.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::OwnedSemaphorePermit;

use crate::api_key_limits::KeySet;
use crate::caller_calls::CallerCallGuard;
use crate::caller_id::CallerId;
use crate::fair_queue::Class;
use crate::model_limits::Model;
use crate::permit_request::{Denied, Priority};
use crate::raii_counter::CountGuard;
use crate::received_text::ReceivedText;
use crate::types::{CallReport, RequestId, TokenUsage};

/// Resources that a call holds until its answer's last byte. Each is an RAII guard counted by its
/// limit.
#[derive(Debug)]
#[expect(dead_code, reason = "held, not read")]
pub struct HeldResources {
    pub slot: OwnedSemaphorePermit,
    pub provider: CountGuard,
    pub model: CountGuard,
    pub caller: Option<CallerCallGuard>,
    pub probe: Option<CountGuard>,
    /// Guard of a probe that gave its place to another one before it had a result.
    pub yielded_probe: Option<CountGuard>,
}

/// The call that asks for a permit.
#[derive(Debug)]
pub struct GrantRequest<'a> {
    pub model: &'a Arc<Model>,
    pub caller: CallerId,
    pub priority: Priority,
    pub is_first_call: bool,
    pub estimate: TokenUsage,
    pub refused: KeySet,
}

/// Reason why a call cannot go out now, and what has to change.
#[derive(Debug, Clone, Copy)]
pub enum Refusal {
    /// The item's model (its circuit breaker, an outage) or its keys; the time of the change, or `None` if another call has
    /// to end first.
    Queue(Option<Instant>),
    /// Its model's own concurrency limit is reached.
    Model,
    /// Its caller's quota; the time of the change, or `None` if another call of the caller has to
    /// end first.
    Caller(Option<Instant>),
    /// Its caller has calls in flight and leaves the free slots to others.
    CallerShare,
    /// The provider's or the global limit; the time of the change, or `None` if another call has to
    /// end first.
    Provider(Option<Instant>),
    /// The permit is denied.
    Denied(Denied),
}

impl Refusal {
    /// Returns the time of the change, if it is known.
    pub const fn until(&self) -> Option<Instant> {
        match self {
            Self::Queue(until) | Self::Caller(until) | Self::Provider(until) => *until,
            Self::Model | Self::CallerShare | Self::Denied(_) => None,
        }
    }
}

/// Charge of a call at the time of its permit.
#[derive(Debug)]
pub struct CallCharge {
    /// Index of the provider key.
    pub key: usize,
    pub model: Arc<Model>,
    pub caller: CallerId,
    /// Tokens that were reserved.
    pub reserved: TokenUsage,
    /// Estimate of the prompt's tokens from its text alone.
    pub text_tokens: u64,
    /// Turn that it was charged by its tokens; `None`: it did not wait, or tokens are not counted.
    pub turn: Option<Turn>,
    pub received: ReceivedText,
    pub began: Instant,
    /// True if the circuit breaker knows of the call's success, because its probe has ended before it.
    pub is_success_recorded: bool,
}

/// Turn in the queue of a provider, charged by the estimate of a call.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    pub class: Class,
    pub request: RequestId,
    /// Keys that the provider had rejected for the item.
    pub refused: KeySet,
    pub cost: u64,
}

impl CallCharge {
    pub fn new(key: usize, request: &GrantRequest<'_>, text_tokens: u64, now: Instant) -> Self {
        Self {
            key,
            model: Arc::clone(request.model),
            caller: request.caller,
            reserved: request.estimate,
            text_tokens,
            turn: None,
            received: ReceivedText::default(),
            began: now,
            is_success_recorded: false,
        }
    }

    /// Returns the usage that is charged if none is reported: what was reserved, or what has arrived of the answer if that is more.
    pub fn unreported_usage(&self) -> TokenUsage {
        let output = self.reserved.output.max(self.received.tokens());
        TokenUsage {
            output,
            ..self.reserved
        }
    }
}

/// A granted call: from its grant to its end.
#[derive(Debug)]
pub struct GrantedCall {
    pub held: Option<HeldResources>,
    pub charge: CallCharge,
    /// True once the call was sent: the provider may work for it and charge it.
    pub was_sent: bool,
    /// Result of the call; `None` if it was cancelled.
    pub report: Option<CallReport>,
    /// Counts the request's calls in flight.
    _in_flight: Arc<()>,
}

impl GrantedCall {
    /// Boxes the call: the future that waits for it, and its permit, have room for a handle only.
    pub fn new(held: HeldResources, charge: CallCharge, in_flight: Arc<()>) -> Box<Self> {
        Box::new(Self {
            held: Some(held),
            charge,
            was_sent: false,
            report: None,
            _in_flight: in_flight,
        })
    }
}
