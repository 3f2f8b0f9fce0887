//! Evaluator: computes the value of an expression within a budget.

use serde_json::Value;

use crate::budget::{Budget, EvalError};
use crate::operators::{binary, negate};
use crate::pattern::Pattern;
use crate::syntax::{Expression, Kind, Macro};
use crate::value::{CelValue, Element};

/// State of an evaluation: the variables and the budget.
#[derive(Debug)]
pub struct Evaluation<'v, 'b> {
    data: &'v Value,
    input: &'v str,
    /// Variables of the enclosing macros, outermost first.
    locals: Vec<CelValue<'v>>,
    budget: &'b mut Budget,
}

impl<'v, 'b> Evaluation<'v, 'b> {
    pub const fn new(data: &'v Value, input: &'v str, budget: &'b mut Budget) -> Self {
        Self {
            data,
            input,
            locals: Vec::new(),
            budget,
        }
    }

    /// Evaluates a condition.
    ///
    /// # Errors
    /// If the evaluation fails or the value is no boolean.
    pub fn evaluate_condition(&mut self, condition: &'v Expression) -> Result<bool, EvalError> {
        match self.evaluate(condition)? {
            CelValue::Bool(value) => Ok(value),
            value => Err(EvalError::Error(format!(
                "a condition is a {}, not a bool",
                value.kind().as_str()
            ))),
        }
    }

