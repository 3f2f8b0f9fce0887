//! Parts of a schema that visibly no value satisfies.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::rc::Rc;

use crate::short_text::shortened;
use crate::tree::{JsonType, Keyword, Named, NodeRef, Nodes};
use crate::{Tree, Warning};

/// Maximum number of schemas that hold for one value and are examined together.
const MAX_MERGED: usize = 64;
/// Maximum nesting of schemas that are examined.
const MAX_DEPTH: usize = 32;
/// Maximum number of branches, names and values that are looked at, each as often as it is. References to the same large definition from
/// everywhere would be searched for minutes.
const MAX_STEPS: usize = 4_000_000;
/// The same for each branch, name and value of the schema, each of which is looked at as often only if many of the schemas around it, or
/// that refer to it, hold together.
const STEPS_PER_PART: usize = 80;
/// Number of steps that any schema may take, however small it is: less than a millisecond.
const MIN_STEPS: usize = 50_000;
/// Maximum length of a reason, in bytes. Each schema that is empty has one, and it is part of the reason of what is around it.
const MAX_REASON_BYTES: usize = 400;
/// Maximum length of a name within a reason, in bytes: the words around it stay readable.
const MAX_NAME_BYTES: usize = 80;

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
    let mut search = Search::new(tree);
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
            if !part.is_object() || parts.len() >= crate::MAX_WARNINGS {
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
type Reason<'t> = (NodeRef<'t>, Rc<str>);

/// Returns the words of a reason, of limited length.
fn reason(words: impl Display) -> Rc<str> {
    shortened(&words, MAX_REASON_BYTES).into()
}

struct Search<'t> {
    /// Results by schema. `None` within: being examined; a schema that needs itself is not called empty.
    known: HashMap<NodeRef<'t>, Option<Reason<'t>>>,
    depth: usize,
    /// Number of branches, names and values that may still be looked at. What is left then is taken for satisfiable.
    steps_left: usize,
}

