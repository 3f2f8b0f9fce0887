//! Detection of texts that were sent again although a valid answer had arrived.
//!
//! An answer has arrived if all of it was written to a client that was there to read it: one that then used the same connection
//! for its next call, left it open, or closed it only later. If a connection broke or was closed at once, delivery is in doubt,
//! and the client gets the benefit of it: it may have given up at the moment that the answer was sent.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A client that closes sooner after an answer may not have read it.
const AT_ONCE: Duration = Duration::from_secs(1);
/// Maximum number of texts in a report.
const MAX_REPORTED: usize = 100;
/// Maximum length of a text in a report, in characters.
const MAX_REPORTED_CHARS: usize = 120;

/// Mark around a text in the service's prompts.
const FENCE: &str = "<text>";

/// Returns the text that a question is about: the last of the user's messages that is fenced, else the last.
pub fn subject(user_texts: impl Iterator<Item = String>) -> Option<String> {
    let mut last = None;
    for text in user_texts {
        if text.trim_start().starts_with(FENCE) {
            return Some(text);
        }
        last.get_or_insert(text);
    }
    last
}

/// A valid answer that was written.
#[derive(Clone, Copy, Debug)]
pub struct Delivery {
    number: usize,
    at: Instant,
}

/// Texts, identified by a hash of 64 bits.
pub struct Texts {
    since: Instant,
    hasher: RandomState,
    asked: HashMap<u64, Asked>,
    /// Of each delivery: whether it is in doubt.
    in_doubt: Vec<bool>,
}

#[derive(Default)]
struct Asked {
    calls: usize,
    answers: Vec<usize>,
    /// Text and answers at the time that it was asked again.
    again: Option<(String, Vec<usize>)>,
}

impl Texts {
    /// Creates an empty record.
    pub fn new(since: Instant) -> Self {
        Self {
            since,
            hasher: RandomState::new(),
            asked: HashMap::new(),
            in_doubt: Vec::new(),
        }
    }

    /// Records a call with this text. Returns the text's hash.
    pub fn asked(&mut self, text: &str) -> u64 {
        let hash = self.hasher.hash_one(text);
        let asked = self.asked.entry(hash).or_default();
        asked.calls += 1;
        if !asked.answers.is_empty() {
            asked.again = Some((
                text.chars().take(MAX_REPORTED_CHARS).collect(),
                asked.answers.clone(),
            ));
        }
        hash
    }

    /// Records that a valid answer to that text has been written.
    pub fn answered(&mut self, hash: u64, at: Instant) -> Delivery {
        let number = self.in_doubt.len();
        self.in_doubt.push(false);
        self.asked.entry(hash).or_default().answers.push(number);
        Delivery { number, at }
    }

    /// Records that the connection of an answer was closed, or broke, without being used again.
    pub fn closed(&mut self, delivery: Delivery, broken: bool, at: Instant) {
        let counts = delivery.at >= self.since;
        if counts && (broken || at.saturating_duration_since(delivery.at) < AT_ONCE) {
            self.in_doubt[delivery.number] = true;
        }
    }

    /// Returns the numbers of texts that were sent, answered, and sent again although their answer had arrived, and the latter.
    pub fn report(&self) -> Value {
        let answered = self
            .asked
            .values()
            .filter(|asked| !asked.answers.is_empty())
            .count();
        let arrived = |answers: &[usize]| {
            answers
                .iter()
                .any(|number| self.in_doubt.get(*number) == Some(&false))
        };
        let again = || {
            self.asked.values().filter_map(|asked| {
                let (text, _) = asked
                    .again
                    .as_ref()
                    .filter(|(_, answers)| arrived(answers))?;
                Some(json!({"text": text, "calls": asked.calls}))
            })
        };
        json!({"asked": self.asked.len(), "answered": answered, "asked_again": again().count(),
               "which": again().take(MAX_REPORTED).collect::<Vec<_>>()})
    }
}
