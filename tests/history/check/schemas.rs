//! Registered schemas: each is a register with one writer. An acknowledged change is seen from then on; an unclear one may be.

use std::collections::{BTreeMap, BTreeSet};

use crate::record::{Action, Record};
use crate::truth::Truth;

/// Possible titles of a schema; `None`: it is not there.
type Possible = BTreeSet<Option<String>>;

pub fn check(records: &[Record], truth: &Truth) -> Vec<String> {
    let mut violations = Vec::new();
    let mut ordered: Vec<_> = records.iter().collect();
    ordered.sort_by_key(|record| record.began);
    let mut possible: BTreeMap<&str, Possible> = BTreeMap::new();
    for record in ordered {
        let (name, change) = match &record.action {
            Action::Put { name, version } => (name, Some(Some(format!("version {version}")))),
            Action::Remove { name } => (name, Some(None)),
            Action::Get { name } => (name, None),
            _ => continue,
        };
        let titles = possible.entry(name).or_insert_with(|| BTreeSet::from([None]));
        match change {
            Some(title) => apply(titles, title, record),
            None => {
                let seen = match record.reply.status() {
                    Some(200) => record.reply.body().and_then(|body| body["title"].as_str()),
                    Some(404) => None,
                    _ => continue,
                };
                if !titles.contains(&seen.map(str::to_owned)) {
                    violations.push(format!("{name}: {seen:?} was read, possible are {titles:?}"));
                }
            }
        }
    }
    for (name, titles) in possible {
        let end = truth.schemas.get(name).cloned();
        if !titles.contains(&end) {
            violations.push(format!("{name}: it is {end:?} in the end, possible are {titles:?}"));
        }
    }
    violations
}

fn apply(titles: &mut Possible, title: Option<String>, record: &Record) {
    match record.reply.status() {
        // Also an earlier unclear change is over: the server makes the changes of a schema one after the other.
        Some(200 | 201 | 204) => *titles = BTreeSet::from([title]),
        Some(_) => {}
        None => {
            titles.insert(title);
        }
    }
}
