//! Jobs: one terminal state for each index and for the job, acknowledged changes stay, and no job is lost.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{indices, job_of, on_job};
use crate::record::{Action, Record, Reply};
use crate::truth::{Job, Truth};

pub fn check(records: &[Record], truth: &Truth) -> Vec<String> {
    let mut violations = Vec::new();
    for (id, job) in &truth.jobs {
        violations.extend(check_results(id, job));
        violations.extend(check_seen_results(id, job, records));
        violations.extend(check_state(id, job, records));
    }
    let ids: BTreeSet<_> = records.iter().filter_map(|record| job_of(&record.action)).collect();
    for id in ids {
        violations.extend(check_presence(id, records, truth));
    }
    violations
}

/// Checks that each index has one result, the same in both orders, and that the counts are those of the results.
fn check_results(id: &str, job: &Job) -> Vec<String> {
    let mut violations = Vec::new();
    let counts = &job.shown["counts"];
    let total = counts["total"].as_u64().unwrap_or(u64::MAX);
    let found = indices(&job.by_input);
    if found != (0..total).collect::<Vec<_>>() {
        violations.push(format!("{id}: results of {found:?} for {total} inputs: {}", job.shown));
    }
    let mut by_completion = job.by_completion.clone();
    by_completion.sort_by_key(|result| result["index"].as_u64());
    if by_completion != job.by_input {
        violations.push(format!("{id}: the orders of results differ"));
    }
    for status in ["succeeded", "failed", "invalid", "cancelled"] {
        let results = job.by_input.iter().filter(|result| result["status"] == status);
        let count = results.count();
        if counts[status] != count {
            violations.push(format!("{id}: {count} results are {status}: {counts}"));
        }
    }
    if job.shown["status"] == "failed" {
        violations.push(format!("{id}: it could not run: {}", job.shown));
    }
    violations
}

/// Checks that each result that was ever seen is one that the events have, and that a page in input order has no gap.
fn check_seen_results(id: &str, job: &Job, records: &[Record]) -> Vec<String> {
    let mut violations = Vec::new();
    for record in on_job(records, id, |action| matches!(action, Action::Results { .. })) {
        let page = record.reply.body().and_then(|body| body["data"].as_array());
        let page = page.map(Vec::as_slice).unwrap_or_default();
        let is_in_order = matches!(record.action, Action::Results { order: "input", .. });
        if is_in_order && indices(page) != (0..page.len() as u64).collect::<Vec<_>>() {
            violations.push(format!("{id}: a page in input order has a gap: {record:?}"));
        }
        let is_recorded = |result: &Value| job.events.iter().any(|event| event.data == *result);
        for result in page.iter().filter(|result| !is_recorded(result)) {
            violations.push(format!("{id}: a result was seen that no event has: {result}"));
        }
    }
    violations
}

/// Checks the job's end against what was seen of it and what was acknowledged.
fn check_state(id: &str, job: &Job, records: &[Record]) -> Vec<String> {
    if !on_job(records, id, |action| matches!(action, Action::Retry { .. })).is_empty() {
        // It ran again: its earlier ends are those of earlier runs.
        return Vec::new();
    }
    let mut violations = Vec::new();
    let end = &job.shown["status"];
    for record in on_job(records, id, |action| matches!(action, Action::Show { .. })) {
        let seen = record.reply.body();
        let seen = seen.filter(|seen| !seen["finished_at"].is_null());
        if seen.is_some_and(|seen| seen["status"] != *end || seen["counts"] != job.shown["counts"]) {
            violations.push(format!("{id}: it had ended otherwise: {record:?}, {}", job.shown));
        }
    }
    let cancellations = on_job(records, id, |action| matches!(action, Action::Cancel { .. }));
    let is_acknowledged = |record: &&Record| record.reply.status() == Some(202);
    if cancellations.iter().any(is_acknowledged) && end != "cancelled" {
        violations.push(format!("{id}: its acknowledged cancellation is lost: {}", job.shown));
    }
    if cancellations.is_empty() && end == "cancelled" {
        violations.push(format!("{id}: nobody cancelled it: {}", job.shown));
    }
    violations
}

/// Checks that a job is there until a deletion, and never after an acknowledged one.
fn check_presence(id: &str, records: &[Record], truth: &Truth) -> Vec<String> {
    let mut violations = Vec::new();
    let deletions = on_job(records, id, |action| matches!(action, Action::Delete { .. }));
    let gone_since = deletions
        .iter()
        .filter(|record| record.reply.status() == Some(204))
        .map(|record| record.ended)
        .min();
    let first_deletion = deletions.iter().map(|record| record.began).min();
    if gone_since.is_some() && truth.jobs.contains_key(id) {
        violations.push(format!("{id}: it was deleted, and is there"));
    }
    let others = records.iter().filter(|record| job_of(&record.action) == Some(id));
    for record in others {
        let is_missing = record.reply.status() == Some(404);
        if is_missing && first_deletion.is_none_or(|deletion| record.ended < deletion) {
            violations.push(format!("{id}: it was missing before its deletion: {record:?}"));
        }
        let is_found = record.reply != Reply::Unclear && record.reply.is_success();
        if is_found && gone_since.is_some_and(|gone| gone < record.began) {
            violations.push(format!("{id}: it was there after its deletion: {record:?}"));
        }
    }
    violations
}
