//! Spans in progress: of a request, of an item, and of their parts.

use std::borrow::Cow;
use std::str::FromStr;
use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry::trace::{
    Span as _, SpanContext, SpanId, Status, TraceContextExt, TraceFlags, TraceId, TraceState,
    Tracer,
};
use opentelemetry::{Context, KeyValue, StringValue};
use opentelemetry_sdk::trace::SdkTracer;

use crate::types::TraceContext;

/// Maximum length of a span's name and of the texts that it begins with, in bytes: they repeat heads of requests and names of models.
const MAX_TEXT_BYTES: usize = 256;

/// Attribute of a span.
pub type Attribute = KeyValue;

/// Returns a caller's text in the length that a span's name or attribute has at most.
#[must_use]
pub fn shortened(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_TEXT_BYTES))
        .unwrap_or_default()
}

fn shortened_name(name: Cow<'static, str>) -> Cow<'static, str> {
    if name.len() <= MAX_TEXT_BYTES {
        return name;
    }
    shortened(&name).to_owned().into()
}

fn shortened_attribute(mut attribute: Attribute) -> Attribute {
    if let opentelemetry::Value::String(text) = &attribute.value
        && text.as_str().len() > MAX_TEXT_BYTES
    {
        attribute.value = shortened(text.as_str()).to_owned().into();
    }
    attribute
}

/// Returns the value of an attribute with several texts.
#[must_use]
pub fn strings(texts: impl IntoIterator<Item = impl Into<StringValue>>) -> opentelemetry::Value {
    let texts = texts.into_iter().map(Into::into).collect();
    opentelemetry::Value::Array(opentelemetry::Array::String(texts))
}

/// Role of a span between services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanRole {
    /// Handles a request of a client.
    Server,
    /// Makes a request to another service.
    Client,
    /// Neither.
    Internal,
}

/// Beginning of a span. Its texts are shortened to 256 bytes each.
#[derive(Debug)]
pub struct SpanStart {
    pub name: Cow<'static, str>,
    pub role: SpanRole,
    /// `None`: now.
    pub at: Option<SystemTime>,
    pub attributes: Vec<Attribute>,
}

/// Source of spans.
#[derive(Debug)]
pub struct Recorder {
    pub(super) tracer: SdkTracer,
    /// True if spans have the texts of prompts and answers.
    pub(super) captures_content: bool,
}

/// Span in progress, or nothing if traces are off or do not have this one. It ends when it is dropped.
#[derive(Debug, Default)]
pub struct ActiveSpan(Option<Box<Recorded>>);

#[derive(Debug)]
struct Recorded {
    span: opentelemetry_sdk::trace::Span,
    recorder: Arc<Recorder>,
}

impl ActiveSpan {
    /// Starts a span of a trace that began elsewhere, or of a new one.
    pub(super) fn start(
        recorder: &Arc<Recorder>,
        parent: Option<&TraceContext>,
        start: SpanStart,
    ) -> Self {
        let parent = parent.and_then(remote_context).unwrap_or_default();
        Self::start_in(recorder, &parent, start)
    }

    fn start_in(recorder: &Arc<Recorder>, parent: &Context, start: SpanStart) -> Self {
        let mut builder = recorder
            .tracer
            .span_builder(shortened_name(start.name))
            .with_kind(match start.role {
                SpanRole::Server => opentelemetry::trace::SpanKind::Server,
                SpanRole::Client => opentelemetry::trace::SpanKind::Client,
                SpanRole::Internal => opentelemetry::trace::SpanKind::Internal,
            })
            .with_attributes(start.attributes.into_iter().map(shortened_attribute));
        builder.start_time = start.at;
        let span = recorder.tracer.build_with_context(builder, parent);
        Self(Some(Box::new(Recorded {
            span,
            recorder: Arc::clone(recorder),
        })))
    }

    /// Starts a part of this span; nothing if this one is not recorded.
    #[must_use]
    pub fn child(&self, start: SpanStart) -> Self {
        match &self.0 {
            Some(recorded) if recorded.span.is_recording() => {
                let context = recorded.span.span_context().clone();
                let parent = Context::new().with_remote_span_context(context);
                Self::start_in(&recorded.recorder, &parent, start)
            }
            _ => Self(None),
        }
    }

    /// Returns true if the span will be exported.
    #[must_use]
    pub fn is_recording(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|recorded| recorded.span.is_recording())
    }

    /// Returns true if spans have the texts of prompts and answers.
    #[must_use]
    pub fn captures_content(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|recorded| recorded.recorder.captures_content)
    }

    /// Returns the context for the services that the span calls; `None` if traces are off.
    #[must_use]
    pub fn context(&self) -> Option<TraceContext> {
        let context = self.0.as_ref()?.span.span_context();
        let (trace, span) = (context.trace_id(), context.span_id());
        let flags = context.trace_flags().to_u8();
        let parent = format!("00-{trace}-{span}-{flags:02x}");
        TraceContext::parse(&parent, Some(&context.trace_state().header()))
    }

    /// Adds an attribute.
    pub fn set(&mut self, key: &'static str, value: impl Into<opentelemetry::Value>) {
        if let Some(recorded) = &mut self.0 {
            recorded.span.set_attribute(KeyValue::new(key, value));
        }
    }

    /// Marks the span as failed. `kind` is one of few names, `detail` is for people.
    pub fn fail(
        &mut self,
        kind: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) {
        if let Some(recorded) = &mut self.0 {
            let kind: Cow<'static, str> = kind.into();
            recorded
                .span
                .set_attribute(KeyValue::new("error.type", kind));
            recorded.span.set_status(Status::error(detail));
        }
    }

    /// Ends the span at a time.
    pub fn end_at(self, time: SystemTime) {
        if let Some(mut recorded) = self.0 {
            recorded.span.end_with_timestamp(time);
        }
    }
}

/// Returns the context of a span in another process.
fn remote_context(context: &TraceContext) -> Option<Context> {
    let (trace, span, flags) = context.ids()?;
    let state = context.state.as_deref().unwrap_or_default();
    let remote = SpanContext::new(
        TraceId::from(trace),
        SpanId::from(span),
        TraceFlags::new(flags),
        true,
        // An invalid state is not a reason to lose the trace.
        TraceState::from_str(state).unwrap_or_default(),
    );
    Some(Context::new().with_remote_span_context(remote))
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::SdkTracerProvider;

    use super::*;

    #[test]
    fn a_span_keeps_little_of_a_long_name_or_text() {
        let provider = SdkTracerProvider::builder().build();
        let recorder = Arc::new(Recorder {
            tracer: provider.tracer("test"),
            captures_content: false,
        });
        let long = "é".repeat(1 << 16);
        let start = SpanStart {
            name: format!("GET {long}").into(),
            role: SpanRole::Server,
            at: None,
            attributes: vec![
                Attribute::new("long", format!("/{long}")),
                Attribute::new("short", "/v1/extract"),
                Attribute::new("number", 7),
            ],
        };
        let span = ActiveSpan::start(&recorder, None, start);
        let data = span.0.unwrap().span.exported_data().unwrap();
        assert_eq!(data.name, format!("GET {}", "é".repeat(126)));
        let expected = [
            Attribute::new("long", format!("/{}", "é".repeat(127))),
            Attribute::new("short", "/v1/extract"),
            Attribute::new("number", 7),
        ];
        assert_eq!(data.attributes, expected);
    }
}
