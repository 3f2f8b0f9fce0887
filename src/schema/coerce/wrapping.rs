//! Values with something around them that was not asked for, or without what was: a list of one, a wrapper, JSON in a string.

use llm_json::answer;
use serde_json::{Map, Value, json};

use super::super::implied_type::implied_type;
use super::matcher::{Coercer, Coercion, Match, Shapes, wanted};
use super::path::{Path, shown};
use super::scalar;
use super::text_normalize::bare;

const DECODED: u32 = 2;
const UNWRAPPED: u32 = 3;
const WRAPPED: u32 = 4;
const PUT_IN: u32 = 5;

/// A value of a type that the schema does not want, in one that it does.
pub fn converted<'s>(
    work: &mut Coercer<'s>,
    schema: &'s Value,
    value: &Value,
    at: &Path<'_>,
    shapes: Shapes,
) -> Option<Match> {
    let mut ways: Vec<Coercion> = wanted(schema)
        .filter_map(|kind| scalar::converted(schema, value, kind, at))
        .collect();
    ways.retain(|way| has_bounds(schema, &way.value));
    match reshaped(work, schema, value, at, shapes) {
        Some(Match::Mended(way)) => ways.push(way),
        Some(Match::AsIs) => return Some(Match::AsIs),
        None => {}
    }
    nearest(ways).map(Match::Mended)
}

/// The value with a wrapper taken away or put around it, if the schema then fits.
pub fn reshaped<'s>(
    work: &mut Coercer<'s>,
    schema: &'s Value,
    value: &Value,
    at: &Path<'_>,
    shapes: Shapes,
) -> Option<Match> {
    if shapes == Shapes::None {
        return None;
    }
    let mut ways = Vec::new();
    let is_scalar = !value.is_object() && !value.is_array();
    let mut try_it = |work: &mut Coercer<'s>, other: &Value, cost: u32, what: &str| {
        let fit = work.fit(schema, other, at, Shapes::None);
        if let Some(fit) = fit
            .filter(|fit| is_implied(schema, other) && !(cost == PUT_IN && is_far(fit, is_scalar)))
        {
            let note = at.note(what);
            ways.push(match fit {
                Match::AsIs => Coercion::new(other.clone(), cost, note),
                Match::Mended(mended) => Coercion {
                    value: mended.value,
                    cost: mended.cost.saturating_add(cost),
                    notes: [vec![note], mended.notes].concat(),
                },
            });
        }
    };
    match value {
        Value::String(text) => {
            work.spend(text.len() / 32)?;
            if let Some(inner) = decoded(text) {
                try_it(work, &inner, DECODED, "read the JSON in the string");
            } else if wants(schema, "array")
                && let Some(items) = listed(schema, text)
            {
                try_it(
                    work,
                    &items,
                    DECODED,
                    &format!("read {} as a list", shown(value)),
                );
            }
        }
        Value::Array(items) => {
            if let [only] = items.as_slice() {
                try_it(work, only, UNWRAPPED, "took the one element out of a list");
            }
        }
        Value::Object(members) => {
            if let Some((name, inner)) = wrapped(schema, members) {
                let what = format!(
                    "took the value out of {}",
                    shown(&Value::String(name.to_owned()))
                );
                match inner {
                    Value::String(text) => {
                        let inner = decoded(text);
                        try_it(
                            work,
                            inner.as_ref().unwrap_or(&members[name]),
                            UNWRAPPED,
                            &what,
                        );
                    }
                    inner => try_it(work, inner, UNWRAPPED, &what),
                }
            }
        }
        _ => {}
    }
    if shapes == Shapes::Any
        && wants(schema, "array")
        && !value.is_array()
        && !value.is_null()
        && !is_several(schema, value)
    {
        try_it(work, &json!([value]), WRAPPED, "made it a list of one");
    }
    // In a list, a bare element may be anything.
    if (shapes == Shapes::Any || value.is_object())
        && let Some(name) = only_property(schema, value)
    {
        try_it(
            work,
            &json!({ name: value }),
            PUT_IN,
            &format!(
                "made it the one member {}",
                shown(&Value::String(name.to_owned()))
            ),
        );
    }
    nearest(ways).map(Match::Mended)
}

/// Returns true if the value has the type that the schema's keywords imply. Without `type`, such
/// keywords accept any other type.
fn is_implied(schema: &Value, value: &Value) -> bool {
    if wanted(schema).next().is_some() {
        return true;
    }
    match implied_type(schema) {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        _ => true,
    }
}

/// More than a scalar had to be mended in what is put in; or that, where it is nothing but a scalar.
const fn is_far(fit: &Match, is_scalar: bool) -> bool {
    matches!(fit, Match::Mended(mended) if is_scalar || mended.cost >= UNWRAPPED)
}

/// The way of the least cost, if no other is as near and comes to something else.
fn nearest(ways: Vec<Coercion>) -> Option<Coercion> {
    let least = ways.iter().map(|way| way.cost).min()?;
    let mut nearest = ways.into_iter().filter(|way| way.cost == least);
    let first = nearest.next()?;
    nearest
        .all(|other| other.value == first.value)
        .then_some(first)
}

