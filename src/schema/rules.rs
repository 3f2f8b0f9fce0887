//! Rules beyond JSON Schema: conditions that an object has to meet, in the Common Expression Language
//! (<https://github.com/google/cel-spec/blob/master/doc/langdef.md>, read 2026-11-22), over `data` and `input`.
//!
//! Of our own making: an expression comes from a caller and what it works with from a model, and the crates there are neither
//! bound the steps of an evaluation nor the depth of a parse. Here both are counted, and JSON is worked with where it is.

mod budget;
mod evaluate;
mod functions;
mod lexer;
mod operators;
mod parse;
mod pattern;
mod syntax;
mod time;
mod type_check;
mod value;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde_json::Value;

use super::MAX_FAULTS;
use crate::types::{Error, FieldError, Rule, pointer, truncate_for_display, truncate_pointer};
use budget::{Budget, EvalError};
use evaluate::Evaluation;
use lexer::SyntaxError;
use syntax::{Expression, Kind, Operator};
use value::Type;

/// Most rules of a request.
const MAX_RULES: usize = 100;
/// Longest expression, in bytes.
const MAX_EXPRESSION_BYTES: usize = 4096;
/// Of all expressions together, in bytes.
const MAX_TOTAL_BYTES: usize = 64 * 1024;
/// Longest message, in bytes.
const MAX_WORDS_BYTES: usize = 500;
/// Most regular expressions of a request's rules.
const MAX_PATTERNS: usize = 32;

/// The rules of a request, compiled.
#[derive(Debug, Default)]
pub struct Rules {
    rules: Vec<Compiled>,
    weight: Weight,
}

/// What evaluating may take.
#[derive(Debug, Default)]
struct Weight {
    /// Steps for each value there is, at the most, by how deep macros stand within each other.
    steps: Vec<u64>,
    /// A macro goes through something that is made, and so of any size.
    is_open: bool,
}

#[derive(Debug)]
struct Compiled {
    rule: Rule,
    expression: Expression,
    /// Where a broken rule is: the one place of `data` that the expression names, or the nearest above all that it names.
    pointer: String,
}

impl Rules {
    /// Compiles rules.
    ///
    /// # Errors
    /// `invalid_request` at `/rules/…`, with the line and the column of an expression that is none.
    pub fn compile(rules: Vec<Rule>) -> Result<Self, Error> {
        check_sizes(&rules)?;
        let mut patterns = MAX_PATTERNS;
        let compiled = rules.into_iter().enumerate().map(|(index, rule)| {
            let expression = compile(&rule.expression, &mut patterns);
            let expression =
                expression.map_err(|wrong| refusal(index, &rule.expression, &wrong))?;
            Ok(Compiled {
                pointer: place(&expression),
                expression,
                rule,
            })
        });
        let rules = compiled.collect::<Result<Vec<_>, Error>>()?;
        let mut weight = Weight::default();
        for compiled in &rules {
            weight.add(&compiled.expression, 0);
        }
        Ok(Self { rules, weight })
    }

    /// The same, beside the runtime's workers where it takes more than about a millisecond.
    ///
    /// # Errors
    /// As [`Rules::compile`].
    pub async fn compiled(rules: Vec<Rule>) -> Result<Arc<Self>, Error> {
        const QUICK_BYTES: usize = 8 * 1024;
        let bytes: usize = rules.iter().map(|rule| rule.expression.len()).sum();
        if bytes <= QUICK_BYTES && !rules.iter().any(|rule| rule.expression.contains("matches")) {
            return Self::compile(rules).map(Arc::new);
        }
        let compiled = tokio::task::spawn_blocking(move || Self::compile(rules));
        compiled
            .await
            .unwrap_or_else(|_| Err(Error::invalid("/rules", "could not be compiled")))
            .map(Arc::new)
    }

