//! Strict JSON in which no member name has a special meaning.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// A JSON value in which every member is taken literally.
///
/// serde_json's own `Value` treats an object whose first name is `$serde_json::private::RawValue`
/// as raw text. It parses that member's text as JSON again, with the full nesting limit once more.
#[derive(Debug, Clone, PartialEq)]
pub struct StrictJson(pub Value);

impl<'de> Deserialize<'de> for StrictJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = StrictJson;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON value")
            }

            fn visit_unit<E>(self) -> Result<StrictJson, E> {
                Ok(StrictJson(Value::Null))
            }

            fn visit_bool<E>(self, value: bool) -> Result<StrictJson, E> {
                Ok(StrictJson(Value::Bool(value)))
            }

            fn visit_u64<E>(self, value: u64) -> Result<StrictJson, E> {
                Ok(StrictJson(Value::Number(value.into())))
            }

            fn visit_i64<E>(self, value: i64) -> Result<StrictJson, E> {
                Ok(StrictJson(Value::Number(value.into())))
            }

            fn visit_f64<E>(self, value: f64) -> Result<StrictJson, E> {
                Ok(StrictJson(
                    Number::from_f64(value).map_or(Value::Null, Value::Number),
                ))
            }

            fn visit_str<E>(self, value: &str) -> Result<StrictJson, E> {
                Ok(StrictJson(Value::String(value.to_owned())))
            }

            fn visit_string<E>(self, value: String) -> Result<StrictJson, E> {
                Ok(StrictJson(Value::String(value)))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<StrictJson, A::Error> {
                let mut array = Vec::new();
                while let Some(StrictJson(item)) = items.next_element()? {
                    array.push(item);
                }
                Ok(StrictJson(Value::Array(array)))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<StrictJson, A::Error> {
                let mut object = Map::new();
                while let Some((name, StrictJson(member))) =
                    members.next_entry::<String, StrictJson>()?
                {
                    object.insert(name, member);
                }
                Ok(StrictJson(Value::Object(object)))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_name() {
        for text in [
            r#"{"$serde_json::private::RawValue":"{}"}"#,
            r#"{"$serde_json::private::RawValue":5}"#,
            r#"{"a":[{"$serde_json::private::RawValue":"[["}]}"#,
            r#"{"$serde_json::private::Number":"1"}"#,
            r#"{"b":null,"a":[true,-1,18446744073709551615,1.5,"é"]}"#,
        ] {
            assert_eq!(
                serde_json::from_str::<StrictJson>(text)
                    .unwrap()
                    .0
                    .to_string(),
                text
            );
        }
        assert_eq!(
            serde_json::from_str::<StrictJson>(r#"{"a":1,"a":2}"#)
                .unwrap()
                .0
                .to_string(),
            r#"{"a":2}"#
        );
        assert!(
            serde_json::from_str::<StrictJson>(&"[".repeat(128))
                .unwrap_err()
                .to_string()
                .contains("recursion")
        );
    }
}
