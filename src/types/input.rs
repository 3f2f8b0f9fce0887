//! Inputs: the texts to extract from.

use std::fmt;

use llm_json::NUMBER_NAME;
use serde::de::{
    self, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, Visitor,
};
use serde::{Deserialize, Serialize};
use throttle::MemoryReservation;

use super::choice::Choice;
use super::error::Error;
use super::metadata::SentMetadata;

/// Text of an input. In JSON a string, or an array of `{"type": "text", "text": …}` parts, which are joined with a blank line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content(pub String);

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a content part such as {\"type\": \"text\", \"text\": \"…\"}"
)]
struct Part {
    #[serde(rename = "type")]
    #[expect(
        dead_code,
        reason = "deserialized only for validation: `text` is the only kind"
    )]
    kind: Choice<PartKind>,
    text: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum PartKind {
    Text,
}

const CONTENT: &str =
    "a string, or an array of content parts such as {\"type\": \"text\", \"text\": \"…\"}";

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = Content;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(CONTENT)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Content, E> {
                Ok(Content(text.to_owned()))
            }

            fn visit_string<E: de::Error>(self, text: String) -> Result<Content, E> {
                Ok(Content(text))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, parts: A) -> Result<Content, A::Error> {
                join(parts)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Content, A::Error> {
                let first = fields.next_key::<String>()?;
                let is_number = first.is_some_and(|name| name == NUMBER_NAME);
                let found = if is_number { "a number" } else { "an object" };
                Err(A::Error::invalid_type(Unexpected::Other(found), &self))
            }
        }

        deserializer.deserialize_any(Text)
    }
}

fn join<'de, A: SeqAccess<'de>>(mut parts: A) -> Result<Content, A::Error> {
    let mut text = String::new();
    while let Some(part) = parts.next_element::<Part>()? {
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        text.push_str(&part.text);
    }
    Ok(Content(text))
}

/// Input of a batch as in the request: the content alone, or an object with `id`, `input` and `metadata`.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Identifier of at most 255 characters, returned with the result. Need not be unique.
    pub id: Option<String>,
    /// Text to extract from.
    pub content: Content,
    /// Strings returned with the result.
    pub metadata: Option<SentMetadata>,
}

/// Maximum length of an `id`, in characters.
const MAX_ID_CHARS: usize = 255;

impl From<Content> for Item {
    fn from(content: Content) -> Self {
        Self {
            id: None,
            content,
            metadata: None,
        }
    }
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ItemVisitor;

        impl<'de> Visitor<'de> for ItemVisitor {
            type Value = Item;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, an array of content parts, or an object with `input` and, if wanted, `id` and `metadata`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Item, E> {
                Ok(Content(text.to_owned()).into())
            }

            fn visit_string<E: de::Error>(self, text: String) -> Result<Item, E> {
                Ok(Content(text).into())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, parts: A) -> Result<Item, A::Error> {
                join(parts).map(Item::from)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Item, A::Error> {
                let first = fields.next_key::<String>()?;
                if first.as_deref() == Some(NUMBER_NAME) {
                    return Err(A::Error::invalid_type(Unexpected::Other("a number"), &self));
                }
                if let Some(name) = first.as_deref().filter(|name| !FIELDS.contains(name)) {
                    return fields.next_value_seed(UnknownField(name));
                }
                let fields = Peeked { first, fields };
                let fields = Fields::deserialize(de::value::MapAccessDeserializer::new(fields))?;
                Ok(Item {
                    id: fields.id.map(|id| id.0),
                    content: fields.input,
                    metadata: fields.metadata,
                })
            }
        }

        deserializer.deserialize_any(ItemVisitor)
    }
}

/// Names of the fields of an input.
const FIELDS: &[&str] = &["id", "input", "metadata"];

/// Seed that rejects the field of this name, where its value is.
struct UnknownField<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for UnknownField<'_> {
    type Value = Item;

    fn deserialize<D: Deserializer<'de>>(self, _: D) -> Result<Item, D::Error> {
        Err(D::Error::unknown_field(self.0, FIELDS))
    }
}

