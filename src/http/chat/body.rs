//! Body of a chat completion, field by field. Unknown fields belong to the provider.

use indexmap::IndexMap;
use serde::de::{DeserializeOwned, IgnoredAny};
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

    /// Returns the JSON texts of all fields.
    #[must_use]
    pub fn into_texts(self) -> IndexMap<String, Box<RawValue>> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Code;

    #[test]
    fn fields_keep_their_bytes_and_their_order() {
        let body = br#"{"d": 1.50, "b": ["a" , 1e400], "c": null, "a": 2}"#;
        let texts = Fields::parse(body).unwrap().into_texts();
        let texts = texts.iter().map(|(name, value)| (&**name, value.get()));
        let expected = [("d", "1.50"), ("b", r#"["a" , 1e400]"#), ("a", "2")];
        assert!(texts.eq(expected));
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
