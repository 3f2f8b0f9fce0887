//! Parts of a schema that visibly no value satisfies.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use crate::keyword::TYPES;
use crate::value_type::is_of_type;
use crate::{Tree, Warning};

/// Maximum number of schemas that hold for one value and are examined together.
const MAX_MERGED: usize = 64;
/// Maximum nesting of schemas that are examined.
const MAX_DEPTH: usize = 32;

/// Result of looking for parts that no value satisfies.
#[derive(Debug, Default)]
pub struct Emptiness {
    /// Reason for which nothing satisfies the whole schema.
    pub whole: Option<Warning>,
    /// Optional parts that nothing satisfies.
    pub parts: Vec<Warning>,
}

/// Looks for contradictions that can be seen: a required name that `additionalProperties: false` forbids, a minimum above the
/// maximum, an `enum` outside its `type`. Every part that is reported satisfies nothing; others may be overlooked.
#[must_use]
pub fn check(tree: &Tree) -> Emptiness {
    let mut search = Search {
        tree,
        known: HashMap::new(),
        depth: 0,
    };
    let whole = search.reason(tree.root()).map(|(schema, message)| Warning {
        pointer: tree.locate(schema),
        message: format!("no value satisfies this schema: {message}"),
    });
    if whole.is_some() {
        return Emptiness {
            whole,
            parts: Vec::new(),
        };
    }
    let root: &Value = tree.root();
    let (mut todo, mut seen, mut parts) = (vec![root], HashSet::new(), Vec::new());
    while let Some(schema) = todo.pop() {
        if !seen.insert(std::ptr::from_ref(schema)) || parts.len() >= crate::MAX_WARNINGS {
            continue;
        }
        for (_, part) in tree.parts(schema) {
            if part.is_boolean() {
                continue;
            }
            match search.reason(part) {
                Some((at, message)) => parts.push(Warning {
                    pointer: tree.locate(at),
                    message: format!("no value satisfies this part: {message}"),
                }),
                None => todo.push(part),
            }
        }
    }
    parts.sort_by(|one, other| one.pointer.cmp(&other.pointer));
    parts.dedup_by(|one, other| one.pointer == other.pointer);
    Emptiness { whole, parts }
}

/// Part that is empty, and the reason.
type Reason<'t> = (&'t Value, String);

struct Search<'t> {
    tree: &'t Tree,
    /// Results by schema. `None` within: being examined; a schema that needs itself is not called empty.
    known: HashMap<*const Value, Option<Reason<'t>>>,
    depth: usize,
}

