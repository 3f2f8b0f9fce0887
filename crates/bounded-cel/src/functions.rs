//! Functions of the language, in one table.

use crate::budget::{Budget, EvalError};
use crate::operator::Operator;
use crate::operators::{Number, binary};
use crate::time;
use crate::value::{CelValue, Type};

/// Call syntax of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `size(x)`
    Global,
    /// `x.size()`
    Member,
    Both,
}

type Run = for<'v> fn(&[CelValue<'v>], &mut Budget) -> Result<CelValue<'v>, EvalError>;

/// Function. A receiver is the first argument.
pub struct Function {
    pub name: &'static str,
    style: Style,
    /// Accepted types of each argument.
    parameters: &'static [&'static [Type]],
    pub returns: Type,
    run: Run,
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

const ANY: &[Type] = &[Type::Any];
const TEXT: &[Type] = &[Type::Text];
const LIST: &[Type] = &[Type::List];
const TIME: &[Type] = &[Type::Timestamp];
const TIMES: &[Type] = &[Type::Timestamp, Type::Duration];
const SIZED: &[Type] = &[Type::Text, Type::List, Type::Map];
const NUMERIC: &[Type] = &[
    Type::Int,
    Type::Uint,
    Type::Double,
    Type::Text,
    Type::Timestamp,
];
const PRINTED: &[Type] = &[
    Type::Text,
    Type::Int,
    Type::Uint,
    Type::Double,
    Type::Bool,
    Type::Timestamp,
    Type::Duration,
];

const fn function(
    name: &'static str,
    style: Style,
    parameters: &'static [&'static [Type]],
    returns: Type,
    run: Run,
) -> Function {
    Function {
        name,
        style,
        parameters,
        returns,
        run,
    }
}

