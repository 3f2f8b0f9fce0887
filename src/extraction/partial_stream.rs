//! Partial results: an answer while the model writes it, published by the item's call and streamed to the client.
//!
//! A slow reader misses versions of the object, but never an element of its list.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ::evidence::Index;
use futures_util::Stream;
use futures_util::task::AtomicWaker;
use serde_json::Value;
use tokio::time::Sleep;

use super::grounding::{Grounder, GroundingSettings};
use crate::long_work::run_off_worker;
use crate::schema::{Evaluations, Lowered, Rules, Schema, StreamedList, Whole};
use crate::types::{LeafEvidence, Mode, NullPolicy, written_size};
use llm_json::partial::Partial;
use throttle::CallerId;

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

/// Minimum time between two versions of the object, per byte of the answer: about a megabyte a second.
const INTERVAL_PER_BYTE: Duration = Duration::from_micros(1);

#[derive(Debug, Default)]
struct PartialState {
    attempt: u32,
    lowered: BTreeMap<Mode, Arc<Lowered>>,
    /// Lowered schema that the answer follows; set with the first text.
    form: Option<Arc<Lowered>>,
    partial: Option<Partial>,
    /// Length of the answer so far, in bytes.
    length: u32,
    has_changed: bool,
    /// Elements that are left out of the result because the text does not state them, in ascending order.
    left_out: Vec<usize>,
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
    reader: AtomicWaker,
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

    fn lock(&self) -> MutexGuard<'_, PartialState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Discards the previous call's answer before a new call with the text of the input.
    pub fn begin(&self, attempt: u32, lowered: &BTreeMap<Mode, Arc<Lowered>>, text: &str) {
        if self.grounding.is_some() && self.list.is_some() {
            self.text.get_or_init(|| text.to_owned());
        }
        *self.lock() = PartialState {
            attempt,
            lowered: lowered.clone(),
            ..PartialState::default()
        };
    }

    /// Appends text of the answer to a call in this mode.
    pub fn push(&self, mode: Mode, text: &str) {
        let mut state = self.lock();
        let state = &mut *state;
        let partial = state.partial.get_or_insert_with(|| {
            state.form = state.lowered.get(&mode).cloned();
            let is_wrapped = state.form.as_ref().is_some_and(|form| form.asked.wrapped);
            let path = self.list.as_ref().map(|list| {
                wrapper(is_wrapped)
                    .chain(list.path.iter().cloned())
                    .collect()
            });
            Partial::new(path, self.takes_list && !is_wrapped)
        });
        state.length = state
            .length
            .saturating_add(u32::try_from(text.len()).unwrap_or(u32::MAX));
        state.has_changed |= partial.push(text);
        if state.has_changed || partial.has_finished() {
            self.reader.wake();
        }
    }

    /// Returns the next complete and valid element.
    fn item(&self) -> Option<PartialEvent> {
        let list = self.list.as_ref()?;
        loop {
            let (finished, form, attempt) = {
                let mut state = self.lock();
                let finished = state.partial.as_mut()?.next_finished()?;
                (finished, state.form.clone(), state.attempt)
            };
            // Without a permit: a stream that is not polled would keep it from others.
            let is_slow = self.is_slow(list, &finished.value);
            let valid = run_off_worker(is_slow, || {
                list.valid(form.as_deref(), finished.value, self.coerce)
            });
            let Some(mut data) = valid else {
                continue;
            };
            let Ok(evidence) = self.ground(list, &mut data) else {
                self.lock().left_out.push(finished.index);
                continue;
            };
            // The elements come in order.
            let state = self.lock();
            let before = state
                .left_out
                .partition_point(|index| *index < finished.index);
            drop(state);
            return Some(PartialEvent::Item {
                attempt,
                index: finished.index - before,
                data,
                evidence,
            });
        }
    }

    /// Returns true if validating an element may keep a thread busy.
    fn is_slow(&self, list: &StreamedList, element: &Value) -> bool {
        let bytes = written_size(element, usize::MAX).unwrap_or(usize::MAX);
        list.element.is_slow_for(bytes) || self.coerce && list.element.is_slow_to_coerce(bytes)
    }

    /// Returns the evidence of an element; `None` unless the request asked for it.
    fn ground(
        &self,
        list: &StreamedList,
        data: &mut Value,
    ) -> Result<Option<Box<[LeafEvidence]>>, Absent> {
        let (Some(settings), Some(text)) = (&self.grounding, self.text.get()) else {
            return Ok(None);
        };
        let grounder = Grounder {
            schema: &list.element,
            rules: &Rules::default(),
            settings,
            text,
        };
        let is_slow = grounder.element_piece(data, CallerId(0)).is_some();
        let evidence = run_off_worker(is_slow, || {
            let index = self.index.get_or_init(|| Index::new(text.clone()));
            grounder.element(index, data)
        });
        evidence.map(Some).ok_or(Absent)
    }

    /// Returns the object as far as it is known and its length in bytes; `None` if it has not changed.
    fn partial(&self) -> Option<(PartialEvent, u32)> {
        let (value, form, attempt, length) = {
            let mut state = self.lock();
            if !std::mem::take(&mut state.has_changed) {
                return None;
            }
            (
                state.partial.as_ref()?.value()?,
                state.form.clone(),
                state.attempt,
                state.length,
            )
        };
        let data = match form {
            Some(form) => form.asked.raised(value, NullPolicy::OwnValue),
            None => value,
        };
        Some((PartialEvent::Partial { attempt, data }, length))
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

/// Stream of an item's partial results.
#[derive(Debug)]
pub struct PartialStream {
    publisher: Arc<PartialPublisher>,
    /// Timer until the next version of the object may be sent.
    pause: Pin<Box<Sleep>>,
    is_pausing: bool,
}

impl PartialStream {
    pub fn new(publisher: Arc<PartialPublisher>) -> Self {
        Self {
            publisher,
            pause: Box::pin(tokio::time::sleep(Duration::ZERO)),
            is_pausing: false,
        }
    }

    /// Returns the next event that was not sent when the item ended: each complete element, then at most one version of the
    /// object.
    pub fn drain_remaining(&mut self) -> Option<PartialEvent> {
        self.publisher
            .item()
            .or_else(|| self.publisher.partial().map(|(event, _)| event))
    }
}

impl Stream for PartialStream {
    type Item = PartialEvent;

    /// Polls for the next event. The stream never ends.
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<PartialEvent>> {
        self.publisher.reader.register(cx.waker());
        if let Some(item) = self.publisher.item() {
            return Poll::Ready(Some(item));
        }
        if self.is_pausing && self.pause.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.is_pausing = false;
        let Some((event, length)) = self.publisher.partial() else {
            return Poll::Pending;
        };
        self.pause
            .as_mut()
            .reset((Instant::now() + INTERVAL_PER_BYTE * length).into());
        self.is_pausing = true;
        Poll::Ready(Some(event))
    }
}

#[cfg(test)]
mod tests;
