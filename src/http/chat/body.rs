//! Body of a chat completion, field by field. Unknown fields belong to the provider.

use indexmap::IndexMap;
use serde::de::DeserializeOwned;
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
        let is_object = bytes.trim_ascii_start().first() == Some(&b'{');
        let value: Box<RawValue> = json_body::parse(bytes)?;
        if !is_object {
            return Err(Error::invalid("", "the body must be a JSON object"));
        }
        Self::from_raw(&value)
    }

    /// Reads the members of a JSON object.
    ///
    /// # Errors
    /// `invalid_request` if the value is not an object.
    pub fn from_raw(value: &RawValue) -> Result<Self, Error> {
        let mut fields: IndexMap<String, Box<RawValue>> = serde_json::from_str(value.get())
            .map_err(|_| Error::invalid("", "expected a JSON object"))?;
        fields.retain(|_, value| value.get() != "null");
        Ok(Self(fields))
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

    /// Returns all fields as values.
    #[must_use]
    pub fn to_values(&self) -> serde_json::Map<String, Value> {
        let value = |(name, value): (&str, &RawValue)| {
            (
                name.to_owned(),
                serde_json::from_str(value.get()).unwrap_or_default(),
            )
        };
        self.iter().map(value).collect()
    }
}
