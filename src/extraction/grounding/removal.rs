//! Removal of absent values, where the schema and the rules allow it: an optional member is left out, a nullable value becomes
//! null, an element of a list is removed.
//!
//! An object none of whose values stands in the text was invented as a whole, and is removed as a whole if possible.

use std::cell::RefCell;
use std::collections::HashMap;

use evidence::Place;
use schema_dialect::pointer_tokens;
use serde_json::Value;

use crate::schema::{Evaluations, RuleBudget, Rules, Schema};
use crate::types::{EvidenceStatus, LeafEvidence};

/// Maximum number of trials that validate the whole value.
const MAX_TRIALS: usize = 1000;
/// Maximum number of members and elements that the removal of all parts at once passes or moves: a tenth of a second of work.
const MAX_MOVED: usize = 20_000_000;
/// Maximum number of removals that are described one by one.
const MAX_DESCRIBED: usize = 100;

/// Maximum number of characters of a value in a message.
const SHOWN_CHARS: usize = 80;

/// Way to do without a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Removal {
    /// The member or element is removed.
    LeaveOut,
    /// The value becomes null.
    Null,
}

/// Part of a value in which an absent value stands.
#[derive(Debug, Default)]
struct Part {
    pointer: String,
    inner: Vec<Part>,
    whole: Whole,
}

/// Removal of a part as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Whole {
    /// Never: something within stands in the text.
    #[default]
    Never,
    /// If something within could not be removed.
    Last,
    /// Before its parts are tried.
    First,
}

/// Numbers of values within a part.
#[derive(Debug, Clone, Copy, Default)]
struct Values {
    absent: usize,
    derived: usize,
    /// Those that the text states, and those without evidence.
    kept: usize,
}

/// Conditions of a value: its schema, and rules, which see the text too. All trials of an answer share the work.
#[derive(Debug)]
pub struct Conditions<'a> {
    pub schema: &'a Schema,
    pub rules: &'a Rules,
    pub text: &'a str,
    evaluations: Evaluations,
    budget: RefCell<RuleBudget>,
}

/// Removes absent values from a valid value, which stays valid.
pub struct Remover<'a> {
    conditions: Conditions<'a>,
    data: &'a mut Value,
    root: Part,
    trials: usize,
    repairs: Vec<String>,
}

impl<'a> Remover<'a> {
    pub fn new(conditions: Conditions<'a>, data: &'a mut Value, evidence: &[LeafEvidence]) -> Self {
        let statuses = evidence
            .iter()
            .map(|leaf| (leaf.pointer.as_str(), leaf.status))
            .collect();
        let mut values = Values::default();
        let place = &mut Place::root(data);
        let root = collect(data, place, false, &statuses, &mut values);
        Self {
            conditions,
            data,
            root: root.unwrap_or_default(),
            trials: 0,
            repairs: Vec::new(),
        }
    }

    /// Returns true if no value stands in the text.
    pub fn is_hollow(&self) -> bool {
        self.root.whole != Whole::Never
    }

    /// Removes what can be removed, and returns a description of each removal.
    pub fn run(mut self) -> Vec<String> {
        let root = std::mem::take(&mut self.root);
        let is_leaf = root.inner.is_empty() && root.whole == Whole::First;
        let parts = if is_leaf { vec![root] } else { root.inner };
        if !self.remove_all(&parts) {
            self.remove_each(&parts);
        }
        // The last ones were removed first.
        self.repairs.reverse();
        let more = self.repairs.len().saturating_sub(MAX_DESCRIBED);
        if more > 0 {
            self.repairs.truncate(MAX_DESCRIBED);
            self.repairs.push(format!("and {more} more of the kind"));
        }
        self.repairs
    }

    /// Removes all parts at once, each in its preferred way. Returns false, and removes nothing, if the result is not valid.
    fn remove_all(&mut self, parts: &[Part]) -> bool {
        let (before, mut repairs, mut moved) = (self.data.clone(), Vec::new(), 0);
        let mut wanted = Vec::new();
        removed_first(parts, &mut wanted);
        let are_removed = wanted.into_iter().rev().all(|part| {
            let [way, _] = self.ways(&part.pointer);
            repairs.push(describe(self.data, &part.pointer, way));
            let removed = remove(self.data, &part.pointer, way);
            moved += removed.as_ref().map_or(0, Removed::behind);
            removed.is_some() && moved <= MAX_MOVED
        });
        if are_removed && self.conditions.accepts(self.data) {
            self.repairs = repairs;
            return true;
        }
        *self.data = before;
        false
    }

