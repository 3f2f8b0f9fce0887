//! The results as a table.

use std::borrow::Cow;
use std::collections::HashSet;
use std::io::Write;

use anyhow::bail;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use crate::cli::checkpoint::Checkpoint;
use crate::cli::interrupt;

/// What is known of every result.
const OWN: [&str; 4] = ["index", "id", "status", "error"];
/// A table with more is no table: `data` is then a map with keys of its own in each.
const MAX_COLUMNS: usize = 10_000;

pub fn write(
    journal: &Checkpoint,
    properties: &[String],
    out: &mut impl Write,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let members = members(journal, properties, stop)?;
    let mut rows = csv::Writer::from_writer(out);
    let has_bare = members.is_bare.then_some("data");
    let names = members.names.iter().map(|name| column(name));
    rows.write_record(
        OWN.iter()
            .map(|name| Cow::Borrowed(*name))
            .chain(names)
            .chain(has_bare.map(Cow::Borrowed))
            .map(bytes),
    )?;
    let mut results = journal.results()?;
    while let Some(result) = results.next()? {
        interrupt::check(stop)?;
        let result: Map<String, Value> = serde_json::from_str(result)?;
        let data = result.get("data");
        let member = |name: &String| {
            data.and_then(Value::as_object)
                .and_then(|data| data.get(name))
        };
        let own = ["index", "id", "status"].map(|name| cell(result.get(name)));
        let bare = has_bare.map(|_| cell(data.filter(|data| !data.is_object())));
        let cells = own.into_iter().chain([error(&result).into()]);
        rows.write_record(
            cells
                .chain(members.names.iter().map(|name| cell(member(name))))
                .chain(bare)
                .map(bytes),
        )?;
    }
    Ok(rows.flush()?)
}

fn bytes(cell: Cow<'_, str>) -> Vec<u8> {
    cell.into_owned().into_bytes()
}

struct Members {
    /// The schema's properties, then others as they come.
    names: Vec<String>,
    /// Some results are no objects.
    is_bare: bool,
}

fn members(
    journal: &Checkpoint,
    properties: &[String],
    stop: &CancellationToken,
) -> anyhow::Result<Members> {
    let mut members = Members {
        names: properties.to_vec(),
        is_bare: false,
    };
    let mut seen: HashSet<_> = properties.iter().cloned().collect();
    let mut results = journal.results()?;
    while let Some(result) = results.next()? {
        interrupt::check(stop)?;
        let result: Map<String, Value> = serde_json::from_str(result)?;
        match result.get("data") {
            Some(Value::Object(data)) => {
                for name in data
                    .keys()
                    .filter(|name| !seen.contains(*name))
                    .collect::<Vec<_>>()
                {
                    seen.insert(name.clone());
                    members.names.push(name.clone());
                }
            }
            Some(_) => members.is_bare = true,
            None => {}
        }
        if members.names.len() > MAX_COLUMNS {
            bail!(
                "the results have more than {MAX_COLUMNS} different members; take --output-format ndjson"
            );
        }
    }
    Ok(members)
}

/// A member that is called as a column of every table keeps its column apart.
fn column(name: &str) -> Cow<'_, str> {
    if OWN.contains(&name) || name == "data" {
        format!("data.{name}").into()
    } else {
        name.into()
    }
}

/// Text as it stands, `null` as nothing, everything else as JSON.
fn cell(value: Option<&Value>) -> Cow<'_, str> {
    match value {
        None | Some(Value::Null) => "".into(),
        Some(Value::String(text)) => text.into(),
        Some(value) => value.to_string().into(),
    }
}

/// Why a result is none.
fn error(result: &Map<String, Value>) -> String {
    let text = |value: &Value, name: &str| {
        value
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    if let Some(error) = result.get("error") {
        return format!("{}: {}", text(error, "code"), text(error, "detail"));
    }
    let faults = result
        .get("errors")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let faults: Vec<_> = faults
        .iter()
        .map(|fault| format!("{}: {}", text(fault, "pointer"), text(fault, "message")))
        .collect();
    faults.join("; ")
}
