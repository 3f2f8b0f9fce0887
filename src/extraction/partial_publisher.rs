//! Publisher of an answer's partial results: versions of the object, and complete elements of its list, while the model writes it.
//!
//! Their memory is bounded and reserved: without room there are no further versions, then no elements.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use ::evidence::Index;
use futures_util::task::AtomicWaker;
use serde_json::Value;

use super::grounding::{Grounder, GroundingSettings};
use crate::long_work::{Piece, run_off_worker};
use crate::schema::{Evaluations, Lowered, Rules, Schema, StreamedList, Whole};
use crate::types::{LeafEvidence, Mode, NullPolicy, written_size};
use llm_json::partial::{Finished, Partial};
use throttle::{CallerId, MemoryReservation};

/// Partial result of an item.
#[derive(Debug, Clone, PartialEq)]
pub enum PartialEvent {
    /// Object as far as it is known.
    Partial { attempt: u32, data: Value },
    /// Complete and valid element of the object's list.
    Item {
        attempt: u32,
        index: usize,
        data: Value,
        /// Evidence of the element's values; `None` unless the request asked for it.
        evidence: Option<Box<[LeafEvidence]>>,
    },
}

/// Marker of an element that is left out of the result, because the text does not state it.
struct Absent;

/// Complete element of an answer, not checked yet.
pub struct Element {
    finished: Finished,
    form: Option<Arc<Lowered>>,
    attempt: u32,
    call: u32,
    caller: CallerId,
}

/// Maximum memory of an answer's values, from which no further versions are made: 4 MiB. Complete elements may wait up to the same size.
pub(super) const MAX_PARSED_BYTES: usize = 4 * 1024 * 1024;

/// Memory of an answer's values from which a version of the object is long work: 512 KiB.
pub(super) const INLINE_VERSION_BYTES: usize = 512 * 1024;

/// Number of copies of an answer's values while a version is made: they themselves, a copy, and its lifted form.
pub(super) const COPIES: usize = 3;

/// Bytes for each byte of a text in which values are looked for: two copies, and an index of ten bytes for each word.
const INDEXED_TEXT_BYTES: usize = 4;

/// Size of the pieces of an answer after each of which its memory is reserved, in bytes.
pub(super) const PIECE_BYTES: usize = 4 * 1024;

/// Step in which memory is reserved, in bytes: 256 KiB. What is below a step is not reserved.
pub(super) const STEP_BYTES: usize = 256 * 1024;

#[derive(Debug, Default)]
struct PartialState {
    attempt: u32,
    /// Number of the call, of which an attempt may have several.
    call: u32,
    lowered: BTreeMap<Mode, Arc<Lowered>>,
    /// Lowered schema that the answer follows; set with the first text.
    form: Option<Arc<Lowered>>,
    partial: Option<Partial>,
    /// Length of the answer so far, in bytes.
    length: u32,
    /// Time at which the last text of the answer arrived.
    arrived_at: Option<Instant>,
    has_changed: bool,
    /// Elements that are left out of the result because the text does not state them, in ascending order.
    left_out: Vec<usize>,
    /// Memory of what is parsed and of the text; `None` before the first call.
    memory: Option<MemoryReservation>,
}

/// Publisher of an answer's partial results.
#[derive(Debug, Default)]
pub struct PartialPublisher {
    list: Option<StreamedList>,
    takes_list: bool,
    /// True if elements may be coerced toward the schema.
    coerce: bool,
    grounding: Option<Arc<GroundingSettings>>,
    /// Text of the input, indexed when the first element is complete.
    text: OnceLock<String>,
    index: OnceLock<Index<'static>>,
    state: Mutex<PartialState>,
    pub reader: AtomicWaker,
}

impl PartialPublisher {
    /// Creates a publisher. Takes milliseconds for a large schema.
    pub fn new(schema: &Schema, coerce: bool, grounding: &Arc<GroundingSettings>) -> Self {
        Self {
            coerce,
            grounding: grounding.mode.is_on().then(|| Arc::clone(grounding)),
            list: StreamedList::for_schema(schema),
            takes_list: schema.may_be_list(),
            ..Self::default()
        }
    }

    /// Creates a publisher of versions of the object, without elements of a list: nothing checks or grounds them.
    pub fn of_versions(schema: &Schema) -> Self {
        Self {
            takes_list: schema.may_be_list(),
            ..Self::default()
        }
    }

