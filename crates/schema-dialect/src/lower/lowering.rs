//! Lowering of one schema: its root, then each conjunction of subschemas with its nodes.
//!
//! The kinds of nodes are in files of their own (`object`, `array`, `scalar`, `choice`, `reference`), which call
//! [`Lowering::part`] for the schemas within.

use std::collections::HashMap;

use serde_json::value::to_raw_value;
use serde_json::{Map, Value};

use super::conjunction::Conjunction;
use super::definition::Definition;
use super::description::Description;
use super::lowered_node::{LoweredNode, LoweringError};
use super::merged_schema::{MergedSchema, Reference};
use super::size_counter::SizeCounter;
use crate::dialect::{Dialect, ExtraRule, NullRule, Strictness};
use crate::lowered_schema::LoweredSchema;
use crate::mapping::{ValueMapping, ValueMappings};
use crate::tree::{NodeRef, Tree};

/// Bytes of the caller's schema for each node of the lowered one, and the number of nodes that any schema may have. Without
/// them, merging and unrolling could grow without end.
const MAX_PARTS: (usize, usize) = (20, 500);
/// Bytes of names, texts and values that the nodes may have for each byte of the caller's schema, and those that any schema may have.
/// Without them, a long `enum` to which many properties refer would be copied into each.
const MAX_COPIED: (usize, usize) = (4, 1 << 20);
/// Maximum nesting of nodes: serde_json parses 128 levels of JSON, and a node takes up to three.
const MAX_DEPTH: usize = 40;
/// Maximum number of times that a recursive schema is unrolled for a dialect without recursion.
pub const MAX_UNROLLED: usize = 3;

/// Extent to which alternatives and recursion are written out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Each alternative with all constraints beside it, and several levels of recursion.
    Full,
    /// Common part of all alternatives, and one level of recursion.
    Little,
}

/// State of lowering one schema to one dialect.
pub struct Lowering<'s> {
    pub tree: &'s Tree,
    pub dialect: &'static Dialect,
    pub effort: Effort,
    /// Maximum number of nodes.
    pub most_parts: usize,
    /// Maximum length of the names, texts and values that are copied, in bytes.
    pub most_copied: usize,
    /// Size of the nodes so far.
    pub count: SizeCounter,
    /// Nesting of the current node.
    pub depth: usize,
    pub definitions: Map<String, Value>,
    /// Mappings of the definitions.
    pub shapes: Vec<ValueMapping>,
    /// Targets of references, by the number of times that they were unrolled.
    pub known: HashMap<(NodeRef<'s>, usize), Definition>,
    /// Number of times that the current target of a reference was unrolled.
    pub unrolled: usize,
    /// Schemas of each node around the current one.
    pub around: Vec<Vec<NodeRef<'s>>>,
}

impl<'s> Lowering<'s> {
    /// Creates the state for a schema whose document has so many bytes.
    pub fn new(
        tree: &'s Tree,
        document_bytes: usize,
        dialect: &'static Dialect,
        effort: Effort,
    ) -> Self {
        let (bytes, least) = MAX_PARTS;
        let (times, least_copied) = MAX_COPIED;
        Self {
            most_parts: least + document_bytes / bytes,
            most_copied: least_copied + document_bytes * times,
            tree,
            dialect,
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
    pub fn most_unrolled(&self) -> usize {
        if self.effort == Effort::Full {
            MAX_UNROLLED
        } else {
            1
        }
    }

    /// Lowers the whole schema. `None`: it does not fit the dialect.
    pub fn run(mut self) -> Option<LoweredSchema> {
        let root = self.tree.root();
        let mut part = self.part(&Conjunction::inline(root, 0)).ok()?;
        let is_object = part.json.get("type").is_some_and(|kind| kind == "object");
        let wrapped = self.dialect.object_root && !is_object;
        if wrapped {
            // The wrapper adds one level.
            let (count, definitions, shapes) = Default::default();
            self = Self {
                count,
                definitions,
                shapes,
                known: HashMap::new(),
                ..self
            };
            part = self.part(&Conjunction::inline(root, 1)).ok()?;
            self.count.properties += 1;
            part.json = self.wrap(part.json);
        }
        if !self.definitions.is_empty() {
            part.json
                .insert("$defs".to_owned(), Value::Object(self.definitions));
        }
        if !self.count.is_within(&self.dialect.limits) {
            return None;
        }
        let shapes = ValueMappings {
            root: part.shape,
            named: self.shapes,
        };
        let shapes = Some(shapes).filter(|shapes| !shapes.are_same());
        let strict = match self.dialect.strict {
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

    /// Returns the schema of an object with exactly these members.
    pub fn exactly<const N: usize>(&self, properties: [(&str, Value); N]) -> Map<String, Value> {
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
        if self.dialect.extra != ExtraRule::Unknown {
            json.insert("additionalProperties".to_owned(), false.into());
        }
        json
    }

    /// Lowers the conjunction of schemas.
    pub fn part(&mut self, conjunction: &Conjunction<'s>) -> Result<LoweredNode, LoweringError> {
        self.count.parts += 1;
        if self.count.parts > self.most_parts {
            return Err(LoweringError::Full);
        }
        if self.depth >= MAX_DEPTH {
            return self.text(&conjunction.all, conjunction.level);
        }
        self.depth += 1;
        let part = self.part_within(conjunction);
        self.depth -= 1;
        part
    }

    fn part_within(&mut self, conjunction: &Conjunction<'s>) -> Result<LoweredNode, LoweringError> {
        let here = &conjunction.all;
        let again = self.around.iter().filter(|around| *around == here).count();
        if let ([schema], false) = (conjunction.all.as_slice(), conjunction.here)
            && let Some(reference) = Reference::recognize(*schema)
            && (again > 0 || !reference.lacks_properties())
        {
            return self.reference(&reference, conjunction.level);
        }
        if again >= self.most_unrolled() && !here.is_empty() {
            return self.text(&conjunction.all, conjunction.level);
        }
        self.around.push(here.clone());
        let part = self.merged(conjunction);
        self.around.pop();
        part
    }

    /// Counts what the merged schemas hold, before it is copied or compared.
    pub fn copy(&mut self, gathered: &MergedSchema<'s>) -> Result<(), LoweringError> {
        let bytes: usize = gathered.parts.iter().map(|part| part.own_bytes()).sum();
        self.count.copied_bytes = self.count.copied_bytes.saturating_add(bytes);
        if self.count.copied_bytes > self.most_copied {
            return Err(LoweringError::Full);
        }
        Ok(())
    }

    /// Lowers the conjunction of schemas after merging them with the targets of their references.
    fn merged(&mut self, conjunction: &Conjunction<'s>) -> Result<LoweredNode, LoweringError> {
        let gathered = MergedSchema::new(conjunction)?;
        self.copy(&gathered)?;
        if let Some(values) = gathered.values() {
            return self.values(&gathered, &values?, conjunction.level);
        }
        if let Some(part) = self.choice(conjunction, &gathered)? {
            return Ok(part);
        }
        self.types(&gathered, conjunction.level)
    }

    /// Returns true if a node permits no siblings.
    pub fn stands_alone(&self, part: &LoweredNode) -> bool {
        part.is_bare() || self.dialect.null == NullRule::Flag && part.json.contains_key("anyOf")
    }

    /// Adds a description to a node. If the node permits no siblings, the description becomes a note of the node around it.
    pub fn described(&self, mut part: LoweredNode, words: Description) -> LoweredNode {
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
