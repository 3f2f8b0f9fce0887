//! The functions of expressions, in one table.

use super::budget::{Budget, EvalError};
use super::operators::{Number, binary};
use super::syntax::Operator;
use super::time;
use super::value::{CelValue, Type};

/// How a function is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `size(x)`
    Global,
    /// `x.size()`
    Member,
    Both,
}

type Run = for<'v> fn(&[CelValue<'v>], &mut Budget) -> Result<CelValue<'v>, EvalError>;

/// A function. What it is called on is its first argument.
pub struct Function {
    pub name: &'static str,
    style: Style,
    /// What each argument may be.
    takes: &'static [&'static [Type]],
    pub gives: Type,
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
const TIME: &[Type] = &[Type::Time];
const TIMES: &[Type] = &[Type::Time, Type::Span];
const SIZED: &[Type] = &[Type::Text, Type::List, Type::Map];
const NUMERIC: &[Type] = &[Type::Int, Type::Uint, Type::Double, Type::Text, Type::Time];
const PRINTED: &[Type] = &[
    Type::Text,
    Type::Int,
    Type::Uint,
    Type::Double,
    Type::Bool,
    Type::Time,
    Type::Span,
];

const fn function(
    name: &'static str,
    style: Style,
    takes: &'static [&'static [Type]],
    gives: Type,
    run: Run,
) -> Function {
    Function {
        name,
        style,
        takes,
        gives,
        run,
    }
}

/// CEL's own; `lowerAscii`, `upperAscii` and `trim` of its strings extension; `sum`, `min` and `max` as Kubernetes has them.
static FUNCTIONS: [Function; 30] = [
    function("size", Style::Both, &[SIZED], Type::Int, size),
    function(
        "contains",
        Style::Member,
        &[TEXT, TEXT],
        Type::Bool,
        |v, b| {
            texts(v, b, |text, part| {
                memchr::memmem::find(text.as_bytes(), part.as_bytes()).is_some()
            })
        },
    ),
    function(
        "startsWith",
        Style::Member,
        &[TEXT, TEXT],
        Type::Bool,
        |v, b| texts(v, b, |text, part| text.starts_with(part)),
    ),
    function(
        "endsWith",
        Style::Member,
        &[TEXT, TEXT],
        Type::Bool,
        |v, b| texts(v, b, |text, part| text.ends_with(part)),
    ),
    function("lowerAscii", Style::Member, &[TEXT], Type::Text, |v, b| {
        CelValue::made(&text(v).to_ascii_lowercase(), b)
    }),
    function("upperAscii", Style::Member, &[TEXT], Type::Text, |v, b| {
        CelValue::made(&text(v).to_ascii_uppercase(), b)
    }),
    function("trim", Style::Member, &[TEXT], Type::Text, |v, b| {
        CelValue::made(text(v).trim(), b)
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
        Ok(CelValue::Type(first(v).kind().as_str()))
    }),
    function("dyn", Style::Global, &[ANY], Type::Any, |v, _| Ok(first(v))),
    function("sum", Style::Member, &[LIST], Type::Any, sum),
    function("min", Style::Member, &[LIST], Type::Any, |v, b| {
        extreme(v, Operator::Less, b)
    }),
    function("max", Style::Member, &[LIST], Type::Any, |v, b| {
        extreme(v, Operator::Greater, b)
    }),
    function(
        "timestamp",
        Style::Global,
        &[&[Type::Text, Type::Time, Type::Int]],
        Type::Time,
        |v, _| time::timestamp(&first(v)),
    ),
    function(
        "duration",
        Style::Global,
        &[&[Type::Text, Type::Span]],
        Type::Span,
        |v, _| time::duration(&first(v)),
    ),
    function("getFullYear", Style::Member, &[TIME], Type::Int, |v, _| {
        time::part(&first(v), time::Part::Year)
    }),
    function("getMonth", Style::Member, &[TIME], Type::Int, |v, _| {
        time::part(&first(v), time::Part::Month)
    }),
    function("getDate", Style::Member, &[TIME], Type::Int, |v, _| {
        time::part(&first(v), time::Part::Date)
    }),
    function(
        "getDayOfMonth",
        Style::Member,
        &[TIME],
        Type::Int,
        |v, _| time::part(&first(v), time::Part::DayOfMonth),
    ),
    function("getDayOfWeek", Style::Member, &[TIME], Type::Int, |v, _| {
        time::part(&first(v), time::Part::DayOfWeek)
    }),
    function("getDayOfYear", Style::Member, &[TIME], Type::Int, |v, _| {
        time::part(&first(v), time::Part::DayOfYear)
    }),
    function("getHours", Style::Member, &[TIMES], Type::Int, |v, _| {
        time::part(&first(v), time::Part::Hours)
    }),
    function("getMinutes", Style::Member, &[TIMES], Type::Int, |v, _| {
        time::part(&first(v), time::Part::Minutes)
    }),
    function("getSeconds", Style::Member, &[TIMES], Type::Int, |v, _| {
        time::part(&first(v), time::Part::Seconds)
    }),
    function(
        "getMilliseconds",
        Style::Member,
        &[TIMES],
        Type::Int,
        |v, _| time::part(&first(v), time::Part::Milliseconds),
    ),
    // With its pattern in place, the parser makes something else of it; here only for what is said of a wrong call.
    function("matches", Style::Both, &[TEXT, TEXT], Type::Bool, |_, _| {
        Ok(CelValue::Bool(false))
    }),
];

