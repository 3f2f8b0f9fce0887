//! Events of a streamed response, made of the chunks of a chat completion.
//!
//! The items that are complete are kept as JSON texts, for the last event, which has all of them. They are counted against the share of
//! the caller, together with the events that are made of them.

use bytes::BytesMut;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::super::super::request_memory::no_response_memory;
use super::super::error::OpenAiError;
use super::response::{
    Common, Echo, MAX_ITEMS, OutputItem, Part, call_item_id, message_id, status, too_many_items,
    usage,
};
use crate::contract::append_json;
use crate::long_work::{LONG_TEXT_BYTES, Piece, run_off_worker};
use crate::net::MAX_ANSWER_BYTES;
use crate::provider::{JsonText, Members, Node};
use crate::types::{Code, Error};
use throttle::MemoryReservation;

/// Number of copies of a text at the end of a stream: the item, and the three events of its end and the last one.
const COPIES: usize = 5;
/// Step in which memory is reserved, in bytes: 64 KiB, as for results. What is below a step is the share of an ordinary stream.
const STEP_BYTES: usize = 64 * 1024;
/// Size of an item beside its text, in bytes, at most: its fields and two IDs.
const ITEM_BYTES: usize = 1024;
/// Maximum length of a call's ID or of a function's name, as JSON, in bytes. A longer one counts as left out: each event of the call repeats
/// it.
const MAX_NAME_BYTES: usize = 1024;

/// Translator of one stream.
#[derive(Debug)]
pub struct ResponseEvents {
    echo: Echo,
    /// `None` until the first chunk.
    common: Option<Common>,
    sequence: u64,
    /// Item that is being written.
    open: Option<OpenItem>,
    /// Items that are complete.
    output: Vec<Box<RawValue>>,
    /// Size of all items as JSON, in bytes.
    size: usize,
    memory: MemoryReservation,
    status: &'static str,
    usage: Value,
    details: Option<Box<RawValue>>,
}

#[derive(Debug)]
struct OpenItem {
    kind: ItemKind,
    /// Text, refusal or arguments so far.
    text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum ItemKind {
    Text,
    Refusal,
    Call {
        index: u64,
        call_id: String,
        name: String,
    },
}

/// Event with its own fields.
#[derive(Serialize)]
struct Event<'a, F> {
    r#type: &'a str,
    sequence_number: u64,
    #[serde(flatten)]
    fields: F,
}

/// Fields of an event about a whole response.
#[derive(Serialize)]
struct OfResponse<R> {
    response: R,
}

/// Fields of the first and the last event of an item.
#[derive(Serialize)]
struct OfItem<I> {
    output_index: usize,
    item: I,
}

/// Fields of the events within an item.
#[derive(Serialize, Default)]
struct WithinItem<'a> {
    item_id: &'a str,
    output_index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_index: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<[(); 0]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delta: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<Part<'a>>,
}

impl ResponseEvents {
    /// Creates the translator of a stream. `memory` is that of the echo: [`Echo::reserved_bytes`].
    #[must_use]
    pub const fn new(echo: Echo, memory: MemoryReservation) -> Self {
        Self {
            echo,
            common: None,
            sequence: 0,
            open: None,
            output: Vec::new(),
            size: 0,
            memory,
            status: "completed",
            usage: Value::Null,
            details: None,
        }
    }

    /// Appends the events of a chunk, which is JSON text.
    ///
    /// # Errors
    /// `upstream_error` if the answer is too long or has too many parts; `overloaded` if there is no memory for it.
    pub fn chunk(&mut self, chunk: &str, out: &mut BytesMut) -> Result<(), Error> {
        let Ok(text) = JsonText::parse(chunk.as_bytes()) else {
            return Ok(());
        };
        if self.common.is_none() {
            self.begin(text.root(), out);
        }
        let chunk = text.members();
        let reported = chunk.get("usage");
        if !reported.is_null() {
            self.usage = usage(reported);
        }
        let details = chunk.get("extractd");
        if !details.is_null() {
            self.details = RawValue::from_string(details.json().to_owned()).ok();
        }
        let choices = chunk.get("choices").first_items(1);
        let Some(choice) = choices.first().map(|choice| choice.members()) else {
            return Ok(());
        };
        if let Some(reason) = choice.get("finish_reason").string() {
            self.status = status(&reason);
        }
        let delta = choice.get("delta").members();
        for (kind, name) in [(ItemKind::Text, "content"), (ItemKind::Refusal, "refusal")] {
            let piece = delta.get(name);
            if piece.string().is_some_and(|text| !text.is_empty()) {
                self.write(kind, piece, out)?;
            }
        }
        for call in delta.get("tool_calls").first_items(MAX_ITEMS) {
            self.call(&call.members(), out)?;
        }
        Ok(())
    }

