//! Work of keywords that grows with the value, or with the values and names that they list.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

use schema_dialect::{Keyword, NodeRef};
use serde_json::Value;

/// Number of steps that cost as much as one evaluation. A step is the comparison or the hash of a short value.
const STEPS: u64 = 16;
/// Bytes of a text that are compared or hashed in one step.
const TEXT_BYTES: u64 = 16;
/// Digits of a number that are read in one step.
const DIGITS: u64 = 4;
/// Steps for 16 bytes of a text with a format.
const FORMAT: u64 = 8;
/// The same of an internationalised host name, whose labels of up to 1,000 characters take the square of their length.
const INTERNATIONAL: u64 = 1024;
/// The same of a text that is parsed as JSON.
const PARSED: u64 = 64;
/// Square of a text's length that takes one step to check as a regular expression: each group's name is compared with all others.
const SQUARE: u64 = 128;
/// Number of elements up to which jsonschema compares each with each; more are hashed.
const FEW_ELEMENTS: usize = 15;
/// Maximum nesting of arrays.
const MAX_NESTING: u64 = 128;

/// Steps of a subschema's keywords, or of all subschemas that apply to one value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Growth {
    /// Steps for any value, for the values that the schema lists.
    listed: u64,
    /// Number of names that an object must have, some of them beside others.
    names: u64,
    /// Number of lists of such names.
    name_lists: u64,
    /// Steps for the length of these names and of those of the properties.
    name_texts: u64,
    /// Steps for each 16 bytes of a text.
    text: u64,
    /// Number of checks of a text as a regular expression.
    squares: u64,
    /// Steps for each 4 digits of a number.
    digits: u64,
    /// Number of `uniqueItems`.
    unique: u64,
}

impl Growth {
    /// Returns the steps of a subschema's own keywords.
    pub fn of_schema(schema: NodeRef<'_>) -> Self {
        let constant = schema.constant().map(std::slice::from_ref);
        let listed = [constant, schema.values(Keyword::Enum)];
        let listed = || listed.iter().copied().flatten();
        let name_lists = || {
            let dependent = schema.dependent_required().iter();
            let dependent = dependent.map(|(_, names)| names.as_slice());
            let lists = std::iter::once(schema.required()).chain(dependent);
            lists.filter(|names| !names.is_empty())
        };
        let names = || name_lists().flatten().map(|name| &**name);
        let properties = schema.properties().into_iter();
        let properties = properties.flat_map(schema_dialect::Named::names);
        let format = schema.format().unwrap_or_default();
        let of_format = match format {
            "" => 0,
            "idn-hostname" | "idn-email" => INTERNATIONAL,
            _ => FORMAT,
        };
        let is_parsed = schema.text(Keyword::ContentMediaType) == Some("application/json");
        let is_long = [Keyword::MinLength, Keyword::MaxLength]
            .into_iter()
            .any(|keyword| schema.has(keyword))
            || listed().next().is_some();
        let is_encoded = schema.has(Keyword::ContentEncoding);
        let of_content = PARSED * u64::from(is_parsed) + FORMAT * u64::from(is_encoded);
        Self {
            listed: listed().map(compared).sum(),
            names: names().count() as u64,
            name_lists: name_lists().count() as u64,
            name_texts: names().chain(properties).map(text_steps).sum(),
            text: of_format + of_content + u64::from(is_long),
            squares: u64::from(format == "regex"),
            // Each is read once for its own comparison, and once more for each number that is listed.
            digits: 2 + listed().flatten().filter(|value| value.is_number()).count() as u64,
            unique: u64::from(
                schema
                    .get(Keyword::UniqueItems)
                    .is_some_and(schema_dialect::HeldRef::is_true),
            ),
        }
    }

    /// Returns the steps of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            listed: self.listed.saturating_add(other.listed),
            names: self.names.saturating_add(other.names),
            name_lists: self.name_lists.saturating_add(other.name_lists),
            name_texts: self.name_texts.saturating_add(other.name_texts),
            text: self.text.saturating_add(other.text),
            squares: self.squares.saturating_add(other.squares),
            digits: self.digits.saturating_add(other.digits),
            unique: self.unique.saturating_add(other.unique),
        }
    }

    /// Returns the larger one of each.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            listed: self.listed.max(other.listed),
            names: self.names.max(other.names),
            name_lists: self.name_lists.max(other.name_lists),
            name_texts: self.name_texts.max(other.name_texts),
            text: self.text.max(other.text),
            squares: self.squares.max(other.squares),
            digits: self.digits.max(other.digits),
            unique: self.unique.max(other.unique),
        }
    }

    /// Returns true if arrays are searched for equal elements.
    pub const fn is_unique(&self) -> bool {
        self.unique > 0
    }

    /// Returns the evaluations for any value.
    pub const fn of_any(&self) -> u64 {
        self.listed / STEPS
    }

    /// Returns the evaluations for a text of this length, in bytes, beside those for any value.
    pub const fn of_text(&self, bytes: u64) -> u64 {
        let squares = self.squares.saturating_mul(bytes.saturating_mul(bytes));
        let steps = self.text.saturating_mul(bytes) / TEXT_BYTES;
        steps.saturating_add(squares / SQUARE) / STEPS
    }

    /// Returns the evaluations for the names of an object of so many members, beside those for any value. The search in each list ends at
    /// the first name that is missing.
    pub const fn of_members(&self, members: u64) -> u64 {
        let most = self.name_lists.saturating_mul(members + 1);
        let found = if self.names < most { self.names } else { most };
        found.saturating_add(self.name_texts) / STEPS
    }

    /// Returns the evaluations for a number of so many digits, beside those for any value.
    pub const fn of_digits(&self, digits: u64) -> u64 {
        self.digits.saturating_mul(digits) / (DIGITS * STEPS)
    }

    /// Returns the evaluations for an array in which finding equal elements takes so many steps, beside those for any value.
    pub const fn of_unique(&self, steps: u64) -> u64 {
        self.unique.saturating_mul(steps) / STEPS
    }

    /// Returns the maximum number of evaluations for so many values, bytes of text and digits, and steps of finding equal elements.
    pub const fn at_most(&self, values: u64, text_bytes: u64, unique_steps: u64) -> u64 {
        let listed = self.listed.saturating_add(self.name_texts);
        // Each object has one name more than members, and each member is a value.
        let each = if self.names < 2 * self.name_lists {
            self.names
        } else {
            2 * self.name_lists
        };
        let of_values = listed.saturating_add(each).saturating_mul(values);
        (of_values / STEPS)
            .saturating_add(self.of_text(text_bytes))
            .saturating_add(self.of_digits(text_bytes))
            .saturating_add(self.of_unique(unique_steps))
    }
}

