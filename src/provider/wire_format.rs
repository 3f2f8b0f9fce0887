//! What a wire format is: mappings without state, and the words that they are written in.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::unsupported_feature::ErrorPatterns;
use super::{Answer, Finish, RemainingQuota, Request, UnsupportedSet, UpstreamErrorBody};
use crate::net::Framing;
use crate::types::{Dialect, Mode, Usage};

/// A wire format: pure mappings, and no state.
pub trait WireFormat: Send + Sync + std::fmt::Debug {
    /// Where to post, under the base URL, with its query. A model's name in it is one percent-encoded segment; `None` if it
    /// cannot be one.
    fn path(&self, model: &str, stream: bool) -> Option<Cow<'static, str>>;

    /// The header that holds the key, and what stands before the key in it.
    fn key_header(&self) -> (&'static str, &'static str) {
        ("authorization", "Bearer ")
    }

    /// What every call carries unless the configuration says otherwise.
    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    fn modes(&self) -> &'static [Mode];

    /// What a mode takes of JSON Schema.
    fn subset(&self, mode: Mode) -> &'static Dialect;

    /// Our request as the body to send.
    fn encode(&self, request: &Request<'_>, form: RequestShape) -> Vec<u8>;

    /// The whole body of a 200.
    ///
    /// # Errors
    /// When it is no answer.
    fn decode(&self, body: &[u8]) -> Result<PartialAnswer, DecodeError>;

    /// How a stream is cut into the messages that [`Wire::hear`] takes.
    fn framing(&self) -> Framing {
        Framing::Events
    }

    /// Adds one message of a stream to what came before.
    ///
    /// # Errors
    /// When it is none, or says that something went wrong.
    fn decode_event(&self, message: &[u8], draft: &mut PartialAnswer) -> Result<(), DecodeError>;

    /// What the body of another status says.
    fn decode_error(&self, body: &[u8]) -> UpstreamErrorBody;

    /// The words in which it refuses what it does not take.
    fn vocabulary(&self) -> &'static ErrorPatterns;
}

/// An answer, as far as it has come.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PartialAnswer {
    pub content: String,
    /// The arguments with which the tool is called.
    pub arguments: String,
    /// The words in which the model declines; empty as long as it does not.
    pub refusal: String,
    /// `None`: the provider has not said why it stopped.
    pub finish: Option<Finish>,
    /// `None`: the provider has not said.
    pub usage: Option<Usage>,
    pub end: StreamEnd,
}

/// Whether more is to come. Only a stream can end too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum StreamEnd {
    #[default]
    Open,
    /// The answer is whole; figures about it may follow.
    Whole,
    /// Nothing follows.
    Over,
}

impl PartialAnswer {
    /// The text of the answer as far as it is certain to be that.
    #[must_use]
    pub fn text(&self, mode: Mode) -> &str {
        if mode == Mode::Tools {
            &self.arguments
        } else {
            &self.content
        }
    }

    /// The answer, when nothing more comes. One in the place where the other modes have it counts too.
    #[must_use]
    pub fn answer(self, mode: Mode, left: RemainingQuota) -> Answer {
        let (first, other) = if mode == Mode::Tools {
            (self.arguments, self.content)
        } else {
            (self.content, self.arguments)
        };
        let text = if first.is_empty() { other } else { first };
        let finish = if self.refusal.is_empty() {
            self.finish.unwrap_or(Finish::Unknown)
        } else {
            Finish::Refusal(self.refusal)
        };
        Answer {
            text,
            finish,
            usage: self.usage,
            mode,
            left,
        }
    }
}

/// Why a 200 is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecodeError {
    /// It is not in this format; a sentence that says what is missing.
    Format(String),
    /// An error stands where the answer should.
    Error(UpstreamErrorBody),
}

/// The form in which a question is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestShape {
    /// Never `auto`.
    pub mode: Mode,
    /// The answer is to come piece by piece.
    pub stream: bool,
    /// What the server is known not to take.
    pub lessons: UnsupportedSet,
}

/// A model's name as one segment of a path, percent-encoded: it cannot lead to another path. `None` for a name that has a meaning
/// of its own there, encoded or not (<https://url.spec.whatwg.org/#double-dot-path-segment>).
#[must_use]
pub fn segment(model: &str) -> Option<String> {
    const KEPT: AsciiSet = NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    (!matches!(model, "" | "." | "..")).then(|| utf8_percent_encode(model, &KEPT).to_string())
}

/// What has to follow a base URL with this path to reach `version`: people write it with and without.
#[must_use]
pub fn after(base_path: &str, version: &'static str) -> &'static str {
    let (path, end) = (
        base_path.trim_end_matches('/'),
        version.trim_end_matches('/'),
    );
    let has_it = path
        .strip_suffix(end)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('/'));
    if has_it { "" } else { version }
}
