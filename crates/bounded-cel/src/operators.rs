//! Operators. Unlike standard CEL, numbers of all types mix: JSON has one number type, and a model may write 3 for 3.0.
//! Comparison is exact; arithmetic of an integer with a double yields a double.

use std::cmp::Ordering;

use crate::budget::{Budget, EvalError};
use crate::operator::Operator;
use crate::value::{CelValue, Type};

/// Evaluates a binary operator.
///
/// # Errors
/// If the operator does not exist for the types, the result does not fit, or the budget is exhausted.
pub fn binary<'v>(
    operator: Operator,
    left: &CelValue<'v>,
    right: &CelValue<'v>,
    budget: &mut Budget,
) -> Result<CelValue<'v>, EvalError> {
    let ordered =
        |budget: &mut Budget, is: fn(Ordering) -> bool| match compare(left, right, budget)? {
            Comparison::Known(order) => Ok(CelValue::Bool(is(order))),
            // NaN is neither less nor greater.
            Comparison::Nan => Ok(CelValue::Bool(false)),
            Comparison::None => Err(no_operator(left.kind(), operator, right.kind())),
        };
    match operator {
        Operator::Equal => Ok(CelValue::Bool(equal(left, right, budget)?)),
        Operator::Unequal => Ok(CelValue::Bool(!equal(left, right, budget)?)),
        Operator::Less => ordered(budget, Ordering::is_lt),
        Operator::LessOrEqual => ordered(budget, Ordering::is_le),
        Operator::Greater => ordered(budget, Ordering::is_gt),
        Operator::GreaterOrEqual => ordered(budget, Ordering::is_ge),
        Operator::In => is_in(left, right, budget).map(CelValue::Bool),
        Operator::Add
        | Operator::Subtract
        | Operator::Multiply
        | Operator::Divide
        | Operator::Remainder => arithmetic(operator, left, right, budget),
    }
}

fn no_operator(left: Type, operator: Operator, right: Type) -> EvalError {
    EvalError::no_overload(&format!(
        "{} {} {}",
        left.as_str(),
        operator.as_str(),
        right.as_str()
    ))
}

