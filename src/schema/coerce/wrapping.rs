//! Values with a superfluous or missing wrapper: a list of one, an object around the answer, JSON in a string.

use llm_json::answer;
use schema_dialect::{JsonType, Keyword, NodeRef};
use serde_json::{Map, Number, Value};

use super::choices::BYTES_PER_VISIT;
use super::coercer::Coercer;
use super::coercion::{Coercion, Match, Shapes};
use super::path::{Path, shown};
use super::scalar;
use super::text_normalize::bare;

/// Cost of parsing a string.
const DECODED: u32 = 2;
/// Cost of removing a wrapper.
const UNWRAPPED: u32 = 3;
/// Cost of adding a list around the value.
const WRAPPED: u32 = 4;
/// Number of member names whose comparison costs one visit.
const NAMES_PER_VISIT: usize = 8;
/// Maximum number of members that are looked at for schemas.
const MAX_SCHEMAS: usize = 64;
/// Cost of adding an object around the value.
const PUT_IN: u32 = 5;

/// Converts a value of a type that the schema does not allow.
pub fn convert(
    coercer: &mut Coercer,
    schema: NodeRef<'_>,
    value: &Value,
    at: &Path<'_>,
    shapes: Shapes,
) -> Option<Match> {
    let types = schema.types().iter();
    let mut ways: Vec<Coercion> = types
        .filter_map(|kind| scalar::convert(schema, value, *kind, at))
        .collect();
    ways.retain(|way| has_bounds(schema, &way.value));
    match rewrap(coercer, schema, value, at, shapes) {
        Some(Match::Coerced(way)) => ways.push(way),
        Some(Match::AsIs) => return Some(Match::AsIs),
        None => {}
    }
    nearest(ways).map(Match::Coerced)
}

/// Removes or adds a wrapper, if the value then matches the schema.
pub fn rewrap(
    coercer: &mut Coercer,
    schema: NodeRef<'_>,
    value: &Value,
    at: &Path<'_>,
    shapes: Shapes,
) -> Option<Match> {
    if shapes == Shapes::None {
        return None;
    }
    let mut attempts = Attempts {
        coercer,
        schema,
        at,
        is_scalar: !value.is_object() && !value.is_array(),
        matches: Vec::new(),
    };
    attempts.unwrap(value)?;
    attempts.wrap(value, shapes)?;
    nearest(attempts.matches).map(Match::Coerced)
}

/// Attempts to match a value with a changed wrapper.
struct Attempts<'a, 's> {
    coercer: &'a mut Coercer,
    schema: NodeRef<'s>,
    at: &'a Path<'a>,
    /// True if the value is a scalar.
    is_scalar: bool,
    /// Coercions that match.
    matches: Vec<Coercion>,
}

impl Attempts<'_, '_> {
    /// Tries the value without its wrapper. `None`: the budget is used up.
    fn unwrap(&mut self, value: &Value) -> Option<()> {
        match value {
            Value::String(text) => {
                self.coercer.spend(text.len() / BYTES_PER_VISIT)?;
                if let Some(inner) = parse_container(text) {
                    self.attempt(&inner, DECODED, "read the JSON in the string");
                } else if wants_array(self.schema)
                    && let Some(items) = split_list(self.schema, text)
                {
                    let change = format!("read {} as a list", shown(value));
                    self.attempt(&items, DECODED, &change);
                }
            }
            Value::Array(items) => {
                if let [only] = items.as_slice() {
                    self.attempt(only, UNWRAPPED, "took the one element out of a list");
                }
            }
            Value::Object(members) => {
                self.coercer.spend(members.len() / NAMES_PER_VISIT)?;
                if let Some((name, inner)) = wrapped_member(self.schema, members) {
                    let name = Value::String(name.to_owned());
                    let change = format!("took the value out of {}", shown(&name));
                    let text = inner.as_str().unwrap_or_default();
                    self.coercer.spend(text.len() / BYTES_PER_VISIT)?;
                    let parsed = parse_container(text);
                    self.attempt(parsed.as_ref().unwrap_or(inner), UNWRAPPED, &change);
                }
            }
            _ => {}
        }
        Some(())
    }

    /// Tries the value as the only element of a list, and as the only member of an object.
    ///
    /// `None`: the budget is used up.
    fn wrap(&mut self, value: &Value, shapes: Shapes) -> Option<()> {
        if shapes == Shapes::Any
            && wants_array(self.schema)
            && !value.is_array()
            && !value.is_null()
            && !is_several(self.schema, value)
        {
            let list = Value::Array(vec![self.coercer.copy(value)?]);
            self.attempt(&list, WRAPPED, "made it a list of one");
        }
        // A bare element of a list may mean anything.
        if (shapes == Shapes::Any || value.is_object())
            && let Some(name) = only_property(self.schema, value)
        {
            let shown_name = shown(&Value::String(name.to_owned()));
            let change = format!("made it the one member {shown_name}");
            let inner = self.coercer.copy(value)?;
            let object = std::iter::once((name.to_owned(), inner)).collect();
            self.attempt(&Value::Object(object), PUT_IN, &change);
        }
        Some(())
    }

    /// Keeps the changed value if it matches the schema.
    fn attempt(&mut self, value: &Value, cost: u32, change: &str) {
        let fit = self.coercer.fit(self.schema, value, self.at, Shapes::None);
        let Some(fit) = fit.filter(|fit| {
            is_implied(self.schema, value) && !(cost == PUT_IN && is_far(fit, self.is_scalar))
        }) else {
            return;
        };
        let note = self.at.note(change);
        let coercion = match fit {
            Match::AsIs => {
                let copy = self.coercer.copy(value);
                copy.map(|copy| Coercion::new(copy, cost, note))
            }
            Match::Coerced(coercion) => Some(coercion.after(cost, note)),
        };
        self.matches.extend(coercion);
    }
}

