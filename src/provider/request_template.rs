//! Request template: the URL and the body that the calls of a batch have in common, made once.

use std::sync::OnceLock;

use super::input_fence::fenced;
use super::request_shape::RequestShape;
use crate::net::Url;

/// URL, and encoded request body without the input text, which is all that differs between the items of a batch for one target.
#[derive(Debug, Default)]
pub struct RequestTemplate {
    url: OnceLock<Url>,
    /// URL for streamed answers.
    stream_url: OnceLock<Url>,
    split: OnceLock<Option<SplitBody>>,
    prompt_bytes: OnceLock<usize>,
}

/// Shape and output token limit of the requests that share a template.
type TemplateKey = (RequestShape, Option<u32>);

/// Body split at the input text.
#[derive(Debug)]
struct SplitBody {
    key: TemplateKey,
    before: Vec<u8>,
    after: Vec<u8>,
}

/// Input text of the body that is split.
const PLACEHOLDER: &str = "the text of 7f1d4e0a5b9c4c7e";

impl RequestTemplate {
    /// Returns the URL for a streamed or a whole answer. `make` is called once for each.
    ///
    /// # Errors
    /// Those of `make`.
    pub(super) fn url<E>(
        &self,
        is_streamed: bool,
        make: impl FnOnce() -> Result<Url, E>,
    ) -> Result<&Url, E> {
        let kept = if is_streamed {
            &self.stream_url
        } else {
            &self.url
        };
        match kept.get() {
            Some(url) => Ok(url),
            None => make().map(|url| kept.get_or_init(|| url)),
        }
    }

    /// Returns the body for an input text, or `None` if shape or output limit differ from the
    /// template's.
    ///
    /// `encode` encodes the request with another input text. It is called once, for the first body.
    pub(super) fn body(
        &self,
        key: TemplateKey,
        input: &str,
        encode: impl FnOnce(&str) -> Vec<u8>,
    ) -> Option<Vec<u8>> {
        let split = self
            .split
            .get_or_init(|| SplitBody::new(key, encode))
            .as_ref()?;
        (split.key == key).then(|| split.join(input))
    }

    /// Returns the length of the prompt that the requests have in common. `measure` is called once.
    pub(super) fn prompt_bytes(&self, measure: impl FnOnce() -> usize) -> usize {
        *self.prompt_bytes.get_or_init(measure)
    }
}

impl SplitBody {
    /// Encodes the request with a placeholder and splits the body there. `None` if the placeholder
    /// is not found exactly once.
    fn new(key: TemplateKey, encode: impl FnOnce(&str) -> Vec<u8>) -> Option<Self> {
        let body = encode(PLACEHOLDER);
        let placeholder = serde_json::to_vec(&fenced(PLACEHOLDER)).ok()?;
        let mut positions = memchr::memmem::find_iter(&body, &placeholder);
        let start = positions.next().filter(|_| positions.next().is_none())?;
        Some(Self {
            key,
            before: body.get(..start)?.to_vec(),
            after: body.get(start + placeholder.len()..)?.to_vec(),
        })
    }

    /// Returns the body with this input text.
    fn join(&self, text: &str) -> Vec<u8> {
        let mut body = Vec::with_capacity(
            self.before.len() + self.after.len() + text.len() + text.len() / 8 + 64,
        );
        body.extend_from_slice(&self.before);
        // Serializing a string into a vector cannot fail.
        drop(serde_json::to_writer(&mut body, &fenced(text)));
        body.extend_from_slice(&self.after);
        body
    }
}

#[cfg(test)]
mod tests;
