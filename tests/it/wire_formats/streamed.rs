//! The same answers while they are written: the provider's own side, over TCP.

use std::sync::{Arc, Mutex};

use extractd::net;
use extractd::provider::{
    Answer, Anthropic, Failure, FailureKind, Finish, Gemini, HttpProvider, Ollama, OpenAi,
    OpenAiResponses, Provider, Request, RequestTemplate, Schema, Trial, WireFormat,
};
use extractd::types::{LoweredByMode, LoweredSchema, Mode};
use schema_dialect::{SchemaDocument, Tree};
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

use super::wire_fixtures::{KINDS, Kind, Place, Stop};
use super::{asking, base_url, refuses, says};
use crate::support::fixture::{right, single};
use crate::upstream::{Reply, Upstream};

fn remote(upstream: &Upstream, kind: Kind) -> HttpProvider {
    let base_url = net::Url::parse(&base_url(upstream, kind)).unwrap();
    let wire: Box<dyn WireFormat> = match kind {
        Kind::OpenAi => Box::new(OpenAi::for_host("127.0.0.1")),
        Kind::Responses => Box::new(OpenAiResponses::for_host("127.0.0.1")),
        Kind::Anthropic => Box::new(Anthropic::for_base_path(base_url.path())),
        Kind::Gemini => Box::new(Gemini::for_base_path(base_url.path())),
        Kind::Ollama => Box::new(Ollama::for_base_path(base_url.path())),
        Kind::Azure => Box::new(OpenAi::azure(base_url.path(), "2024-10-21")),
    };
    HttpProvider::new(
        wire,
        net::Client::new(net::Options::default()).unwrap(),
        &base_url,
        &["sk-test".into()],
        vec![],
    )
}

/// Asks once, streamed; what came of it, and the pieces of text that were told.
async fn ask(remote: &HttpProvider, mode: Mode) -> (Result<Answer, Failure>, Vec<String>) {
    ask_in(&Trial::default(), remote, mode).await
}

/// Asks once, with the adaptations of an item.
async fn ask_in(
    trial: &Trial,
    remote: &HttpProvider,
    mode: Mode,
) -> (Result<Answer, Failure>, Vec<String>) {
    let value = json!({"type": "object"});
    let raw = to_raw_value(&value).unwrap();
    let tree = Arc::new(Tree::build(SchemaDocument::parse(value).unwrap()).unwrap());
    let mut forms = LoweredByMode::default();
    for mode in [Mode::JsonSchema, Mode::Tools, Mode::JsonObject] {
        forms.set(
            mode,
            Arc::new(LoweredSchema {
                raw: raw.clone(),
                strict: false,
                wrapped: false,
                shapes: None,
            }),
        );
    }
    let told = Mutex::new(Vec::new());
    let on_text = |_: Mode, text: &str| told.lock().unwrap().push(text.to_owned());
    let called = remote
        .call(&Request {
            model: "m",
            is_configured_model: true,
            mode,
            schema: Schema {
                tree: &tree,
                raw: &raw,
                forms: &forms,
                format_notes: "",
            },
            instructions: None,
            is_conversation: false,
            examples: &[],
            input: "Ada",
            feedback: None,
            temperature: 0.0,
            max_output_tokens: None,
            seed: None,
            extra_body: None,
            has_callers_fields: false,
            template: &RequestTemplate::default(),
            trial,
            trace_context: None,
            key: 0,
            on_text: Some(&on_text),
            memory: None,
        })
        .await;
    (called, told.into_inner().unwrap())
}

/// Returns a 200 whose body goes on until the connection is closed: whoever cuts it leaves no other trace.
fn until_closed(kind: Kind, body: &str) -> Reply {
    Reply::RawCut(
        format!(
            "HTTP/1.1 200 -\r\ncontent-type: {}\r\n\r\n{body}",
            kind.stream_type()
        )
        .into_bytes(),
    )
}

fn whole(kind: Kind, body: &str) -> Reply {
    let head = format!(
        "HTTP/1.1 200 -\r\ncontent-type: {}\r\ncontent-length: {}\r\n\r\n",
        kind.stream_type(),
        body.len()
    );
    Reply::Raw([head.as_bytes(), body.as_bytes()].concat())
}

fn pieces(text: &str) -> [&str; 3] {
    let (first, rest) = text.split_at(5);
    let (second, third) = rest.split_at(rest.len() / 2);
    [first, second, third]
}

