//! Lowered forms of a compiled schema, each made once and kept with the schema.

use std::sync::{Arc, PoisonError};

use schema_dialect::{Dialect, Extra, LoweredSchema, Member, ValueMapping, lower};
use serde_json::Value;
use throttle::MemoryReservation;

use super::compiled::{KeptForm, Lowered, Schema, no_memory};
use super::validation_cost::Evaluations;
use crate::types::{Error, size_beside_text, written_size};

/// Maximum length of a schema whose lowering takes less than about a millisecond, in bytes.
const QUICKLY_LOWERED_BYTES: usize = 8 << 10;
/// The same of a schema with references, whose targets are written out, again and again, for a dialect without references. Measured with
/// 8 KiB: up to 24 ms.
const QUICKLY_UNROLLED_BYTES: usize = 1 << 10;
/// Room of a list for each of its entries: one that grows has up to twice the room that it needs.
const ROOM_PER_ENTRY: usize = 2;
/// Memory that a name takes beside its text, in bytes: the smallest block of an allocator.
const BYTES_PER_NAME: usize = 32;

/// Dialect of a mode, and the looser one for a schema that cannot be lowered to it.
pub type DialectChoice = (&'static Dialect, Option<&'static Dialect>);

impl Schema {
    /// Returns true if lowering to these dialects may take more than about a millisecond. Forms that are kept take no time.
    #[must_use]
    pub fn is_slow_to_lower(&self, mut dialects: impl Iterator<Item = DialectChoice>) -> bool {
        let bytes = self.raw.get().len();
        let has_references = || self.tree().nodes().any(|node| node.reference().is_some());
        let is_large =
            bytes > QUICKLY_LOWERED_BYTES || bytes > QUICKLY_UNROLLED_BYTES && has_references();
        if !is_large {
            return false;
        }
        // A thread that lowers holds the lock.
        let Ok(kept) = self.lowered.try_lock() else {
            return true;
        };
        let is_kept = |(dialect, looser): DialectChoice| {
            find(&kept, dialect).is_some_and(|known| {
                known.lowered.is_some() || looser.is_none_or(|looser| find(&kept, looser).is_some())
            })
        };
        !dialects.all(is_kept)
    }

    /// Lowers the schema to a dialect, once for each dialect. `None`: it cannot be lowered to this one.
    #[must_use]
    pub fn lowered(&self, dialect: &'static Dialect) -> Option<Lowered> {
        self.lowered_reserving(dialect, |_| Ok(None))
            .unwrap_or_default()
    }

    /// Lowers as [`Schema::lowered`]. The memory of a form that is made is taken from `memory`, which is enlarged by it, and held until
    /// the schema is dropped.
    ///
    /// # Errors
    /// `overloaded` if there is no memory for the form now, `payload_too_large` if there never is. The form is not kept then.
    pub fn lowered_within(
        &self,
        dialect: &'static Dialect,
        memory: &mut MemoryReservation,
    ) -> Result<Option<Lowered>, Error> {
        self.lowered_reserving(dialect, |bytes| {
            memory
                .resize(memory.bytes() + bytes)
                .map_err(|refused| no_memory(&refused))?;
            Ok(Some(memory.split(bytes)))
        })
    }

    fn lowered_reserving(
        &self,
        dialect: &'static Dialect,
        reserve: impl FnOnce(usize) -> Result<Option<MemoryReservation>, Error>,
    ) -> Result<Option<Lowered>, Error> {
        let mut kept = self.lowered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = find(&kept, dialect) {
            return Ok(known.lowered.clone());
        }
        let lowered = lower(self.tree(), &self.raw, dialect);
        let bytes = lowered.as_ref().map_or(0, form_bytes);
        let memory = reserve(bytes)?;
        let lowered = lowered.map(|asked| Lowered {
            asked: Arc::new(asked),
        });
        kept.push(KeptForm {
            dialect,
            lowered: lowered.clone(),
            _memory: memory,
        });
        self.add_bytes(bytes);
        Ok(lowered)
    }

    /// Lifts an answer in a lowered form to the caller's form. Of the possible meanings of its
    /// nulls, the first valid one is returned; an answer that is in the caller's form already stays
    /// as it is.
    #[must_use]
    pub fn raised(&self, lowered: &Lowered, value: Value) -> Value {
        self.raised_within(lowered, value, &Evaluations::of_answer())
    }

    /// Lifts as [`Schema::raised`], and validates with the evaluations that are left.
    #[must_use]
    pub fn raised_within(
        &self,
        lowered: &Lowered,
        value: Value,
        evaluations: &Evaluations,
    ) -> Value {
        lowered
            .asked
            .lifted(value, |value| self.is_valid_within(value, evaluations))
    }
}

/// Returns the form for a dialect, if it is kept.
fn find<'k>(kept: &'k [KeptForm], dialect: &Dialect) -> Option<&'k KeptForm> {
    kept.iter()
        .find(|known| std::ptr::eq(known.dialect, dialect))
}

/// Returns the memory that a form takes, in bytes, at most.
fn form_bytes(form: &LoweredSchema) -> usize {
    let shapes = form.shapes.as_ref().map_or(0, |shapes| {
        mapping_bytes(&shapes.root) + list_bytes(&shapes.named)
    });
    size_of::<LoweredSchema>() + form.raw.get().len() + shapes
}

/// Returns the memory of mappings in a list, in bytes, at most.
fn list_bytes(mappings: &[ValueMapping]) -> usize {
    let room = ROOM_PER_ENTRY * size_of_val(mappings);
    room + mappings.iter().map(mapping_bytes).sum::<usize>()
}

