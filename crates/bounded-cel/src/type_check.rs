//! Type checker: finds type errors that occur for any data.

use crate::budget::{Budget, EvalError};
use crate::lexer::SyntaxError;
use crate::operator::Operator;
use crate::operators::binary;
use crate::syntax::{Expression, Kind, Macro};
use crate::value::{CelValue, Type};

/// Returns the static type of an expression.
///
/// # Errors
/// If an operation does not exist for the types of its operands, whatever the data.
pub fn type_of(expression: &Expression) -> Result<Type, SyntaxError> {
    let kinds = expression
        .children()
        .into_iter()
        .map(type_of)
        .collect::<Result<Vec<_>, _>>()?;
    Operands {
        offset: expression.offset,
        kinds,
    }
    .type_of(&expression.kind)
}

/// Static types of the operands of an expression.
struct Operands {
    /// Offset of the expression, for errors.
    offset: usize,
    kinds: Vec<Type>,
}

impl Operands {
    fn operand(&self, index: usize) -> Type {
        self.kinds.get(index).copied().unwrap_or(Type::Any)
    }

    fn is_compatible(&self, index: usize, kinds: &[Type]) -> bool {
        kinds
            .iter()
            .any(|kind| self.operand(index).is_compatible_with(*kind))
    }

    fn reject(&self, what: &str) -> Result<Type, SyntaxError> {
        let message = format!("there is no `{what}`");
        Err(SyntaxError::new(self.offset, message))
    }

    /// Checks that the operands `from` to `to` of `sign` are booleans.
    fn conditions(&self, sign: &str, from: usize, to: usize) -> Result<Type, SyntaxError> {
        match (from..to).find(|index| !self.is_compatible(*index, &[Type::Bool])) {
            Some(index) => self.reject(&format!("{sign} of {}", self.operand(index).as_str())),
            None => Ok(Type::Bool),
        }
    }
    fn type_of(&self, kind: &Kind) -> Result<Type, SyntaxError> {
        match kind {
            Kind::Null => Ok(Type::Null),
            Kind::Bool(_) => Ok(Type::Bool),
            Kind::Int(_) => Ok(Type::Int),
            Kind::Uint(_) => Ok(Type::Uint),
            Kind::Double(_) => Ok(Type::Double),
            Kind::Text(_) | Kind::Input => Ok(Type::Text),
            Kind::Type(_) => Ok(Type::Meta),
            Kind::List(_) => Ok(Type::List),
            Kind::Map(_) => Ok(Type::Map),
            Kind::Data | Kind::Local(_) => Ok(Type::Any),
            Kind::Not(_) => self.conditions("!", 0, 1),
            Kind::And(parts) => self.conditions("&&", 0, parts.len()),
            Kind::Or(parts) => self.conditions("||", 0, parts.len()),
            Kind::Negate(_) => match self.operand(0) {
                kind @ (Type::Any | Type::Int | Type::Double) => Ok(kind),
                kind => self.reject(&format!("-{}", kind.as_str())),
            },
            Kind::Binary(operator, _) => self.binary(*operator),
            Kind::Conditional(_) => {
                self.conditions("?", 0, 1)?;
                let [then, otherwise] = [self.operand(1), self.operand(2)];
                Ok(if then == otherwise { then } else { Type::Any })
            }
            Kind::Call(function, _) if !function.accepts(&self.kinds) => {
                self.reject(&function.signature(&self.kinds))
            }
            Kind::Call(function, _) => Ok(function.returns),
            Kind::Field(..)
            | Kind::Has(..)
            | Kind::Index(_)
            | Kind::Matches(..)
            | Kind::Comprehension(..)
            | Kind::FilterMap(_) => self.access(kind),
        }
    }

    fn binary(&self, operator: Operator) -> Result<Type, SyntaxError> {
        let [left, right] = [self.operand(0), self.operand(1)];
        let (Some(a), Some(b)) = (example_value(left), example_value(right)) else {
            return Ok(if operator.is_predicate() {
                Type::Bool
            } else {
                Type::Any
            });
        };
        match binary(operator, &a, &b, &mut Budget::new()) {
            Ok(CelValue::Int(_)) if left != right => Ok(Type::Any),
            Ok(value) => Ok(value.kind()),
            Err(EvalError::Error(message)) => Err(SyntaxError::new(self.offset, message)),
            Err(EvalError::BudgetExhausted) => Ok(Type::Any),
        }
    }

    /// Returns the type of an expression that looks into its first operand: a map, a list or a string.
    fn access(&self, kind: &Kind) -> Result<Type, SyntaxError> {
        let of = self.operand(0).as_str();
        let containers: &[Type] = match kind {
            Kind::Field(..) | Kind::Has(..) => &[Type::Map],
            Kind::Matches(..) => &[Type::Text],
            _ => &[Type::Map, Type::List],
        };
        if !self.is_compatible(0, containers) {
            return self.reject(&match kind {
                Kind::Field(..) | Kind::Has(..) => format!("a field of {of}"),
                Kind::Matches(..) => format!("{of}.matches(string)"),
                Kind::Index(_) => format!("{of}[…]"),
                _ => format!("a macro over {of}"),
            });
        }
        match kind {
            Kind::Has(..) | Kind::Matches(..) => Ok(Type::Bool),
            Kind::Comprehension(iteration, _) => {
                if iteration.takes_condition() {
                    self.conditions("a macro's condition", 1, 2)?;
                }
                Ok(match iteration {
                    Macro::Filter | Macro::Map => Type::List,
                    Macro::All | Macro::Exists | Macro::ExistsOne => Type::Bool,
                })
            }
            Kind::FilterMap(_) => self
                .conditions("a macro's condition", 1, 2)
                .map(|_| Type::List),
            _ => Ok(Type::Any),
        }
    }
}

/// Returns a value of a type for which every operator of the type succeeds. `None`: the type is unknown.
fn example_value(kind: Type) -> Option<CelValue<'static>> {
    Some(match kind {
        Type::Any => return None,
        Type::Null => CelValue::Null,
        Type::Bool => CelValue::Bool(true),
        Type::Int => CelValue::Int(1),
        Type::Uint => CelValue::Uint(1),
        Type::Double => CelValue::Double(1.0),
        Type::Text => CelValue::Text("a"),
        Type::List => CelValue::Array(&[]),
        Type::Map => CelValue::Map([].into()),
        Type::Meta => CelValue::Type("type"),
        Type::Timestamp => CelValue::Timestamp(0),
        Type::Duration => CelValue::Duration(0),
    })
}