/// Returns true if two values are equal. Values of types without an order are unequal.
pub fn equal(
    left: &CelValue<'_>,
    right: &CelValue<'_>,
    budget: &mut Budget,
) -> Result<bool, EvalError> {
    budget.spend(1)?;
    match (left.kind(), right.kind()) {
        (Type::Null, Type::Null) => Ok(true),
        (Type::Meta, Type::Meta) => Ok(
            matches!((left, right), (CelValue::Type(left), CelValue::Type(right)) if left == right),
        ),
        (Type::List, Type::List) => {
            if left.len() != right.len() {
                return Ok(false);
            }
            let pairs = left
                .elements()
                .into_iter()
                .flatten()
                .zip(right.elements().into_iter().flatten());
            for (left, right) in pairs {
                let (left, right) = (left.read(budget)?, right.read(budget)?);
                if !equal(&left, &right, budget)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (Type::Map, Type::Map) => {
            if left.len() != right.len() {
                return Ok(false);
            }
            for key in left.elements().into_iter().flatten() {
                let key = key.read(budget)?;
                let (Some(left), Some(right)) = (left.get(&key, budget)?, right.get(&key, budget)?)
                else {
                    return Ok(false);
                };
                if !equal(&left, &right, budget)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        _ => Ok(matches!(
            compare(left, right, budget)?,
            Comparison::Known(Ordering::Equal)
        )),
    }
}

/// Result of comparing two values.
enum Comparison {
    Known(Ordering),
    /// One of two numbers is a NaN.
    Nan,
    /// The types have no order.
    None,
}

fn compare(
    left: &CelValue<'_>,
    right: &CelValue<'_>,
    budget: &mut Budget,
) -> Result<Comparison, EvalError> {
    if let (Some(left), Some(right)) = (left.as_text(), right.as_text()) {
        budget.scan(left.len().min(right.len()))?;
        return Ok(Comparison::Known(left.cmp(right)));
    }
    Ok(match (left, right) {
        (CelValue::Bool(left), CelValue::Bool(right)) => Comparison::Known(left.cmp(right)),
        (CelValue::Timestamp(left), CelValue::Timestamp(right))
        | (CelValue::Duration(left), CelValue::Duration(right)) => {
            Comparison::Known(left.cmp(right))
        }
        _ => match (Number::from_value(left), Number::from_value(right)) {
            (Some(left), Some(right)) => left
                .compare(right)
                .map_or(Comparison::Nan, Comparison::Known),
            _ => Comparison::None,
        },
    })
}

fn is_in(
    item: &CelValue<'_>,
    container: &CelValue<'_>,
    budget: &mut Budget,
) -> Result<bool, EvalError> {
    if container.kind() == Type::Map {
        return Ok(container.get(item, budget)?.is_some());
    }
    let Some(elements) = container.elements() else {
        return Err(no_operator(item.kind(), Operator::In, container.kind()));
    };
    for element in elements {
        if equal(&element.read(budget)?, item, budget)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Number of any type. `i128` holds every `int` and `uint`.
#[derive(Debug, Clone, Copy)]
pub enum Number {
    Whole(i128),
    Double(f64),
}

impl Number {
    pub fn from_value(value: &CelValue<'_>) -> Option<Self> {
        match *value {
            CelValue::Int(value) => Some(Self::Whole(value.into())),
            CelValue::Uint(value) => Some(Self::Whole(value.into())),
            CelValue::Double(value) => Some(Self::Double(value)),
            _ => None,
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a double is the nearest there is"
    )]
    pub const fn as_double(self) -> f64 {
        match self {
            Self::Whole(value) => value as f64,
            Self::Double(value) => value,
        }
    }

    fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Whole(left), Self::Whole(right)) => Some(left.cmp(&right)),
            (Self::Double(left), Self::Double(right)) => left.partial_cmp(&right),
            (Self::Whole(left), Self::Double(right)) => compare_exactly(left, right),
            (Self::Double(left), Self::Whole(right)) => {
                compare_exactly(right, left).map(Ordering::reverse)
            }
        }
    }
}

/// Compares an integer with a double without rounding. `None`: the double is NaN.
fn compare_exactly(whole: i128, double: f64) -> Option<Ordering> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a cast keeps within the range, which is far beyond 64 bits"
    )]
    let floor = double.floor() as i128;
    if double.is_nan() {
        return None;
    }
    let is_above = double.fract() != 0.0;
    Some(whole.cmp(&floor).then(if is_above {
        Ordering::Less
    } else {
        Ordering::Equal
    }))
}

fn arithmetic<'v>(
    operator: Operator,
    left: &CelValue<'v>,
    right: &CelValue<'v>,
    budget: &mut Budget,
) -> Result<CelValue<'v>, EvalError> {
    match (left, right) {
        (CelValue::Int(left), CelValue::Int(right)) => {
            integer_arithmetic(operator, i128::from(*left), i128::from(*right), Type::Int)
        }
        (CelValue::Uint(left), CelValue::Uint(right)) => {
            integer_arithmetic(operator, i128::from(*left), i128::from(*right), Type::Uint)
        }
        (CelValue::Timestamp(time), CelValue::Duration(span)) if operator == Operator::Add => {
            crate::time::timestamp(*time + *span)
        }
        (CelValue::Duration(span), CelValue::Timestamp(time)) if operator == Operator::Add => {
            crate::time::timestamp(*time + *span)
        }
        (CelValue::Timestamp(time), CelValue::Duration(span)) if operator == Operator::Subtract => {
            crate::time::timestamp(*time - *span)
        }
        (CelValue::Timestamp(left), CelValue::Timestamp(right))
            if operator == Operator::Subtract =>
        {
            crate::time::duration(*left - *right)
        }
        (CelValue::Duration(left), CelValue::Duration(right)) if operator == Operator::Add => {
            crate::time::duration(*left + *right)
        }
        (CelValue::Duration(left), CelValue::Duration(right)) if operator == Operator::Subtract => {
            crate::time::duration(*left - *right)
        }
        _ => match (Number::from_value(left), Number::from_value(right)) {
            (Some(Number::Whole(left)), Some(Number::Whole(right))) => {
                integer_arithmetic(operator, left, right, Type::Any)
            }
            (Some(left_number), Some(right_number)) => {
                double_arithmetic(operator, left_number.as_double(), right_number.as_double())
                    .ok_or_else(|| no_operator(left.kind(), operator, right.kind()))
            }
            _ if operator == Operator::Add => concatenate(left, right, budget),
            _ => Err(no_operator(left.kind(), operator, right.kind())),
        },
    }
}