/// Returns the memory of a mapping in a box, in bytes, at most.
fn boxed_bytes(mapping: &ValueMapping) -> usize {
    size_of::<ValueMapping>() + mapping_bytes(mapping)
}

/// Returns the memory that a mapping takes beside itself, in bytes, at most.
fn mapping_bytes(mapping: &ValueMapping) -> usize {
    match mapping {
        ValueMapping::Same(_, values) => values.iter().map(value_bytes).sum(),
        ValueMapping::Object(members, extra) => {
            let room = ROOM_PER_ENTRY * size_of_val(members.as_slice());
            let of_extra = match extra {
                Extra::None | Extra::Left => 0,
                Extra::Same(mapping) => boxed_bytes(mapping),
                Extra::Entries(name, mapping) => name_bytes(name) + boxed_bytes(mapping),
            };
            room + of_extra + members.iter().map(member_bytes).sum::<usize>()
        }
        ValueMapping::Entries(mapping) => boxed_bytes(mapping),
        ValueMapping::Array(first, others) => list_bytes(first) + boxed_bytes(others),
        ValueMapping::Either(mappings) => list_bytes(mappings),
        ValueMapping::Text | ValueMapping::Named(_) => 0,
    }
}

fn member_bytes(member: &Member) -> usize {
    name_bytes(&member.name) + name_bytes(&member.asked) + mapping_bytes(&member.shape)
}

const fn name_bytes(name: &str) -> usize {
    BYTES_PER_NAME + name.len()
}

fn value_bytes(value: &Value) -> usize {
    size_beside_text(value) + written_size(value, usize::MAX).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use schema_dialect::dialects::GEMINI_SCHEMA;
    use throttle::{CallerId, MemoryLedger, MemoryUse};

    use super::*;
    use crate::types::Code;

    #[test]
    fn a_form_is_made_once() {
        let schema =
            Schema::compile(r#"{"type": "object", "properties": {"a": {"type": "string"}}}"#)
                .unwrap();
        let [one, other] = [0; 2].map(|_| schema.lowered(&Dialect::OBJECT).unwrap().asked);
        assert!(Arc::ptr_eq(&one, &other));
    }

    /// Returns the text of a schema with a list of values, to which each of many properties refers.
    fn referring(properties: usize, values: usize) -> String {
        let values: Vec<_> = (0..values).map(|n| format!("\"v{n}\"")).collect();
        let properties: Vec<_> = (0..properties)
            .map(|n| format!(r##""p{n}": {{"$ref": "#/$defs/v", "title": "{n}"}}"##))
            .collect();
        format!(
            r#"{{"type": "object", "properties": {{{}}}, "$defs": {{"v": {{"enum": [{}]}}}}}}"#,
            properties.join(","),
            values.join(",")
        )
    }

    #[test]
    fn only_forms_that_are_not_kept_are_slow_to_make() {
        let (object, whole): (&'static Dialect, &'static Dialect) =
            (&Dialect::OBJECT, &Dialect::WHOLE);
        let choices = || [(object, None), (&GEMINI_SCHEMA, Some(whole))].into_iter();
        let compile = |text: &str| Schema::compile(text).unwrap();
        assert!(!compile(r#"{"type": "object"}"#).is_slow_to_lower(choices()));
        let schema = compile(&referring(100, 200));
        for dialect in [object, &GEMINI_SCHEMA] {
            assert!(schema.is_slow_to_lower(choices()));
            assert!(schema.lowered(dialect).is_some());
        }
        assert!(!schema.is_slow_to_lower(choices()));
        let kept = schema.lowered.lock().unwrap();
        assert!(schema.is_slow_to_lower(choices()));
        drop(kept);
        // One that cannot be lowered to the dialect has a form in the looser one.
        let names: Vec<_> = (0..2000).map(|n| format!(r#""a{n}": {{}}"#)).collect();
        let names = names.join(",");
        let many = compile(&format!(
            r#"{{"type": "object", "properties": {{{names}}}}}"#
        ));
        assert!(many.lowered(&GEMINI_SCHEMA).is_none());
        assert!(many.is_slow_to_lower(choices().skip(1)));
        assert!(many.lowered(whole).is_some());
        assert!(!many.is_slow_to_lower(choices().skip(1)));
    }

    /// The list of values is copied into each property: the dialect has no references.
    #[test]
    fn a_form_is_reserved_for_as_long_as_the_schema_lives() {
        let text = referring(100, 200);
        let schema = Schema::compile(&text).unwrap();
        let compiled = schema.memory_bytes();
        for room in [1 << 10, 1 << 30] {
            let ledger = MemoryLedger::new(room, room);
            let mut memory = ledger.empty(CallerId(1), MemoryUse::Schemas);
            let lowered = schema.lowered_within(&GEMINI_SCHEMA, &mut memory);
            let held = ledger.snapshot().held;
            match lowered {
                Err(error) => assert_eq!((error.code, held), (Code::PayloadTooLarge, 0)),
                Ok(form) => {
                    assert!(held > form.unwrap().asked.raw.get().len() && held > 10 * text.len());
                    assert_eq!(schema.memory_bytes(), compiled + held);
                    let mut other = ledger.empty(CallerId(2), MemoryUse::Schemas);
                    schema.lowered_within(&GEMINI_SCHEMA, &mut other).unwrap();
                    drop((memory, other));
                    assert_eq!(ledger.snapshot().held, held);
                    drop(schema);
                    assert_eq!(ledger.snapshot().held, 0);
                    return;
                }
            }
        }
        panic!("there is room for the form");
    }
}
