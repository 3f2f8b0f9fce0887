//! Metadata of a request or an input.

use std::collections::BTreeMap;

/// Strings by name, returned to the caller and never sent to a model.
pub type Metadata = BTreeMap<String, String>;
