//! Upper bound of the evaluation steps, known before there is data.

use crate::operator::Operator;
use crate::syntax::{Expression, Kind};

/// Upper bound of the steps that evaluating a list of rules takes, as a function of the number of values in the data.
#[derive(Debug, Default)]
pub struct CostEstimate {
    /// Steps by the nesting depth of macros: an expression at depth `n` runs up to `values^n` times.
    steps_by_depth: Vec<u64>,
    /// True if a macro iterates over a computed list, whose size is unknown.
    is_unbounded: bool,
}

impl CostEstimate {
    /// Adds an expression.
    pub fn add(&mut self, expression: &Expression) {
        self.add_at_depth(expression, 0);
    }

    /// Returns the maximum number of steps for data of so many values. `None`: there is no bound but the budget.
    pub fn max_steps(&self, values: u64) -> Option<u64> {
        let mut repetitions = 1_u64;
        let steps = self.steps_by_depth.iter().fold(0_u64, |sum, steps| {
            let steps = steps.saturating_mul(repetitions);
            repetitions = repetitions.saturating_mul(values);
            sum.saturating_add(steps)
        });
        (!self.is_unbounded).then_some(steps)
    }

    fn add_at_depth(&mut self, expression: &Expression, depth: usize) {
        self.add_step(depth);
        match &expression.kind {
            // These may iterate over their operands.
            Kind::Call(..)
            | Kind::Binary(Operator::Equal | Operator::Unequal | Operator::In | Operator::Add, _) =>
            {
                self.add_step(depth + 1);
            }
            Kind::Comprehension(..) | Kind::FilterMap(_) => {
                for (index, child) in expression.children().into_iter().enumerate() {
                    self.is_unbounded |= index == 0 && !is_part_of_data(child);
                    self.add_at_depth(child, depth + usize::from(index > 0));
                }
                return;
            }
            _ => {}
        }
        expression
            .children()
            .into_iter()
            .for_each(|child| self.add_at_depth(child, depth));
    }

    fn add_step(&mut self, depth: usize) {
        if self.steps_by_depth.len() <= depth {
            self.steps_by_depth.resize(depth + 1, 0);
        }
        if let Some(steps) = self.steps_by_depth.get_mut(depth) {
            *steps += 1;
        }
    }
}

/// Returns true if the expression names a part of `data`, given that every enclosing macro iterates over such a part.
fn is_part_of_data(expression: &Expression) -> bool {
    match &expression.kind {
        Kind::Data | Kind::Local(_) => true,
        Kind::Field(parent, _) => is_part_of_data(parent),
        Kind::Index(operands) => {
            let [parent, _] = operands.as_ref();
            is_part_of_data(parent)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_estimated_by_the_depth_of_macros() {
        for (expression, steps_of_10_values) in [
            ("data", Some(1)),
            ("!data", Some(2)),
            // Operators and functions that may iterate.
            ("data == data", Some(3 + 10)),
            ("data != data", Some(3 + 10)),
            ("data in data", Some(3 + 10)),
            ("data + data", Some(3 + 10)),
            ("size(data)", Some(2 + 10)),
            ("data < data", Some(3)),
            ("data.all(a, a)", Some(2 + 10)),
            ("data.a[0].all(a, a)", Some(5 + 10)),
            ("data.map(a, a, a)", Some(2 + 20)),
            ("data.all(a, a.all(b, b == a))", Some(2 + 20 + 300 + 1000)),
            ("[1].all(a, a)", None),
            ("data.all(a, [a].all(b, b))", None),
        ] {
            let mut estimate = CostEstimate::default();
            estimate.add(&crate::parse::parse(expression, &mut 0).unwrap());
            assert_eq!(estimate.max_steps(10), steps_of_10_values, "{expression}");
        }
    }
}
