//! Fields that a provider's request has in addition to those that the service sets.

use std::fmt;
use std::sync::Arc;

use serde::de::{self, Deserialize, Deserializer};
use serde_json::{Map, Value};

/// Maximum size of the fields as JSON, in bytes: they are sent with every call.
const MAX_BYTES: usize = 64 * 1024;

/// Fields of a provider's request, cheap to clone. Objects are merged with those of the request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExtraBody(Option<Arc<Map<String, Value>>>);

impl ExtraBody {
    /// Creates the fields; `None` if they are too large.
    #[must_use]
    pub fn new(fields: Map<String, Value>) -> Option<Self> {
        if fields.is_empty() {
            return Some(Self::default());
        }
        let bytes = serde_json::to_string(&fields).map_or(usize::MAX, |json| json.len());
        (bytes <= MAX_BYTES).then(|| Self(Some(Arc::new(fields))))
    }

    /// Returns the fields; `None`: there are none.
    #[must_use]
    pub fn fields(&self) -> Option<&Map<String, Value>> {
        self.0.as_deref()
    }

    /// Returns these fields with those of `other`, which override them. Objects are merged.
    #[must_use]
    pub fn merged(&self, other: &Self) -> Self {
        match (&self.0, &other.0) {
            (_, None) => self.clone(),
            (None, _) => other.clone(),
            (Some(own), Some(other)) => {
                let mut merged = Map::clone(own);
                merge(&mut merged, other);
                Self(Some(Arc::new(merged)))
            }
        }
    }
}

fn merge(into: &mut Map<String, Value>, from: &Map<String, Value>) {
    for (name, value) in from {
        match (into.get_mut(name), value) {
            (Some(Value::Object(own)), Value::Object(value)) => merge(own, value),
            _ => {
                into.insert(name.clone(), value.clone());
            }
        }
    }
}

/// Shows the fields as JSON; empty without fields.
impl fmt::Display for ExtraBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(fields) => match serde_json::to_string(&**fields) {
                Ok(json) => f.write_str(&json),
                Err(_) => Err(fmt::Error),
            },
            None => Ok(()),
        }
    }
}

impl<'de> Deserialize<'de> for ExtraBody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = Map::deserialize(deserializer)?;
        Self::new(fields).ok_or_else(|| {
            de::Error::custom(format!(
                "takes more than {MAX_BYTES} bytes, which are sent with every call"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body(value: Value) -> ExtraBody {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn the_later_fields_override_and_objects_are_merged() {
        let own = body(json!({"a": {"b": 1, "c": 2}, "d": [1], "e": 1}));
        let other = body(json!({"a": {"b": 3}, "d": [2, 3], "f": {"g": null}}));
        let expected = json!({"a": {"b": 3, "c": 2}, "d": [2, 3], "e": 1, "f": {"g": null}});
        assert_eq!(own.merged(&other), body(expected));
        assert_eq!(own.merged(&ExtraBody::default()), own);
        assert_eq!(ExtraBody::default().merged(&own), own);
    }

    #[test]
    fn only_an_object_of_a_bounded_size_is_taken() {
        assert_eq!(body(json!({})), ExtraBody::default());
        for wrong in [json!([1]), json!("a"), json!({"a": "x".repeat(70_000)})] {
            assert!(serde_json::from_value::<ExtraBody>(wrong).is_err());
        }
    }
}