impl<'t> Search<'t> {
    fn reason(&mut self, schema: &'t Value) -> Option<Reason<'t>> {
        let place = std::ptr::from_ref(schema);
        if let Some(known) = self.known.get(&place) {
            return known.clone();
        }
        if self.depth >= MAX_DEPTH {
            return None;
        }
        self.known.insert(place, None);
        self.depth += 1;
        let reason = self.search(schema);
        self.depth -= 1;
        self.known.insert(place, reason.clone());
        reason
    }

    fn search(&mut self, schema: &'t Value) -> Option<Reason<'t>> {
        let merged = match self.merged(schema) {
            Ok(merged) => merged,
            Err(never) => return Some((never, "`false` takes nothing".to_owned())),
        };
        for part in &merged {
            if part.get("not").is_some_and(|not| {
                not == &Value::Bool(true) || not.as_object().is_some_and(Map::is_empty)
            }) {
                return Some((schema, "`not` of everything takes nothing".to_owned()));
            }
            for keyword in ["anyOf", "oneOf"] {
                let Some(branches) = part.get(keyword).and_then(Value::as_array) else {
                    continue;
                };
                let reasons: Vec<_> = branches.iter().map(|branch| self.reason(branch)).collect();
                if !reasons.is_empty() && reasons.iter().all(Option::is_some) {
                    let first = reasons.into_iter().flatten().next().map(|(_, why)| why);
                    let message = format!(
                        "no branch of `{keyword}` can be satisfied: {}",
                        first.unwrap_or_default()
                    );
                    return Some((schema, message));
                }
            }
        }
        let types = match types(&merged) {
            Ok(types) => types,
            Err(message) => return Some((schema, message)),
        };
        if let Some(message) = no_listed_value(&merged, &types) {
            return Some((schema, message));
        }
        let mut first = None;
        for kind in types {
            match self.of_type(kind, &merged) {
                None => return None,
                Some(reason) => first = first.or(Some(reason)),
            }
        }
        first.map(|(at, message)| (at.unwrap_or(schema), message))
    }

    /// Returns all schema objects that hold together: the schema, what it refers to, and its `allOf`.
    fn merged(&self, schema: &'t Value) -> Result<Vec<&'t Map<String, Value>>, &'t Value> {
        let (mut todo, mut seen, mut merged) = (vec![schema], HashSet::new(), Vec::new());
        while let Some(schema) = todo.pop() {
            if schema == &Value::Bool(false) {
                return Err(schema);
            }
            let Some(members) = schema
                .as_object()
                .filter(|_| merged.len() < MAX_MERGED && seen.insert(std::ptr::from_ref(schema)))
            else {
                continue;
            };
            merged.push(members);
            todo.extend(self.tree.reference(schema));
            todo.extend(
                members
                    .get("allOf")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten(),
            );
        }
        Ok(merged)
    }

    /// Returns the reason for which no value of a type satisfies the schemas.
    fn of_type(
        &mut self,
        kind: &'static str,
        merged: &[&'t Map<String, Value>],
    ) -> Option<(Option<&'t Value>, String)> {
        let bounds = match kind {
            "string" => no_room(merged, "minLength", "maxLength"),
            "array" => no_room(merged, "minItems", "maxItems"),
            "object" => no_room(merged, "minProperties", "maxProperties"),
            "number" | "integer" => no_number(merged),
            _ => None,
        };
        if let Some(message) = bounds {
            return Some((None, message));
        }
        match kind {
            "object" => self.object(merged),
            "array" => self.array(merged),
            _ => None,
        }
    }

    fn object(&mut self, merged: &[&'t Map<String, Value>]) -> Option<(Option<&'t Value>, String)> {
        let required = merged
            .iter()
            .filter_map(|part| part.get("required")?.as_array())
            .flatten()
            .filter_map(Value::as_str);
        for name in required {
            for part in merged {
                let property = part.get("properties").and_then(|named| named.get(name));
                let is_closed = part.get("additionalProperties") == Some(&Value::Bool(false))
                    && part
                        .get("patternProperties")
                        .is_none_or(|named| named.as_object().is_none_or(Map::is_empty));
                match property {
                    None if is_closed => {
                        let message = format!(
                            "`{name}` is required, but `additionalProperties: false` forbids it, as `properties` does not name it"
                        );
                        return Some((None, message));
                    }
                    None => {}
                    Some(property) => {
                        if let Some((at, message)) = self.reason(property) {
                            let message =
                                format!("the required `{name}` takes no value: {message}");
                            return Some((Some(at), message));
                        }
                    }
                }
            }
        }
        None
    }

    fn array(&mut self, merged: &[&'t Map<String, Value>]) -> Option<(Option<&'t Value>, String)> {
        let least = merged
            .iter()
            .filter_map(|part| part.get("minItems")?.as_u64())
            .max()
            .unwrap_or(0);
        for part in merged {
            let first = part.get("prefixItems").and_then(Value::as_array);
            let prefix = first.map_or(0, Vec::len) as u64;
            let listed = first.into_iter().flatten().zip(1..);
            for (item, position) in listed.filter(|(_, position)| *position <= least) {
                if let Some((at, message)) = self.reason(item) {
                    let message =
                        format!("element {position} is needed and takes no value: {message}");
                    return Some((Some(at), message));
                }
            }
            if let Some(items) = part.get("items")
                && least > prefix
                && let Some((at, message)) = self.reason(items)
            {
                return Some((
                    Some(at),
                    format!("elements are needed and take no value: {message}"),
                ));
            }
        }
        None
    }
}

/// Returns the types that all schemas allow.
fn types(merged: &[&Map<String, Value>]) -> Result<Vec<&'static str>, String> {
    let mut types: Vec<&'static str> = TYPES.to_vec();
    let mut named: Vec<String> = Vec::new();
    for kind in merged.iter().filter_map(|part| part.get("type")) {
        let allows = |name: &str| {
            kind == name
                || kind
                    .as_array()
                    .is_some_and(|names| names.iter().any(|known| known == name))
        };
        types.retain(|name| allows(name) || *name == "integer" && allows("number"));
        named.push(kind.to_string());
        if types.is_empty() {
            return Err(format!(
                "its types exclude each other: {}",
                named.join(" and ")
            ));
        }
    }
    Ok(types)
}

/// Returns the reason, if values are listed and none is of the types.
fn no_listed_value(merged: &[&Map<String, Value>], types: &[&str]) -> Option<String> {
    for part in merged {
        let constant = part.get("const").map(std::slice::from_ref);
        let listed = part.get("enum").and_then(Value::as_array);
        for (keyword, values) in [("const", constant), ("enum", listed.map(Vec::as_slice))] {
            let Some(values) = values else { continue };
            if !values
                .iter()
                .any(|value| types.iter().any(|kind| is_of_type(value, kind)))
            {
                return Some(format!(
                    "no value of `{keyword}` is of the type {}",
                    types.join(" or ")
                ));
            }
        }
    }
    None
}

fn no_room(merged: &[&Map<String, Value>], least: &str, most: &str) -> Option<String> {
    let numbers = |keyword: &str| {
        let values = merged
            .iter()
            .filter_map(move |part| part.get(keyword)?.as_f64());
        values.collect::<Vec<_>>()
    };
    let low = numbers(least).into_iter().reduce(f64::max)?;
    let high = numbers(most).into_iter().reduce(f64::min)?;
    (low > high).then(|| format!("`{least}` {low} is above `{most}` {high}"))
}

fn no_number(merged: &[&Map<String, Value>]) -> Option<String> {
    let bound = |keyword: &'static str| {
        merged
            .iter()
            .filter_map(move |part| Some((part.get(keyword)?.as_f64()?, keyword)))
    };
    let low = bound("minimum").chain(bound("exclusiveMinimum"));
    let high = bound("maximum").chain(bound("exclusiveMaximum"));
    let (low, low_keyword) = low.reduce(|one, other| if other.0 >= one.0 { other } else { one })?;
    let (high, high_keyword) =
        high.reduce(|one, other| if other.0 <= one.0 { other } else { one })?;
    let is_exclusive = low_keyword.starts_with('e') || high_keyword.starts_with('e');
    let is_empty = low > high || low.total_cmp(&high).is_eq() && is_exclusive;
    is_empty.then(|| format!("`{low_keyword}` {low} leaves nothing below `{high_keyword}` {high}"))
}
