//! Metadata of a request or an input.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// Maximum size of the metadata of a request or an input, in bytes as JSON: it is part of every view of a job, and of every result.
const MAX_METADATA_BYTES: usize = 64 * 1024;

/// Bytes that an entry has as JSON beside its name and value: four quotes, a colon and a comma.
const ENTRY_BYTES: usize = 6;

/// Metadata as it is stored and returned to the caller; never sent to a model. Strings by name, kept as JSON, because strings of their own
/// take many times as much. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SentMetadata(Arc<RawValue>);

impl SentMetadata {
    /// Returns the metadata of which [`json`](Self::json) was stored; `None` if it is not JSON.
    #[must_use]
    pub fn from_stored(json: String) -> Option<Self> {
        let json = RawValue::from_string(json).ok()?;
        Some(Self(json.into()))
    }

    /// Returns the JSON object.
    #[must_use]
    pub fn json(&self) -> &str {
        self.0.get()
    }
}

impl PartialEq for SentMetadata {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl Serialize for SentMetadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SentMetadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = SentMetadata;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SentMetadata, A::Error> {
                let (mut entries, mut bytes) = (BTreeMap::new(), 0);
                // Checked meanwhile, so that no more than the limit is held.
                while let Some((name, value)) = map.next_entry::<String, String>()? {
                    bytes += name.len() + value.len() + ENTRY_BYTES;
                    if bytes > MAX_METADATA_BYTES {
                        return Err(too_large());
                    }
                    entries.insert(name, value);
                }
                let json = serde_json::value::to_raw_value(&entries).map_err(A::Error::custom)?;
                if json.get().len() > MAX_METADATA_BYTES {
                    return Err(too_large());
                }
                Ok(SentMetadata(json.into()))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

fn too_large<E: serde::de::Error>() -> E {
    E::custom(format!(
        "the metadata exceeds {MAX_METADATA_BYTES} bytes; send less, because it is part of every result and of every view of a job"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_returned_as_it_was_sent() {
        let sent = r#" {"b": "\u00e9\"", "a": "", "a": "last"} "#;
        let metadata: SentMetadata = serde_json::from_str(sent).unwrap();
        let json = serde_json::to_string(&metadata).unwrap();
        assert_eq!(json, r#"{"a":"last","b":"é\""}"#);
        assert_eq!(metadata.json(), json);
        assert_eq!(SentMetadata::from_stored(json), Some(metadata));
        assert_eq!(SentMetadata::from_stored("{".to_owned()), None);
        assert!(serde_json::from_str::<SentMetadata>(r#"{"a": 1}"#).is_err());
    }

    #[test]
    fn large_metadata_is_rejected() {
        let parse = |name: &str, entries: usize, value: &str| {
            let entries: BTreeMap<_, _> = (0..entries)
                .map(|entry| (format!("{name}{entry:05}"), value.to_owned()))
                .collect();
            serde_json::from_str::<SentMetadata>(&serde_json::to_string(&entries).unwrap())
        };
        assert!(parse("", 5_000, "").is_ok());
        assert!(parse("", 6_000, "").is_err());
        let long = "x".repeat(MAX_METADATA_BYTES - 20);
        assert!(parse("", 1, &long).is_ok());
        assert!(parse("longer", 2, &long).is_err());
        // An escaped character takes six bytes in the reply.
        let error = parse("", 1, &"\u{1}".repeat(20_000)).unwrap_err();
        assert!(error.to_string().contains("exceeds 65536 bytes"), "{error}");
    }
}