    /// The rules as they were sent.
    pub fn sources(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().map(|compiled| &compiled.rule)
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Which rules `data` breaks that was extracted from `input`, at most twenty.
    #[must_use]
    pub fn faults(&self, data: &Value, input: &str) -> Vec<FieldError> {
        let mut budget = Budget::new();
        let faults = self
            .rules
            .iter()
            .filter_map(|compiled| compiled.fault(data, input, &mut budget));
        faults.take(MAX_FAULTS).collect()
    }

    /// Whether judging data of `bytes` bytes may keep a thread busy for longer than about a millisecond.
    #[must_use]
    pub fn is_slow_for(&self, bytes: usize, input_bytes: usize) -> bool {
        const QUICK_STEPS: u64 = 10_000;
        const QUICK_INPUT_BYTES: usize = 16 * 1024;
        if self.is_empty() {
            return false;
        }
        // An element has two bytes at the least: its digit, and its comma.
        let values = (bytes / 2 + 1) as u64;
        let mut times = 1_u64;
        let steps = self.weight.steps.iter().fold(0_u64, |steps, level| {
            let more = level.saturating_mul(times);
            times = times.saturating_mul(values);
            steps.saturating_add(more)
        });
        self.weight.is_open || steps > QUICK_STEPS || input_bytes > QUICK_INPUT_BYTES
    }
}

impl Compiled {
    fn fault(&self, data: &Value, input: &str, budget: &mut Budget) -> Option<FieldError> {
        let message = match Evaluation::new(data, input, budget).truth(&self.expression) {
            Ok(true) => return None,
            Ok(false) => self.rule.message.clone(),
            Err(stop) => {
                let why = match stop {
                    EvalError::Error(why) => why,
                    EvalError::UsedUp => {
                        "the rules take too much work with an answer or a text of this size"
                            .to_owned()
                    }
                };
                let expression = truncate_for_display(&self.rule.expression);
                format!(
                    "{} (the rule `{expression}` cannot be evaluated: {})",
                    self.rule.message,
                    truncate_for_display(&why)
                )
            }
        };
        let mut at = self.pointer.as_str();
        while data.pointer(at).is_none() {
            at = at.rsplit_once('/').unwrap_or_default().0;
        }
        Some(FieldError {
            pointer: at.to_owned(),
            message,
        })
    }
}

fn check_sizes(rules: &[Rule]) -> Result<(), Error> {
    if rules.len() > MAX_RULES {
        return Err(Error::invalid(
            "/rules",
            format!("has more than {MAX_RULES} rules; `&&` makes one of several"),
        ));
    }
    let mut bytes = 0;
    for (index, rule) in rules.iter().enumerate() {
        let refuse = |field: &str, what: String| {
            Err(Error::invalid(format!("/rules/{index}/{field}"), what))
        };
        bytes += rule.expression.len();
        if rule.expression.len() > MAX_EXPRESSION_BYTES {
            return refuse(
                "expression",
                format!("is longer than {MAX_EXPRESSION_BYTES} bytes"),
            );
        }
        if bytes > MAX_TOTAL_BYTES {
            return refuse(
                "expression",
                format!(
                    "with this one, the rules are longer than {MAX_TOTAL_BYTES} bytes together"
                ),
            );
        }
        if rule.message.trim().is_empty() {
            return refuse(
                "message",
                "is empty; it tells the model and the caller what a broken rule means".to_owned(),
            );
        }
        if rule.message.len() > MAX_WORDS_BYTES {
            return refuse("message", format!("is longer than {MAX_WORDS_BYTES} bytes"));
        }
    }
    Ok(())
}

/// Reads an expression that can be a condition.
fn compile(text: &str, patterns: &mut usize) -> Result<Expression, SyntaxError> {
    let expression = parse::parse(text, patterns)?;
    let refuse = |what: &str| {
        Err(SyntaxError::new(
            expression.at,
            format!("a rule has to be true or false, and this is {what}"),
        ))
    };
    match (type_check::kind(&expression)?, &expression.kind) {
        (Type::Any, Kind::Binary(operator, _)) if !operator.decides() => {
            refuse(&format!("what `{}` gives", operator.as_str()))
        }
        (Type::Bool | Type::Any, _) => Ok(expression),
        (kind, _) => refuse(&format!("a {}", kind.as_str())),
    }
}

fn refusal(index: usize, text: &str, wrong: &SyntaxError) -> Error {
    let before = text.get(..wrong.at).unwrap_or(text);
    let line = 1 + before.matches('\n').count();
    let column = 1 + before
        .rsplit('\n')
        .next()
        .unwrap_or_default()
        .chars()
        .count();
    let message = format!(
        "{} (line {line}, column {column})",
        truncate_for_display(&wrong.message)
    );
    Error::invalid(format!("/rules/{index}/expression"), message)
}

impl Weight {
    /// Adds an expression that stands within so many macros.
    fn add(&mut self, expression: &Expression, depth: usize) {
        self.step(depth);
        match &expression.kind {
            // These may go through what they are given.
            Kind::Call(..)
            | Kind::Binary(Operator::Equal | Operator::Unequal | Operator::In | Operator::Add, _) =>
            {
                self.step(depth + 1);
            }
            Kind::Loop(..) | Kind::MapSome(_) => {
                for (index, part) in expression.parts().into_iter().enumerate() {
                    self.is_open |= index == 0 && !is_part_of_data(part);
                    self.add(part, depth + usize::from(index > 0));
                }
                return;
            }
            _ => {}
        }
        expression
            .parts()
            .into_iter()
            .for_each(|part| self.add(part, depth));
    }

