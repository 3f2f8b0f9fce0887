//! Place in a value that a walk has reached, within a budget for the JSON Pointers of all places.

use serde_json::Value;

/// Bytes of pointers for each value: far more than the names around a value take on average.
const BYTES_PER_VALUE: usize = 64;
/// Bytes of pointers for each byte of the names and strings of a value.
const BYTES_PER_BYTE: usize = 4;
/// Bytes of pointers of any value.
const LEAST_BYTES: usize = 64 << 10;

/// Place of a value within another one.
///
/// The pointers of all places can be far longer than the value: a name of 100 kB around 50,000 numbers is part of 50,000 pointers.
#[derive(Debug)]
pub struct Place {
    pointer: String,
    /// Remaining bytes of pointers.
    left: usize,
}

impl Place {
    /// Returns the place of a whole value, with a budget by its size.
    #[must_use]
    pub fn root(value: &Value) -> Self {
        Self {
            pointer: String::new(),
            left: LEAST_BYTES.saturating_add(pointer_bytes(value)),
        }
    }

    /// Returns the JSON Pointer of the place.
    #[must_use]
    pub fn pointer(&self) -> &str {
        &self.pointer
    }

    /// Spends the bytes of the pointer. Returns false if they are not left: the place is passed over, with all within.
    pub fn visit(&mut self) -> bool {
        let left = self.left.checked_sub(self.pointer.len());
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }

    /// Goes to a member, and returns the way back.
    pub fn enter_member(&mut self, name: &str) -> Back {
        let back = Back(self.pointer.len());
        self.pointer.push('/');
        for c in name.chars() {
            match c {
                '~' => self.pointer.push_str("~0"),
                '/' => self.pointer.push_str("~1"),
                _ => self.pointer.push(c),
            }
        }
        back
    }

    /// Goes to an element, and returns the way back.
    pub fn enter_element(&mut self, index: usize) -> Back {
        let back = Back(self.pointer.len());
        self.pointer.push('/');
        self.pointer.push_str(&index.to_string());
        back
    }

    /// Goes back.
    pub fn leave(&mut self, back: Back) {
        self.pointer.truncate(back.0);
    }
}

/// Way back to the value around a member or an element.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct Back(usize);

fn pointer_bytes(value: &Value) -> usize {
    let within = match value {
        Value::String(text) => text.len() * BYTES_PER_BYTE,
        Value::Array(items) => items.iter().map(pointer_bytes).sum(),
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| name.len() * BYTES_PER_BYTE + pointer_bytes(member))
            .sum(),
        _ => 0,
    };
    BYTES_PER_VALUE + within
}