/// Standard functions of CEL; `lowerAscii`, `upperAscii` and `trim` of its strings extension; `sum`, `min` and `max` of Kubernetes' CEL library.
static FUNCTIONS: [Function; 30] = [
    function("size", Style::Both, &[SIZED], Type::Int, size),
    function(
        "contains",
        Style::Member,
        &[TEXT, TEXT],
        Type::Bool,
        contains,
    ),
    function(
        "startsWith",
        Style::Member,
        &[TEXT, TEXT],
        Type::Bool,
        |v, b| compare_texts(v, b, |text, part| text.starts_with(part)),
    ),
    function(
        "endsWith",
        Style::Member,
        &[TEXT, TEXT],
        Type::Bool,
        |v, b| compare_texts(v, b, |text, part| text.ends_with(part)),
    ),
    function("lowerAscii", Style::Member, &[TEXT], Type::Text, |v, b| {
        CelValue::new_text(&first_text(v).to_ascii_lowercase(), b)
    }),
    function("upperAscii", Style::Member, &[TEXT], Type::Text, |v, b| {
        CelValue::new_text(&first_text(v).to_ascii_uppercase(), b)
    }),
    function("trim", Style::Member, &[TEXT], Type::Text, |v, b| {
        b.scan(first_text(v).len())?;
        CelValue::new_text(first_text(v).trim(), b)
    }),
    function("int", Style::Global, &[NUMERIC], Type::Int, int),
    function("uint", Style::Global, &[NUMERIC], Type::Uint, uint),
    function("double", Style::Global, &[NUMERIC], Type::Double, double),
    function("string", Style::Global, &[PRINTED], Type::Text, string),
    function(
        "bool",
        Style::Global,
        &[&[Type::Bool, Type::Text]],
        Type::Bool,
        boolean,
    ),
    function("type", Style::Global, &[ANY], Type::Meta, |v, _| {
        Ok(CelValue::Type(first_value(v).kind().as_str()))
    }),
    function("dyn", Style::Global, &[ANY], Type::Any, |v, _| {
        Ok(first_value(v))
    }),
    function("sum", Style::Member, &[LIST], Type::Any, sum),
    function("min", Style::Member, &[LIST], Type::Any, |v, b| {
        least_or_greatest(v, Operator::Less, b)
    }),
    function("max", Style::Member, &[LIST], Type::Any, |v, b| {
        least_or_greatest(v, Operator::Greater, b)
    }),
    function(
        "timestamp",
        Style::Global,
        &[&[Type::Text, Type::Timestamp, Type::Int]],
        Type::Timestamp,
        |v, b| time::to_timestamp(&first_value(v), b),
    ),
    function(
        "duration",
        Style::Global,
        &[&[Type::Text, Type::Duration]],
        Type::Duration,
        |v, b| time::to_duration(&first_value(v), b),
    ),
    function("getFullYear", Style::Member, &[TIME], Type::Int, |v, _| {
        time::component(&first_value(v), time::Component::Year)
    }),
    function("getMonth", Style::Member, &[TIME], Type::Int, |v, _| {
        time::component(&first_value(v), time::Component::Month)
    }),
    function("getDate", Style::Member, &[TIME], Type::Int, |v, _| {
        time::component(&first_value(v), time::Component::Date)
    }),
    function(
        "getDayOfMonth",
        Style::Member,
        &[TIME],
        Type::Int,
        |v, _| time::component(&first_value(v), time::Component::DayOfMonth),
    ),
    function("getDayOfWeek", Style::Member, &[TIME], Type::Int, |v, _| {
        time::component(&first_value(v), time::Component::DayOfWeek)
    }),
    function("getDayOfYear", Style::Member, &[TIME], Type::Int, |v, _| {
        time::component(&first_value(v), time::Component::DayOfYear)
    }),
    function("getHours", Style::Member, &[TIMES], Type::Int, |v, _| {
        time::component(&first_value(v), time::Component::Hours)
    }),
    function("getMinutes", Style::Member, &[TIMES], Type::Int, |v, _| {
        time::component(&first_value(v), time::Component::Minutes)
    }),
    function("getSeconds", Style::Member, &[TIMES], Type::Int, |v, _| {
        time::component(&first_value(v), time::Component::Seconds)
    }),
    function(
        "getMilliseconds",
        Style::Member,
        &[TIMES],
        Type::Int,
        |v, _| time::component(&first_value(v), time::Component::Milliseconds),
    ),
    // The parser compiles a valid call to `Kind::Matches`; this entry is only for errors about invalid calls.
    function("matches", Style::Both, &[TEXT, TEXT], Type::Bool, |_, _| {
        Ok(CelValue::Bool(false))
    }),
];

/// Macros, which error messages list with the functions.
const MACROS: [&str; 6] = ["has", "all", "exists", "exists_one", "filter", "map"];

/// Returns the function for a call with this name, syntax and number of arguments, including the receiver.
///
/// # Errors
/// A message if no function matches.
pub fn find(name: &str, style: Style, arguments: usize) -> Result<&'static Function, String> {
    let Some(function) = FUNCTIONS.iter().find(|function| function.name == name) else {
        let names: Vec<_> = FUNCTIONS
            .iter()
            .map(|function| function.name)
            .chain(MACROS)
            .collect();
        return Err(format!(
            "the function `{name}` is not known; known are {}",
            names.join(", ")
        ));
    };
    if function.style != Style::Both && function.style != style {
        let form = if function.style == Style::Global {
            "name(x)"
        } else {
            "x.name()"
        };
        return Err(format!(
            "`{name}` is called as `{}`",
            form.replace("name", name)
        ));
    }
    if function.parameters.len() != arguments {
        let more = usize::from(style == Style::Member);
        let (takes, has) = (
            function.parameters.len() - more.min(function.parameters.len()),
            arguments - more.min(arguments),
        );
        return Err(format!(
            "`{name}` takes {takes} {}, not {has}",
            if takes == 1 { "argument" } else { "arguments" }
        ));
    }
    Ok(function)
}

impl Function {
    /// Returns true if the function accepts arguments of these types.
    pub fn accepts(&self, kinds: &[Type]) -> bool {
        self.parameters.iter().zip(kinds).all(|(types, kind)| {
            types
                .iter()
                .any(|accepted| accepted.is_compatible_with(*kind))
        })
    }