fn wants(schema: &Value, kind: &str) -> bool {
    wanted(schema).any(|name| name == kind)
        || (kind == "array" && wanted(schema).next().is_none() && schema.get("items").is_some())
}

/// Returns true if a number made from words is within the schema's bounds. Outside, it was misread.
fn has_bounds(schema: &Value, value: &Value) -> bool {
    let Some(number) = value.as_f64() else {
        return true;
    };
    let bound = |keyword| schema.get(keyword).and_then(Value::as_f64);
    bound("minimum").is_none_or(|least| number >= least)
        && bound("maximum").is_none_or(|most| number <= most)
        && bound("exclusiveMinimum").is_none_or(|below| number > below)
        && bound("exclusiveMaximum").is_none_or(|above| number < above)
}

/// The object or array that a string holds.
fn decoded(text: &str) -> Option<Value> {
    let inner = text.trim();
    if !inner.starts_with(['{', '[', '`']) {
        return None;
    }
    let value = answer::parse(inner, |value| value.is_object() || value.is_array())
        .ok()?
        .value;
    (value.is_object() || value.is_array()).then_some(value)
}

/// A string that lists values of which none can have a separator in it: numbers, truths, words of an `enum`.
fn listed(schema: &Value, text: &str) -> Option<Value> {
    let items = schema.get("items")?;
    let is_closed = items.get("enum").is_some()
        || (wanted(items).next().is_some()
            && wanted(items).all(|kind| matches!(kind, "number" | "integer" | "boolean")));
    let separators = [";", "\n", ", "]
        .into_iter()
        .find(|separator| text.contains(separator));
    let parts = text
        .split(separators.filter(|_| is_closed)?)
        .map(|part| Value::String(bare(part).to_owned()));
    Some(Value::Array(parts.collect()))
}

/// Returns true if a string that should be one element reads like several.
fn is_several(schema: &Value, value: &Value) -> bool {
    let is_text = schema
        .get("items")
        .is_none_or(|items| wanted(items).next().is_none_or(|kind| kind == "string"));
    let Value::String(text) = value else {
        return false;
    };
    is_text
        && (text.contains([',', ';', '\n', '|', '/', '&'])
            || text.contains(" and ")
            || scalar::says_nothing(value))
}

/// Names around the arguments of a call, and what stands beside them.
const ARGUMENTS: [&str; 6] = [
    "arguments",
    "parameters",
    "args",
    "params",
    "input",
    "properties",
];
const BESIDE: [&str; 13] = [
    "name",
    "type",
    "id",
    "function",
    "tool",
    "tool_name",
    "recipient_name",
    "title",
    "description",
    "required",
    "$schema",
    "$defs",
    "additionalProperties",
];

/// Returns the content of a wrapper: its one member, or the arguments of a call.
fn wrapped<'m>(schema: &Value, members: &'m Map<String, Value>) -> Option<(&'m str, &'m Value)> {
    let is_property = |name: &str| {
        schema
            .get("properties")
            .and_then(|properties| properties.get(name))
            .is_some()
    };
    let mut all = members.iter();
    let (name, inner) = if let (Some(only), None) = (all.next(), all.next()) {
        only
    } else {
        if let Some(arguments) = members
            .get("function")
            .and_then(|function| function.get("arguments"))
        {
            return Some(("function", arguments));
        }
        let is_call = |name: &str| ARGUMENTS.contains(&name);
        let mut others = members.keys().filter(|name| !is_call(name));
        let arguments = members.iter().find(|(name, _)| is_call(name))?;
        others
            .all(|name| BESIDE.contains(&name.as_str()))
            .then_some(arguments)?
    };
    let is_schema = name == "properties" && holds_schemas(inner);
    (!is_property(name) && !is_schema).then_some((name, inner))
}

/// The model repeated the schema instead of answering.
fn holds_schemas(properties: &Value) -> bool {
    let is_schema = |value: &Value| {
        ["type", "$ref", "enum", "anyOf", "items"]
            .iter()
            .any(|keyword| value.get(keyword).is_some())
    };
    properties
        .as_object()
        .is_none_or(|members| members.is_empty() || members.values().any(is_schema))
}

/// The one property of an object schema, required, if `value` may be meant as it: a text is not, it may be anything.
fn only_property<'s>(schema: &'s Value, value: &Value) -> Option<&'s str> {
    let properties = schema.get("properties")?.as_object()?;
    let (name, _) = properties.iter().next().filter(|_| properties.len() == 1)?;
    let required = schema.get("required")?.as_array()?;
    let is_required = required
        .iter()
        .any(|required| required.as_str() == Some(name));
    let is_there = value.get(name).is_some();
    let may_be = value.is_number() || value.is_boolean() || value.is_object() || value.is_array();
    (is_required && may_be && !is_there).then_some(name)
}