/// Returns true if the value has the type that the schema's keywords imply. Without `type`, such
/// keywords accept any other type.
fn is_implied(schema: NodeRef<'_>, value: &Value) -> bool {
    if !schema.types().is_empty() {
        return true;
    }
    match schema.implied_type() {
        Some(JsonType::Object) => value.is_object(),
        Some(JsonType::Array) => value.is_array(),
        _ => true,
    }
}

/// Returns true if the wrapped value still needs too many changes: more than those of a scalar, or any if it is a scalar.
const fn is_far(fit: &Match, is_scalar: bool) -> bool {
    matches!(fit, Match::Coerced(coercion) if is_scalar || coercion.cost >= UNWRAPPED)
}

/// Returns the coercion of the lowest cost, unless another of the same cost leads to a different value.
fn nearest(ways: Vec<Coercion>) -> Option<Coercion> {
    let least = ways.iter().map(|way| way.cost).min()?;
    let mut nearest = ways.into_iter().filter(|way| way.cost == least);
    let first = nearest.next()?;
    nearest
        .all(|other| other.value == first.value)
        .then_some(first)
}

/// Returns true if the schema allows arrays by name, or by `items`.
fn wants_array(schema: NodeRef<'_>) -> bool {
    let types = schema.types();
    types.contains(&JsonType::Array) || types.is_empty() && schema.has(Keyword::Items)
}

/// Returns true if a number made from words is within the schema's bounds. Outside, it was misread.
fn has_bounds(schema: NodeRef<'_>, value: &Value) -> bool {
    let Some(number) = value.as_f64() else {
        return true;
    };
    let bound = |keyword| schema.number(keyword).and_then(Number::as_f64);
    bound(Keyword::Minimum).is_none_or(|least| number >= least)
        && bound(Keyword::Maximum).is_none_or(|most| number <= most)
        && bound(Keyword::ExclusiveMinimum).is_none_or(|below| number > below)
        && bound(Keyword::ExclusiveMaximum).is_none_or(|above| number < above)
}

/// Parses the object or array in a string.
fn parse_container(text: &str) -> Option<Value> {
    let inner = text.trim();
    if !inner.starts_with(['{', '[', '`']) {
        return None;
    }
    let value = answer::parse(inner, |value| value.is_object() || value.is_array())
        .ok()?
        .value;
    (value.is_object() || value.is_array()).then_some(value)
}

/// Splits a string into a list, if no element can contain a separator: numbers, booleans, enumerated words.
fn split_list(schema: NodeRef<'_>, text: &str) -> Option<Value> {
    let items = schema.items()?;
    let (types, is_word) = (items.types(), |kind: &JsonType| {
        matches!(
            kind,
            JsonType::Number | JsonType::Integer | JsonType::Boolean
        )
    });
    let is_closed = items.has(Keyword::Enum) || !types.is_empty() && types.iter().all(is_word);
    let separators = [";", "\n", ", "]
        .into_iter()
        .find(|separator| text.contains(separator));
    let parts = text
        .split(separators.filter(|_| is_closed)?)
        .map(|part| Value::String(bare(part).to_owned()));
    Some(Value::Array(parts.collect()))
}

/// Returns true if a string that should be one element reads like several.
fn is_several(schema: NodeRef<'_>, value: &Value) -> bool {
    let first = schema.items().and_then(|items| items.types().first());
    let is_text = first.is_none_or(|kind| *kind == JsonType::String);
    let Value::String(text) = value else {
        return false;
    };
    is_text
        && (text.contains([',', ';', '\n', '|', '/', '&'])
            || text.contains(" and ")
            || scalar::is_placeholder(value))
}

/// Names of the arguments in a function call.
const ARGUMENTS: [&str; 6] = [
    "arguments",
    "parameters",
    "args",
    "params",
    "input",
    "properties",
];
/// Names of the other members of a function call.
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

/// Names by which a value is recognised as a schema.
const SCHEMA_MEMBERS: [&str; 5] = ["type", "$ref", "enum", "anyOf", "items"];

/// Returns the content of a wrapper: its one member, or the arguments of a call.
fn wrapped_member<'m>(
    schema: NodeRef<'_>,
    members: &'m Map<String, Value>,
) -> Option<(&'m str, &'m Value)> {
    let is_property = |name: &str| {
        let properties = schema.properties();
        properties.is_some_and(|properties| properties.get(name).is_some())
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

/// Returns true if the members are schemas: the model repeated the schema instead of answering.
fn holds_schemas(properties: &Value) -> bool {
    let is_schema = |value: &Value| SCHEMA_MEMBERS.iter().any(|name| value.get(name).is_some());
    properties.as_object().is_none_or(|members| {
        members.is_empty() || members.values().take(MAX_SCHEMAS).any(is_schema)
    })
}

/// Returns the only property of an object schema, if it is required and `value` can be its value. A text cannot: it may mean
/// anything.
fn only_property<'s>(schema: NodeRef<'s>, value: &Value) -> Option<&'s str> {
    let properties = schema.properties()?;
    let name = properties
        .names()
        .next()
        .filter(|_| properties.len() == 1)?;
    let is_required = schema.required().iter().any(|required| **required == *name);
    let is_there = value.get(name).is_some();
    let may_be = value.is_number() || value.is_boolean() || value.is_object() || value.is_array();
    (is_required && may_be && !is_there).then_some(name)
}
