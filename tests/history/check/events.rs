//! Events: numbered from 1 without a gap, the same for everyone who sees them, one result for each index and run.

use std::collections::BTreeMap;

use crate::record::{Event, Segment};
use crate::truth::{Job, Truth};

pub fn check(segments: &[Segment], truth: &Truth) -> Vec<String> {
    let mut violations = Vec::new();
    for (id, job) in &truth.jobs {
        violations.extend(check_final(id, job));
    }
    let mut seen: BTreeMap<(&str, u64), &Event> = BTreeMap::new();
    for (id, job) in &truth.jobs {
        seen.extend(job.events.iter().map(|event| ((id.as_str(), event.number), event)));
    }
    for segment in segments {
        let id = segment.job.as_str();
        violations.extend(gap(id, segment.after, &segment.events));
        for event in &segment.events {
            let first = *seen.entry((id, event.number)).or_insert(event);
            if !is_same(event, first) {
                violations.push(format!("{id}: two events of one number: {event:?}, {first:?}"));
            }
        }
        let last = segment.events.last().map_or(0, |event| event.number);
        if let Some(job) = truth.jobs.get(id)
            && last > job.events.len() as u64
        {
            violations.push(format!("{id}: event {last} is lost"));
        }
    }
    violations
}

/// Returns the violation if the numbers do not follow each other.
fn gap(id: &str, after: u64, events: &[Event]) -> Option<String> {
    let numbers: Vec<_> = events.iter().map(|event| event.number).collect();
    let expected: Vec<_> = (after + 1..).take(numbers.len()).collect();
    (numbers != expected).then(|| format!("{id}: after event {after} come {numbers:?}"))
}

/// Returns true for the same event. A retry of the job renames its `done`.
fn is_same(one: &Event, other: &Event) -> bool {
    let is_end = |event: &Event| matches!(event.name.as_str(), "done" | "retried");
    one.data == other.data && (one.name == other.name || is_end(one) && is_end(other))
}

/// Checks the whole stream of an ended job.
fn check_final(id: &str, job: &Job) -> Vec<String> {
    let mut violations: Vec<_> = gap(id, 0, &job.events).into_iter().collect();
    let names: Vec<_> = job.events.iter().map(|event| event.name.as_str()).collect();
    let ends = names.iter().filter(|name| **name == "done").count();
    if ends != 1 || names.last() != Some(&"done") {
        violations.push(format!("{id}: its stream does not end with its only `done`: {names:?}"));
    }
    // Runs are divided by `retried`.
    let mut last_of = BTreeMap::new();
    for (run, events) in job.events.split(|event| event.name == "retried").enumerate() {
        for event in events.iter().filter(|event| event.name == "result") {
            let index = event.data["index"].as_u64().unwrap_or(u64::MAX);
            let earlier = last_of.insert(index, (run, event));
            match earlier {
                Some((earlier, _)) if earlier == run => {
                    violations.push(format!("{id}: index {index} has two results in one run"));
                }
                Some((_, result)) if result.data["status"] == "succeeded" => {
                    violations.push(format!("{id}: index {index} ran again after it had succeeded"));
                }
                _ => {}
            }
        }
    }
    let last: Vec<_> = last_of.values().map(|(_, event)| event.data.clone()).collect();
    if last != job.by_input {
        violations.push(format!("{id}: the events' results are not the job's results"));
    }
    violations
}