/// Names that the language has and that are taken for functions.
const MACROS: [&str; 6] = ["has", "all", "exists", "exists_one", "filter", "map"];

/// The function of this name, which is called with so many arguments, its receiver included.
///
/// # Errors
/// What is wrong with the call.
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
    if function.takes.len() != arguments {
        let more = usize::from(style == Style::Member);
        let (takes, has) = (
            function.takes.len() - more.min(function.takes.len()),
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
    /// Whether it can take values of these types.
    pub fn takes(&self, kinds: &[Type]) -> bool {
        self.takes
            .iter()
            .zip(kinds)
            .all(|(takes, kind)| takes.iter().any(|taken| taken.may_be(*kind)))
    }

    pub fn call<'v>(
        &self,
        values: &[CelValue<'v>],
        budget: &mut Budget,
    ) -> Result<CelValue<'v>, EvalError> {
        let kinds: Vec<_> = values.iter().map(CelValue::kind).collect();
        if !self.takes(&kinds) {
            return Err(EvalError::no_overload(&self.written(&kinds)));
        }
        (self.run)(values, budget)
    }

    /// A call of it, as it is written.
    pub fn written(&self, kinds: &[Type]) -> String {
        let names: Vec<_> = kinds.iter().map(|kind| kind.as_str()).collect();
        match (self.style, names.split_first()) {
            (Style::Member, Some((receiver, rest))) => {
                format!("{receiver}.{}({})", self.name, rest.join(", "))
            }
            _ => format!("{}({})", self.name, names.join(", ")),
        }
    }
}

fn first<'v>(values: &[CelValue<'v>]) -> CelValue<'v> {
    values.first().cloned().unwrap_or(CelValue::Null)
}

fn text<'a>(values: &'a [CelValue<'_>]) -> &'a str {
    values
        .first()
        .and_then(CelValue::as_text)
        .unwrap_or_default()
}

fn texts<'v>(
    values: &[CelValue<'v>],
    budget: &mut Budget,
    of: fn(&str, &str) -> bool,
) -> Result<CelValue<'v>, EvalError> {
    let part = values
        .get(1)
        .and_then(CelValue::as_text)
        .unwrap_or_default();
    budget.read(text(values).len())?;
    Ok(CelValue::Bool(of(text(values), part)))
}

fn size<'v>(values: &[CelValue<'v>], budget: &mut Budget) -> Result<CelValue<'v>, EvalError> {
    let value = first(values);
    let size = match value.as_text() {
        Some(text) => {
            budget.read(text.len())?;
            text.chars().count()
        }
        None => value.len().unwrap_or_default(),
    };
    Ok(CelValue::Int(i64::try_from(size).unwrap_or(i64::MAX)))
}