    /// Removes each part by itself, the last one first, so that the pointers of the others stay right. Returns true if all were
    /// removed.
    fn remove_each(&mut self, parts: &[Part]) -> bool {
        let mut are_removed = true;
        for part in parts.iter().rev() {
            are_removed &= self.remove_part(part);
        }
        are_removed
    }

    fn remove_part(&mut self, part: &Part) -> bool {
        if part.whole == Whole::First && self.try_to_remove(&part.pointer) {
            return true;
        }
        let is_done = !part.inner.is_empty() && self.remove_each(&part.inner);
        is_done || part.whole == Whole::Last && self.try_to_remove(&part.pointer)
    }

    fn try_to_remove(&mut self, place: &str) -> bool {
        if self.trials >= MAX_TRIALS {
            return false;
        }
        self.ways(place).into_iter().any(|way| {
            self.trials += 1;
            if self.trials > MAX_TRIALS || !self.conditions.accepts_without(self.data, place, way) {
                return false;
            }
            self.repairs.push(describe(self.data, place, way));
            remove(self.data, place, way);
            true
        })
    }

    /// Returns the ways to remove a value, the preferred one first.
    fn ways(&self, place: &str) -> [Removal; 2] {
        if self.conditions.schema.requires_member(place) && !is_element(self.data, place) {
            [Removal::Null, Removal::LeaveOut]
        } else {
            [Removal::LeaveOut, Removal::Null]
        }
    }
}

impl<'a> Conditions<'a> {
    pub const fn new(schema: &'a Schema, rules: &'a Rules, text: &'a str) -> Self {
        Self {
            schema,
            rules,
            text,
            evaluations: Evaluations::of_answer(),
            budget: RefCell::new(RuleBudget::new()),
        }
    }

    fn accepts(&self, data: &Value) -> bool {
        self.schema.is_valid_within(data, &self.evaluations)
            && self
                .rules
                .are_met_within(data, self.text, &mut self.budget.borrow_mut())
    }

    /// Returns true if the value is valid after a removal, which is undone.
    fn accepts_without(&self, data: &mut Value, place: &str, way: Removal) -> bool {
        let Some(removed) = remove(data, place, way) else {
            return false;
        };
        let is_accepted = self.accepts(data);
        restore(data, place, removed);
        is_accepted
    }

    /// Returns whether the value at a place may be left out, and whether it may be null.
    pub fn alternatives(&self, data: &mut Value, place: &str) -> (bool, bool) {
        (
            self.accepts_without(data, place, Removal::LeaveOut),
            self.accepts_without(data, place, Removal::Null),
        )
    }
}

/// Returns the number of bytes that a search for a valid answer without its absent values validates, for an answer of `bytes` bytes: the
/// answer without all of them, then once for each that is left out and once for each that is replaced by null.
pub fn tried_bytes(bytes: usize, absent: usize) -> usize {
    bytes.saturating_mul(1 + (2 * absent).min(MAX_TRIALS))
}

/// Returns the parts of a value that are to be removed, and counts its values; `None` if none of them is absent.
fn collect(
    value: &Value,
    place: &mut Place,
    is_element: bool,
    statuses: &HashMap<&str, EvidenceStatus>,
    values: &mut Values,
) -> Option<Part> {
    let (mut inner, mut within) = (Vec::new(), Values::default());
    match value {
        Value::Null => {}
        _ if !place.visit() => within.kept += 1,
        Value::Object(members) => {
            for (name, member) in members {
                let back = place.enter_member(name);
                inner.extend(collect(member, place, false, statuses, &mut within));
                place.leave(back);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let back = place.enter_element(index);
                inner.extend(collect(item, place, true, statuses, &mut within));
                place.leave(back);
            }
        }
        _ => match statuses.get(place.pointer()) {
            Some(EvidenceStatus::Absent) => within.absent += 1,
            Some(EvidenceStatus::Derived) => within.derived += 1,
            _ => within.kept += 1,
        },
    }
    values.absent += within.absent;
    values.derived += within.derived;
    values.kept += within.kept;
    let is_invented_object = value.is_object() && within.derived == 0;
    let is_scalar = !value.is_object() && !value.is_array();
    let whole = match within.kept {
        0 if is_element || is_scalar || is_invented_object => Whole::First,
        0 => Whole::Last,
        _ => Whole::Never,
    };
    (within.absent > 0).then_some(Part {
        pointer: place.pointer().to_owned(),
        inner,
        whole,
    })
}

