//! Mapping of values between the caller's form and the lowered form.

mod shape_match;
mod value_conversion;
mod value_mapping;

pub use value_conversion::NullPolicy;
pub use value_mapping::{Extra, Member, TypeSet, ValueMapping, ValueMappings};