    /// Locks the state. While a large version is copied, the wait is no work of a worker.
    fn lock(&self) -> MutexGuard<'_, PartialState> {
        match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(state)) => state.into_inner(),
            Err(TryLockError::WouldBlock) => run_off_worker(true, || {
                self.state.lock().unwrap_or_else(PoisonError::into_inner)
            }),
        }
    }

    /// Discards the previous call's answer before a new call with the text of the input. `memory` is empty.
    pub fn begin(
        &self,
        attempt: u32,
        lowered: &BTreeMap<Mode, Arc<Lowered>>,
        text: &str,
        mut memory: MemoryReservation,
    ) {
        if self.grounding.is_some() && self.list.is_some() {
            self.text.get_or_init(|| text.to_owned());
            // The answer may begin minutes later.
            memory.record(whole_steps(self.text_bytes()));
        }
        let mut state = self.lock();
        *state = PartialState {
            attempt,
            call: state.call.wrapping_add(1),
            lowered: lowered.clone(),
            memory: Some(memory),
            ..PartialState::default()
        };
    }

    /// Appends text of the answer to a call in this mode.
    pub fn push(&self, mode: Mode, text: &str) {
        let mut state = self.lock();
        let state = &mut *state;
        state.arrived_at = Some(Instant::now());
        let partial = state.partial.get_or_insert_with(|| {
            state.form = state.lowered.get(&mode).cloned();
            let is_wrapped = state.form.as_ref().is_some_and(|form| form.asked.wrapped);
            let path = self.list.as_ref().map(|list| {
                wrapper(is_wrapped)
                    .chain(list.path.iter().cloned())
                    .collect()
            });
            Partial::new(path, self.takes_list && !is_wrapped).with_max_bytes(MAX_PARSED_BYTES)
        });
        state.length = state
            .length
            .saturating_add(u32::try_from(text.len()).unwrap_or(u32::MAX));
        let mut rest = text;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.floor_char_boundary(PIECE_BYTES));
            rest = after;
            state.has_changed |= partial.push(piece);
            reserve(partial, &mut state.memory, self.text_bytes());
        }
        if state.has_changed || partial.has_finished() {
            self.reader.wake();
        }
    }

    /// Returns the time since the last text of the answer arrived; `None` if none has.
    pub fn silence(&self) -> Option<Duration> {
        self.lock().arrived_at.map(|at| at.elapsed())
    }

    /// Returns the memory of the text in which values are looked for, in bytes.
    fn text_bytes(&self) -> usize {
        self.text.get().map_or(0, String::len) * INDEXED_TEXT_BYTES
    }

    /// Takes the next complete element.
    pub fn next_element(&self) -> Option<Element> {
        let mut state = self.lock();
        let state = &mut *state;
        let partial = state.partial.as_mut()?;
        let finished = partial.next_finished()?;
        reserve(partial, &mut state.memory, self.text_bytes());
        Some(Element {
            finished,
            form: state.form.clone(),
            attempt: state.attempt,
            call: state.call,
            caller: state.memory.as_ref()?.caller(),
        })
    }

    /// Returns the piece of long work that [`check`](Self::check) is; `None` if it takes less than about a millisecond.
    pub fn check_piece(&self, element: &Element) -> Option<Piece> {
        let (list, caller) = (self.list.as_ref()?, element.caller);
        let value = &element.finished.value;
        let grounder = self.grounder(list);
        let grounding = grounder.and_then(|grounder| grounder.element_piece(value, caller));
        grounding.or_else(|| {
            let bytes = written_size(value, usize::MAX).unwrap_or(usize::MAX);
            let is_slow = list.element.is_slow_for(bytes)
                || self.coerce && list.element.is_slow_to_coerce(bytes);
            is_slow.then_some(Piece { caller, bytes })
        })
    }

    /// Returns the event of an element; `None` if it is not valid, is left out of the result, or its call is no longer the current one.
    pub fn check(&self, element: Element) -> Option<PartialEvent> {
        let list = self.list.as_ref()?;
        let Finished { index, value } = element.finished;
        let mut data = list.valid(element.form.as_deref(), value, self.coerce)?;
        let evidence = self.ground(list, &mut data);
        let mut state = self.lock();
        if state.call != element.call {
            return None;
        }
        let Ok(evidence) = evidence else {
            state.left_out.push(index);
            return None;
        };
        // The elements come in order.
        let before = state.left_out.partition_point(|left_out| *left_out < index);
        Some(PartialEvent::Item {
            attempt: element.attempt,
            index: index - before,
            data,
            evidence,
        })
    }

    /// Returns what grounds an element in the text; `None` unless the request asked for evidence.
    fn grounder<'a>(&'a self, list: &'a StreamedList) -> Option<Grounder<'a>> {
        static NO_RULES: LazyLock<Rules> = LazyLock::new(Rules::default);
        Some(Grounder {
            schema: &list.element,
            rules: &NO_RULES,
            settings: self.grounding.as_deref()?,
            text: self.text.get()?,
        })
    }

    /// Returns the evidence of an element; `None` unless the request asked for it.
    fn ground(
        &self,
        list: &StreamedList,
        data: &mut Value,
    ) -> Result<Option<Box<[LeafEvidence]>>, Absent> {
        let Some(grounder) = self.grounder(list) else {
            return Ok(None);
        };
        let index = self
            .index
            .get_or_init(|| Index::new(grounder.text.to_owned()));
        let evidence = grounder.element(index, data);
        evidence.map(Some).ok_or(Absent)
    }

    /// Returns the length of the answer in bytes if the object has changed, with the piece of long work that
    /// [`version`](Self::version) is; `None` if it takes less than about a millisecond.
    pub fn changed(&self) -> Option<(u32, Option<Piece>)> {
        let state = self.lock();
        let partial = state.partial.as_ref().filter(|_| state.has_changed)?;
        let (caller, bytes) = (state.memory.as_ref()?.caller(), partial.bytes());
        let piece = (bytes > INLINE_VERSION_BYTES).then_some(Piece { caller, bytes });
        Some((state.length, piece))
    }

    /// Returns the object as far as it is known; `None` if it has not changed.
    pub fn version(&self) -> Option<PartialEvent> {
        let (value, form, attempt) = {
            let mut state = self.lock();
            if !std::mem::take(&mut state.has_changed) {
                return None;
            }
            let value = state.partial.as_ref()?.value()?;
            (value, state.form.clone(), state.attempt)
        };
        let data = match form {
            Some(form) => form.asked.raised(value, NullPolicy::OwnValue),
            None => value,
        };
        Some(PartialEvent::Partial { attempt, data })
    }
}

