//! Normalised tree of a schema.

mod depth;
mod edit;
mod implied_type;
mod json_type;
mod keyword;
mod node;
mod node_lists;
mod node_ref;
mod nodes;
mod parts;
mod place;
mod read;
mod write;

pub use edit::Edit;
pub use json_type::{JsonType, TypeList};
pub use keyword::Keyword;
pub use node::NodeId;
pub use node_lists::{Named, Nodes};
pub use node_ref::{HeldRef, NodeRef};
pub use nodes::Tree;
pub use parts::Applies;

pub(crate) use implied_type::is_type_implied;
pub(crate) use node::{KeywordValue, NamedNodes, Node, Origin};
