//! Type checker: finds type errors that occur for any data.

use crate::budget::{Budget, EvalError};
use crate::lexer::SyntaxError;
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
    let operand = |index: usize| kinds.get(index).copied().unwrap_or(Type::Any);
    let reject = |what: &str| {
        Err(SyntaxError::new(
            expression.offset,
            format!("there is no `{what}`"),
        ))
    };
    let conditions = |sign: &str, from: usize, to: usize| match (from..to)
        .find(|index| !operand(*index).is_compatible_with(Type::Bool))
    {
        Some(index) => reject(&format!("{sign} of {}", operand(index).as_str())),
        None => Ok(Type::Bool),
    };
    match &expression.kind {
        Kind::Null => Ok(Type::Null),
        Kind::Int(_) => Ok(Type::Int),
        Kind::Uint(_) => Ok(Type::Uint),
        Kind::Double(_) => Ok(Type::Double),
        Kind::Text(_) | Kind::Input => Ok(Type::Text),
        Kind::Type(_) => Ok(Type::Meta),
        Kind::List(_) => Ok(Type::List),
        Kind::Map(_) => Ok(Type::Map),
        Kind::Field(..) | Kind::Has(..) if !operand(0).is_compatible_with(Type::Map) => {
            reject(&format!("a field of {}", operand(0).as_str()))
        }
        Kind::Index(_)
            if !operand(0).is_compatible_with(Type::Map)
                && !operand(0).is_compatible_with(Type::List) =>
        {
            reject(&format!("{}[…]", operand(0).as_str()))
        }
        Kind::Data | Kind::Local(_) | Kind::Field(..) | Kind::Index(_) => Ok(Type::Any),
        Kind::Matches(..) if !operand(0).is_compatible_with(Type::Text) => {
            reject(&format!("{}.matches(string)", operand(0).as_str()))
        }
        Kind::Bool(_) | Kind::Has(..) | Kind::Matches(..) => Ok(Type::Bool),
        Kind::Not(_) => conditions("!", 0, 1),
        Kind::And(parts) => conditions("&&", 0, parts.len()),
        Kind::Or(parts) => conditions("||", 0, parts.len()),
        Kind::Negate(_) => match operand(0) {
            kind @ (Type::Any | Type::Int | Type::Double) => Ok(kind),
            kind => reject(&format!("-{}", kind.as_str())),
        },
        Kind::Binary(operator, _) => {
            let (Some(left), Some(right)) = (example_value(operand(0)), example_value(operand(1)))
            else {
                return Ok(if operator.is_predicate() {
                    Type::Bool
                } else {
                    Type::Any
                });
            };
            match binary(*operator, &left, &right, &mut Budget::new()) {
                Ok(CelValue::Int(_)) if operand(0) != operand(1) => Ok(Type::Any),
                Ok(value) => Ok(value.kind()),
                Err(EvalError::Error(message)) => Err(SyntaxError::new(expression.offset, message)),
                Err(EvalError::BudgetExhausted) => Ok(Type::Any),
            }
        }
        Kind::Conditional(_) => {
            conditions("?", 0, 1)?;
            Ok(if operand(1) == operand(2) {
                operand(1)
            } else {
                Type::Any
            })
        }
        Kind::Call(function, _) if !function.accepts(&kinds) => reject(&function.signature(&kinds)),
        Kind::Call(function, _) => Ok(function.returns),
        Kind::Comprehension(..) | Kind::FilterMap(_)
            if !operand(0).is_compatible_with(Type::List)
                && !operand(0).is_compatible_with(Type::Map) =>
        {
            reject(&format!("a macro over {}", operand(0).as_str()))
        }
        Kind::Comprehension(iteration, _) => {
            if iteration.takes_condition() {
                conditions("a macro's condition", 1, 2)?;
            }
            Ok(if matches!(iteration, Macro::Filter | Macro::Map) {
                Type::List
            } else {
                Type::Bool
            })
        }
        Kind::FilterMap(_) => conditions("a macro's condition", 1, 2).map(|_| Type::List),
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