impl<'t> Search<'t> {
    fn new(tree: &'t Tree) -> Self {
        let parts: usize = tree.nodes().map(|node| steps(&[node])).sum();
        Self {
            known: HashMap::new(),
            depth: 0,
            steps_left: (STEPS_PER_PART * parts).clamp(MIN_STEPS, MAX_STEPS),
        }
    }

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
        if self.steps_left == 0 {
            return None;
        }
        let merged = match merged(schema) {
            Ok(merged) => merged,
            Err(never) => return Some((never, reason("`false` takes nothing"))),
        };
        let steps = steps(&merged);
        if steps > self.steps_left {
            self.steps_left = 0;
            return None;
        }
        self.steps_left -= steps;
        for part in &merged {
            if part
                .child(Keyword::Not)
                .is_some_and(|not| not.is_true() || not.is_object() && not.keyword_count() == 0)
            {
                return Some((schema, reason("`not` of everything takes nothing")));
            }
            for keyword in Keyword::CHOICES {
                let branches = part.children(keyword);
                if let Some(why) = branches.and_then(|branches| self.no_branch(branches)) {
                    let name = keyword.name();
                    let words = format_args!("no branch of `{name}` can be satisfied: {why}");
                    return Some((schema, reason(words)));
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

    /// Returns the reason of the first branch, if no branch can be satisfied.
    fn no_branch(&mut self, branches: Nodes<'t>) -> Option<Rc<str>> {
        let mut first = None;
        for branch in branches.iter() {
            let (_, why) = self.reason(branch)?;
            first = first.or(Some(why));
        }
        first
    }

    /// Returns the reason for which no value of a type satisfies the schemas.
    fn of_type(
        &mut self,
        kind: JsonType,
        merged: &[NodeRef<'t>],
    ) -> Option<(Option<NodeRef<'t>>, Rc<str>)> {
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

    fn object(&mut self, merged: &[NodeRef<'t>]) -> Option<(Option<NodeRef<'t>>, Rc<str>)> {
        for name in merged.iter().flat_map(|part| part.required()) {
            for part in merged {
                let property = part.properties().and_then(|named| named.get(name));
                let is_closed = part.additional_properties().is_some_and(NodeRef::is_false)
                    && part
                        .named(Keyword::PatternProperties)
                        .is_none_or(Named::is_empty);
                match property {
                    None if is_closed => {
                        let name = shortened(name, MAX_NAME_BYTES);
                        let words = format_args!(
                            "`{name}` is required, but `additionalProperties: false` forbids it, as `properties` does not name it"
                        );
                        return Some((None, reason(words)));
                    }
                    None => {}
                    Some(property) => {
                        if let Some((at, message)) = self.reason(property) {
                            let name = shortened(name, MAX_NAME_BYTES);
                            let words =
                                format_args!("the required `{name}` takes no value: {message}");
                            return Some((Some(at), reason(words)));
                        }
                    }
                }
            }
        }
        None
    }

    fn array(&mut self, merged: &[NodeRef<'t>]) -> Option<(Option<NodeRef<'t>>, Rc<str>)> {
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
                    let words =
                        format_args!("element {position} is needed and takes no value: {message}");
                    return Some((Some(at), reason(words)));
                }
            }
            if let Some(items) = part.items()
                && least > prefix
                && let Some((at, message)) = self.reason(items)
            {
                let words = format_args!("elements are needed and take no value: {message}");
                return Some((Some(at), reason(words)));
            }
        }
        None
    }
}

/// Returns the number of branches, names and values that are looked at in schemas that hold together.
fn steps(merged: &[NodeRef<'_>]) -> usize {
    let of_part = |part: &NodeRef<'_>| {
        let branches = Keyword::CHOICES.map(|keyword| part.children(keyword).map_or(0, Nodes::len));
        let values = part.values(Keyword::Enum).map_or(0, <[_]>::len);
        let prefix = part.prefix_items().map_or(0, Nodes::len);
        let names = part.required().len() * merged.len();
        1 + branches.into_iter().sum::<usize>() + values + prefix + names
    };
    merged.iter().map(of_part).sum()
}

/// Returns the schema objects that hold together, up to [`MAX_MERGED`]: the schema, what it refers to, and its `allOf`. `Err`: one is
/// `false`.
fn merged(schema: NodeRef<'_>) -> Result<Vec<NodeRef<'_>>, NodeRef<'_>> {
    let (mut todo, mut seen, mut merged) = (vec![schema], HashSet::new(), Vec::new());
    while let Some(schema) = todo.pop() {
        if schema.is_false() {
            return Err(schema);
        }
        if merged.len() >= MAX_MERGED {
            break;
        }
        if !schema.is_object() || !seen.insert(schema) {
            continue;
        }
        merged.push(schema);
        todo.extend(schema.reference());
        let all_of = schema.all_of().into_iter().flat_map(Nodes::iter);
        todo.extend(all_of.take(MAX_MERGED));
    }
    Ok(merged)
}

/// Returns the types that all schemas allow.
fn types(merged: &[NodeRef<'_>]) -> Result<Vec<JsonType>, Rc<str>> {
    let mut types = JsonType::ALL.to_vec();
    let mut named: Vec<String> = Vec::new();
    for part in merged {
        let (Some(allowed), Some(written)) = (part.type_list(), part.get(Keyword::Type)) else {
            continue;
        };
        types.retain(|kind| allowed.allows(*kind));
        named.push(written.to_string());
        if types.is_empty() {
            let named = named.join(" and ");
            return Err(reason(format_args!(
                "its types exclude each other: {named}"
            )));
        }
    }
    Ok(types)
}

/// Returns the reason, if values are listed and none is of the types.
fn no_listed_value(merged: &[NodeRef<'_>], types: &[JsonType]) -> Option<Rc<str>> {
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
                let names = names.join(" or ");
                return Some(reason(format_args!(
                    "no value of `{keyword}` is of the type {names}"
                )));
            }
        }
    }
    None
}

fn no_room(merged: &[NodeRef<'_>], least: Keyword, most: Keyword) -> Option<Rc<str>> {
    let numbers = |keyword: Keyword| {
        let values = merged
            .iter()
            .filter_map(move |part| part.number(keyword)?.as_f64());
        values.collect::<Vec<_>>()
    };
    let low = numbers(least).into_iter().reduce(f64::max)?;
    let high = numbers(most).into_iter().reduce(f64::min)?;
    let (least, most) = (least.name(), most.name());
    (low > high).then(|| reason(format_args!("`{least}` {low} is above `{most}` {high}")))
}

fn no_number(merged: &[NodeRef<'_>]) -> Option<Rc<str>> {
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
    is_empty.then(|| {
        reason(format_args!(
            "`{least}` {low} leaves nothing below `{most}` {high}"
        ))
    })
}

#[cfg(test)]
mod tests;
