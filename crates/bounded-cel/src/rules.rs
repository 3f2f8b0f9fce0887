//! A list of rules: compiled with size limits, evaluated within one budget.

use serde_json::Value;

use crate::budget::{Budget, EvalError};
use crate::cost_estimate::CostEstimate;
use crate::data_path::common_pointer;
use crate::display::truncate_for_display;
use crate::error::{CompileError, Location};
use crate::evaluate::Evaluation;
use crate::lexer::SyntaxError;
use crate::parse;
use crate::syntax::{Expression, Kind};
use crate::type_check;
use crate::value::Type;

/// Maximum number of rules in a list.
const MAX_RULES: usize = 100;
/// Maximum length of an expression, in bytes.
const MAX_EXPRESSION_BYTES: usize = 4096;
/// Maximum length of all expressions together, in bytes.
const MAX_TOTAL_BYTES: usize = 64 * 1024;
/// Maximum length of a message, in bytes.
const MAX_MESSAGE_BYTES: usize = 500;
/// Maximum number of regular expressions in all rules together.
const MAX_PATTERNS: usize = 32;

/// Source of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// CEL expression over `data` and `input`; true if the data meets the rule. At most 4096 bytes.
    pub expression: String,
    /// Message of a violation. 1 to 500 bytes, not only whitespace.
    pub message: String,
}

/// Rule that data does not meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// JSON Pointer of the deepest existing value that contains everything of `data` the rule names. At most 1024 bytes.
    pub pointer: String,
    /// The rule's message; if the expression could not be evaluated, followed by the expression and the reason.
    pub message: String,
}

/// Compiled list of rules. The default has no rules.
#[derive(Debug, Default)]
pub struct Rules {
    rules: Vec<CompiledRule>,
    cost: CostEstimate,
}

#[derive(Debug)]
struct CompiledRule {
    source: Rule,
    expression: Expression,
    /// JSON Pointer of a violation, in data that has all the fields the expression names.
    pointer: String,
}

impl Rules {
    /// Compiles a list of rules.
    ///
    /// # Errors
    /// If the list, an expression or a message is too long, or an expression is invalid or not a condition.
    pub fn compile(rules: Vec<Rule>) -> Result<Self, CompileError> {
        check_sizes(&rules)?;
        let mut remaining_patterns = MAX_PATTERNS;
        let mut compiled = Self::default();
        for (index, source) in rules.into_iter().enumerate() {
            let expression = compile_condition(&source.expression, &mut remaining_patterns)
                .map_err(|error| CompileError::from_syntax(index, &source.expression, &error))?;
            compiled.cost.add(&expression);
            compiled.rules.push(CompiledRule {
                pointer: common_pointer(&expression),
                expression,
                source,
            });
        }
        Ok(compiled)
    }

    /// Returns true if compiling may take longer than about a millisecond, so that an async runtime should not do it inline.
    #[must_use]
    pub fn is_slow_to_compile(rules: &[Rule]) -> bool {
        const FAST_BYTES: usize = 8 * 1024;
        let bytes: usize = rules.iter().map(|rule| rule.expression.len()).sum();
        bytes > FAST_BYTES || rules.iter().any(|rule| rule.expression.contains("matches"))
    }

    /// Returns the rules as they were passed to [`Rules::compile`], in that order.
    pub fn sources(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().map(|rule| &rule.source)
    }

    /// Returns true if there are no rules.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Returns the first `max` rules that `data` violates, in the order of the rules.
    ///
    /// All rules share one budget of steps and bytes. A rule that cannot be evaluated counts as violated.
    #[must_use]
    pub fn violations(&self, data: &Value, input: &str, max: usize) -> Vec<Violation> {
        let mut budget = Budget::new();
        let violations = self.violations_within(data, input, &mut budget);
        violations.take(max).collect()
    }

    /// Returns true if `data` violates no rule, within a budget that other data may have spent from.
    #[must_use]
    pub fn are_met_within(&self, data: &Value, input: &str, budget: &mut Budget) -> bool {
        self.violations_within(data, input, budget).next().is_none()
    }