/// Computes with integers. The result has the given type; for `Any`, the one it fits into.
fn integer_arithmetic<'v>(
    operator: Operator,
    left: i128,
    right: i128,
    kind: Type,
) -> Result<CelValue<'v>, EvalError> {
    let result = match operator {
        Operator::Add => left.checked_add(right),
        Operator::Subtract => left.checked_sub(right),
        Operator::Multiply => left.checked_mul(right),
        _ if right == 0 => return Err(EvalError::Error("a division by zero".to_owned())),
        Operator::Divide => left.checked_div(right),
        _ => left.checked_rem(right),
    };
    let int = result
        .filter(|_| kind != Type::Uint)
        .and_then(|result| i64::try_from(result).ok())
        .map(CelValue::Int);
    let uint = || {
        result
            .filter(|_| kind != Type::Int)
            .and_then(|result| u64::try_from(result).ok())
            .map(CelValue::Uint)
    };
    int.or_else(uint).ok_or_else(|| {
        EvalError::Error(format!(
            "the result of `{}` does not fit into 64 bits",
            operator.as_str()
        ))
    })
}

fn double_arithmetic<'v>(operator: Operator, left: f64, right: f64) -> Option<CelValue<'v>> {
    Some(CelValue::Double(match operator {
        Operator::Add => left + right,
        Operator::Subtract => left - right,
        Operator::Multiply => left * right,
        Operator::Divide => left / right,
        _ => return None,
    }))
}

fn concatenate<'v>(
    left: &CelValue<'v>,
    right: &CelValue<'v>,
    budget: &mut Budget,
) -> Result<CelValue<'v>, EvalError> {
    if let (Some(first), Some(second)) = (left.as_text(), right.as_text()) {
        budget.allocate(first.len() + second.len())?;
        return Ok(CelValue::OwnedText([first, second].concat().into()));
    }
    if (left.kind(), right.kind()) != (Type::List, Type::List) {
        return Err(no_operator(left.kind(), Operator::Add, right.kind()));
    }
    let length = left.len().unwrap_or_default() + right.len().unwrap_or_default();
    budget.spend(length as u64)?;
    budget.allocate(length * size_of::<CelValue<'_>>())?;
    let (left, right) = (left.elements(), right.elements());
    let elements = left.into_iter().chain(right).flatten();
    let read = elements.map(|element| element.read(budget));
    Ok(CelValue::List(read.collect::<Result<_, _>>()?))
}

/// Evaluates unary minus.
pub fn negate<'v>(value: &CelValue<'v>) -> Result<CelValue<'v>, EvalError> {
    match value {
        CelValue::Int(value) => value.checked_neg().map(CelValue::Int).ok_or_else(|| {
            EvalError::Error("the result of `-` does not fit into 64 bits".to_owned())
        }),
        CelValue::Double(value) => Ok(CelValue::Double(-value)),
        _ => Err(EvalError::no_overload(&format!(
            "-{}",
            value.kind().as_str()
        ))),
    }
}