    fn call(&mut self, call: &Members<'_>, out: &mut BytesMut) -> Result<(), Error> {
        let index = call.get("index").count().unwrap_or_default();
        let function = call.get("function").members();
        let kind = match &self.open {
            Some(OpenItem {
                kind: open @ ItemKind::Call { index: of_open, .. },
                ..
            }) if *of_open == index => open.clone(),
            _ => ItemKind::Call {
                index,
                call_id: short_name(call.get("id")),
                name: short_name(function.get("name")),
            },
        };
        self.write(kind, function.get("arguments"), out)
    }

    fn begin(&mut self, chunk: Node<'_>, out: &mut BytesMut) {
        self.common = Some(Common::new(chunk));
        for kind in ["response.created", "response.in_progress"] {
            self.write_response(kind, "in_progress", out);
        }
    }

    fn write_response(&mut self, kind: &str, status: &str, out: &mut BytesMut) {
        let Some(common) = &self.common else { return };
        // At once, rather than by doubling.
        out.reserve(self.size + self.echo.bytes() + ITEM_BYTES);
        let (echo, details) = (&self.echo, self.details.as_deref());
        let response = common.response(echo, status, &self.output, &self.usage, details);
        write_event(&mut self.sequence, kind, OfResponse { response }, out);
    }

    /// Makes room for more bytes of items.
    ///
    /// # Errors
    /// `upstream_error` if the items are too long; `overloaded` if there is no memory for them.
    fn grow(&mut self, bytes: usize) -> Result<(), Error> {
        let size = self.size + bytes;
        if size > MAX_ANSWER_BYTES {
            let detail = format!(
                "the provider's answer is longer than {MAX_ANSWER_BYTES} bytes; lower `max_output_tokens`, or ask for less"
            );
            return Err(Error::new(Code::UpstreamError, detail));
        }
        let needed = size * COPIES / STEP_BYTES * STEP_BYTES + self.echo.reserved_bytes();
        if needed > self.memory.bytes() {
            let reserved = self.memory.resize(needed);
            reserved.map_err(|refused| no_response_memory(&refused))?;
        }
        self.size = size;
        Ok(())
    }

    /// Appends the events of a piece of an item, a JSON string. The item begins if it is not the open one.
    fn write(&mut self, kind: ItemKind, piece: Node<'_>, out: &mut BytesMut) -> Result<(), Error> {
        if self.open.as_ref().is_none_or(|open| open.kind != kind) {
            self.close("completed", out);
            self.open(kind, out)?;
        }
        let text = piece.string().unwrap_or_default();
        if text.is_empty() {
            return Ok(());
        }
        // Escaped again, the text is no longer than it came.
        self.grow(piece.json().len())?;
        let id = self.item_id();
        let output_index = self.output.len();
        if let Some(open) = &mut self.open {
            open.text.push_str(&text);
            let fields = WithinItem {
                delta: Some(&text),
                ..open.kind.place(&id, output_index)
            };
            let kind = format!("response.{}.delta", open.kind.event_name());
            write_event(&mut self.sequence, &kind, fields, out);
        }
        Ok(())
    }

    /// Begins an item.
    fn open(&mut self, kind: ItemKind, out: &mut BytesMut) -> Result<(), Error> {
        if self.output.len() + 1 >= MAX_ITEMS {
            return Err(too_many_items());
        }
        self.grow(ITEM_BYTES + kind.names_bytes())?;
        let open = self.open.insert(OpenItem {
            kind,
            text: String::new(),
        });
        let common = self.common.as_ref();
        let id = common.map_or("", |common| &*common.id);
        let output_index = self.output.len();
        let item = open.kind.item(id, "in_progress", "", &[]);
        let added = OfItem { output_index, item };
        let name = "response.output_item.added";
        write_event(&mut self.sequence, name, added, out);
        if let Some(part) = open.kind.part("") {
            let item_id = message_id(id);
            let added = WithinItem {
                part: Some(part),
                ..ItemKind::Refusal.place(&item_id, output_index)
            };
            let name = "response.content_part.added";
            write_event(&mut self.sequence, name, added, out);
        }
        Ok(())
    }

