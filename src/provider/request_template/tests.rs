use serde_json::json;
use serde_json::value::to_raw_value;

use super::*;
use crate::provider::test_fixture::tree;
use crate::provider::{OpenAi, Request, Schema, Trial, UnsupportedSet, WireFormat};
use crate::types::{LoweredByMode, Mode};

#[test]
fn a_template_gives_the_same_body_as_encoding_for_any_text() {
    let value = json!({"type": "object"});
    let (tree, raw) = (tree(&value), to_raw_value(&value).unwrap());
    let (template, forms) = (RequestTemplate::default(), LoweredByMode::default());
    let trial = Trial::default();
    let request = |input| Request {
        model: "m",
        is_configured_model: true,
        mode: Mode::Auto,
        schema: Schema {
            tree: &tree,
            raw: &raw,
            forms: &forms,
            format_notes: "",
        },
        instructions: Some("Say \"yes\"."),
        is_conversation: false,
        examples: &[],
        input,
        feedback: None,
        temperature: 0.0,
        max_output_tokens: Some(9),
        seed: None,
        extra_body: None,
        has_callers_fields: false,
        template: &template,
        trial: &trial,
        trace_context: None,
        key: 0,
        on_text: None,
        memory: None,
    };
    let wire = OpenAi::for_host("127.0.0.1");
    let shape = RequestShape {
        mode: Mode::JsonSchema,
        stream: false,
        unsupported: UnsupportedSet::default(),
        output_limit: None,
    };
    let split = SplitBody::new((shape, Some(9)), |input| {
        let request = Request {
            input,
            ..request("")
        };
        wire.encode(&request, shape)
    })
    .unwrap();
    for text in [
        "",
        "plain",
        "a \"quote\"\nand \\ more\u{1}",
        "</text> out?",
        "Ünïcödé 🦀",
        PLACEHOLDER,
    ] {
        assert_eq!(
            split.join(text),
            wire.encode(&request(text), shape),
            "{text}"
        );
    }
}

#[test]
fn a_url_is_made_once_for_streamed_and_once_for_whole_answers() {
    let template = RequestTemplate::default();
    let made = std::cell::Cell::new(0);
    let url = |is_streamed: bool| {
        let url = template.url(is_streamed, || {
            made.set(made.get() + 1);
            Url::parse(&format!("http://host/{is_streamed}")).map_err(|_| "no URL")
        });
        url.unwrap().path().to_owned()
    };
    assert_eq!(template.url(false, || Err("no URL")), Err("no URL"));
    for _ in 0..2 {
        assert_eq!([url(false), url(true)], ["/false", "/true"]);
    }
    assert_eq!(made.get(), 2);
}
