//! References: the target is written once under `$defs`, or inline where the dialect has no
//! references.

use serde_json::{Map, Value};

use super::description::Description;
use super::lowered_node::{LoweredNode, LoweringError};
use super::merged_schema::{MergedSchema, Reference, named_types};
use super::{Ask, Effort, Lowering};
use crate::types::{ExtraRule, ReferenceRule, TypeSet, ValueMapping};

/// A schema that is referred to.
#[derive(Debug, Clone)]
pub struct Known {
    index: usize,
    name: String,
    null: bool,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It is being written, further out.
    Begun,
    Done,
    /// No value is valid.
    Never,
}

impl<'s> Lowering<'s> {
    pub fn reference(
        &mut self,
        to: &Reference<'s>,
        level: usize,
    ) -> Result<LoweredNode, LoweringError> {
        let part = match self.subset.references {
            ReferenceRule::None => self.written_out(to.target, level),
            ReferenceRule::Acyclic | ReferenceRule::Recursive => self.named(to, level),
        }?;
        let part = self.with_ignored(part, to, level)?;
        let mut words = Description::default();
        to.notes.iter().for_each(|note| words.say(note));
        Ok(self.described(part, words))
    }

    /// Draft 7 ignores the types that are named beside a `$ref`. Where what it refers to names none, they say which are meant.
    fn with_ignored(
        &mut self,
        part: LoweredNode,
        to: &Reference<'s>,
        level: usize,
    ) -> Result<LoweredNode, LoweringError> {
        let Some(types) = to.ignored.and_then(|ignored| ignored.get("type")) else {
            return Ok(part);
        };
        let target = MergedSchema::new(self.tree, &Ask::of(to.target, level))?;
        let meant = target
            .types()?
            .filter(|_| target.all("type").next().is_none() && target.choices.is_empty());
        let Some(meant) = meant else { return Ok(part) };
        let mut types = named_types(types);
        types.retain(|name| !meant.contains(name));
        if types.contains(&"number") {
            types.retain(|name| *name != "integer");
        }
        let beside = MergedSchema {
            parts: to.ignored.into_iter().collect(),
            ..MergedSchema::empty()
        };
        let mut parts = vec![part];
        parts.extend(self.each(&types, &beside, level)?);
        self.join(parts)
    }

    /// Returns the number of times that a target was unrolled so far. `None`: the maximum is
    /// reached.
    fn unrolled(&self, target: &'s Value) -> Option<usize> {
        let most = self.most_unrolled();
        let begun = |level| {
            self.known
                .get(&(std::ptr::from_ref(target), level))
                .is_some_and(|known| known.state == State::Begun)
        };
        let mut at = self.unrolled;
        while begun(at) {
            at += 1;
        }
        (at < most).then_some(at)
    }

    fn written_out(
        &mut self,
        target: &'s Value,
        level: usize,
    ) -> Result<LoweredNode, LoweringError> {
        // The second time, what does not fit any more is cut off.
        let is_late = self.effort == Effort::Little && self.count.parts > self.most_parts / 2;
        let Some(at) = self.unrolled(target).filter(|_| !is_late) else {
            return self.text(&[target], level);
        };
        let key = (std::ptr::from_ref(target), at);
        self.known.insert(
            key,
            Known {
                index: 0,
                name: String::new(),
                null: false,
                state: State::Begun,
            },
        );
        let before = std::mem::replace(&mut self.unrolled, at);
        let part = self.part(&Ask::of(target, level));
        self.unrolled = before;
        self.known.remove(&key);
        part
    }

    fn named(&mut self, to: &Reference<'s>, level: usize) -> Result<LoweredNode, LoweringError> {
        let target = to.target;
        let is_recursive = self.subset.references == ReferenceRule::Recursive;
        let at = if is_recursive {
            Some(0)
        } else {
            self.unrolled(target)
        };
        let Some(at) = at else {
            return self.text(&[target], level);
        };
        let key = (std::ptr::from_ref(target), at);
        if let Some(known) = self.known.get(&key) {
            return if known.state == State::Never {
                Err(LoweringError::Never)
            } else {
                Ok(referring(known))
            };
        }
        let index = self.shapes.len();
        self.shapes.push(self.sketched(target));
        let name = self.name(to.text, at);
        self.definitions.insert(name.clone(), Value::Null);
        self.known.insert(
            key,
            Known {
                index,
                name: name.clone(),
                null: false,
                state: State::Begun,
            },
        );
        let before = std::mem::replace(&mut self.unrolled, at);
        // Levels are counted within a definition.
        let part = self.part(&Ask::of(target, 0));
        self.unrolled = before;
        let (state, null) = match part {
            Ok(part) => {
                let null = part.null;
                self.count.characters += name.chars().count();
                self.definitions.insert(name, Value::Object(part.json));
                if let Some(shape) = self.shapes.get_mut(index) {
                    *shape = part.shape;
                }
                (State::Done, null)
            }
            Err(LoweringError::Never) => {
                self.definitions.shift_remove(&name);
                (State::Never, false)
            }
            Err(stop) => return Err(stop),
        };
        let Some(known) = self.known.get_mut(&key) else {
            return Err(LoweringError::Full);
        };
        (known.state, known.null) = (state, null);
        if state == State::Never {
            Err(LoweringError::Never)
        } else {
            Ok(referring(known))
        }
    }

    /// Returns the likely mapping of a target, for parts within it that refer to it before it is
    /// known.
    fn sketched(&self, target: &'s Value) -> ValueMapping {
        let any = ValueMapping::same(TypeSet::ALL);
        let Ok(gathered) = MergedSchema::new(self.tree, &Ask::of(target, 0)) else {
            return any;
        };
        let Ok(Some(types)) = gathered.types() else {
            return any;
        };
        let has_members = types.contains(&"object") && gathered.all("properties").next().is_none();
        if has_members && self.subset.extra != ExtraRule::Any {
            return ValueMapping::Entries(Box::new(any));
        }
        if types.contains(&"array") {
            any
        } else {
            ValueMapping::same(TypeSet::ALL.without(TypeSet::LIST))
        }
    }

    /// The caller's name for it, if it can be told.
    fn name(&self, reference: &str, at: usize) -> String {
        let last = reference.rsplit(['/', '#']).next().unwrap_or_default();
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let mut name: String = last
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

fn referring(known: &Known) -> LoweredNode {
    let mut json = Map::new();
    json.insert("$ref".to_owned(), format!("#/$defs/{}", known.name).into());
    LoweredNode {
        null: known.null,
        ..LoweredNode::new(json, ValueMapping::Named(known.index))
    }
}
