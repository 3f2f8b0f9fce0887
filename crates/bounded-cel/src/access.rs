//! Access to the elements of lists and the entries of maps.

use crate::budget::{Budget, EvalError};
use crate::operators::equal;
use crate::value::CelValue;

impl CelValue<'_> {
    /// Returns the value of a map's key. `None`: the key is absent.
    ///
    /// # Errors
    /// If the value is no map.
    pub fn get(&self, key: &Self, budget: &mut Budget) -> Result<Option<Self>, EvalError> {
        match self {
            Self::Object(members) => {
                let Some(name) = key.as_text() else {
                    return Ok(None);
                };
                budget.scan(name.len())?;
                members
                    .get(name)
                    .map(|value| Self::read(value, budget))
                    .transpose()
            }
            Self::Map(entries) => {
                for (known, value) in entries.iter() {
                    if equal(known, key, budget)? {
                        return Ok(Some(value.clone()));
                    }
                }
                Ok(None)
            }
            _ => Err(EvalError::no_overload(&format!(
                "a field of {}",
                self.kind().as_str()
            ))),
        }
    }

    /// Returns the element at an index of a list, or the value of a map's key.
    ///
    /// # Errors
    /// If there is no such element or key, or the value has neither.
    pub fn index(&self, index: &Self, budget: &mut Budget) -> Result<Self, EvalError> {
        let found = match self {
            Self::Object(_) | Self::Map(_) => self.get(index, budget)?,
            Self::Array(_) | Self::List(_) => {
                let position = index.as_list_index().ok_or_else(|| {
                    EvalError::no_overload(&format!("list[{}]", index.kind().as_str()))
                })?;
                match self {
                    Self::Array(items) => items
                        .get(position)
                        .map(|item| Self::read(item, budget))
                        .transpose()?,
                    Self::List(items) => items.get(position).cloned(),
                    _ => None,
                }
            }
            _ => {
                return Err(EvalError::no_overload(&format!(
                    "{}[{}]",
                    self.kind().as_str(),
                    index.kind().as_str()
                )));
            }
        };
        match (found, index.as_text()) {
            (Some(found), _) => Ok(found),
            (None, Some(name)) => Err(EvalError::Error(format!(
                "there is no key {}",
                budget.quote(name)?
            ))),
            (None, None) => Err(EvalError::Error(format!(
                "there is no element {}",
                index.for_display()
            ))),
        }
    }

    /// Converts a whole number to a list index; a negative or huge one to an index past the end. `None`: no whole number.
    fn as_list_index(&self) -> Option<usize> {
        let past_the_end = usize::MAX;
        match *self {
            Self::Int(position) => Some(usize::try_from(position).unwrap_or(past_the_end)),
            Self::Uint(position) => Some(usize::try_from(position).unwrap_or(past_the_end)),
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a cast keeps within the range, which is far past the end of any list"
            )]
            Self::Double(position) if position.fract() == 0.0 => {
                Some(usize::try_from(position as i64).unwrap_or(past_the_end))
            }
            _ => None,
        }
    }

    /// Returns an index as text for an error message.
    fn for_display(&self) -> String {
        match self {
            Self::Int(value) => value.to_string(),
            Self::Uint(value) => value.to_string(),
            Self::Double(value) => value.to_string(),
            _ => format!("of this {}", self.kind().as_str()),
        }
    }
}
