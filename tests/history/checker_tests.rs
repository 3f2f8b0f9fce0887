//! Tests of the checker: a correct history has no violation, and each kind of error in it is found.

use serde_json::{Value, json};

use crate::check::{check, check_unchanged};
use crate::record::{Action, Body, Event, History, Record, Reply, Segment};
use crate::truth::{Job, Truth};

fn result(index: u64, status: &str) -> Value {
    json!({"index": index, "status": status})
}

fn event(number: u64, name: &str, data: Value) -> Event {
    let name = name.to_owned();
    Event { number, name, data }
}

fn create(group: &str, body: Body) -> Action {
    let group = group.to_owned();
    Action::Create { group, body }
}

fn created(is_replayed: bool, id: &str) -> Reply {
    Reply::Answered(202, is_replayed, json!({"id": id}))
}

fn answered(status: u16, body: Value) -> Reply {
    Reply::Answered(status, false, body)
}

fn on(job: &str) -> String {
    job.to_owned()
}

/// Returns a correct history, in which job `a` is created twice under its key and retried, `b` deleted, and `c` cancelled.
fn records() -> Vec<Record> {
    let put = |version| Action::Put { name: on("s"), version };
    let actions = [
        (create("ka", Body::Whole), Reply::Unclear),
        (create("ka", Body::Whole), created(true, "a")),
        (create("ka", Body::Other), answered(422, Value::Null)),
        (create("kb", Body::Whole), created(false, "b")),
        (create("kc", Body::Whole), created(false, "c")),
        (create("kd", Body::Broken), Reply::Unclear),
        (create("ke", Body::Whole), answered(503, Value::Null)),
        (Action::Retry { job: on("a") }, answered(202, Value::Null)),
        (
            Action::Results { job: on("a"), order: "input" },
            answered(200, json!({"data": [result(0, "succeeded"), result(1, "failed")]})),
        ),
        (Action::Show { job: on("b") }, answered(200, json!({"status": "running"}))),
        (Action::Delete { job: on("b") }, answered(204, Value::Null)),
        (Action::Show { job: on("b") }, answered(404, Value::Null)),
        (Action::Cancel { job: on("c") }, answered(202, Value::Null)),
        (
            Action::Show { job: on("c") },
            answered(200, truth().jobs["c"].shown.clone()),
        ),
        (put(1), answered(201, Value::Null)),
        (put(2), Reply::Unclear),
        (Action::Get { name: on("s") }, answered(200, json!({"title": "version 1"}))),
        (
            Action::Batch { items: 2 },
            answered(200, json!({"results": [result(0, "succeeded"), result(1, "failed")]})),
        ),
    ];
    let timed = actions.into_iter().zip(0..).map(|((action, reply), time)| Record {
        client: 0,
        began: time * 2,
        ended: time * 2 + 1,
        action,
        reply,
    });
    timed.collect()
}

fn job(group: &str, status: &str, results: [Value; 2], events: Vec<Event>) -> Job {
    let count = |status: &str| results.iter().filter(|each| each["status"] == status).count();
    let counts = json!({
        "total": 2, "succeeded": count("succeeded"), "failed": count("failed"),
        "invalid": count("invalid"), "cancelled": count("cancelled"),
    });
    Job {
        group: group.to_owned(),
        shown: json!({"status": status, "counts": counts, "finished_at": "2026-01-01T00:00:00Z"}),
        by_completion: results.iter().rev().cloned().collect(),
        by_input: results.to_vec(),
        events,
    }
}

fn truth() -> Truth {
    let retried = vec![
        event(1, "result", result(1, "failed")),
        event(2, "result", result(0, "succeeded")),
        event(3, "retried", json!({})),
        event(4, "result", result(1, "succeeded")),
        event(5, "done", json!({})),
    ];
    let cancelled = vec![
        event(1, "result", result(0, "succeeded")),
        event(2, "result", result(1, "cancelled")),
        event(3, "done", json!({})),
    ];
    let a = job("ka", "completed", [result(0, "succeeded"), result(1, "succeeded")], retried);
    let c = job("kc", "cancelled", [result(0, "succeeded"), result(1, "cancelled")], cancelled);
    Truth {
        jobs: [(on("a"), a), (on("c"), c)].into(),
        schemas: [(on("s"), on("version 2"))].into(),
    }
}

fn segments() -> Vec<Segment> {
    let (a, b) = (truth().jobs["a"].events.clone(), result(0, "succeeded"));
    let mut before_retry = a[..3].to_vec();
    before_retry[2].name = on("done");
    vec![
        Segment { job: on("a"), after: 0, events: before_retry },
        Segment { job: on("a"), after: 3, events: a[3..].to_vec() },
        Segment { job: on("b"), after: 0, events: vec![event(1, "result", b.clone())] },
        Segment { job: on("b"), after: 0, events: vec![event(1, "result", b)] },
    ]
}

/// Returns the violations of the history after a change.
fn violations(change: impl FnOnce(&mut Vec<Record>, &mut Vec<Segment>, &mut Truth)) -> Vec<String> {
    let (mut records, mut segments, mut truth) = (records(), segments(), truth());
    change(&mut records, &mut segments, &mut truth);
    let history = History::default();
    records.into_iter().for_each(|record| history.add(record));
    segments.into_iter().for_each(|segment| history.add_segment(segment));
    check(&history, &truth)
}