    /// Returns the ID of the open item.
    fn item_id(&self) -> String {
        let id = self.common.as_ref().map_or("", |common| &*common.id);
        match self.open.as_ref().map(|open| &open.kind) {
            Some(ItemKind::Call { index, .. }) => call_item_id(id, *index),
            _ => message_id(id),
        }
    }

    /// Appends the events of the end of the open item. Those of a long one are no work of a worker.
    fn close(&mut self, status: &str, out: &mut BytesMut) {
        let length = self.open.as_ref().map_or(0, |open| open.text.len());
        run_off_worker(length >= LONG_TEXT_BYTES, || self.write_end(status, out));
    }

    fn write_end(&mut self, status: &str, out: &mut BytesMut) {
        let item_id = self.item_id();
        let Some(OpenItem { kind, text }) = self.open.take() else {
            return;
        };
        // At once, rather than by doubling.
        out.reserve(text.len() * 3 + ITEM_BYTES);
        let (sequence, output_index) = (&mut self.sequence, self.output.len());
        let place = kind.place(&item_id, output_index);
        let done = match &kind {
            ItemKind::Text => WithinItem {
                text: Some(&text),
                ..place
            },
            ItemKind::Refusal => WithinItem {
                refusal: Some(&text),
                ..place
            },
            ItemKind::Call { name, .. } => WithinItem {
                arguments: Some(&text),
                name: Some(name),
                ..place
            },
        };
        let name = format!("response.{}.done", kind.event_name());
        write_event(sequence, &name, done, out);
        if let Some(part) = kind.part(&text) {
            let done = WithinItem {
                part: Some(part),
                ..ItemKind::Refusal.place(&item_id, output_index)
            };
            write_event(sequence, "response.content_part.done", done, out);
        }
        let id = self.common.as_ref().map_or("", |common| &*common.id);
        let parts: Vec<_> = kind.part(&text).into_iter().collect();
        let Ok(item) = to_raw_value(&kind.item(id, status, &text, &parts)) else {
            return;
        };
        let done = OfItem {
            output_index,
            item: &*item,
        };
        write_event(sequence, "response.output_item.done", done, out);
        self.output.push(item);
    }

    /// Returns the piece of long work that [`ResponseEvents::end`] is; `None` if it is short.
    #[must_use]
    pub fn end_piece(&self) -> Option<Piece> {
        let piece = Piece {
            caller: self.memory.caller(),
            bytes: self.size * COPIES,
        };
        (self.size >= LONG_TEXT_BYTES).then_some(piece)
    }

    /// Appends the end of the stream.
    pub fn end(&mut self, out: &mut BytesMut) {
        let status = self.status;
        self.close(status, out);
        self.write_response(&format!("response.{status}"), status, out);
    }

    /// Appends an error, which ends the stream.
    pub fn fail(&mut self, error: &OpenAiError<'_>, out: &mut BytesMut) {
        write_event(&mut self.sequence, "error", error.event_fields(), out);
    }
}

impl ItemKind {
    /// Returns the place of an event within the item.
    fn place<'a>(&self, item_id: &'a str, output_index: usize) -> WithinItem<'a> {
        WithinItem {
            item_id,
            output_index,
            content_index: (!matches!(self, Self::Call { .. })).then_some(0),
            logprobs: (*self == Self::Text).then_some([]),
            ..WithinItem::default()
        }
    }

    /// Returns the item with this text. `parts` are those of a message.
    fn item<'a>(
        &'a self,
        id: &str,
        status: &'a str,
        text: &'a str,
        parts: &'a [Part<'a>],
    ) -> OutputItem<'a> {
        match self {
            Self::Call {
                index,
                call_id,
                name,
            } => OutputItem::FunctionCall {
                id: call_item_id(id, *index),
                status,
                call_id,
                name,
                arguments: text,
            },
            Self::Text | Self::Refusal => OutputItem::message(id, status, parts),
        }
    }

    /// Returns the part of a message; `None` for a call.
    const fn part<'a>(&self, text: &'a str) -> Option<Part<'a>> {
        match self {
            Self::Text => Some(Part::text(text)),
            Self::Refusal => Some(Part::Refusal { refusal: text }),
            Self::Call { .. } => None,
        }
    }

    const fn event_name(&self) -> &'static str {
        match self {
            Self::Text => "output_text",
            Self::Refusal => "refusal",
            Self::Call { .. } => "function_call_arguments",
        }
    }

    /// Returns the length of the names that each event of the item repeats, in bytes.
    const fn names_bytes(&self) -> usize {
        match self {
            Self::Text | Self::Refusal => 0,
            Self::Call { call_id, name, .. } => call_id.len() + name.len(),
        }
    }
}

