//! Leaves of a JSON value, with the objects that they belong to.

use serde_json::Value;

use crate::options::{LeafKind, Options};
use crate::place::Place;

/// Levels below which leaves are left out. No JSON reader goes that deep.
pub const MOST_LEVELS: usize = 512;

/// A value that is neither an object nor an array nor null.
#[derive(Debug)]
pub struct Leaf<'v> {
    pub pointer: String,
    pub value: &'v Value,
    pub kind: LeafKind,
    /// Number of the object around the leaf.
    pub group: u32,
}

/// Leaves of a value in document order.
#[derive(Debug, Default)]
pub struct Leaves<'v> {
    pub leaves: Vec<Leaf<'v>>,
    /// Number of the object around each object.
    pub parents: Vec<u32>,
}

impl<'v> Leaves<'v> {
    pub fn new(value: &'v Value, options: &Options) -> Self {
        let mut leaves = Self {
            leaves: Vec::new(),
            parents: vec![0],
        };
        leaves.walk(value, &mut Place::root(value), 0, 0, options);
        leaves
    }

    fn walk(
        &mut self,
        value: &'v Value,
        place: &mut Place,
        group: u32,
        level: usize,
        options: &Options,
    ) {
        if value.is_null() || level > MOST_LEVELS || !place.visit() {
            return;
        }
        let kind = options.kind(place.pointer());
        if kind == LeafKind::Off {
            return;
        }
        match value {
            Value::Object(members) => {
                let group = if level == 0 { 0 } else { self.add_group(group) };
                for (name, member) in members {
                    let back = place.enter_member(name);
                    self.walk(member, place, group, level + 1, options);
                    place.leave(back);
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let back = place.enter_element(index);
                    self.walk(item, place, group, level + 1, options);
                    place.leave(back);
                }
            }
            _ => self.leaves.push(Leaf {
                pointer: place.pointer().to_owned(),
                value,
                kind,
                group,
            }),
        }
    }

    fn add_group(&mut self, parent: u32) -> u32 {
        self.parents.push(parent);
        u32::try_from(self.parents.len() - 1).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pointers(value: &Value) -> (usize, usize) {
        let leaves = Leaves::new(value, &Options::default()).leaves;
        let bytes = leaves.iter().map(|leaf| leaf.pointer.len()).sum();
        (leaves.len(), bytes)
    }

    #[test]
    fn a_long_name_around_many_values_takes_bounded_memory() {
        let value = json!({"first": 1, "a".repeat(10_000): vec![1; 5000], "last": {"a": 1}});
        let (leaves, bytes) = pointers(&value);
        assert!(
            (3..100).contains(&leaves) && bytes < 600_000,
            "{leaves}, {bytes}"
        );
        let found = Leaves::new(&value, &Options::default()).leaves;
        assert_eq!(
            found.last().map(|leaf| leaf.pointer.as_str()),
            Some("/last/a")
        );
        let deep = (0..100).fold(json!(1), |inner, _| json!({"a".repeat(1000): [inner, 1]}));
        assert!(pointers(&deep).1 < 1 << 20);
        // Ordinary names are far from the bound.
        let ordinary = json!({"measurements_of_the_day": vec![json!([{"x": 1, "y": 2}]); 20_000]});
        assert_eq!(pointers(&ordinary).0, 40_000);
        assert_eq!(pointers(&json!(vec![1; 100_000])).0, 100_000);
    }
}
