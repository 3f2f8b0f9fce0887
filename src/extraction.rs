//! Extraction: structured data from text. One item is prompt, permit, call, parse, validate, and a validation retry with the
//! errors as feedback. Many items are a stream of inputs to a stream of outcomes, in completion order.
//!
//! A single is a batch of one. Knows nothing of HTTP, of stores, or of the consumers of outcomes.

mod attempts;
mod batch;
mod cache;
mod cache_key;
mod call_log;
mod call_span;
mod chat;
mod checked_versions;
mod copied_values;
mod examples;
mod extractor;
mod failed_call;
mod grounding;
mod item;
mod item_spans;
mod models;
mod outages;
mod partial_publisher;
mod partial_stream;
mod pass_through;
mod permissions;
mod prepare;
mod prepared_request;
mod probe_call;
mod request_class;
mod request_identity;
mod result_memory;
mod retry_policy;
mod routing;
mod single_flight;
mod straggler_detector;
mod submission;
mod targets;
mod traced_texts;
mod tracer;
mod upstream_call;
mod validate_answer;
mod waiting_memory;
mod writing_piece;

pub use batch::{Inputs, Outcomes};
pub use cache::{CacheConfig, CacheStats};
pub use chat::{Chat, ChatMessages};
pub use checked_versions::CheckedVersions;
pub use extractor::{Config, Extractor};
pub use item::{BLANK, is_blank};
pub use models::{ModelEndpoint, ModelRoute, Models, ProviderEntry};
pub use outages::Outage;
pub use partial_publisher::PartialEvent;
pub use partial_stream::PartialStream;
pub use permissions::Permissions;
pub use prepared_request::{CallEstimate, PreparedRequest};
pub use request_class::RequestClass;
pub use submission::{AdmittedRequest, Submission, shutting_down};
pub use waiting_memory::WaitingMemory;
pub use writing_piece::{error_writing_piece, write_in_turn, writing_piece};
