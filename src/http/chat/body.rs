//! Body of a chat completion, field by field. Unknown fields belong to the provider.

use indexmap::IndexMap;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::json_body;
use crate::types::{Error, pointer, truncate_for_display};

/// Fields of a body, each as its exact bytes. A null field counts as absent.
#[derive(Debug, Clone, Default)]
pub struct Fields(IndexMap<String, Box<RawValue>>);

impl Fields {
    /// Parses a body.
    ///
    /// # Errors
    /// `invalid_json`, or `invalid_request` if the body is not an object.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            let _: IgnoredAny = json_body::parse(bytes)?;
            return Err(Error::invalid("", "the body must be a JSON object"));
        }
        json_body::parse(bytes).map(Self::without_nulls)
    }

    /// Reads the members of a JSON object.
    ///
    /// # Errors
    /// `invalid_request` if the value is not an object.
    pub fn from_raw(value: &RawValue) -> Result<Self, Error> {
        serde_json::from_str(value.get())
            .map(Self::without_nulls)
            .map_err(|_| Error::invalid("", "expected a JSON object"))
    }

    fn without_nulls(mut fields: IndexMap<String, Box<RawValue>>) -> Self {
        fields.retain(|_, value| value.get() != "null");
        Self(fields)
    }

    /// Returns a field's JSON text.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&RawValue> {
        self.0.get(name).map(|value| &**value)
    }

    /// Deserializes a field.
    ///
    /// # Errors
    /// `invalid_request` at the field, if it is of another type than `expected`.
    pub fn parse_field<T: DeserializeOwned>(
        &self,
        name: &str,
        expected: &str,
    ) -> Result<Option<T>, Error> {
        let Some(value) = self.0.get(name) else {
            return Ok(None);
        };
        serde_json::from_str(value.get()).map(Some).map_err(|_| {
            let found = truncate_for_display(value.get());
            let message = format!("must be {expected}, and is {found}");
            Error::invalid(pointer("", name), message)
        })
    }

    /// Deserializes a field as [`Fields::parse_field`] does, and drops its text. A null keeps its place among the fields.
    ///
    /// # Errors
    /// `invalid_request` at the field, if it is of another type than `expected`.
    pub fn parse_once<T: DeserializeOwned>(
        &mut self,
        name: &str,
        expected: &str,
    ) -> Result<Option<T>, Error> {
        let parsed = self.parse_field(name, expected)?;
        if let Some(text) = self.0.get_mut(name) {
            *text = Box::default();
        }
        Ok(parsed)
    }

    /// Sets a field to a JSON text.
    pub fn insert(&mut self, name: &str, value: Box<RawValue>) {
        self.0.insert(name.to_owned(), value);
    }

    /// Takes a field out.
    pub fn take(&mut self, name: &str) -> Option<Box<RawValue>> {
        self.0.shift_remove(name)
    }

    /// Returns all fields, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), &**value))
    }

    /// Appends the fields of another body. Those of the same name are replaced.
    pub fn append(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Returns all fields as values. Each text is dropped once it is parsed.
    #[must_use]
    pub fn into_values(self) -> serde_json::Map<String, Value> {
        let value = |(name, value): (String, Box<RawValue>)| {
            (name, serde_json::from_str(value.get()).unwrap_or_default())
        };
        self.0.into_iter().map(value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Code;

    #[test]
    fn a_field_that_is_parsed_once_keeps_its_place_without_its_text() {
        let mut fields = Fields::parse(br#"{"a": 1, "b": ["text"], "c": null, "d": 2}"#).unwrap();
        assert_eq!(
            fields.parse_once("b", "").unwrap(),
            Some(["text".to_owned()])
        );
        assert_eq!(fields.parse_once::<Value>("c", "").unwrap(), None);
        assert_eq!(fields.get("b").map(RawValue::get), Some("null"));
        let names: Vec<_> = fields.into_values().into_iter().collect();
        let expected = [("a", Value::from(1)), ("b", Value::Null), ("d", 2.into())];
        assert_eq!(
            names,
            expected.map(|(name, value)| (name.to_owned(), value))
        );
    }

    #[test]
    fn a_body_that_is_no_object_or_no_json_is_an_error() {
        for (body, code) in [
            ("[1]", Code::InvalidRequest),
            ("[1", Code::InvalidJson),
            ("{1", Code::InvalidJson),
        ] {
            assert_eq!(
                Fields::parse(body.as_bytes()).unwrap_err().code,
                code,
                "{body}"
            );
        }
    }
}
