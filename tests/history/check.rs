//! Checks of a history against the final state. Each violation is a text that names the job, key or schema.

mod creations;
mod events;
mod jobs;
mod schemas;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::record::{Action, History, Record};
use crate::truth::{Job, Truth};

/// Returns what the final state does not explain.
pub fn check(history: &History, truth: &Truth) -> Vec<String> {
    let records = history.records();
    let mut violations = creations::check(&records, truth);
    violations.extend(jobs::check(&records, truth));
    violations.extend(events::check(&history.segments(), truth));
    violations.extend(schemas::check(&records, truth));
    violations.extend(records.iter().filter_map(unexpected_status));
    violations.extend(records.iter().filter_map(incomplete_batch));
    violations
}

/// Returns how two readings of a settled server differ.
pub fn check_unchanged(before: &Truth, after: &Truth) -> Vec<String> {
    let ids: BTreeSet<_> = before.jobs.keys().chain(after.jobs.keys()).collect();
    let changed = ids
        .into_iter()
        .filter(|id| before.jobs.get(*id).map(lasting) != after.jobs.get(*id).map(lasting))
        .map(|id| format!("{id}: a crash changed it after its end"));
    let mut violations: Vec<_> = changed.collect();
    if before.schemas != after.schemas {
        let (before, after) = (&before.schemas, &after.schemas);
        violations.push(format!("a crash changed schemas: {before:?}, {after:?}"));
    }
    violations
}

/// Returns a job without its signed links, which are new in each answer.
fn lasting(job: &Job) -> Job {
    let mut job = job.clone();
    job.shown["links"].take();
    job
}

/// Returns the actions on a job by one kind of request.
fn on_job<'r>(records: &'r [Record], job: &str, is_kind: fn(&Action) -> bool) -> Vec<&'r Record> {
    let matches = |record: &&Record| is_kind(&record.action) && job_of(&record.action) == Some(job);
    records.iter().filter(matches).collect()
}

fn job_of(action: &Action) -> Option<&str> {
    match action {
        Action::Show { job }
        | Action::Cancel { job }
        | Action::Retry { job }
        | Action::Delete { job }
        | Action::Results { job, .. } => Some(job),
        _ => None,
    }
}

/// Checks that a request failed for a reason that the faults explain: a full disk or a removed folder (503), or the state of what it is about.
fn unexpected_status(record: &Record) -> Option<String> {
    let status = record.reply.status()?;
    let expected: &[u16] = match &record.action {
        Action::Create { .. } => &[200, 202, 400, 409, 422, 503],
        Action::Show { .. } | Action::Results { .. } => &[200, 404, 503],
        Action::Cancel { .. } | Action::Retry { .. } => &[200, 202, 404, 409, 503],
        Action::Delete { .. } => &[204, 404, 409, 503],
        Action::Put { .. } => &[200, 201, 503],
        Action::Get { .. } => &[200, 404, 503],
        Action::Remove { .. } => &[204, 404, 503],
        Action::Batch { .. } => &[200, 503],
    };
    (!expected.contains(&status)).then(|| format!("unexpected answer: {record:?}"))
}

/// Checks that a whole answer to a direct batch has each index once, in order.
fn incomplete_batch(record: &Record) -> Option<String> {
    let Action::Batch { items } = record.action else {
        return None;
    };
    let results = record.reply.body()?["results"].as_array().cloned();
    let is_complete =
        indices(&results.unwrap_or_default()) == (0..items as u64).collect::<Vec<_>>();
    (!is_complete).then(|| format!("not each index once: {record:?}"))
}

fn indices(results: &[Value]) -> Vec<u64> {
    let index = |result: &Value| result["index"].as_u64().unwrap_or(u64::MAX);
    results.iter().map(index).collect()
}
