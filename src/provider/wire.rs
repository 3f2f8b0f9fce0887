//! What a wire format is: mappings without state, and the words that they are written in.

use std::borrow::Cow;
use std::time::Duration;

use super::{Answer, Finish, Left, Request};
use crate::model::{Mode, Subset, Usage};
use crate::net::Framing;

/// A wire format: pure mappings, and no state.
pub trait Wire: Send + Sync + std::fmt::Debug {
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
    fn subset(&self, mode: Mode) -> &'static Subset;

    /// Our request as the body to send.
    fn encode(&self, request: &Request<'_>, form: Form) -> Vec<u8>;

    /// The whole body of a 200.
    ///
    /// # Errors
    /// When it is no answer.
    fn decode(&self, body: &[u8]) -> Result<Draft, Wrong>;

    /// How a stream is cut into the messages that [`Wire::hear`] takes.
    fn framing(&self) -> Framing {
        Framing::Events
    }

    /// Adds one message of a stream to what came before.
    ///
    /// # Errors
    /// When it is none, or says that something went wrong.
    fn hear(&self, message: &[u8], draft: &mut Draft) -> Result<(), Wrong>;

    /// What the body of another status says.
    fn complaint(&self, body: &[u8]) -> Said;

    /// What to leave out or rename, if that is what a refusal (400, 422, 500, 501) asks for.
    fn lesson(&self, status: u16, said: &Said, form: Form) -> Option<Lesson>;
}

/// An answer, as far as it has come.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Draft {
    pub content: String,
    /// The arguments with which the tool is called.
    pub arguments: String,
    /// The words in which the model declines; empty as long as it does not.
    pub refusal: String,
    /// `None`: the provider has not said why it stopped.
    pub finish: Option<Finish>,
    /// `None`: the provider has not said.
    pub usage: Option<Usage>,
    pub end: End,
}

/// Whether more is to come. Only a stream can end too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum End {
    #[default]
    Open,
    /// The answer is whole; figures about it may follow.
    Whole,
    /// Nothing follows.
    Over,
}

impl Draft {
    /// The text of the answer as far as it is certain to be that.
    #[must_use]
    pub fn text(&self, mode: Mode) -> &str {
        if mode == Mode::Tools { &self.arguments } else { &self.content }
    }

    /// The answer, when nothing more comes. One in the place where the other modes have it counts too.
    #[must_use]
    pub fn answer(self, mode: Mode, left: Left) -> Answer {
        let (first, other) = if mode == Mode::Tools { (self.arguments, self.content) } else { (self.content, self.arguments) };
        let text = if first.is_empty() { other } else { first };
        let finish = if self.refusal.is_empty() { self.finish.unwrap_or(Finish::Stop) } else { Finish::Refusal(self.refusal) };
        Answer { text, finish, usage: self.usage, mode, left }
    }
}

/// Why a 200 is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// It is not in this format; a sentence that says what is missing.
    Format(String),
    /// An error stands where the answer should.
    Error(Said),
}

/// What a provider said when it refused.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Said {
    pub message: String,
    pub meaning: Meaning,
    /// The HTTP status that it would have had, for an error within a 200; `None` if that cannot be told.
    pub status: Option<u16>,
    /// How long the provider wants to be left alone.
    pub retry_after: Option<Duration>,
}

/// What a refusal means, whatever its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Meaning {
    /// What its status says.
    #[default]
    Status,
    /// The quota of the key is used up; waiting does not help.
    Exhausted,
    /// The request alone is more than a minute's quota; waiting does not help.
    TooLarge,
    /// It is the text, or what the model would say to it, that the provider does not want.
    Declined,
    /// The key is not accepted.
    BadKey,
}

/// The form in which a question is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// Never `auto`.
    pub mode: Mode,
    /// The answer is to come piece by piece.
    pub stream: bool,
    /// What the server is known not to take.
    pub lessons: Lessons,
}

/// What a server does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lesson {
    /// The mode, whatever is asked in it.
    Mode,
    /// This schema in this mode; others may do.
    Schema,
    Temperature,
    Seed,
    /// The output limit by the name that this server was thought to know.
    TokensName,
    /// The wish to be told the usage at the end of a stream.
    StreamUsage,
    /// Streaming.
    Stream,
}

/// A set of lessons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lessons(u8);

impl Lessons {
    #[must_use]
    pub const fn has(self, lesson: Lesson) -> bool {
        self.0 & 1 << lesson as u8 != 0
    }

    /// False when it was there already.
    pub const fn add(&mut self, lesson: Lesson) -> bool {
        let is_new = !self.has(lesson);
        self.0 |= 1 << lesson as u8;
        is_new
    }
}