/// Returns a name that is not too long to be repeated; else an empty one.
fn short_name(name: Node<'_>) -> String {
    let name = Some(name).filter(|name| name.json().len() <= MAX_NAME_BYTES);
    name.and_then(Node::string).unwrap_or_default().into_owned()
}

/// Appends an event, with the next number.
fn write_event(sequence: &mut u64, kind: &str, fields: impl Serialize, out: &mut BytesMut) {
    let event = Event {
        r#type: kind,
        sequence_number: *sequence,
        fields,
    };
    *sequence += 1;
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    append_json(out, &event);
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use throttle::{CallerId, MemoryLedger, MemoryUse};

    use super::super::super::body::Fields;
    use super::*;

    fn events(ledger: &MemoryLedger) -> ResponseEvents {
        let memory = ledger.empty(CallerId(1), MemoryUse::Responses);
        ResponseEvents::new(Echo::default(), memory)
    }

    fn chunk(delta: &Value) -> String {
        json!({"id": "chatcmpl_1", "created": 1, "model": "m", "choices": [{"delta": delta}]})
            .to_string()
    }

    /// Returns the data of the events so far, each with its name.
    fn data(out: &BytesMut) -> Vec<(String, Value)> {
        let text = std::str::from_utf8(out).unwrap();
        let events = text.split_terminator("\n\n").map(|event| {
            let (name, data) = event.split_once("\ndata: ").unwrap();
            let name = name.strip_prefix("event: ").unwrap().to_owned();
            (name, serde_json::from_str(data).unwrap())
        });
        events.collect()
    }

    #[test]
    fn a_stream_has_its_items_as_events_and_at_the_end() {
        let ledger = MemoryLedger::new(1 << 20, 1 << 20);
        let (mut events, mut out) = (events(&ledger), BytesMut::new());
        for delta in [
            json!({"role": "assistant", "content": ""}),
            json!({"content": "a\n"}),
            json!({"content": "\u{1}"}),
            json!({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": ""}}]}),
            json!({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}, {"index": 1, "id": "d"}]}),
        ] {
            events.chunk(&chunk(&delta), &mut out).unwrap();
        }
        let last = r#"{"choices": [{"delta": {}, "finish_reason": "length"}], "usage": {"prompt_tokens": 3}, "extractd": {"attempts": 1.50}}"#;
        events.chunk(last, &mut out).unwrap();
        events.end(&mut out);
        let data = data(&out);
        let names: Vec<_> = data.iter().map(|(name, _)| &**name).collect();
        assert_eq!(
            names,
            [
                "response.created",
                "response.in_progress",
                "response.output_item.added",
                "response.content_part.added",
                "response.output_text.delta",
                "response.output_text.delta",
                "response.output_text.done",
                "response.content_part.done",
                "response.output_item.done",
                "response.output_item.added",
                "response.function_call_arguments.delta",
                "response.function_call_arguments.done",
                "response.output_item.done",
                "response.output_item.added",
                "response.function_call_arguments.done",
                "response.output_item.done",
                "response.incomplete",
            ]
        );
        for (number, (name, data)) in data.iter().enumerate() {
            assert_eq!(
                (&data["type"], &data["sequence_number"]),
                (&json!(name), &json!(number))
            );
        }
        let delta = json!({
            "type": "response.output_text.delta", "sequence_number": 4, "item_id": "msg_1", "output_index": 0,
            "content_index": 0, "logprobs": [], "delta": "a\n",
        });
        assert_eq!(data[4].1, delta);
        assert_eq!(data[6].1["text"], "a\n\u{1}");
        let done = json!({
            "type": "response.function_call_arguments.done", "sequence_number": 11, "item_id": "fc_1_0", "output_index": 1,
            "arguments": "{}", "name": "f",
        });
        assert_eq!(data[11].1, done);
        let response = &data[16].1["response"];
        assert_eq!(response["output"][0], data[8].1["item"]);
        let call = json!({
            "type": "function_call", "id": "fc_1_1", "status": "incomplete", "call_id": "d", "name": "", "arguments": "",
        });
        assert_eq!(response["output"][2], call);
        assert_eq!(response["usage"]["input_tokens"], 3);
        assert_eq!(response["extractd"].to_string(), r#"{"attempts":1.50}"#);
    }

    /// Each change from content to refusal ends an item, which the end of the stream repeats.
    #[test]
    fn the_number_of_items_is_bounded() {
        let ledger = MemoryLedger::new(usize::MAX, usize::MAX);
        let mut events = events(&ledger);
        let deltas = [
            chunk(&json!({"content": "a"})),
            chunk(&json!({"refusal": "b"})),
        ];
        let mut refused = None;
        for delta in deltas.iter().cycle().take(2 * MAX_ITEMS) {
            refused = events.chunk(delta, &mut BytesMut::new()).err();
            if refused.is_some() {
                break;
            }
        }
        assert_eq!(refused.map(|error| error.code), Some(Code::UpstreamError));
        assert!(events.output.len() < MAX_ITEMS);
        // Many calls in one chunk are as many items.
        let calls: Vec<_> = (0..2 * MAX_ITEMS)
            .map(|index| json!({"index": index}))
            .collect();
        let many = chunk(&json!({"tool_calls": calls}));
        let mut events = self::events(&ledger);
        assert!(events.chunk(&many, &mut BytesMut::new()).is_err());
    }

    #[test]
    fn what_is_kept_for_the_end_is_counted_and_bounded() {
        let ledger = MemoryLedger::new(usize::MAX, usize::MAX);
        let held = || ledger.snapshot().held;
        let mut small = events(&ledger);
        small
            .chunk(&chunk(&json!({"content": "a"})), &mut BytesMut::new())
            .unwrap();
        assert_eq!(held(), 0);
        let mut large = events(&ledger);
        let arguments = "x".repeat(1 << 20);
        // Of the arguments of calls, the provider's layer counts those of the first only.
        let call = json!({"tool_calls": [{"index": 1, "function": {"arguments": arguments}}]});
        let call = chunk(&call);
        let mut pieces = 0;
        while large.chunk(&call, &mut BytesMut::new()).is_ok() {
            pieces += 1;
            assert!(held() >= (pieces * COPIES) << 20);
        }
        assert_eq!(pieces, (MAX_ANSWER_BYTES >> 20) - 1);
        drop(large);
        assert_eq!(held(), 0);

        let little = MemoryLedger::new(4 << 20, 4 << 20);
        let refused = events(&little).chunk(&call, &mut BytesMut::new());
        assert_eq!(refused.unwrap_err().code, Code::Overloaded);
    }

    #[test]
    fn the_memory_of_the_echo_is_held_beside_that_of_the_items() {
        let ledger = MemoryLedger::new(usize::MAX, usize::MAX);
        let prompt = "x".repeat(500_000);
        let request = json!({"instructions": prompt}).to_string();
        let echo = Echo::new(&Fields::parse(request.as_bytes()).unwrap());
        let reserved = echo.reserved_bytes();
        let memory = ledger.reserve(CallerId(1), MemoryUse::Responses, reserved);
        let (mut events, mut out) = (ResponseEvents::new(echo, memory.unwrap()), BytesMut::new());
        let text = json!({"content": "y".repeat(100_000)});
        events.chunk(&chunk(&text), &mut out).unwrap();
        let written = std::str::from_utf8(&out).unwrap();
        let copies = written.matches(&prompt).count();
        assert_eq!(copies, 2);
        assert!(reserved + STEP_BYTES > copies * prompt.len(), "{reserved}");
        assert!(ledger.snapshot().held + STEP_BYTES > reserved + 100_000 * COPIES);
    }

    #[test]
    fn long_names_are_not_repeated() {
        let ledger = MemoryLedger::new(usize::MAX, usize::MAX);
        let (mut events, mut out) = (events(&ledger), BytesMut::new());
        let long = "x".repeat(100_000);
        let call = json!({"id": long, "function": {"name": long, "arguments": "{}"}});
        events
            .chunk(&chunk(&json!({"tool_calls": [call]})), &mut out)
            .unwrap();
        events.end(&mut out);
        assert!(out.len() < 10_000, "{}", out.len());
    }
}
