//! A caller's schema in the form that a provider's mode takes.
//!
//! The lowered form is never narrower than the caller's: each value that the caller would take has a form in it, and comes back
//! from it. It is wider where a provider cannot say something; that is then said in words, in a description, and the answer is
//! held against the caller's own schema. Some things are read as people mean them, not as the standard has them:
//! a schema that names keywords of a type (`properties`, `items`, `minLength`) but no type means that type; what an object
//! has beside its `properties` is only asked for if the schema speaks of it (`additionalProperties`, `patternProperties`), and
//! what a tuple has beside its `prefixItems` likewise; properties of `then` or `else`, and those beside a `$ref` of draft 7, which
//! ignores them, are optional. An answer that is otherwise valid is still taken.

mod array;
mod choice;
mod description;
mod lowered_node;
mod merged_schema;
mod object;
mod reference;
mod scalar;
mod size_counter;
mod types;
mod wrap_root;

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::value::to_raw_value;
use serde_json::{Map, Value};

use super::Schema;
use crate::types::{
    Dialect, ExtraRule, LoweredSchema, NullPolicy, NullRule, Strictness, ValueMapping,
    ValueMappings,
};
use description::Description;
use lowered_node::{LoweredNode, LoweringError};
use merged_schema::{MergedSchema, Reference};
use schema_dialect::{Draft, Tree};
use size_counter::SizeCounter;

/// A schema that was lowered to a subset.
#[derive(Debug, Clone)]
pub struct Lowered {
    pub asked: Arc<LoweredSchema>,
}

/// For how many bytes of the caller's schema the lowered one may have a part, and how many in any case: what is merged and unrolled
/// could grow without end.
const MAX_PARTS: (usize, usize) = (20, 500);
/// Parts one within the other, at most; serde_json reads 128 levels of JSON, and a part is up to three.
const MAX_DEPTH: usize = 40;
/// The longest schema that is lowered in no time, in bytes.
const QUICKLY_LOWERED_BYTES: usize = 8 << 10;
/// Maximum number of times that a recursive schema is unrolled for a dialect without recursion.
const MAX_UNROLLED: usize = 3;

impl Schema {
    /// Returns true if lowering may take more than about a millisecond.
    #[must_use]
    pub fn is_slow_to_lower(&self) -> bool {
        self.raw.get().len() > QUICKLY_LOWERED_BYTES
    }

    /// The schema in the form that `subset` allows; `None` when there is none. Made once, and kept.
    #[must_use]
    pub fn lowered(&self, subset: &'static Dialect) -> Option<Lowered> {
        let mut kept = self
            .lowered
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, known)) = kept.iter().find(|(known, _)| std::ptr::eq(*known, subset)) {
            return known.clone();
        }
        let lowered = self.lower(subset);
        kept.push((subset, lowered.clone()));
        lowered
    }

    /// Lifts an answer in a lowered form to the caller's form. Of the possible meanings of its
    /// nulls, the first valid one is returned; an answer that is in the caller's form already stays
    /// as it is.
    #[must_use]
    pub fn raised(&self, lowered: &Lowered, value: Value) -> Value {
        let asked = &lowered.asked;
        if asked.is_as_it_was() {
            return value;
        }
        let form = |null| asked.raised(value.clone(), null);
        let kept = form(NullPolicy::Value);
        if self.is_valid(&kept) {
            return kept;
        }
        // What is mended if none is valid: nulls that no schema asked for are none of it.
        let own = form(NullPolicy::OwnValue);
        let others = [own.clone(), form(NullPolicy::Absence), value];
        let valid = others
            .into_iter()
            .find(|other| *other != kept && self.is_valid(other));
        valid.unwrap_or(own)
    }

    fn lower(&self, subset: &'static Dialect) -> Option<Lowered> {
        if subset.whole {
            let is_object = self
                .tree
                .root()
                .get("type")
                .is_some_and(|kind| kind == "object");
            let wrapped = subset.object_root && !is_object;
            // A validator of the provider's may know neither draft 4 nor the places of references in a wrapper.
            let raw = if wrapped {
                to_raw_value(&wrap_root::wrapped(self.tree.root())).ok()?
            } else if self.tree.draft() == Draft::Draft4 {
                to_raw_value(self.tree.root()).ok()?
            } else {
                self.raw.clone()
            };
            return Some(Lowered {
                asked: Arc::new(LoweredSchema {
                    raw,
                    strict: false,
                    wrapped,
                    shapes: None,
                }),
            });
        }
        let tree = &*self.tree;
        // Written out at length first; if that is too much, as short as it goes.
        let asked = [Effort::Full, Effort::Little]
            .into_iter()
            .find_map(|effort| Lowering::new(self, tree, subset, effort).run());
        asked.map(|asked| Lowered {
            asked: Arc::new(asked),
        })
    }
}