    fn step(&mut self, depth: usize) {
        if self.steps.len() <= depth {
            self.steps.resize(depth + 1, 0);
        }
        if let Some(steps) = self.steps.get_mut(depth) {
            *steps += 1;
        }
    }
}

/// Whether it names something of `data`, if each macro around goes through such.
fn is_part_of_data(expression: &Expression) -> bool {
    match &expression.kind {
        Kind::Data | Kind::Local(_) => true,
        Kind::Field(of, _) => is_part_of_data(of),
        Kind::Index(parts) => {
            let [of, _] = parts.as_ref();
            is_part_of_data(of)
        }
        _ => false,
    }
}

/// The pointer of the place that is above everything of `data` that an expression names.
fn place(expression: &Expression) -> String {
    let mut paths = Vec::new();
    collect(expression, &mut paths);
    let mut paths = paths.into_iter();
    let Some(mut common) = paths.next() else {
        return String::new();
    };
    for path in paths {
        let shared = common
            .iter()
            .zip(&path)
            .take_while(|(one, other)| one == other)
            .count();
        common.truncate(shared);
    }
    let pointer = common
        .iter()
        .fold(String::new(), |at, step| pointer(&at, step));
    truncate_pointer(&pointer).to_owned()
}

fn collect(expression: &Expression, paths: &mut Vec<Vec<String>>) {
    match path(expression) {
        Some(path) => paths.push(path),
        None => expression
            .parts()
            .into_iter()
            .for_each(|part| collect(part, paths)),
    }
}

/// The steps from `data` to what an expression names; `None` if it is no path.
fn path(expression: &Expression) -> Option<Vec<String>> {
    let (of, step) = match &expression.kind {
        Kind::Data => return Some(Vec::new()),
        Kind::Field(of, name) | Kind::Has(of, name) => (of.as_ref(), name.to_string()),
        Kind::Index(parts) => match parts.as_ref() {
            [
                of,
                Expression {
                    kind: Kind::Text(name),
                    ..
                },
            ] => (of, name.to_string()),
            [
                of,
                Expression {
                    kind: Kind::Int(place),
                    ..
                },
            ] => (of, place.to_string()),
            _ => return None,
        },
        _ => return None,
    };
    let mut path = path(of)?;
    path.push(step);
    Some(path)
}
