//! References: the target is written once under `$defs`, or inline where the dialect has no
//! references.

use serde_json::{Map, Value};

use super::conjunction::Conjunction;
use super::definition::{Definition, DefinitionState};
use super::description::Description;
use super::lowered_node::{LoweredNode, LoweringError};
use super::lowering::{Effort, Lowering};
use super::merged_schema::{MergedSchema, Reference, allowed_types};
use crate::dialect::{ExtraRule, ReferenceRule};
use crate::mapping::{TypeSet, ValueMapping};
use crate::tree::{JsonType, Keyword, NodeRef};

impl<'s> Lowering<'s> {
    /// Lowers a reference.
    pub fn reference(
        &mut self,
        to: &Reference<'s>,
        level: usize,
    ) -> Result<LoweredNode, LoweringError> {
        let part = match self.dialect.references {
            ReferenceRule::None => self.written_out(to.target, level),
            ReferenceRule::Acyclic | ReferenceRule::Recursive => self.named(to, level),
        }?;
        let part = self.with_ignored(part, to, level)?;
        let mut words = Description::default();
        to.notes.iter().for_each(|note| words.add_text(note));
        Ok(self.described(part, words))
    }

    /// Adds the types named beside a `$ref` of draft 7, which ignores them, if the target names no types.
    fn with_ignored(
        &mut self,
        part: LoweredNode,
        to: &Reference<'s>,
        level: usize,
    ) -> Result<LoweredNode, LoweringError> {
        let Some(types) = to.ignored.and_then(NodeRef::type_list) else {
            return Ok(part);
        };
        let target = MergedSchema::new(&Conjunction::inline(to.target, level))?;
        let meant = target
            .types()?
            .filter(|_| !target.has(Keyword::Type) && target.choices.is_empty());
        let Some(meant) = meant else { return Ok(part) };
        let mut types = allowed_types(types);
        types.retain(|kind| !meant.contains(kind));
        if types.contains(&JsonType::Number) {
            types.retain(|kind| *kind != JsonType::Integer);
        }
        let beside = MergedSchema {
            parts: to.ignored.into_iter().collect(),
            ..MergedSchema::default()
        };
        let mut parts = vec![part];
        parts.extend(self.each(&types, &beside, level)?);
        self.join(parts)
    }

    /// Returns the number of times that a target was unrolled so far. `None`: the maximum is
    /// reached.
    fn unrolled(&self, target: NodeRef<'s>) -> Option<usize> {
        let most = self.most_unrolled();
        let begun = |level| {
            self.known
                .get(&(target, level))
                .is_some_and(|known| known.state == DefinitionState::Begun)
        };
        let mut at = self.unrolled;
        while begun(at) {
            at += 1;
        }
        (at < most).then_some(at)
    }

    /// Lowers the target inline.
    fn written_out(
        &mut self,
        target: NodeRef<'s>,
        level: usize,
    ) -> Result<LoweredNode, LoweringError> {
        // With little effort, unrolling stops when half of the nodes are used.
        let is_late = self.effort == Effort::Little && self.count.parts > self.most_parts / 2;
        let Some(at) = self.unrolled(target).filter(|_| !is_late) else {
            return self.text(&[target], level);
        };
        let key = (target, at);
        self.known.insert(
            key,
            Definition {
                index: 0,
                name: String::new(),
                null: false,
                state: DefinitionState::Begun,
            },
        );
        let before = std::mem::replace(&mut self.unrolled, at);
        let part = self.part(&Conjunction::inline(target, level));
        self.unrolled = before;
        self.known.remove(&key);
        part
    }

    /// Lowers the target to a definition, unless it has one already.
    fn named(&mut self, to: &Reference<'s>, level: usize) -> Result<LoweredNode, LoweringError> {
        let target = to.target;
        let is_recursive = self.dialect.references == ReferenceRule::Recursive;
        let at = if is_recursive {
            Some(0)
        } else {
            self.unrolled(target)
        };
        let Some(at) = at else {
            return self.text(&[target], level);
        };
        let key = (target, at);
        if let Some(known) = self.known.get(&key) {
            return if known.state == DefinitionState::Never {
                Err(LoweringError::Never)
            } else {
                Ok(referring(known))
            };
        }
        let index = self.shapes.len();
        self.shapes.push(self.sketched(target));
        let name = self.definition_name(target.definition_name(), at);
        self.definitions.insert(name.clone(), Value::Null);
        self.known.insert(
            key,
            Definition {
                index,
                name: name.clone(),
                null: false,
                state: DefinitionState::Begun,
            },
        );
        let before = std::mem::replace(&mut self.unrolled, at);
        // Levels are counted within a definition.
        let part = self.part(&Conjunction::inline(target, 0));
        self.unrolled = before;
        let (state, null) = match part {
            Ok(part) => {
                let null = part.null;
                self.count.characters += name.chars().count();
                self.definitions.insert(name, Value::Object(part.json));
                if let Some(shape) = self.shapes.get_mut(index) {
                    *shape = part.shape;
                }
                (DefinitionState::Done, null)
            }
            Err(LoweringError::Never) => {
                self.definitions.shift_remove(&name);
                (DefinitionState::Never, false)
            }
            Err(stop) => return Err(stop),
        };
        let Some(known) = self.known.get_mut(&key) else {
            return Err(LoweringError::Full);
        };
        (known.state, known.null) = (state, null);
        if state == DefinitionState::Never {
            Err(LoweringError::Never)
        } else {
            Ok(referring(known))
        }
    }

    /// Returns the likely mapping of a target, for parts within it that refer to it before it is
    /// known.
    fn sketched(&self, target: NodeRef<'s>) -> ValueMapping {
        let any = ValueMapping::same(TypeSet::ALL);
        let Ok(gathered) = MergedSchema::new(&Conjunction::inline(target, 0)) else {
            return any;
        };
        let Ok(Some(types)) = gathered.types() else {
            return any;
        };
        let has_members = types.contains(&JsonType::Object) && !gathered.has(Keyword::Properties);
        if has_members && self.dialect.extra != ExtraRule::Any {
            return ValueMapping::Entries(Box::new(any));
        }
        if types.contains(&JsonType::Array) {
            any
        } else {
            ValueMapping::same(TypeSet::ALL.without(TypeSet::LIST))
        }
    }

    /// Returns a free name for a definition, based on its name in the tree.
    fn definition_name(&self, name: &str, at: usize) -> String {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let mut name: String = name
            .chars()
            .take(50)
            .map(|c| if allowed(c) { c } else { '_' })
            .collect();
        if name.is_empty() {
            name.push_str("root");
        }
        if at > 0 {
            name = format!("{name}_level{}", at + 1);
        }
        let base = name.clone();
        let mut number = 2;
        while self.definitions.contains_key(&name) {
            name = format!("{base}_{number}");
            number += 1;
        }
        name
    }
}

/// Returns a reference to a definition.
fn referring(known: &Definition) -> LoweredNode {
    let mut json = Map::new();
    json.insert("$ref".to_owned(), format!("#/$defs/{}", known.name).into());
    LoweredNode {
        null: known.null,
        ..LoweredNode::new(json, ValueMapping::Named(known.index))
    }
}