fn cannot<T>(value: &CelValue<'_>, into: &str) -> Result<T, EvalError> {
    let shown = match value {
        CelValue::Int(value) => value.to_string(),
        CelValue::Uint(value) => value.to_string(),
        CelValue::Double(value) => value.to_string(),
        _ => format!(
            "{:?}",
            crate::types::truncate_for_display(value.as_text().unwrap_or_default())
        ),
    };
    Err(EvalError::Error(format!("{shown} cannot be made {into}")))
}

/// The whole number of a value, cut toward zero.
fn whole(value: &CelValue<'_>) -> Option<i128> {
    match value {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "cutting is what it does; 64 bits are checked by the caller"
        )]
        CelValue::Double(value) => value.is_finite().then_some(*value as i128),
        CelValue::Time(nanos) => Some(nanos.div_euclid(1_000_000_000)),
        CelValue::Int(value) => Some((*value).into()),
        CelValue::Uint(value) => Some((*value).into()),
        _ => value.as_text()?.parse().ok(),
    }
}

fn int<'v>(values: &[CelValue<'v>], _: &mut Budget) -> Result<CelValue<'v>, EvalError> {
    let value = first(values);
    let int = whole(&value).and_then(|whole| i64::try_from(whole).ok());
    int.map(CelValue::Int)
        .map_or_else(|| cannot(&value, "an int"), Ok)
}

fn uint<'v>(values: &[CelValue<'v>], _: &mut Budget) -> Result<CelValue<'v>, EvalError> {
    let value = first(values);
    let uint = whole(&value).and_then(|whole| u64::try_from(whole).ok());
    uint.map(CelValue::Uint)
        .map_or_else(|| cannot(&value, "a uint"), Ok)
}

fn double<'v>(values: &[CelValue<'v>], _: &mut Budget) -> Result<CelValue<'v>, EvalError> {
    let value = first(values);
    let double = match Number::of(&value) {
        Some(number) => Some(number.as_double()),
        None => value.as_text().and_then(|text| text.parse().ok()),
    };
    double
        .map(CelValue::Double)
        .map_or_else(|| cannot(&value, "a double"), Ok)
}

fn string<'v>(values: &[CelValue<'v>], budget: &mut Budget) -> Result<CelValue<'v>, EvalError> {
    let value = first(values);
    let written = match &value {
        CelValue::Int(value) => value.to_string(),
        CelValue::Uint(value) => value.to_string(),
        CelValue::Double(value) => value.to_string(),
        CelValue::Bool(value) => value.to_string(),
        CelValue::Time(nanos) => time::written(*nanos),
        CelValue::Span(nanos) => time::seconds(*nanos),
        _ => return Ok(value),
    };
    CelValue::made(&written, budget)
}

fn boolean<'v>(values: &[CelValue<'v>], _: &mut Budget) -> Result<CelValue<'v>, EvalError> {
    let value = first(values);
    match value.as_text() {
        None => Ok(value),
        Some("true" | "True" | "TRUE" | "t" | "1") => Ok(CelValue::Bool(true)),
        Some("false" | "False" | "FALSE" | "f" | "0") => Ok(CelValue::Bool(false)),
        Some(_) => cannot(&value, "a bool"),
    }
}

/// Of numbers or durations; 0 of an empty list.
fn sum<'v>(values: &[CelValue<'v>], budget: &mut Budget) -> Result<CelValue<'v>, EvalError> {
    let list = first(values);
    let mut sum = None;
    for element in list.elements().into_iter().flatten() {
        budget.spend(1)?;
        if Number::of(&element).is_none() && element.kind() != Type::Span {
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

fn extreme<'v>(
    values: &[CelValue<'v>],
    better: Operator,
    budget: &mut Budget,
) -> Result<CelValue<'v>, EvalError> {
    let list = first(values);
    let mut found: Option<CelValue<'v>> = None;
    for element in list.elements().into_iter().flatten() {
        budget.spend(1)?;
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