/// Returns the evaluations for the names of an object's members, of this length together, in bytes.
pub const fn of_names(bytes: u64) -> u64 {
    bytes / (TEXT_BYTES * STEPS)
}

/// Returns the maximum number of steps that finding equal elements takes in an instance of so many values and bytes of text.
pub const fn unique_steps(values: u64, text_bytes: u64) -> u64 {
    // At most, each element is compared with all others, and hashed in each of the arrays around it.
    let size = values.saturating_add(text_bytes / DIGITS);
    values.saturating_mul(size).saturating_mul(2)
}

/// Returns the same for an instance of so many bytes. Different elements that are compared have 8 bytes on average.
pub const fn unique_steps_of_bytes(bytes: u64) -> u64 {
    bytes.saturating_mul(bytes / 16 + MAX_NESTING + MAX_NESTING / 2)
}

/// Returns the steps that finding equal elements in an array takes.
pub fn steps_of_unique(items: &[Value]) -> u64 {
    let states = RandomState::new();
    let is_hashed = items.len() > FEW_ELEMENTS;
    let mut alike: HashMap<u64, Alike<'_>> = HashMap::new();
    let mut total = 0_u64;
    for item in items {
        let hash = if is_hashed { hash_of(item, &states) } else { 0 };
        let size = steps(item);
        let known = alike.entry(hash).or_default();
        // It is compared with each of the others, up to the end of the shorter one.
        let compared = known.count.saturating_mul(size).min(known.steps);
        total = total.saturating_add(size).saturating_add(compared);
        // The search ends at the first two that are equal. Few elements are searched in another order.
        if is_hashed && known.last == Some(item) {
            break;
        }
        known.count += 1;
        known.steps += size;
        known.last = Some(item);
    }
    total
}

/// Elements of an array with the same hash.
#[derive(Default)]
struct Alike<'v> {
    count: u64,
    steps: u64,
    last: Option<&'v Value>,
}

/// Returns a hash that is equal for all values for which that of jsonschema 0.61 is: it hashes numbers as `f64`, and of arrays only what
/// is in them.
fn hash_of(value: &Value, states: &RandomState) -> u64 {
    let mut hasher = states.build_hasher();
    hash_into(value, &mut hasher, states);
    hasher.finish()
}

/// Hashes a value. Recursion is as deep as the instance.
fn hash_into(value: &Value, hasher: &mut impl Hasher, states: &RandomState) {
    match value {
        Value::Null => hasher.write_u64(3_221_225_473),
        Value::Bool(value) => hasher.write_u64(u64::from(*value)),
        Value::Number(number) => {
            if let Some(number) = number.as_f64() {
                let is_zero = number == 0.0;
                hasher.write_u64(if is_zero { 0 } else { number.to_bits() });
            }
        }
        Value::String(text) => {
            hasher.write(text.as_bytes());
            hasher.write_u8(0xff);
        }
        Value::Array(items) => items
            .iter()
            .for_each(|item| hash_into(item, hasher, states)),
        Value::Object(members) => {
            let of_members = members.iter().map(|(name, member)| {
                let mut hasher = states.build_hasher();
                hasher.write(name.as_bytes());
                hasher.write_u8(0xff);
                hash_into(member, &mut hasher, states);
                hasher.finish()
            });
            hasher.write_u64(of_members.fold(0, |all, hash| all ^ hash));
        }
    }
}

/// Returns the steps that comparing or hashing a value takes. Recursion is as deep as the value.
fn steps(value: &Value) -> u64 {
    match value {
        Value::Null | Value::Bool(_) => 1,
        Value::Number(number) => 1 + number.as_str().len() as u64 / DIGITS,
        Value::String(text) => 1 + text_steps(text),
        Value::Array(items) => 1 + items.iter().map(steps).sum::<u64>(),
        Value::Object(members) => {
            let members = members.iter();
            1 + members
                .map(|(name, member)| text_steps(name) + steps(member))
                .sum::<u64>()
        }
    }
}

const fn text_steps(text: &str) -> u64 {
    text.len() as u64 / TEXT_BYTES
}

/// Returns the steps that comparing any value with listed ones takes, beside those that count for their number.
fn compared(listed: &[Value]) -> u64 {
    // Texts alone are looked up by their hash.
    if listed
        .iter()
        .all(|value| value.is_string() || value.is_null())
    {
        return 0;
    }
    listed.iter().map(|value| steps(value) - 1).sum()
}

#[cfg(test)]
mod tests;