/// Returns the part of a size that is reserved, in bytes.
const fn whole_steps(bytes: usize) -> usize {
    bytes / STEP_BYTES * STEP_BYTES
}

/// Reserves the memory of an answer, beside other `bytes`. Without room, gives up versions of the object, then elements that are not
/// complete.
fn reserve(partial: &mut Partial, memory: &mut Option<MemoryReservation>, bytes: usize) {
    let Some(memory) = memory else {
        return;
    };
    let needed = |partial: &Partial| whole_steps(partial.bytes() * COPIES + bytes);
    while needed(partial) > memory.bytes()
        && memory.resize(needed(partial)).is_err()
        && partial.shed()
    {}
    if needed(partial) != memory.bytes() {
        memory.record(needed(partial));
    }
}

/// Returns the member that wraps the value in modes whose root must be an object.
fn wrapper(is_wrapped: bool) -> impl Iterator<Item = String> {
    is_wrapped.then(|| "value".to_owned()).into_iter()
}

impl StreamedList {
    /// Returns an element lifted to the client's schema, if one of the readings of its nulls is valid, or coerces to a valid one.
    fn valid(&self, form: Option<&Lowered>, element: Value, coerce: bool) -> Option<Value> {
        let mut readings = match form {
            Some(form) if !form.asked.is_as_it_was() => vec![
                self.raised(form, element.clone(), NullPolicy::Value),
                self.raised(form, element.clone(), NullPolicy::OwnValue),
                self.raised(form, element.clone(), NullPolicy::Absence),
                element,
            ],
            _ => vec![element],
        };
        if let Some(valid) = readings
            .iter()
            .position(|value| self.element.is_valid(value))
        {
            return Some(readings.swap_remove(valid));
        }
        // As in a complete answer, the reading without injected nulls is coerced.
        let nearest = usize::from(readings.len() > 1);
        let coerced = readings.get(nearest).filter(|_| coerce).and_then(|value| {
            self.element
                .coerced(value, Whole::No, &Evaluations::of_answer())
        });
        coerced.map(|coercion| coercion.value)
    }

    /// Lifts an element at its path, in a value with nothing else.
    fn raised(&self, form: &Lowered, element: Value, null: NullPolicy) -> Value {
        let path: Vec<_> = wrapper(form.asked.wrapped)
            .chain(self.path.iter().cloned())
            .collect();
        let around = path
            .into_iter()
            .rev()
            .fold(Value::Array(vec![element]), |inner, name| {
                Value::Object(std::iter::once((name, inner)).collect())
            });
        let mut raised = form.asked.raised(around, null);
        for name in &self.path {
            raised = raised.get_mut(name).map(Value::take).unwrap_or_default();
        }
        raised.get_mut(0).map(Value::take).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