#[tokio::test]
async fn a_streamed_answer_equals_the_buffered_one_and_arrives_in_pieces() {
    let text = right().to_string();
    for kind in KINDS {
        for (mode, place) in [
            (Mode::JsonSchema, Place::Content),
            (Mode::Tools, Place::Tool),
        ] {
            let stream = kind.framed(&kind.stream(&pieces(&text), place, Stop::End));
            let upstream = Upstream::saying([
                whole(kind, &stream),
                says(&kind.whole(&text, place, Stop::End)),
            ]);
            let remote = remote(&upstream, kind);
            let (streamed, told) = ask(&remote, mode).await;
            let (at_once, told_at_once) = ask(&remote, mode).await;
            assert_eq!(
                streamed, at_once,
                "{kind:?}: what does not stream is the same"
            );
            assert_eq!(
                (streamed.unwrap().text, told.concat()),
                (text.clone(), text.clone()),
                "{kind:?}"
            );
            let comes_in_pieces =
                place == Place::Content || !matches!(kind, Kind::Gemini | Kind::Ollama);
            assert_eq!(
                (told.len(), told_at_once.len()),
                (if comes_in_pieces { 3 } else { 1 }, 1),
                "{kind:?}"
            );
            let call = &upstream.log().calls[0];
            assert_eq!(call.target, kind.target(true));
            assert!(
                kind == Kind::Gemini || call.body()["stream"] == json!(true),
                "{kind:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_truncated_stream_is_never_an_answer() {
    let text = right().to_string();
    for kind in KINDS {
        let messages = kind.stream(&pieces(&text), Place::Content, Stop::End);
        // The last message that counts says that it is the end.
        let counted = messages.len()
            - usize::from(matches!(kind, Kind::OpenAi | Kind::Azure | Kind::Anthropic));
        for kept in 0..counted {
            let body = kind
                .framed(&messages[..kept])
                .replace("data: [DONE]\n\n", "");
            let upstream = Upstream::saying([until_closed(kind, &body)]);
            let (called, _) = ask(&remote(&upstream, kind), Mode::JsonSchema).await;
            assert_eq!(
                called.unwrap_err().kind,
                FailureKind::Broken,
                "{kind:?}: {kept} of {} messages",
                messages.len()
            );
        }
        let body = kind.framed(&messages);
        let upstream = Upstream::saying([until_closed(kind, &body)]);
        assert_eq!(
            ask(&remote(&upstream, kind), Mode::JsonSchema)
                .await
                .0
                .unwrap()
                .text,
            text,
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn a_streamed_truncation_or_refusal_is_reported_as_when_buffered() {
    for kind in KINDS {
        let cut = kind.framed(&kind.stream(&["{\"name\"", ":"], Place::Content, Stop::Length));
        let refused = kind.framed(&kind.stream(&[""], Place::Content, Stop::Refused));
        let upstream = Upstream::saying([whole(kind, &cut), whole(kind, &refused)]);
        let remote = remote(&upstream, kind);
        assert_eq!(
            ask(&remote, Mode::JsonSchema).await.0.unwrap().finish,
            Finish::Length,
            "{kind:?}"
        );
        if !kind.is_plain() {
            let finish = ask(&remote, Mode::JsonSchema).await.0.unwrap().finish;
            assert!(matches!(finish, Finish::Refusal(_)), "{kind:?}: {finish:?}");
        }
    }
}

#[tokio::test]
async fn an_error_in_a_stream_is_reported_as_an_error_body() {
    for kind in KINDS {
        for status in [429, 500] {
            let mut messages: Vec<Value> = kind.stream(&["{", "}"], Place::Content, Stop::End);
            messages.truncate(1);
            messages.push(kind.error_event(status, "too much, sk-test"));
            let upstream = Upstream::saying([whole(kind, &kind.framed(&messages))]);
            let failure = ask(&remote(&upstream, kind), Mode::JsonSchema)
                .await
                .0
                .unwrap_err();
            // Ollama has no code for it.
            let expected = if kind == Kind::Ollama {
                FailureKind::Broken
            } else {
                FailureKind::Status(status)
            };
            assert_eq!(failure.kind, expected, "{kind:?}");
            assert!(
                failure.detail.contains("too much, ****"),
                "{kind:?}: {failure}"
            );
        }
    }
}

#[tokio::test]
async fn a_provider_that_rejects_streaming_is_called_without() {
    let text = right().to_string();
    for kind in KINDS {
        let answer = kind.whole(&text, Place::Content, Stop::End);
        let upstream = Upstream::start(move |call| {
            let is_streamed =
                call.target.contains("stream") || call.body()["stream"] == json!(true);
            if is_streamed {
                refuses(kind, 400, "streaming is not supported")
            } else {
                says(&answer)
            }
        });
        let remote = remote(&upstream, kind);
        let trial = Trial::default();
        let (refused, told) = ask_in(&trial, &remote, Mode::JsonSchema).await;
        assert_eq!(
            (refused.unwrap_err().kind, told.len()),
            (FailureKind::Adapted, 0),
            "{kind:?}"
        );
        let (answered, told) = ask_in(&trial, &remote, Mode::JsonSchema).await;
        assert_eq!(
            (answered.unwrap().text, told),
            (text.clone(), vec![text.clone()]),
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn a_single_is_streamed_to_its_caller_and_a_truncated_stream_is_retried() {
    let text = right().to_string();
    for kind in KINDS {
        let messages = kind.stream(&pieces(&text), Place::Content, Stop::End);
        let cut = kind.framed(&messages[..1]).replace("data: [DONE]\n\n", "");
        let upstream = Upstream::saying([
            until_closed(kind, &cut),
            whole(kind, &kind.framed(&messages)),
        ]);
        let server = asking(&upstream, kind).await;
        let mut events = server
            .open("/v1/extract", "text/event-stream", &single("Ada"))
            .await
            .expect(200)
            .events()
            .await;
        let (done, result) = (events.pop().unwrap(), events.pop().unwrap());
        assert_eq!(
            (result.name.as_str(), done.name.as_str()),
            ("result", "done"),
            "{kind:?}: {events:?}"
        );
        assert_eq!(
            (&result.data["data"], &result.data["usage"]),
            (&right(), &super::usage(kind, 1)),
            "{kind:?}"
        );
        assert!(
            !events.is_empty() && events.iter().all(|event| event.name == "partial"),
            "{kind:?}: {events:?}"
        );
        let calls = upstream.log().calls;
        assert!(
            calls.len() == 2 && calls.iter().all(|call| call.target == kind.target(true)),
            "{kind:?}"
        );
    }
}