#[test]
fn a_correct_history_has_no_violation() {
    assert_eq!(violations(|_, _, _| ()), [""; 0]);
    assert_eq!(check_unchanged(&truth(), &truth()), [""; 0]);
}

/// Fails unless the change makes the checker say this.
#[track_caller]
fn finds(expected: &str, change: impl FnOnce(&mut Vec<Record>, &mut Vec<Segment>, &mut Truth)) {
    let found = violations(change);
    assert!(
        found.iter().any(|violation| violation.contains(expected)),
        "{expected}: {found:?}"
    );
}

/// Changes the final state of job `a`.
fn of_a(change: impl FnOnce(&mut Job)) -> impl FnOnce(&mut Vec<Record>, &mut Vec<Segment>, &mut Truth) {
    move |_, _, truth| change(truth.jobs.get_mut("a").unwrap())
}

#[test]
fn wrong_creations_are_found() {
    finds("more than one job", |_, _, truth| {
        let twin = truth.jobs["a"].clone();
        truth.jobs.insert(on("twin"), twin);
    });
    finds("more than one job", |records, _, _| records[0].reply = created(false, "twin"));
    finds("not marked", |records, _, _| {
        records[0].reply = created(false, "a");
        records[1].reply = created(false, "a");
    });
    finds("another body", |records, _, _| records[2].reply = created(true, "a"));
    finds("an upload that broke off", |_, _, truth| {
        truth.jobs.get_mut("c").unwrap().group = on("kd");
    });
    finds("a rejected creation", |_, _, truth| {
        truth.jobs.get_mut("c").unwrap().group = on("ke");
    });
    finds("an acknowledged job is missing", |_, _, truth| drop(truth.jobs.remove("c")));
    finds("another job than", |records, _, _| {
        records[0].reply = created(false, "x");
        records[1].reply = created(true, "x");
    });
    finds("no request created it", |records, _, _| drop(records.remove(4)));
}

#[test]
fn wrong_jobs_are_found() {
    finds("for 2 inputs", of_a(|job| drop(job.by_input.pop())));
    finds("for 2 inputs", of_a(|job| job.by_input[1] = job.by_input[0].clone()));
    finds("the orders of results differ", of_a(|job| job.by_completion[0] = result(1, "failed")));
    finds("results are succeeded", of_a(|job| job.shown["counts"]["succeeded"] = json!(1)));
    finds("could not run", of_a(|job| job.shown["status"] = json!("failed")));
    finds("no event has", |records, _, _| {
        records[8].reply = answered(200, json!({"data": [result(0, "failed")]}));
    });
    finds("has a gap", |records, _, _| {
        records[8].reply = answered(200, json!({"data": [result(1, "failed")]}));
    });
    finds("had ended otherwise", |records, _, _| {
        let Reply::Answered(_, _, shown) = &mut records[13].reply else {
            unreachable!()
        };
        shown["status"] = json!("completed");
    });
    finds("cancellation is lost", |_, _, truth| {
        truth.jobs.get_mut("c").unwrap().shown["status"] = json!("completed");
    });
    finds("nobody cancelled", |records, _, _| drop(records.remove(12)));
    finds("missing before its deletion", |records, _, _| records[9].reply = answered(404, Value::Null));
    finds("after its deletion", |records, _, _| records[11].reply = answered(200, Value::Null));
    finds("was deleted, and is there", |_, _, truth| {
        let other = truth.jobs["a"].clone();
        truth.jobs.insert(on("b"), other);
    });
}

#[test]
fn wrong_events_are_found() {
    finds("after event 0 come", of_a(|job| drop(job.events.remove(1))));
    finds("only `done`", of_a(|job| job.events[2].name = on("done")));
    finds("only `done`", of_a(|job| drop(job.events.pop())));
    finds("two results in one run", of_a(|job| job.events[1].data = result(1, "failed")));
    finds("after it had succeeded", of_a(|job| job.events[3].data = result(0, "succeeded")));
    finds("not the job's results", of_a(|job| job.events[3].data = result(1, "invalid")));
    finds("after event 3 come", |_, segments, _| segments[1].events[0].number = 5);
    finds("two events of one number", |_, segments, _| segments[1].events[0].data = json!(1));
    finds("two events of one number", |_, segments, _| segments[3].events[0].data = json!(1));
    finds("is lost", |_, segments, _| segments[1].events.push(event(6, "done", json!({}))));
}

#[test]
fn wrong_schemas_batches_and_statuses_are_found() {
    finds("was read", |records, _, _| {
        records[16].reply = answered(200, json!({"title": "version 3"}));
    });
    finds("was read", |records, _, _| records[16].reply = answered(404, Value::Null));
    finds("in the end", |_, _, truth| truth.schemas.clear());
    finds("in the end", |records, _, _| records[15].reply = answered(503, Value::Null));
    finds("not each index once", |records, _, _| {
        records[17].reply = answered(200, json!({"results": [result(1, "failed"), result(0, "failed")]}));
    });
    finds("unexpected answer", |records, _, _| records[9].reply = answered(500, Value::Null));
}

#[test]
fn changes_by_a_crash_are_found() {
    let mut after = truth();
    after.jobs.get_mut("c").unwrap().events.pop();
    after.schemas.clear();
    assert_eq!(check_unchanged(&truth(), &after).len(), 2);
    assert_eq!(check_unchanged(&truth(), &Truth::default()).len(), 3);
}