    fn violations_within(
        &self,
        data: &Value,
        input: &str,
        budget: &mut Budget,
    ) -> impl Iterator<Item = Violation> {
        let rules = self.rules.iter();
        rules.filter_map(move |rule| rule.violation(data, input, budget))
    }

    /// Returns true if [`Rules::violations`] may take longer than about a millisecond for JSON data of `data_bytes` bytes.
    #[must_use]
    pub fn is_slow_for(&self, data_bytes: usize, input_bytes: usize) -> bool {
        const FAST_STEPS: u64 = 10_000;
        const FAST_INPUT_BYTES: usize = 16 * 1024;
        if self.is_empty() {
            return false;
        }
        // An element takes at least two bytes: a digit and a comma.
        let values = (data_bytes / 2 + 1) as u64;
        // Each step may scan a text.
        let scan = 1 + Budget::steps_of_scan(data_bytes.saturating_add(input_bytes));
        let is_cheap = self
            .cost
            .max_steps(values)
            .is_some_and(|steps| steps.saturating_mul(scan) <= FAST_STEPS);
        !is_cheap || input_bytes > FAST_INPUT_BYTES
    }
}

impl CompiledRule {
    fn violation(&self, data: &Value, input: &str, budget: &mut Budget) -> Option<Violation> {
        let message =
            match Evaluation::new(data, input, budget).evaluate_condition(&self.expression) {
                Ok(true) => return None,
                Ok(false) => self.source.message.clone(),
                Err(error) => self.message_with_reason(&error),
            };
        let mut pointer = self.pointer.as_str();
        while data.pointer(pointer).is_none() {
            pointer = pointer.rsplit_once('/').unwrap_or_default().0;
        }
        Some(Violation {
            pointer: pointer.to_owned(),
            message,
        })
    }

    fn message_with_reason(&self, error: &EvalError) -> String {
        let reason = match error {
            EvalError::Error(reason) => reason,
            EvalError::BudgetExhausted => {
                "the rules take too much work with an answer or a text of this size"
            }
        };
        format!(
            "{} (the rule `{}` cannot be evaluated: {})",
            self.source.message,
            truncate_for_display(&self.source.expression),
            truncate_for_display(reason)
        )
    }
}

fn check_sizes(rules: &[Rule]) -> Result<(), CompileError> {
    let reject = |location, message: String| Err(CompileError { location, message });
    if rules.len() > MAX_RULES {
        let message =
            format!("has more than {MAX_RULES} rules; combine several into one with `&&`");
        return reject(Location::List, message);
    }
    let mut total_bytes = 0;
    for (index, rule) in rules.iter().enumerate() {
        total_bytes += rule.expression.len();
        let (expression, message) = (Location::Expression(index), Location::Message(index));
        if rule.expression.len() > MAX_EXPRESSION_BYTES {
            return reject(
                expression,
                format!("is longer than {MAX_EXPRESSION_BYTES} bytes"),
            );
        }
        if total_bytes > MAX_TOTAL_BYTES {
            return reject(
                expression,
                format!(
                    "the expressions up to this one are longer than {MAX_TOTAL_BYTES} bytes together"
                ),
            );
        }
        if rule.message.trim().is_empty() {
            return reject(
                message,
                "is empty; say what a violation of the rule means".to_owned(),
            );
        }
        if rule.message.len() > MAX_MESSAGE_BYTES {
            return reject(message, format!("is longer than {MAX_MESSAGE_BYTES} bytes"));
        }
    }
    Ok(())
}

/// Parses and type-checks an expression that may be true or false.
fn compile_condition(
    text: &str,
    remaining_patterns: &mut usize,
) -> Result<Expression, SyntaxError> {
    let expression = parse::parse(text, remaining_patterns)?;
    let reject = |found: &str| {
        Err(SyntaxError::new(
            expression.offset,
            format!("a rule has to be true or false, and this is {found}"),
        ))
    };
    match (type_check::type_of(&expression)?, &expression.kind) {
        // A comparison is a bool.
        (Type::Any, Kind::Binary(operator, _)) => {
            reject(&format!("the result of `{}`", operator.as_str()))
        }
        (Type::Bool | Type::Any, _) => Ok(expression),
        (other, _) => reject(&format!("a {}", other.as_str())),
    }
}
