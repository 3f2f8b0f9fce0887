//! Records of requests, answers and events, in the order in which they were seen.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

/// Request of a client.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Creation of a job. Jobs of one `group` are the same: it is the `Idempotency-Key`, or unique for a job without one.
    Create { group: String, body: Body },
    Show { job: String },
    Cancel { job: String },
    Retry { job: String },
    Delete { job: String },
    /// A page of results in this order.
    Results { job: String, order: &'static str },
    /// A registered schema is stored in this version.
    Put { name: String, version: u64 },
    Get { name: String },
    Remove { name: String },
    /// A direct batch of this many items.
    Batch { items: usize },
}

/// Body of a creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    Whole,
    /// Another body under the key of an existing job.
    Other,
    /// An upload that breaks off before its end.
    Broken,
}

/// Answer to a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// Whole answer: the status, true for `Idempotent-Replayed`, and the body.
    Answered(u16, bool, Value),
    /// The connection was lost, or the client left, before the whole answer: the request may have had its effect.
    Unclear,
}

impl Reply {
    /// Returns the status; `None` if the answer is unclear.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Answered(status, ..) => Some(*status),
            Self::Unclear => None,
        }
    }

    /// Returns the body of a successful answer.
    pub fn body(&self) -> Option<&Value> {
        match self {
            Self::Answered(200..300, _, body) => Some(body),
            _ => None,
        }
    }

    pub fn is_success(&self) -> bool {
        self.body().is_some()
    }
}

/// Request with its answer. Times are positions in the order of all requests and answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    pub client: u64,
    pub began: u64,
    pub ended: u64,
    pub action: Action,
    pub reply: Reply,
}

/// Numbered event of a job's stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub number: u64,
    pub name: String,
    pub data: Value,
}

/// Part of a job's event stream, seen over one connection.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    pub job: String,
    /// Number after which the stream was asked for.
    pub after: u64,
    pub events: Vec<Event>,
}

/// History of all clients.
#[derive(Debug, Default)]
pub struct History {
    clock: AtomicU64,
    records: Mutex<Vec<Record>>,
    segments: Mutex<Vec<Segment>>,
    jobs: Mutex<Vec<String>>,
}

impl History {
    /// Returns the next position in the order.
    pub fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    pub fn add(&self, record: Record) {
        self.records.lock().unwrap().push(record);
    }

    pub fn add_segment(&self, segment: Segment) {
        self.segments.lock().unwrap().push(segment);
    }

    /// Adds a job that other clients may look at.
    pub fn add_job(&self, id: &str) {
        let mut jobs = self.jobs.lock().unwrap();
        if !jobs.iter().any(|job| job == id) {
            jobs.push(id.to_owned());
        }
    }

    pub fn jobs(&self) -> Vec<String> {
        self.jobs.lock().unwrap().clone()
    }

    pub fn records(&self) -> Vec<Record> {
        self.records.lock().unwrap().clone()
    }

    pub fn segments(&self) -> Vec<Segment> {
        self.segments.lock().unwrap().clone()
    }

    /// Returns the number of requests and unclear answers, by action.
    fn counts(&self) -> BTreeMap<&'static str, (usize, usize)> {
        let mut counts = BTreeMap::new();
        for record in self.records.lock().unwrap().iter() {
            let name = match record.action {
                Action::Create { .. } => "create",
                Action::Show { .. } => "show",
                Action::Cancel { .. } => "cancel",
                Action::Retry { .. } => "retry",
                Action::Delete { .. } => "delete",
                Action::Results { .. } => "results",
                Action::Put { .. } | Action::Remove { .. } => "schema",
                Action::Get { .. } => "schema read",
                Action::Batch { .. } => "batch",
            };
            let count: &mut (usize, usize) = counts.entry(name).or_default();
            count.0 += 1;
            count.1 += usize::from(record.reply == Reply::Unclear);
        }
        counts
    }

    /// Returns true if every kind of request was made, with unclear answers among them.
    pub fn is_telling(&self) -> bool {
        let counts = self.counts();
        let unclear = |name| counts.get(name).is_some_and(|(_, unclear)| *unclear > 0);
        counts.len() == 9 && unclear("create") && !self.segments.lock().unwrap().is_empty()
    }

    /// Returns the counts as text.
    pub fn describe(&self) -> String {
        let mut text = String::new();
        for (name, (requests, unclear)) in self.counts() {
            write!(text, "{name}: {requests} ({unclear} unclear), ").unwrap();
        }
        let segments = self.segments.lock().unwrap();
        let events: usize = segments.iter().map(|segment| segment.events.len()).sum();
        write!(text, "event streams: {} with {events} events", segments.len()).unwrap();
        text
    }
}