/// Extent to which alternatives and recursion are written out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effort {
    /// Each choice with all that stands beside it, and some levels of what refers to itself.
    Full,
    /// Common part of all alternatives, and one level of recursion.
    Little,
}

struct Lowering<'s> {
    tree: &'s Tree,
    subset: &'static Dialect,
    effort: Effort,
    most_parts: usize,
    count: SizeCounter,
    depth: usize,
    definitions: Map<String, Value>,
    shapes: Vec<ValueMapping>,
    /// Names of referenced schemas, by the number of times that they were unrolled.
    known: HashMap<(*const Value, usize), reference::Known>,
    unrolled: usize,
    /// The schemas for each part that this one is within.
    around: Vec<Vec<*const Value>>,
}

/// Schemas that all hold for one value, less the choices that were made already.
#[derive(Debug, Clone, Default)]
struct Ask<'s> {
    all: Vec<&'s Value>,
    chosen: Vec<*const Value>,
    /// Objects around it.
    level: usize,
    /// True if the target of a reference is written inline.
    here: bool,
}

impl<'s> Ask<'s> {
    const fn new(all: Vec<&'s Value>, level: usize) -> Self {
        Self {
            all,
            chosen: Vec::new(),
            level,
            here: false,
        }
    }

    /// A schema itself, and not a reference to it.
    fn of(schema: &'s Value, level: usize) -> Self {
        Self {
            here: true,
            ..Self::new(vec![schema], level)
        }
    }
}

impl<'s> Lowering<'s> {
    fn new(schema: &Schema, tree: &'s Tree, subset: &'static Dialect, effort: Effort) -> Self {
        let (bytes, least) = MAX_PARTS;
        Self {
            most_parts: least + schema.raw.get().len() / bytes,
            tree,
            subset,
            effort,
            count: SizeCounter::default(),
            depth: 0,
            definitions: Map::new(),
            shapes: Vec::new(),
            known: HashMap::new(),
            unrolled: 0,
            around: Vec::new(),
        }
    }

    /// Returns the maximum number of times that a recursive schema is unrolled.
    fn most_unrolled(&self) -> usize {
        if self.effort == Effort::Full {
            MAX_UNROLLED
        } else {
            1
        }
    }

    fn run(mut self) -> Option<LoweredSchema> {
        let root = self.tree.root();
        let mut part = self.part(&Ask::of(root, 0)).ok()?;
        let is_object = part.json.get("type").is_some_and(|kind| kind == "object");
        let wrapped = self.subset.object_root && !is_object;
        if wrapped {
            // One level further in.
            let (count, definitions, shapes) = Default::default();
            self = Self {
                count,
                definitions,
                shapes,
                known: HashMap::new(),
                ..self
            };
            part = self.part(&Ask::of(root, 1)).ok()?;
            self.count.properties += 1;
            part.json = self.wrap(part.json);
        }
        if !self.definitions.is_empty() {
            part.json
                .insert("$defs".to_owned(), Value::Object(self.definitions));
        }
        if !self.count.is_within(&self.subset.limits) {
            return None;
        }
        let shapes = ValueMappings {
            root: part.shape,
            named: self.shapes,
        };
        let shapes = Some(shapes).filter(|shapes| !shapes.are_same());
        let strict = match self.subset.strict {
            Strictness::Never => false,
            Strictness::Always => true,
            Strictness::IfClosed => self.count.optional == 0 && self.count.open == 0,
        };
        Some(LoweredSchema {
            raw: to_raw_value(&part.json).ok()?,
            strict,
            wrapped,
            shapes,
        })
    }

