//! The contract's own types: what a caller sends ([`Spec`], [`Input`]), and what an item ends with
//! ([`Outcome`], [`Usage`], [`Error`]).
//!
//! The lowest layer: it knows nothing of HTTP, providers, limits or stores.

mod bounded;
mod error;
mod input;
mod outcome;
mod place;
mod plain;
mod price;
mod request;
mod spec;
mod subset;
mod webhook;

pub use bounded::Bounded;
pub use error::{Attempted, Code, Error, Fault, pointer};
pub use input::{Content, Input, Item};
pub use outcome::{Ending, Invalid, ModelUsage, Outcome, Success, Tally, Timing, Usage};
pub use place::{Beyond, brief, near, pointer_to};
pub use plain::Plain;
pub use price::{Price, Usd};
#[cfg(test)]
pub use request::request_fields;
pub use request::{Batch, JobRequest, OnError, Single};
pub use spec::{
    CacheUse, Example, MadeUp, Metadata, Mode, OnFailure, Rule, SchemaSource, Spec, field_is_text,
};
pub use subset::{
    Asked, EnumRule, Extra, ExtraRule, Forms, Kinds, Limits, Member, Null, NullRule, ReferenceRule,
    Shape, Shapes, Strictness, Subset,
};
pub use webhook::Webhook;
