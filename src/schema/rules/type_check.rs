//! What can be said of an expression before there is anything to evaluate it with.

use super::budget::{Budget, EvalError};
use super::lexer::SyntaxError;
use super::operators::binary;
use super::syntax::{Expression, Kind, Macro};
use super::value::{CelValue, Type};

/// The type of an expression's value.
///
/// # Errors
/// Where an operation has no such operands, whatever `data` is.
pub fn kind(expression: &Expression) -> Result<Type, SyntaxError> {
    let kinds = expression
        .parts()
        .into_iter()
        .map(kind)
        .collect::<Result<Vec<_>, _>>()?;
    let of = |index: usize| kinds.get(index).copied().unwrap_or(Type::Any);
    let refuse = |what: &str| {
        Err(SyntaxError::new(
            expression.at,
            format!("there is no `{what}`"),
        ))
    };
    let conditions = |sign: &str, from: usize, to: usize| match (from..to)
        .find(|index| !of(*index).may_be(Type::Bool))
    {
        Some(index) => refuse(&format!("{sign} of {}", of(index).as_str())),
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
        Kind::Field(..) | Kind::Has(..) if !of(0).may_be(Type::Map) => {
            refuse(&format!("a field of {}", of(0).as_str()))
        }
        Kind::Index(_) if !of(0).may_be(Type::Map) && !of(0).may_be(Type::List) => {
            refuse(&format!("{}[…]", of(0).as_str()))
        }
        Kind::Data | Kind::Local(_) | Kind::Field(..) | Kind::Index(_) => Ok(Type::Any),
        Kind::Matches(..) if !of(0).may_be(Type::Text) => {
            refuse(&format!("{}.matches(string)", of(0).as_str()))
        }
        Kind::Bool(_) | Kind::Has(..) | Kind::Matches(..) => Ok(Type::Bool),
        Kind::Not(_) => conditions("!", 0, 1),
        Kind::And(parts) => conditions("&&", 0, parts.len()),
        Kind::Or(parts) => conditions("||", 0, parts.len()),
        Kind::Negate(_) => match of(0) {
            kind @ (Type::Any | Type::Int | Type::Double) => Ok(kind),
            kind => refuse(&format!("-{}", kind.as_str())),
        },
        Kind::Binary(operator, _) => {
            let (Some(left), Some(right)) = (sample(of(0)), sample(of(1))) else {
                return Ok(if operator.decides() {
                    Type::Bool
                } else {
                    Type::Any
                });
            };
            match binary(*operator, &left, &right, &mut Budget::new()) {
                Ok(CelValue::Int(_)) if of(0) != of(1) => Ok(Type::Any),
                Ok(value) => Ok(value.kind()),
                Err(EvalError::Error(message)) => Err(SyntaxError::new(expression.at, message)),
                Err(EvalError::UsedUp) => Ok(Type::Any),
            }
        }
        Kind::Choice(_) => {
            conditions("?", 0, 1)?;
            Ok(if of(1) == of(2) { of(1) } else { Type::Any })
        }
        Kind::Call(function, _) if !function.takes(&kinds) => refuse(&function.written(&kinds)),
        Kind::Call(function, _) => Ok(function.gives),
        Kind::Loop(..) | Kind::MapSome(_)
            if !of(0).may_be(Type::List) && !of(0).may_be(Type::Map) =>
        {
            refuse(&format!("a macro over {}", of(0).as_str()))
        }
        Kind::Loop(through, _) => {
            if through.takes_condition() {
                conditions("a macro's condition", 1, 2)?;
            }
            Ok(if matches!(through, Macro::Filter | Macro::Map) {
                Type::List
            } else {
                Type::Bool
            })
        }
        Kind::MapSome(_) => conditions("a macro's condition", 1, 2).map(|_| Type::List),
    }
}

/// A value of a type, with which every operator works that works with the type at all.
fn sample(kind: Type) -> Option<CelValue<'static>> {
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
        Type::Time => CelValue::Time(0),
        Type::Span => CelValue::Span(0),
    })
}