    /// Calls the function.
    ///
    /// # Errors
    /// If the function does not accept the types or fails.
    pub fn call<'v>(
        &self,
        values: &[CelValue<'v>],
        budget: &mut Budget,
    ) -> Result<CelValue<'v>, EvalError> {
        let kinds: Vec<_> = values.iter().map(CelValue::kind).collect();
        if !self.accepts(&kinds) {
            return Err(EvalError::no_overload(&self.signature(&kinds)));
        }
        (self.run)(values, budget)
    }

    /// Returns the call with these argument types, as in source.
    pub fn signature(&self, kinds: &[Type]) -> String {
        let names: Vec<_> = kinds.iter().map(|kind| kind.as_str()).collect();
        match (self.style, names.split_first()) {
            (Style::Member, Some((receiver, rest))) => {
                format!("{receiver}.{}({})", self.name, rest.join(", "))
            }
            _ => format!("{}({})", self.name, names.join(", ")),
        }
    }
}

fn first_value<'v>(values: &[CelValue<'v>]) -> CelValue<'v> {
    values.first().cloned().unwrap_or(CelValue::Null)
}

fn first_text<'a>(values: &'a [CelValue<'_>]) -> &'a str {
    values
        .first()
        .and_then(CelValue::as_text)
        .unwrap_or_default()
}

/// Bytes that a search for a text scans for each byte of that text, to prepare itself.
const SEARCH_PREPARATION: usize = 8;

fn contains<'v>(values: &[CelValue<'v>], budget: &mut Budget) -> Result<CelValue<'v>, EvalError> {
    let part = values.get(1).and_then(CelValue::as_text);
    let (text, part) = (first_text(values), part.unwrap_or_default());
    if part.len() > text.len() {
        return Ok(CelValue::Bool(false));
    }
    budget.scan(text.len() + part.len() * SEARCH_PREPARATION)?;
    let found = memchr::memmem::find(text.as_bytes(), part.as_bytes());
    Ok(CelValue::Bool(found.is_some()))
}

fn compare_texts<'v>(
    values: &[CelValue<'v>],
    budget: &mut Budget,
    predicate: fn(&str, &str) -> bool,
) -> Result<CelValue<'v>, EvalError> {
    let part = values
        .get(1)
        .and_then(CelValue::as_text)
        .unwrap_or_default();
    budget.scan(first_text(values).len())?;
    Ok(CelValue::Bool(predicate(first_text(values), part)))
}

fn size<'v>(values: &[CelValue<'v>], budget: &mut Budget) -> Result<CelValue<'v>, EvalError> {
    let value = first_value(values);
    let size = match value.as_text() {
        Some(text) => {
            budget.scan(text.len())?;
            text.chars().count()
        }
        None => value.len().unwrap_or_default(),
    };
    Ok(CelValue::Int(i64::try_from(size).unwrap_or(i64::MAX)))
}

fn conversion_error<T>(
    value: &CelValue<'_>,
    into: &str,
    budget: &mut Budget,
) -> Result<T, EvalError> {
    let shown = match value {
        CelValue::Int(value) => value.to_string(),
        CelValue::Uint(value) => value.to_string(),
        CelValue::Double(value) => value.to_string(),
        _ => budget.quote(value.as_text().unwrap_or_default())?,
    };
    Err(EvalError::Error(format!("{shown} cannot be made {into}")))
}

/// Returns the integer of a value, truncated toward zero. `None`: no finite number and no text of an integer.
fn truncated_integer(value: &CelValue<'_>) -> Option<i128> {
    match value {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "truncates by definition; the caller checks the range"
        )]
        CelValue::Double(value) => value.is_finite().then_some(*value as i128),
        CelValue::Timestamp(nanos) => Some(nanos.div_euclid(1_000_000_000)),
        CelValue::Int(value) => Some((*value).into()),
        CelValue::Uint(value) => Some((*value).into()),
        _ => value.as_text()?.parse().ok(),
    }
}

