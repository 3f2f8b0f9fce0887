//! An answer while it is being written: written by the item that is called, read by whoever tells the client.
//!
//! Whoever reads slowly misses versions of the whole, and never an element of its list.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::Stream;
use futures_util::task::AtomicWaker;
use serde_json::Value;
use tokio::time::Sleep;

use crate::schema::{Lowered, Schema, StreamedList, Whole};
use crate::types::{Mode, NullPolicy};
use llm_json::partial::Partial;

/// What can be told before the end.
#[derive(Debug, Clone, PartialEq)]
pub enum PartialEvent {
    /// The object as far as it is known.
    Partial { attempt: u32, data: Value },
    /// An element of its list, finished and valid.
    Item {
        attempt: u32,
        index: usize,
        data: Value,
    },
}

/// A version of the whole goes out at most so often, for each byte of it: about a megabyte a second.
const PER_BYTE: Duration = Duration::from_micros(1);

#[derive(Debug, Default)]
struct PartialState {
    attempt: u32,
    lowered: BTreeMap<Mode, Arc<Lowered>>,
    /// The form in which it is written; known with its first text.
    form: Option<Arc<Lowered>>,
    partial: Option<Partial>,
    /// Bytes read.
    length: u32,
    is_news: bool,
}

/// What is known of an answer.
#[derive(Debug, Default)]
pub struct PartialPublisher {
    list: Option<StreamedList>,
    takes_list: bool,
    /// Elements may be mended toward the schema.
    coerce: bool,
    draft: Mutex<PartialState>,
    reader: AtomicWaker,
}

impl PartialPublisher {
    /// May take milliseconds for a large schema.
    pub fn new(schema: &Schema, coerce: bool) -> Self {
        Self {
            coerce,
            list: StreamedList::of(schema),
            takes_list: schema.may_be_list(),
            ..Self::default()
        }
    }

    fn lock(&self) -> MutexGuard<'_, PartialState> {
        self.draft.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call goes out: what was written before is no part of its answer.
    pub fn begin(&self, attempt: u32, lowered: &BTreeMap<Mode, Arc<Lowered>>) {
        *self.lock() = PartialState {
            attempt,
            lowered: lowered.clone(),
            ..PartialState::default()
        };
    }

    /// More of the answer, asked for in this mode.
    pub fn push(&self, mode: Mode, text: &str) {
        let mut draft = self.lock();
        let draft = &mut *draft;
        let partial = draft.partial.get_or_insert_with(|| {
            draft.form = draft.lowered.get(&mode).cloned();
            let is_wrapped = draft.form.as_ref().is_some_and(|form| form.asked.wrapped);
            let path = self.list.as_ref().map(|list| {
                wrapper(is_wrapped)
                    .chain(list.path.iter().cloned())
                    .collect()
            });
            Partial::new(path, self.takes_list && !is_wrapped)
        });
        draft.length = draft
            .length
            .saturating_add(u32::try_from(text.len()).unwrap_or(u32::MAX));
        draft.is_news |= partial.push(text);
        if draft.is_news || partial.has_finished() {
            self.reader.wake();
        }
    }

    /// The next element that is finished and valid.
    fn item(&self) -> Option<PartialEvent> {
        let list = self.list.as_ref()?;
        loop {
            let (finished, form, attempt) = {
                let mut draft = self.lock();
                let finished = draft.partial.as_mut()?.next_finished()?;
                (finished, draft.form.clone(), draft.attempt)
            };
            if let Some(data) = list.valid(form.as_deref(), finished.value, self.coerce) {
                return Some(PartialEvent::Item {
                    attempt,
                    index: finished.index,
                    data,
                });
            }
        }
    }

    /// The whole as far as it is known, if that is more than at the last time; with its length.
    fn partial(&self) -> Option<(PartialEvent, u32)> {
        let (value, form, attempt, length) = {
            let mut draft = self.lock();
            if !std::mem::take(&mut draft.is_news) {
                return None;
            }
            (
                draft.partial.as_ref()?.value()?,
                draft.form.clone(),
                draft.attempt,
                draft.length,
            )
        };
        let data = match form {
            Some(form) => form.asked.raised(value, NullPolicy::OwnValue),
            None => value,
        };
        Some((PartialEvent::Partial { attempt, data }, length))
    }
}

/// The one member under which a value is asked for where the mode takes no other root.
fn wrapper(is_wrapped: bool) -> impl Iterator<Item = String> {
    is_wrapped.then(|| "value".to_owned()).into_iter()
}

impl StreamedList {
    /// An element in the caller's form, if it is valid in one of the ways in which it may be meant.
    fn valid(&self, form: Option<&Lowered>, element: Value, coerce: bool) -> Option<Value> {
        let mut meant = match form {
            Some(form) if !form.asked.is_as_it_was() => vec![
                self.raised(form, element.clone(), NullPolicy::Value),
                self.raised(form, element.clone(), NullPolicy::OwnValue),
                self.raised(form, element.clone(), NullPolicy::Absence),
                element,
            ],
            _ => vec![element],
        };
        if let Some(valid) = meant.iter().position(|value| self.element.is_valid(value)) {
            return Some(meant.swap_remove(valid));
        }
        // As in a whole answer, nulls that no schema asked for are none of what is mended.
        let nearest = usize::from(meant.len() > 1);
        let mended = meant
            .get(nearest)
            .filter(|_| coerce)
            .and_then(|value| self.element.coerced(value, Whole::No));
        mended.map(|mended| mended.value)
    }

    /// Raised where it stands, in a value that has nothing else.
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

/// Reads a preview as it is written.
#[derive(Debug)]
pub struct PartialStream {
    preview: Arc<PartialPublisher>,
    /// Until the next version of the whole may go out.
    pause: Pin<Box<Sleep>>,
    is_pausing: bool,
}

impl PartialStream {
    pub fn new(preview: Arc<PartialPublisher>) -> Self {
        Self {
            preview,
            pause: Box::pin(tokio::time::sleep(Duration::ZERO)),
            is_pausing: false,
        }
    }

    /// What was not told yet, when the end is known: each finished element, and no more versions of the whole than one.
    pub fn drain_remaining(&mut self) -> Option<PartialEvent> {
        self.preview
            .item()
            .or_else(|| self.preview.partial().map(|(news, _)| news))
    }
}

impl Stream for PartialStream {
    type Item = PartialEvent;

    /// Never ends.
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<PartialEvent>> {
        self.preview.reader.register(cx.waker());
        if let Some(item) = self.preview.item() {
            return Poll::Ready(Some(item));
        }
        if self.is_pausing && self.pause.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.is_pausing = false;
        let Some((news, length)) = self.preview.partial() else {
            return Poll::Pending;
        };
        self.pause
            .as_mut()
            .reset((Instant::now() + PER_BYTE * length).into());
        self.is_pausing = true;
        Poll::Ready(Some(news))
    }
}

#[cfg(test)]
mod tests;
