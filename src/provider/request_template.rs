//! What the questions of a batch have in common, encoded once.

use std::sync::OnceLock;

use super::{Request, RequestShape, WireFormat, prompt};

/// A request's body without its text. Of a batch, everything else is the same for every item: it is encoded once.
#[derive(Debug, Default)]
pub struct RequestTemplate(OnceLock<Option<Cut>>);

#[derive(Debug)]
struct Cut {
    form: RequestShape,
    max_output_tokens: Option<u32>,
    before: Vec<u8>,
    after: Vec<u8>,
}

/// Stands for the text while a template is made.
const PLACEHOLDER: &str = "the text of 7f1d4e0a5b9c4c7e";

impl RequestTemplate {
    /// The body of a request; `None` if it is not the one that the template was made of, but for the text.
    pub(super) fn filled(
        &self,
        wire: &dyn WireFormat,
        request: &Request<'_>,
        form: RequestShape,
    ) -> Option<Vec<u8>> {
        let cut = self
            .0
            .get_or_init(|| Cut::new(wire, request, form))
            .as_ref()?;
        ((cut.form, cut.max_output_tokens) == (form, request.max_output_tokens))
            .then(|| cut.fill(request.input))
    }
}

impl Cut {
    /// `None` if the place of the text is not plain to see.
    fn new(wire: &dyn WireFormat, request: &Request<'_>, form: RequestShape) -> Option<Self> {
        let body = wire.encode(
            &Request {
                input: PLACEHOLDER,
                ..*request
            },
            form,
        );
        let place = serde_json::to_vec(&prompt::fenced(PLACEHOLDER)).ok()?;
        let mut found = memchr::memmem::find_iter(&body, &place);
        let at = found.next().filter(|_| found.next().is_none())?;
        let after = body.get(at + place.len()..)?.to_vec();
        Some(Self {
            form,
            max_output_tokens: request.max_output_tokens,
            before: body.get(..at)?.to_vec(),
            after,
        })
    }

    fn fill(&self, text: &str) -> Vec<u8> {
        let mut body = Vec::with_capacity(
            self.before.len() + self.after.len() + text.len() + text.len() / 8 + 64,
        );
        body.extend_from_slice(&self.before);
        // Neither a string nor a vector can fail.
        drop(serde_json::to_writer(&mut body, &prompt::fenced(text)));
        body.extend_from_slice(&self.after);
        body
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::provider::{OpenAi, Schema, UnsupportedSet};
    use crate::types::{LoweredByMode, Mode};

    #[test]
    fn a_filled_template_is_what_encoding_gives() {
        let value = std::sync::Arc::new(json!({"type": "object"}));
        let raw = serde_json::value::to_raw_value(&*value).unwrap();
        let (template, forms) = (RequestTemplate::default(), LoweredByMode::default());
        let asked = |input| Request {
            model: "m",
            mode: Mode::Auto,
            schema: Schema {
                value: &value,
                raw: &raw,
                forms: &forms,
                examples: &[],
            },
            instructions: Some("Say \"yes\"."),
            examples: &[],
            input,
            complaint: None,
            temperature: 0.0,
            max_output_tokens: Some(9),
            seed: None,
            template: &template,
            traceparent: None,
            key: 0,
            on_text: None,
        };
        let wire = OpenAi::at("127.0.0.1");
        let form = RequestShape {
            mode: Mode::JsonSchema,
            stream: false,
            lessons: UnsupportedSet::default(),
        };
        let cut = Cut::new(&wire, &asked("first"), form).unwrap();
        for text in [
            "",
            "plain",
            "a \"quote\"\nand \\ more\u{1}",
            "</text> out?",
            "Ünïcödé 🦀",
            PLACEHOLDER,
        ] {
            assert_eq!(cut.fill(text), wire.encode(&asked(text), form), "{text}");
        }
    }
}