fn int<'v>(values: &[CelValue<'v>], budget: &mut Budget) -> Result<CelValue<'v>, EvalError> {
    let value = first_value(values);
    budget.parse_number(first_text(values))?;
    let int = truncated_integer(&value).and_then(|whole| i64::try_from(whole).ok());
    int.map(CelValue::Int)
        .map_or_else(|| conversion_error(&value, "an int", budget), Ok)
}

fn uint<'v>(values: &[CelValue<'v>], budget: &mut Budget) -> Result<CelValue<'v>, EvalError> {
    let value = first_value(values);
    budget.parse_number(first_text(values))?;
    let uint = truncated_integer(&value).and_then(|whole| u64::try_from(whole).ok());
    uint.map(CelValue::Uint)
        .map_or_else(|| conversion_error(&value, "a uint", budget), Ok)
}

fn double<'v>(values: &[CelValue<'v>], budget: &mut Budget) -> Result<CelValue<'v>, EvalError> {
    let value = first_value(values);
    budget.parse_number(first_text(values))?;
    let double = match Number::from_value(&value) {
        Some(number) => Some(number.as_double()),
        None => value.as_text().and_then(|text| text.parse().ok()),
    };
    double
        .map(CelValue::Double)
        .map_or_else(|| conversion_error(&value, "a double", budget), Ok)
}

fn string<'v>(values: &[CelValue<'v>], budget: &mut Budget) -> Result<CelValue<'v>, EvalError> {
    let value = first_value(values);
    let written = match &value {
        CelValue::Int(value) => value.to_string(),
        CelValue::Uint(value) => value.to_string(),
        CelValue::Double(value) => value.to_string(),
        CelValue::Bool(value) => value.to_string(),
        CelValue::Timestamp(nanos) => time::to_rfc3339(*nanos),
        CelValue::Duration(nanos) => time::to_seconds_text(*nanos),
        _ => return Ok(value),
    };
    CelValue::new_text(&written, budget)
}

fn boolean<'v>(values: &[CelValue<'v>], budget: &mut Budget) -> Result<CelValue<'v>, EvalError> {
    let value = first_value(values);
    match value.as_text() {
        None => Ok(value),
        Some("true" | "True" | "TRUE" | "t" | "1") => Ok(CelValue::Bool(true)),
        Some("false" | "False" | "FALSE" | "f" | "0") => Ok(CelValue::Bool(false)),
        Some(_) => conversion_error(&value, "a bool", budget),
    }
}

/// Sums numbers or durations; 0 for an empty list.
fn sum<'v>(values: &[CelValue<'v>], budget: &mut Budget) -> Result<CelValue<'v>, EvalError> {
    let list = first_value(values);
    let mut sum = None;
    for element in list.elements().into_iter().flatten() {
        budget.spend(1)?;
        let element = element.read(budget)?;
        if Number::from_value(&element).is_none() && element.kind() != Type::Duration {
            return Err(EvalError::no_overload(&format!(
                "sum() of a list with a {}",
                element.kind().as_str()
            )));
        }
        sum = Some(match sum {
            None => element,
            Some(sum) => binary(Operator::Add, &sum, &element, budget)?,
        });
    }
    Ok(sum.unwrap_or(CelValue::Int(0)))
}

fn least_or_greatest<'v>(
    values: &[CelValue<'v>],
    better: Operator,
    budget: &mut Budget,
) -> Result<CelValue<'v>, EvalError> {
    let list = first_value(values);
    let mut found: Option<CelValue<'v>> = None;
    for element in list.elements().into_iter().flatten() {
        budget.spend(1)?;
        let element = element.read(budget)?;
        let is_better = match &found {
            None => true,
            Some(found) => matches!(
                binary(better, &element, found, budget)?,
                CelValue::Bool(true)
            ),
        };
        if is_better {
            found = Some(element);
        }
    }
    found.ok_or_else(|| {
        EvalError::Error("an empty list has neither a least nor a greatest element".to_owned())
    })
}
