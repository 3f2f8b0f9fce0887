//! Lowered schema: what is sent to a provider, and the conversion of answers.

use serde_json::Value;
use serde_json::value::RawValue;

use crate::mapping::{NullPolicy, ValueMappings};

/// Schema lowered to a dialect, with the mapping of values between the caller's form and the lowered form.
#[derive(Debug)]
pub struct LoweredSchema {
    /// Lowered schema as compact JSON.
    pub raw: Box<RawValue>,
    /// True if the provider's strict flag is set.
    pub strict: bool,
    /// True if the value is wrapped in an object with the one member `value`.
    pub wrapped: bool,
    /// Mapping of values. `None`: the forms differ only by wrapping.
    pub shapes: Option<ValueMappings>,
}

impl LoweredSchema {
    /// Lowers a value: converts the caller's form to the form of the answer.
    #[must_use]
    pub fn lowered(&self, value: &Value) -> Value {
        let value = self
            .shapes
            .as_ref()
            .map_or_else(|| value.clone(), |shapes| shapes.lowered(value));
        if self.wrapped {
            serde_json::json!({"value": value})
        } else {
            value
        }
    }

    /// Lifts a value: converts the form of the answer to the caller's. A part that is not in the lowered form stays unchanged.
    #[must_use]
    pub fn raised(&self, mut value: Value, null: NullPolicy) -> Value {
        // An answer without the wrapper is in the caller's form, where an empty list is no map.
        if self.wrapped {
            match value
                .as_object_mut()
                .filter(|members| members.len() == 1)
                .and_then(|members| members.remove("value"))
            {
                Some(unwrapped) => value = unwrapped,
                None => return value,
            }
        }
        match &self.shapes {
            Some(shapes) => shapes.raised(value, null),
            None => value,
        }
    }

    /// Lifts an answer to the caller's form. Of the possible meanings of its nulls, the first is returned of which `is_valid`
    /// returns true; an answer that is in the caller's form already stays as it is.
    #[must_use]
    pub fn lifted(&self, value: Value, is_valid: impl Fn(&Value) -> bool) -> Value {
        if self.is_as_it_was() {
            return value;
        }
        let form = |null| self.raised(value.clone(), null);
        let kept = form(NullPolicy::Value);
        if is_valid(&kept) {
            return kept;
        }
        // If no meaning is valid, coercion starts from the one without injected nulls.
        let own = form(NullPolicy::OwnValue);
        let others = [own.clone(), form(NullPolicy::Absence), value];
        let valid = others
            .into_iter()
            .find(|other| *other != kept && is_valid(other));
        valid.unwrap_or(own)
    }

    /// Returns true if [`LoweredSchema::raised`] changes nothing.
    #[must_use]
    pub const fn is_as_it_was(&self) -> bool {
        !self.wrapped && self.shapes.is_none()
    }
}