/// Fields of an object of which the first name was read already.
struct Peeked<A> {
    first: Option<String>,
    fields: A,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Peeked<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        match self.first.take() {
            Some(name) => seed.deserialize(name.into_deserializer()).map(Some),
            None => self.fields.next_key_seed(seed),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.fields.next_value_seed(seed)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    id: Option<Id>,
    input: Content,
    metadata: Option<SentMetadata>,
}

struct Id(String);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = String::deserialize(deserializer)?;
        if id.chars().nth(MAX_ID_CHARS).is_some() {
            return Err(de::Error::custom(format!(
                "an id has at most {MAX_ID_CHARS} characters"
            )));
        }
        Ok(Self(id))
    }
}

/// Serialized form of an input; deserializes as an [`Item`].
#[derive(Serialize)]
struct SerializedInput<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    input: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a SentMetadata>,
}

/// Input in processing.
#[derive(Debug)]
pub struct Input {
    /// Position among the inputs of the request, from 0.
    pub index: usize,
    /// Identifier given by the caller.
    pub id: Option<String>,
    /// Strings returned with the result.
    pub metadata: Option<SentMetadata>,
    /// Text, or the error that makes this input alone fail, such as an NDJSON line that is not JSON.
    pub content: Result<String, Error>,
    /// Memory reserved for this input alone. `None`: a body holds it.
    pub memory: Option<MemoryReservation>,
}

impl Input {
    /// Creates the input at a position from an item of the request.
    #[must_use]
    pub fn new(index: usize, item: Item) -> Self {
        Self {
            index,
            id: item.id,
            metadata: item.metadata,
            content: Ok(item.content.0),
            memory: None,
        }
    }

    /// Serializes the input as JSON that deserializes as the same [`Item`].
    ///
    /// # Errors
    /// If the input is unreadable: its own error.
    pub fn to_json(&self) -> Result<Vec<u8>, Error> {
        let input = self.content.as_ref().map_err(Error::clone)?;
        let serialized = SerializedInput {
            id: self.id.as_deref(),
            input,
            metadata: self.metadata.as_ref(),
        };
        // Serializing strings cannot fail.
        Ok(serde_json::to_vec(&serialized).unwrap_or_default())
    }

    /// Creates an input that fails with `error`.
    #[must_use]
    pub fn unreadable(index: usize, error: Error) -> Self {
        Self {
            index,
            id: None,
            metadata: None,
            content: Err(error),
            memory: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_a_string_parts_or_an_object() {
        let parse = |json: &str| serde_json::from_str::<Item>(json);
        assert_eq!(parse("\"a\"").unwrap().content.0, "a");
        let parts = r#"[{"type":"text","text":"a"},{"type":"text","text":"b"}]"#;
        assert_eq!(parse(parts).unwrap().content.0, "a\n\nb");
        let object = format!(r#"{{"id":"x","input":{parts},"metadata":{{"k":"v"}}}}"#);
        let item = parse(&object).unwrap();
        assert_eq!(
            (item.id.as_deref(), item.content.0.as_str()),
            (Some("x"), "a\n\nb")
        );
    }

    #[test]
    fn an_invalid_item_is_rejected_with_the_expected_form() {
        for (json, message) in [
            ("1", "a string, an array of content parts"),
            (r#"{"input":"a","ids":1}"#, "unknown field `ids`"),
            (r#"{"id":"a"}"#, "missing field `input`"),
            (r#"[{"type":"image_url","text":""}]"#, "expected `text`"),
        ] {
            let error = serde_json::from_str::<Item>(json).unwrap_err().to_string();
            assert!(error.contains(message), "{json}: {error}");
        }
        let long = serde_json::json!({"id": "é".repeat(256), "input": "a"});
        assert!(serde_json::from_value::<Item>(long).is_err());
    }
}
