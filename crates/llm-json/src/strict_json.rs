//! Strict JSON in which no member name has a special meaning.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
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
                while let Some(name) = members.next_key::<String>()? {
                    let member = if name == NUMBER_NAME {
                        match members.next_value()? {
                            ReservedMember::Number(text) => return number(&text),
                            ReservedMember::Literal(StrictJson(member)) => member,
                        }
                    } else {
                        members.next_value::<StrictJson>()?.0
                    };
                    object.insert(name, member);
                }
                Ok(StrictJson(Value::Object(object)))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

/// Maximum length of a number, in bytes.
const MAX_NUMBER_BYTES: usize = 1000;

/// Reads a number with all its digits.
fn number<E: Error>(text: &str) -> Result<StrictJson, E> {
    // serde_json's words, which callers look for.
    parse_number(text)
        .map(|number| StrictJson(Value::Number(number)))
        .ok_or_else(|| E::custom("number out of range"))
}

/// Parses a JSON number, with all its digits. Returns `None` for text that is not a number, for a number out of the range of a
/// double, and for one of more than 1,000 characters.
pub(crate) fn parse_number(text: &str) -> Option<Number> {
    let number: Number = serde_json::from_str(text).ok()?;
    (text.len() <= MAX_NUMBER_BYTES && number.as_f64().is_some()).then_some(number)
}

/// Name under which serde_json presents a number with all its digits: as a map with this one member.
pub const NUMBER_NAME: &str = "$serde_json::private::Number";

/// Value of a member with the reserved name.
///
/// An object may have a member of that name too. The way in which the value is presented tells them apart: the text of a number
/// ignores what is asked for, while the value of a member is there and optional.
enum ReservedMember {
    /// Text of a number.
    Number(String),
    /// Value of an object's member.
    Literal(StrictJson),
}

impl<'de> Deserialize<'de> for ReservedMember {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Presented;

        impl<'de> Visitor<'de> for Presented {
            type Value = ReservedMember;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_str<E>(self, text: &str) -> Result<ReservedMember, E> {
                Ok(ReservedMember::Number(text.to_owned()))
            }

            fn visit_none<E>(self) -> Result<ReservedMember, E> {
                Ok(ReservedMember::Literal(StrictJson(Value::Null)))
            }

            fn visit_some<D: Deserializer<'de>>(
                self,
                value: D,
            ) -> Result<ReservedMember, D::Error> {
                StrictJson::deserialize(value).map(ReservedMember::Literal)
            }
        }

        deserializer.deserialize_option(Presented)
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
            r#"{"$serde_json::private::Number":null,"a":2}"#,
            r#"[{"$serde_json::private::Number":1.50}]"#,
            r#"{"b":null,"a":[true,-1,18446744073709551615,1.5,"é"]}"#,
            "[9400111899223818218411,1.10,12.50,-0,1e+5,0.123456789012345678901234567890]",
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