/// Collects the parts that are removed first, in document order.
fn removed_first<'p>(parts: &'p [Part], wanted: &mut Vec<&'p Part>) {
    for part in parts {
        if part.whole == Whole::First {
            wanted.push(part);
        } else {
            removed_first(&part.inner, wanted);
        }
    }
}

/// Returns true if the value at a place is an element of a list.
pub fn is_element(data: &Value, place: &str) -> bool {
    let parent = place
        .rsplit_once('/')
        .and_then(|(parent, _)| data.pointer(parent));
    parent.is_some_and(Value::is_array)
}

/// Value that was removed, with what is needed to put it back. The numbers are those of the members or elements behind it.
enum Removed {
    Member(usize, String, Value),
    Element(usize, Value),
    Replaced(Value),
}

impl Removed {
    /// Returns the number of members or elements that were moved.
    const fn behind(&self) -> usize {
        match self {
            Self::Member(behind, ..) | Self::Element(behind, _) => *behind,
            Self::Replaced(_) => 0,
        }
    }
}

/// Removes the value at a place. Returns `None`, and changes nothing, if that is not possible.
fn remove(data: &mut Value, place: &str, way: Removal) -> Option<Removed> {
    if way == Removal::Null {
        return data
            .pointer_mut(place)
            .map(|value| Removed::Replaced(value.take()));
    }
    let (parent, _) = place.rsplit_once('/')?;
    let name = pointer_tokens(place).last()?;
    match data.pointer_mut(parent)? {
        Value::Object(members) => {
            // The last ones are removed first.
            let behind = members.keys().rev().position(|key| *key == *name)?;
            let (name, value) = members.shift_remove_entry(&*name)?;
            Some(Removed::Member(behind, name, value))
        }
        Value::Array(items) => {
            let index = name.parse().ok().filter(|index| *index < items.len())?;
            let value = items.remove(index);
            Some(Removed::Element(items.len() - index, value))
        }
        _ => None,
    }
}

/// Puts a removed value back.
fn restore(data: &mut Value, place: &str, removed: Removed) {
    let parent = place.rsplit_once('/').map_or("", |(parent, _)| parent);
    match removed {
        Removed::Replaced(value) => {
            if let Some(place) = data.pointer_mut(place) {
                *place = value;
            }
        }
        Removed::Member(behind, name, value) => {
            if let Some(Value::Object(members)) = data.pointer_mut(parent) {
                members.shift_insert(members.len() - behind, name, value);
            }
        }
        Removed::Element(behind, value) => {
            if let Some(Value::Array(items)) = data.pointer_mut(parent) {
                items.insert(items.len() - behind, value);
            }
        }
    }
}

fn describe(data: &Value, place: &str, way: Removal) -> String {
    let what = match data.pointer(place) {
        Some(Value::Object(_) | Value::Array(_)) => "nothing in it stands in the text".to_owned(),
        _ => format!("{} does not stand in the text", shown(data, place)),
    };
    let place = if place.is_empty() {
        "the whole value"
    } else {
        place
    };
    match way {
        Removal::LeaveOut => format!("{place}: left out: {what}"),
        Removal::Null => format!("{place}: replaced by null: {what}"),
    }
}

/// Returns the value at a place as it appears in a message.
pub fn shown(data: &Value, place: &str) -> String {
    match data.pointer(place) {
        Some(Value::String(text)) if text.chars().nth(SHOWN_CHARS).is_some() => {
            let start: String = text.chars().take(SHOWN_CHARS).collect();
            Value::String(start + "…").to_string()
        }
        Some(value) => value.to_string(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_removal_moves_what_is_behind_and_is_undone() {
        let members: serde_json::Map<_, _> = (0..1000).map(|n| (n.to_string(), json!(n))).collect();
        let items: Vec<_> = (0..1000).collect();
        let data = json!({"members": members, "items": items});
        for (place, behind) in [
            ("/members/999", 0),
            ("/members/0", 999),
            ("/items/999", 0),
            ("/items/990", 9),
        ] {
            let mut changed = data.clone();
            let removed = remove(&mut changed, place, Removal::LeaveOut).unwrap();
            assert_eq!(removed.behind(), behind, "{place}");
            restore(&mut changed, place, removed);
            assert_eq!(changed.to_string(), data.to_string(), "{place}");
        }
    }
}
