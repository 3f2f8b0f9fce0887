//! Parts of a schema that visibly no value satisfies.

use std::collections::{HashMap, HashSet};

use crate::tree::{JsonType, Keyword, Named, NodeRef, Nodes};
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
    let mut search = Search::default();
    let whole = search.reason(tree.root()).map(|(schema, message)| Warning {
        pointer: schema.locate(),
        message: format!("no value satisfies this schema: {message}"),
    });
    if whole.is_some() {
        return Emptiness {
            whole,
            parts: Vec::new(),
        };
    }
    let (mut todo, mut seen, mut parts) = (vec![tree.root()], HashSet::new(), Vec::new());
    while let Some(schema) = todo.pop() {
        if !seen.insert(schema) || parts.len() >= crate::MAX_WARNINGS {
            continue;
        }
        for (_, part) in schema.parts() {
            if !part.is_object() {
                continue;
            }
            match search.reason(part) {
                Some((at, message)) => parts.push(Warning {
                    pointer: at.locate(),
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
type Reason<'t> = (NodeRef<'t>, String);

#[derive(Default)]
struct Search<'t> {
    /// Results by schema. `None` within: being examined; a schema that needs itself is not called empty.
    known: HashMap<NodeRef<'t>, Option<Reason<'t>>>,
    depth: usize,
}

impl<'t> Search<'t> {
    fn reason(&mut self, schema: NodeRef<'t>) -> Option<Reason<'t>> {
        if let Some(known) = self.known.get(&schema) {
            return known.clone();
        }
        if self.depth >= MAX_DEPTH {
            return None;
        }
        self.known.insert(schema, None);
        self.depth += 1;
        let reason = self.search(schema);
        self.depth -= 1;
        self.known.insert(schema, reason.clone());
        reason
    }

    fn search(&mut self, schema: NodeRef<'t>) -> Option<Reason<'t>> {
        let merged = match merged(schema) {
            Ok(merged) => merged,
            Err(never) => return Some((never, "`false` takes nothing".to_owned())),
        };
        for part in &merged {
            if part
                .child(Keyword::Not)
                .is_some_and(|not| not.is_true() || not.is_object() && not.keyword_count() == 0)
            {
                return Some((schema, "`not` of everything takes nothing".to_owned()));
            }
            for keyword in Keyword::CHOICES {
                let Some(branches) = part.children(keyword) else {
                    continue;
                };
                let reasons: Vec<_> = branches.iter().map(|branch| self.reason(branch)).collect();
                if !reasons.is_empty() && reasons.iter().all(Option::is_some) {
                    let first = reasons.into_iter().flatten().next().map(|(_, why)| why);
                    let message = format!(
                        "no branch of `{}` can be satisfied: {}",
                        keyword.name(),
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

    /// Returns the reason for which no value of a type satisfies the schemas.
    fn of_type(
        &mut self,
        kind: JsonType,
        merged: &[NodeRef<'t>],
    ) -> Option<(Option<NodeRef<'t>>, String)> {
        use Keyword::{MaxItems, MaxLength, MaxProperties, MinItems, MinLength, MinProperties};
        let bounds = match kind {
            JsonType::String => no_room(merged, MinLength, MaxLength),
            JsonType::Array => no_room(merged, MinItems, MaxItems),
            JsonType::Object => no_room(merged, MinProperties, MaxProperties),
            JsonType::Number | JsonType::Integer => no_number(merged),
            JsonType::Boolean | JsonType::Null => None,
        };
        if let Some(message) = bounds {
            return Some((None, message));
        }
        match kind {
            JsonType::Object => self.object(merged),
            JsonType::Array => self.array(merged),
            _ => None,
        }
    }

    fn object(&mut self, merged: &[NodeRef<'t>]) -> Option<(Option<NodeRef<'t>>, String)> {
        for name in merged.iter().flat_map(|part| part.required()) {
            for part in merged {
                let property = part.properties().and_then(|named| named.get(name));
                let is_closed = part.additional_properties().is_some_and(NodeRef::is_false)
                    && part
                        .named(Keyword::PatternProperties)
                        .is_none_or(Named::is_empty);
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

    fn array(&mut self, merged: &[NodeRef<'t>]) -> Option<(Option<NodeRef<'t>>, String)> {
        let least = merged
            .iter()
            .filter_map(|part| part.number(Keyword::MinItems)?.as_u64())
            .max()
            .unwrap_or(0);
        for part in merged {
            let first = part.prefix_items();
            let prefix = first.map_or(0, Nodes::len) as u64;
            let listed = first.into_iter().flat_map(Nodes::iter).zip(1..);
            for (item, position) in listed.filter(|(_, position)| *position <= least) {
                if let Some((at, message)) = self.reason(item) {
                    let message =
                        format!("element {position} is needed and takes no value: {message}");
                    return Some((Some(at), message));
                }
            }
            if let Some(items) = part.items()
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

/// Returns all schema objects that hold together: the schema, what it refers to, and its `allOf`. `Err`: one is `false`.
fn merged(schema: NodeRef<'_>) -> Result<Vec<NodeRef<'_>>, NodeRef<'_>> {
    let (mut todo, mut seen, mut merged) = (vec![schema], HashSet::new(), Vec::new());
    while let Some(schema) = todo.pop() {
        if schema.is_false() {
            return Err(schema);
        }
        if !schema.is_object() || merged.len() >= MAX_MERGED || !seen.insert(schema) {
            continue;
        }
        merged.push(schema);
        todo.extend(schema.reference());
        todo.extend(schema.all_of().into_iter().flat_map(Nodes::iter));
    }
    Ok(merged)
}

/// Returns the types that all schemas allow.
fn types(merged: &[NodeRef<'_>]) -> Result<Vec<JsonType>, String> {
    let mut types = JsonType::ALL.to_vec();
    let mut named: Vec<String> = Vec::new();
    for part in merged {
        let (Some(allowed), Some(written)) = (part.type_list(), part.get(Keyword::Type)) else {
            continue;
        };
        types.retain(|kind| allowed.allows(*kind));
        named.push(written.to_string());
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
fn no_listed_value(merged: &[NodeRef<'_>], types: &[JsonType]) -> Option<String> {
    for part in merged {
        let constant = part.constant().map(std::slice::from_ref);
        let listed = part.values(Keyword::Enum);
        for (keyword, values) in [("const", constant), ("enum", listed)] {
            let Some(values) = values else { continue };
            if !values
                .iter()
                .any(|value| types.iter().any(|kind| kind.accepts(value)))
            {
                let names: Vec<_> = types.iter().map(|kind| kind.name()).collect();
                return Some(format!(
                    "no value of `{keyword}` is of the type {}",
                    names.join(" or ")
                ));
            }
        }
    }
    None
}

fn no_room(merged: &[NodeRef<'_>], least: Keyword, most: Keyword) -> Option<String> {
    let numbers = |keyword: Keyword| {
        let values = merged
            .iter()
            .filter_map(move |part| part.number(keyword)?.as_f64());
        values.collect::<Vec<_>>()
    };
    let low = numbers(least).into_iter().reduce(f64::max)?;
    let high = numbers(most).into_iter().reduce(f64::min)?;
    let (least, most) = (least.name(), most.name());
    (low > high).then(|| format!("`{least}` {low} is above `{most}` {high}"))
}

fn no_number(merged: &[NodeRef<'_>]) -> Option<String> {
    let bound = |keyword: Keyword| {
        merged
            .iter()
            .filter_map(move |part| Some((part.number(keyword)?.as_f64()?, keyword)))
    };
    let low = bound(Keyword::Minimum).chain(bound(Keyword::ExclusiveMinimum));
    let high = bound(Keyword::Maximum).chain(bound(Keyword::ExclusiveMaximum));
    let (low, low_keyword) = low.reduce(|one, other| if other.0 >= one.0 { other } else { one })?;
    let (high, high_keyword) =
        high.reduce(|one, other| if other.0 <= one.0 { other } else { one })?;
    let is_exclusive =
        low_keyword == Keyword::ExclusiveMinimum || high_keyword == Keyword::ExclusiveMaximum;
    let is_empty = low > high || low.total_cmp(&high).is_eq() && is_exclusive;
    let (least, most) = (low_keyword.name(), high_keyword.name());
    is_empty.then(|| format!("`{least}` {low} leaves nothing below `{most}` {high}"))
}
