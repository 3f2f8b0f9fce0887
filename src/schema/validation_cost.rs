//! Cost of validating one instance: subschema evaluations, memory of possible errors, and recursion depth.
//!
//! A keyword whose work grows with the value counts as many evaluations as take as long: see `growth`.

mod count;
pub mod growth;
pub mod weight;

use std::cell::Cell;

use serde_json::Value;

use count::Count;
use schema_dialect::Tree;
use weight::{Cost, Faults, MAX_LINKS, Size, Weight};

/// Maximum number of subschema evaluations for an instance: a few seconds of work.
const MAX_EVALUATIONS: u64 = 5_000_000;
/// Maximum number of subschema evaluations for all that is tried for one answer: its candidates, their lifted forms and their
/// coercions. As many again may be taken by the removals of its absent values.
const MAX_ANSWER_EVALUATIONS: u64 = 4 * MAX_EVALUATIONS;
/// Share of the evaluations left up to which the quick bound counts, which may be far above the number; a larger one is counted
/// exactly.
const QUICK_SHARE: u64 = 16;
/// Maximum memory of all collected errors of an instance, in bytes.
const MAX_FAULTS_BYTES: u64 = 64 << 20;

/// Subschema evaluations that are left for several instances.
#[derive(Debug)]
pub struct Evaluations(Cell<u64>);

impl Evaluations {
    /// Returns the evaluations of all that is tried for one answer.
    #[must_use]
    pub const fn of_answer() -> Self {
        Self(Cell::new(MAX_ANSWER_EVALUATIONS))
    }

    /// Returns the evaluations of a request's examples: as many as those of one instance.
    #[must_use]
    pub const fn of_examples() -> Self {
        Self(Cell::new(MAX_EVALUATIONS))
    }

    /// Returns the evaluations that one instance may take.
    fn of_instance(&self) -> u64 {
        self.0.get().min(MAX_EVALUATIONS)
    }

    /// Spends evaluations, as many as are left at most.
    pub fn spend(&self, evaluations: u64) {
        self.0.set(self.0.get().saturating_sub(evaluations));
    }

    /// Returns true if no other instance may be validated.
    #[must_use]
    pub const fn are_used_up(&self) -> bool {
        self.0.get() == 0
    }
}

/// Instance to validate, with its schema.
#[derive(Debug, Clone, Copy)]
pub struct Trial<'t> {
    pub weight: &'t Weight,
    pub tree: &'t Tree,
    pub instance: &'t Value,
}

impl Trial<'_> {
    /// Returns the number of evaluations; the maximum if there are more.
    pub fn evaluations(&self) -> u64 {
        let counted = self.counted();
        counted.map_or(MAX_EVALUATIONS, |cost| cost.evaluations)
    }

    /// Returns true if validation stays within the limits.
    pub fn is_affordable(&self) -> bool {
        self.spend(&Evaluations::of_answer())
    }

    /// Spends the evaluations of a validation. Returns false if it would take more than are left.
    pub fn spend(&self, left: &Evaluations) -> bool {
        let limit = left.of_instance();
        let quick = (!self.weight.is_open).then(|| self.evaluations_at_most());
        let evaluations = quick
            .filter(|most| *most <= limit / QUICK_SHARE)
            .or_else(|| self.counted().map(|cost| cost.evaluations))
            .or(quick)
            .filter(|evaluations| *evaluations <= limit);
        left.spend(evaluations.unwrap_or_default());
        evaluations.is_some()
    }

    /// Returns true if all errors fit into memory. jsonschema collects all of them before it returns the first.
    pub fn is_explicable(&self) -> bool {
        !self.weight.is_open
            && !self.weight.has_choices
            && self.faults_bytes_at_most() <= MAX_FAULTS_BYTES
            || self
                .counted()
                .is_some_and(|cost| cost.faults_bytes <= MAX_FAULTS_BYTES)
    }

    /// Returns a quick and generous upper bound.
    fn evaluations_at_most(&self) -> u64 {
        let size = Size::measure(self.instance);
        self.weight.evaluations(size.values, size.text_bytes)
    }

    fn faults_bytes_at_most(&self) -> u64 {
        let Faults { count, bytes } = self.weight.faults;
        let of_a_value = bytes.saturating_add(count.saturating_mul(self.pointer_bytes()));
        // Names are validated by subschemas too.
        of_a_value
            .saturating_mul(Size::measure(self.instance).values)
            .saturating_mul(1 + self.weight.names)
    }

    /// Returns the maximum length of an error's pointers, in bytes.
    fn pointer_bytes(&self) -> u64 {
        (self.weight.pointer_bytes + longest_pointer(self.instance)) as u64
    }

    /// Counts each pair of subschema and value. `None`: too many or too deeply nested.
    fn counted(&self) -> Option<Cost> {
        let mut count = Count::new(&self.weight.patterns, self.pointer_bytes());
        count
            .cost_of(self.tree.root(), self.instance, 0)
            .filter(|cost| cost.links <= MAX_LINKS)
    }
}

fn longest_pointer(instance: &Value) -> usize {
    match instance {
        Value::Array(items) => items
            .iter()
            .map(longest_pointer)
            .max()
            .map_or(0, |longest| longest + 8),
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| 1 + name.len() + longest_pointer(member))
            .max()
            .unwrap_or_default(),
        _ => 0,
    }
}
