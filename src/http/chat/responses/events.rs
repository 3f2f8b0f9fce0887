//! Events of a streamed response, made of the chunks of a chat completion.

use bytes::BytesMut;
use serde_json::{Value, json};

use super::response::{
    Echo, call_item, message_item, refusal_part, response, status, suffix, text_part, usage,
};
use crate::contract::append_json;

/// Translator of one stream.
#[derive(Debug)]
pub struct ResponseEvents {
    echo: Echo,
    id: String,
    created: Value,
    model: Value,
    sequence: u64,
    has_begun: bool,
    /// Item that is being written.
    open: Option<OpenItem>,
    /// Items that are complete.
    output: Vec<Value>,
    finish_reason: String,
    usage: Value,
    details: Value,
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

impl ResponseEvents {
    /// Creates the translator of a stream.
    #[must_use]
    pub fn new(echo: Echo) -> Self {
        Self {
            echo,
            id: String::new(),
            created: Value::Null,
            model: Value::Null,
            sequence: 0,
            has_begun: false,
            open: None,
            output: Vec::new(),
            finish_reason: String::new(),
            usage: Value::Null,
            details: Value::Null,
        }
    }

    /// Appends the events of a chunk.
    pub fn chunk(&mut self, chunk: &Value, out: &mut BytesMut) {
        if !self.has_begun {
            self.begin(chunk, out);
        }
        if let Some(usage) = chunk.get("usage").filter(|usage| !usage.is_null()) {
            self.usage.clone_from(usage);
        }
        if let Some(details) = chunk.get("extractd") {
            self.details.clone_from(details);
        }
        let Some(choice) = chunk.pointer("/choices/0") else {
            return;
        };
        if let Some(reason) = choice.get("finish_reason").and_then(Value::as_str) {
            reason.clone_into(&mut self.finish_reason);
        }
        let delta = choice.get("delta").unwrap_or(&Value::Null);
        let text = |name: &str| delta.get(name).and_then(Value::as_str);
        if let Some(content) = text("content").filter(|content| !content.is_empty()) {
            self.write(&ItemKind::Text, content, out);
        }
        if let Some(refusal) = text("refusal").filter(|refusal| !refusal.is_empty()) {
            self.write(&ItemKind::Refusal, refusal, out);
        }
        let calls = delta.get("tool_calls").and_then(Value::as_array);
        for call in calls.into_iter().flatten() {
            self.call(call, out);
        }
    }

