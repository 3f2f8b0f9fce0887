//! Types of the API contract: the request ([`Spec`], [`Input`]) and the result of an item ([`Outcome`], [`Usage`], [`Error`]).
//!
//! The lowest layer: it must not know HTTP, providers, limits or stores.

mod bounded;
mod caller_access;
mod choice;
pub mod clock;
mod error;
mod error_text;
mod evidence;
mod extra_body;
mod fallback;
mod hex;
pub mod ids;
mod input;
mod json_error;
mod json_pointer;
mod json_size;
mod lowered_by_mode;
mod metadata;
mod outcome;
mod request;
mod shared_value;
mod spec;
mod suggestion;
mod trace;
mod trace_context;
mod unknown_field;
mod usage;
mod webhook;

pub use bounded::Bounded;
pub use caller_access::{CallerAccess, Role};
pub use choice::Choice;
pub use error::{AttemptInfo, Code, Error, FieldError};
pub use error_text::{ErrorDetail, ErrorMessage, ErrorPointer, ErrorText};
pub use evidence::{
    EvidenceCounts, EvidenceStatus, Grounding, LeafEvidence, OffsetUnit, convert_offsets,
    offset_unit,
};
pub use extra_body::ExtraBody;
pub use fallback::{FallbackCondition, FallbackOn};
pub use hex::hexadecimal;
pub use input::{Content, Input, Item};
pub use json_error::{MORE_TEXT, missing_field, plain_message, plain_words, without_os_codes};
pub use json_pointer::{
    Unrepresentable, member_pointer, pointer_to, truncate_for_display, truncate_pointer,
};
pub use json_size::{
    after_string, count_values, is_long_to_parse, parsed_size, size_beside_text, written_size,
};
pub use llm_json::StrictJson;
pub use lowered_by_mode::LoweredByMode;
pub use metadata::SentMetadata;
pub use outcome::{Counts, Invalid, ItemOutcome, Outcome, Success, Timing};
#[cfg(test)]
pub use request::request_fields;
pub use request::{Batch, JobRequest, OnError, Single, SingleStream};
pub use schema_dialect::{Dialect, LoweredSchema, NullPolicy, json_equal, pointer};
pub use shared_value::{SharedValue, WeakValue};
pub use spec::{CacheUse, Example, Mode, OnFailure, Rule, SchemaSource, Spec, field_is_text};
pub use suggestion::{did_you_mean, nearest};
pub use throttle::{Price, Usd};
pub use trace::{Span, SpanKind, Trace};
pub use trace_context::TraceContext;
pub use usage::{ModelUsage, Usage};
pub use webhook::Webhook;