    fn wrap(&self, value: Map<String, Value>) -> Map<String, Value> {
        self.exactly([("value", Value::Object(value))])
    }

    /// An object with these members and no others.
    fn exactly<const N: usize>(&self, properties: [(&str, Value); N]) -> Map<String, Value> {
        let mut json = Map::new();
        json.insert("type".to_owned(), "object".into());
        let required: Vec<Value> = properties.iter().map(|(name, _)| (*name).into()).collect();
        json.insert(
            "properties".to_owned(),
            properties
                .into_iter()
                .map(|(name, schema)| (name.to_owned(), schema))
                .collect(),
        );
        json.insert("required".to_owned(), required.into());
        if self.subset.extra != ExtraRule::Unknown {
            json.insert("additionalProperties".to_owned(), false.into());
        }
        json
    }

    /// Lowers the conjunction of schemas.
    fn part(&mut self, ask: &Ask<'s>) -> Result<LoweredNode, LoweringError> {
        self.count.parts += 1;
        if self.count.parts > self.most_parts {
            return Err(LoweringError::Full);
        }
        if self.depth >= MAX_DEPTH {
            return self.text(&ask.all, ask.level);
        }
        self.depth += 1;
        let part = self.part_within(ask);
        self.depth -= 1;
        part
    }

    fn part_within(&mut self, ask: &Ask<'s>) -> Result<LoweredNode, LoweringError> {
        let here: Vec<*const Value> = ask
            .all
            .iter()
            .map(|schema| std::ptr::from_ref(*schema))
            .collect();
        let again = self.around.iter().filter(|around| **around == here).count();
        if let ([schema], false) = (ask.all.as_slice(), ask.here)
            && let Some(reference) = Reference::of(self.tree, schema)
            && (again > 0 || !reference.lacks_properties())
        {
            return self.reference(&reference, ask.level);
        }
        if again >= self.most_unrolled() && !here.is_empty() {
            return self.text(&ask.all, ask.level);
        }
        self.around.push(here);
        let part = self.merged(ask);
        self.around.pop();
        part
    }

    /// One part for all that is said, though some of it by reference.
    fn merged(&mut self, ask: &Ask<'s>) -> Result<LoweredNode, LoweringError> {
        let gathered = MergedSchema::new(self.tree, ask)?;
        if let Some(values) = gathered.values() {
            return self.values(&gathered, &values?, ask.level);
        }
        if let Some(part) = self.choice(ask, &gathered)? {
            return Ok(part);
        }
        self.types(&gathered, ask.level)
    }

    /// Returns true if a node permits no siblings.
    fn stands_alone(&self, part: &LoweredNode) -> bool {
        part.is_bare() || self.subset.null == NullRule::Flag && part.json.contains_key("anyOf")
    }

    /// With these words in its description; where none can stand, they go to whoever holds it.
    fn described(&self, mut part: LoweredNode, words: Description) -> LoweredNode {
        let Some(words) = words.into_text(part.json.get("description").and_then(Value::as_str))
        else {
            return part;
        };
        if self.stands_alone(&part) {
            part.note = Some(match part.note {
                Some(note) => format!("{words} {note}"),
                None => words,
            });
        } else {
            part.json.insert("description".to_owned(), words.into());
        }
        part
    }
}

#[cfg(test)]
mod tests;