    fn call(&mut self, call: &Value, out: &mut BytesMut) {
        let part = |path: &str| {
            call.pointer(path)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let index = call
            .get("index")
            .and_then(Value::as_u64)
            .unwrap_or_default();
        let kind = match &self.open {
            Some(OpenItem {
                kind: open @ ItemKind::Call { index: of_open, .. },
                ..
            }) if *of_open == index => open.clone(),
            _ => ItemKind::Call {
                index,
                call_id: part("/id").to_owned(),
                name: part("/function/name").to_owned(),
            },
        };
        self.write(&kind, part("/function/arguments"), out);
    }

    fn begin(&mut self, chunk: &Value, out: &mut BytesMut) {
        let part = |name: &str| chunk.get(name).cloned().unwrap_or_default();
        part("id")
            .as_str()
            .unwrap_or_default()
            .clone_into(&mut self.id);
        self.created = part("created");
        self.model = part("model");
        self.has_begun = true;
        for kind in ["response.created", "response.in_progress"] {
            let response = self.response("in_progress");
            self.event(kind, json!({"response": response}), out);
        }
    }

    fn response(&self, status: &str) -> Value {
        let identity = (&*self.id, &self.created, &self.model);
        let usage = usage(&self.usage);
        let mut response = response(&self.echo, identity, status, &self.output, &usage);
        if !self.details.is_null() {
            response.insert("extractd".to_owned(), self.details.clone());
        }
        Value::Object(response)
    }

    /// Appends the events of a piece of an item, which begins if it is not the open one.
    fn write(&mut self, kind: &ItemKind, piece: &str, out: &mut BytesMut) {
        if self.open.as_ref().is_none_or(|open| open.kind != *kind) {
            self.close("completed", out);
            let item = match kind {
                ItemKind::Call { .. } => self.item(kind, "", "in_progress"),
                _ => message_item(&self.id, "in_progress", &[]),
            };
            let index = self.output.len();
            let added = json!({"output_index": index, "item": item});
            self.event("response.output_item.added", added, out);
            if let Some(part) = part(kind, "") {
                let added = json!({"item_id": item.get("id"), "output_index": index, "content_index": 0, "part": part});
                self.event("response.content_part.added", added, out);
            }
            self.open = Some(OpenItem {
                kind: kind.clone(),
                text: String::new(),
            });
        }
        if let Some(open) = &mut self.open {
            open.text.push_str(piece);
        }
        if !piece.is_empty() {
            let mut delta = self.place(kind);
            set(&mut delta, "delta", piece.into());
            self.event(&format!("response.{}.delta", event_name(kind)), delta, out);
        }
    }

    /// Returns the place of an item's events.
    fn place(&self, kind: &ItemKind) -> Value {
        let item = self.item(kind, "", "in_progress");
        let mut place = json!({"item_id": item.get("id"), "output_index": self.output.len()});
        if !matches!(kind, ItemKind::Call { .. }) {
            set(&mut place, "content_index", 0.into());
        }
        if *kind == ItemKind::Text {
            set(&mut place, "logprobs", json!([]));
        }
        place
    }

    fn item(&self, kind: &ItemKind, text: &str, status: &str) -> Value {
        match kind {
            ItemKind::Call {
                index,
                call_id,
                name,
            } => call_item(
                &format!("fc_{}_{index}", suffix(&self.id)),
                status,
                (call_id, name, text),
            ),
            _ => message_item(&self.id, status, &[part(kind, text).unwrap_or_default()]),
        }
    }

    /// Appends the events of the end of the open item.
    fn close(&mut self, status: &str, out: &mut BytesMut) {
        let Some(OpenItem { kind, text }) = self.open.take() else {
            return;
        };
        let mut done = self.place(&kind);
        let (field, name) = match &kind {
            ItemKind::Text => ("text", None),
            ItemKind::Refusal => ("refusal", None),
            ItemKind::Call { name, .. } => ("arguments", Some(name.clone())),
        };
        set(&mut done, field, text.as_str().into());
        if let Some(name) = name {
            set(&mut done, "name", name.into());
        }
        self.event(&format!("response.{}.done", event_name(&kind)), done, out);
        if let Some(part) = part(&kind, &text) {
            let mut done = self.place(&ItemKind::Refusal);
            set(&mut done, "part", part);
            self.event("response.content_part.done", done, out);
        }
        let item = self.item(&kind, &text, status);
        let done = json!({"output_index": self.output.len(), "item": item});
        self.event("response.output_item.done", done, out);
        self.output.push(item);
    }

    /// Appends the end of the stream.
    pub fn end(&mut self, out: &mut BytesMut) {
        let status = status(&self.finish_reason);
        self.close(status, out);
        let response = self.response(status);
        let kind = format!("response.{status}");
        self.event(&kind, json!({"response": response}), out);
    }

    /// Appends an error, which ends the stream.
    pub fn fail(&mut self, error: &Value, out: &mut BytesMut) {
        let field = |name: &str| error.get(name).cloned().unwrap_or_default();
        let event =
            json!({"code": field("code"), "message": field("message"), "param": field("param")});
        self.event("error", event, out);
    }

    fn event(&mut self, kind: &str, fields: Value, out: &mut BytesMut) {
        let mut event = json!({"type": kind, "sequence_number": self.sequence});
        if let (Some(event), Value::Object(fields)) = (event.as_object_mut(), fields) {
            event.extend(fields);
        }
        self.sequence += 1;
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"\ndata: ");
        append_json(out, &event);
        out.extend_from_slice(b"\n\n");
    }
}

fn set(object: &mut Value, name: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
}

/// Returns the part of a message; `None` for a call.
fn part(kind: &ItemKind, text: &str) -> Option<Value> {
    match kind {
        ItemKind::Text => Some(text_part(text)),
        ItemKind::Refusal => Some(refusal_part(text)),
        ItemKind::Call { .. } => None,
    }
}

const fn event_name(kind: &ItemKind) -> &'static str {
    match kind {
        ItemKind::Text => "output_text",
        ItemKind::Refusal => "refusal",
        ItemKind::Call { .. } => "function_call_arguments",
    }
}
