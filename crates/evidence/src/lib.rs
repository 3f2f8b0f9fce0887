//! Finds where in a text each value of a JSON document stands, and which values do not stand there.
//!
//! ```
//! use evidence::{Index, Options, Status};
//!
//! let value = serde_json::json!({"name": "Anna", "age": 30, "phone": "555-0100"});
//! let evidence = Index::new("Anna is thirty.").align(&value, &Options::default());
//! let statuses: Vec<_> = evidence.iter().map(|leaf| (leaf.text.as_str(), leaf.status)).collect();
//! assert_eq!(statuses, [("Anna", Status::Exact), ("thirty", Status::Normalized), ("", Status::Absent)]);
//! ```
//!
//! # Stages
//! `tokens` splits the text into words and hashes their folded form (`fold`, `clusters`). `leaves` and `query` collect the distinct
//! values and what each may look like. `find` and `scan` search for their mentions: word by word, then numbers, dates, times and
//! phone numbers by meaning, and only for values without a mention by more costly ways. `assign` chooses a mention for each leaf.
//!
//! All work is bounded: it grows with the length of the text plus the length of the value, whatever they contain.

mod assign;
mod clusters;
mod convert;
mod decimal;
mod examples;
mod find;
mod fold;
pub mod html;
mod index;
mod leaves;
mod mention;
mod options;
mod place;
mod positions;
mod query;
mod scan;
mod size;
mod span;
mod tokens;

pub use convert::convert_offsets;
pub use examples::Examples;
pub use find::fuzzy::THRESHOLD_PERCENT as FUZZY_THRESHOLD_PERCENT;
pub use index::{Index, LeafEvidence};
pub use mention::Status;
pub use options::{Kinds, LeafKind, Options};
pub use place::{Back, Place};
pub use size::EvidenceSize;
pub use span::{OffsetUnit, Span};