    fn evaluate(&mut self, expression: &'v Expression) -> Result<CelValue<'v>, EvalError> {
        self.budget.spend(1)?;
        match &expression.kind {
            Kind::Null => Ok(CelValue::Null),
            Kind::Bool(value) => Ok(CelValue::Bool(*value)),
            Kind::Int(value) => Ok(CelValue::Int(*value)),
            Kind::Uint(value) => Ok(CelValue::Uint(*value)),
            Kind::Double(value) => Ok(CelValue::Double(*value)),
            Kind::Text(text) => Ok(CelValue::Text(text)),
            Kind::Type(name) => Ok(CelValue::Type(name)),
            Kind::Data => CelValue::read(self.data, self.budget),
            Kind::Input => Ok(CelValue::Text(self.input)),
            Kind::Local(local) => Ok(self.locals.get(*local).cloned().unwrap_or(CelValue::Null)),
            Kind::Field(object, name) => self.field(object, name),
            Kind::Has(object, name) => Ok(CelValue::Bool(
                self.evaluate(object)?
                    .get(&CelValue::Text(name), self.budget)?
                    .is_some(),
            )),
            Kind::Index(parts) => self.element(parts),
            Kind::Not(operand) => self
                .evaluate_condition(operand)
                .map(|value| CelValue::Bool(!value)),
            Kind::Negate(operand) => negate(&self.evaluate(operand)?),
            Kind::And(parts) => self.short_circuit(parts.iter(), false),
            Kind::Or(parts) => self.short_circuit(parts.iter(), true),
            Kind::Binary(operator, parts) => {
                let [left, right] = parts.as_ref();
                let (left, right) = (self.evaluate(left)?, self.evaluate(right)?);
                binary(*operator, &left, &right, self.budget)
            }
            Kind::Conditional(parts) => {
                let [condition, then, other] = parts.as_ref();
                if self.evaluate_condition(condition)? {
                    self.evaluate(then)
                } else {
                    self.evaluate(other)
                }
            }
            Kind::List(parts) => {
                let items = self.evaluate_all(parts)?;
                CelValue::list(items, self.budget)
            }
            Kind::Map(parts) => self.map(parts),
            Kind::Call(function, parts) => {
                let values = self.evaluate_all(parts)?;
                function.call(&values, self.budget)
            }
            Kind::Matches(text, pattern) => self.matches(text, pattern),
            Kind::Comprehension(macro_kind, parts) => self.comprehension(*macro_kind, parts),
            Kind::FilterMap(parts) => self.filter_map(parts),
        }
    }

    fn evaluate_all(&mut self, parts: &'v [Expression]) -> Result<Vec<CelValue<'v>>, EvalError> {
        parts.iter().map(|part| self.evaluate(part)).collect()
    }

    fn field(&mut self, object: &'v Expression, name: &'v str) -> Result<CelValue<'v>, EvalError> {
        let found = self
            .evaluate(object)?
            .get(&CelValue::Text(name), self.budget)?;
        found.ok_or_else(|| {
            EvalError::Error(format!(
                "the field `{name}` is not there; `has(…)` tells whether it is"
            ))
        })
    }

    fn element(&mut self, parts: &'v [Expression; 2]) -> Result<CelValue<'v>, EvalError> {
        let [container, index] = parts;
        let (container, index) = (self.evaluate(container)?, self.evaluate(index)?);
        container.index(&index, self.budget)
    }

    fn map(&mut self, parts: &'v [Expression]) -> Result<CelValue<'v>, EvalError> {
        self.budget
            .allocate(parts.len() * size_of::<CelValue<'_>>())?;
        let mut entries: Vec<(CelValue<'v>, CelValue<'v>)> = Vec::with_capacity(parts.len() / 2);
        for pair in parts.chunks_exact(2) {
            if let [key, value] = pair {
                entries.push((self.evaluate(key)?, self.evaluate(value)?));
            }
        }
        Ok(CelValue::Map(entries.into()))
    }

    fn matches(
        &mut self,
        text: &'v Expression,
        pattern: &Pattern,
    ) -> Result<CelValue<'v>, EvalError> {
        let value = self.evaluate(text)?;
        let Some(text) = value.as_text() else {
            return Err(EvalError::no_overload(&format!(
                "{}.matches(string)",
                value.kind().as_str()
            )));
        };
        self.budget
            .spend(pattern.cost.saturating_mul(text.len() as u64))?;
        Ok(CelValue::Bool(pattern.regex.is_match(text)))
    }

    /// Evaluates `&&` or `||`: one operand with the deciding value determines the result. An error of another operand counts only
    /// if none decides.
    fn short_circuit(
        &mut self,
        conditions: impl Iterator<Item = &'v Expression>,
        deciding: bool,
    ) -> Result<CelValue<'v>, EvalError> {
        let mut decision = Decision::new(deciding);
        for condition in conditions {
            let truth = self.evaluate_condition(condition);
            if decision.is_decided_by(truth)? {
                return Ok(CelValue::Bool(deciding));
            }
        }
        decision.finish()
    }

    fn comprehension(
        &mut self,
        macro_kind: Macro,
        parts: &'v [Expression; 2],
    ) -> Result<CelValue<'v>, EvalError> {
        let [list, each] = parts;
        let list = self.evaluate(list)?;
        let elements = elements(&list)?;
        match macro_kind {
            Macro::All | Macro::Exists => {
                let deciding = macro_kind == Macro::Exists;
                let mut decision = Decision::new(deciding);
                for element in elements {
                    let truth = self.with_local(element, |this| this.evaluate_condition(each));
                    if decision.is_decided_by(truth)? {
                        return Ok(CelValue::Bool(deciding));
                    }
                }
                decision.finish()
            }
            Macro::ExistsOne => {
                let mut found = 0_usize;
                for element in elements {
                    found += usize::from(
                        self.with_local(element, |this| this.evaluate_condition(each))?,
                    );
                }
                Ok(CelValue::Bool(found == 1))
            }
            Macro::Filter => {
                let mut kept = Vec::new();
                for element in elements {
                    let element = element.read(self.budget)?;
                    let local = Element::Made(element.clone());
                    if self.with_local(local, |this| this.evaluate_condition(each))? {
                        kept.push(element);
                    }
                }
                CelValue::list(kept, self.budget)
            }
            Macro::Map => {
                let mut made = Vec::new();
                for element in elements {
                    made.push(self.with_local(element, |this| this.evaluate(each))?);
                }
                CelValue::list(made, self.budget)
            }
        }
    }

    fn filter_map(&mut self, parts: &'v [Expression; 3]) -> Result<CelValue<'v>, EvalError> {
        let [list, condition, each] = parts;
        let list = self.evaluate(list)?;
        let mut made = Vec::new();
        for element in elements(&list)? {
            let value = self.with_local(element, |this| {
                if this.evaluate_condition(condition)? {
                    this.evaluate(each).map(Some)
                } else {
                    Ok(None)
                }
            })?;
            made.extend(value);
        }
        CelValue::list(made, self.budget)
    }

    /// Evaluates with `element` as the variable of a macro.
    fn with_local<T>(
        &mut self,
        element: Element<'v>,
        then: impl FnOnce(&mut Self) -> Result<T, EvalError>,
    ) -> Result<T, EvalError> {
        self.budget.spend(1)?;
        let element = element.read(self.budget)?;
        self.locals.push(element);
        let result = then(self);
        self.locals.pop();
        result
    }
}

fn elements<'a, 'v>(
    list: &'a CelValue<'v>,
) -> Result<Box<dyn Iterator<Item = Element<'v>> + 'a>, EvalError> {
    list.elements()
        .ok_or_else(|| EvalError::no_overload(&format!("a macro over {}", list.kind().as_str())))
}

/// Accumulated result of `&&`, `||`, `all` or `exists`.
struct Decision {
    deciding: bool,
    error: Option<EvalError>,
}

impl Decision {
    const fn new(deciding: bool) -> Self {
        Self {
            deciding,
            error: None,
        }
    }

    fn is_decided_by(&mut self, truth: Result<bool, EvalError>) -> Result<bool, EvalError> {
        match truth {
            Ok(value) => Ok(value == self.deciding),
            Err(EvalError::BudgetExhausted) => Err(EvalError::BudgetExhausted),
            Err(error) => {
                self.error.get_or_insert(error);
                Ok(false)
            }
        }
    }

    fn finish<'v>(self) -> Result<CelValue<'v>, EvalError> {
        self.error.map_or(Ok(CelValue::Bool(!self.deciding)), Err)
    }
}
