//! Creations: one job for each `Idempotency-Key`, and each unclear or rejected creation either happened or did not.

use std::collections::{BTreeMap, BTreeSet};

use super::on_job;
use crate::record::{Action, Body, Record, Reply};
use crate::truth::Truth;

/// Creations of one group, and what became of them.
#[derive(Default)]
struct Group<'r> {
    whole: Vec<&'r Record>,
    other: Vec<&'r Record>,
    broken: Vec<&'r Record>,
}

pub fn check(records: &[Record], truth: &Truth) -> Vec<String> {
    let mut groups: BTreeMap<&str, Group> = BTreeMap::new();
    for record in records {
        if let Action::Create { group, body } = &record.action {
            let group = groups.entry(group).or_default();
            match body {
                Body::Whole => group.whole.push(record),
                Body::Other => group.other.push(record),
                Body::Broken => group.broken.push(record),
            }
        }
    }
    let unknown = truth.jobs.iter().filter(|(_, job)| !groups.contains_key(job.group.as_str()));
    let mut violations: Vec<_> = unknown
        .map(|(id, job)| format!("{id}: no request created it ({})", job.group))
        .collect();
    for (name, group) in &groups {
        violations.extend(check_group(name, group, records, truth));
    }
    violations
}

fn check_group(name: &str, group: &Group, records: &[Record], truth: &Truth) -> Vec<String> {
    let jobs = truth.jobs.iter().filter(|(_, job)| job.group == name);
    let jobs: Vec<&str> = jobs.map(|(id, _)| id.as_str()).collect();
    let answered: Vec<_> = group.whole.iter().filter(|each| each.reply.is_success()).collect();
    let ids = answered.iter().filter_map(|each| each.reply.body()?["id"].as_str());
    let ids: BTreeSet<_> = ids.collect();
    let first_answers = answered.iter().filter(|each| matches!(each.reply, Reply::Answered(_, false, _)));
    let mut violations = Vec::new();
    let mut violation = |text: &str| {
        violations.push(format!("{name}: {text}; answered {ids:?}, in the end {jobs:?}"));
    };
    if jobs.len() > 1 || ids.len() > 1 {
        violation("more than one job");
    }
    if first_answers.count() > 1 {
        violation("a repetition is not marked as one");
    }
    if group.other.iter().any(|each| each.reply.is_success()) {
        violation("another body was accepted under its key");
    }
    if group.broken.iter().any(|each| each.reply.is_success()) || !group.broken.is_empty() && !jobs.is_empty() {
        violation("an upload that broke off made a job");
    }
    let is_unclear = group.whole.iter().any(|each| each.reply == Reply::Unclear);
    match ids.first() {
        None if !is_unclear && !jobs.is_empty() => violation("a rejected creation made a job"),
        None => {}
        Some(id) => {
            let deletions = on_job(records, id, |action| matches!(action, Action::Delete { .. }));
            let may_be_gone = deletions
                .iter()
                .any(|each| matches!(each.reply.status(), None | Some(204 | 404)));
            if jobs.is_empty() && !may_be_gone {
                violation("an acknowledged job is missing");
            }
            if !jobs.is_empty() && jobs != [*id] {
                violation("it is another job than the acknowledged one");
            }
        }
    }
    violations
}
