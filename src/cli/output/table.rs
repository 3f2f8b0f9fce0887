//! CSV output: one row per result, one column per field.

use std::borrow::Cow;
use std::collections::HashSet;
use std::io::Write;

use anyhow::bail;
use serde_json::{Map, Value};

use crate::cli::results::Results;

/// Columns that every table has.
const FIXED_COLUMNS: [&str; 4] = ["index", "id", "status", "error"];
/// Maximum number of columns; beyond it `data` is probably a map with different keys in each
/// result.
const MAX_COLUMNS: usize = 10_000;

/// Writes all results as CSV; `properties` are the first columns after the fixed ones.
pub async fn write(
    results: &mut Results<'_, '_>,
    properties: &[String],
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let fields = fields(results, properties).await?;
    results.rewind();
    let mut rows = csv::Writer::from_writer(out);
    let bare_column = fields.has_bare_values.then_some("data");
    let names = fields.names.iter().map(|name| column_name(name));
    rows.write_record(
        FIXED_COLUMNS
            .iter()
            .map(|name| Cow::Borrowed(*name))
            .chain(names)
            .chain(bare_column.map(Cow::Borrowed))
            .map(bytes),
    )?;
    while let Some(result) = results.next().await? {
        let result: Map<String, Value> = serde_json::from_str(&result)?;
        let data = result.get("data");
        let field = |name: &String| {
            data.and_then(Value::as_object)
                .and_then(|data| data.get(name))
        };
        let fixed = ["index", "id", "status"].map(|name| cell(result.get(name)));
        let bare = bare_column.map(|_| cell(data.filter(|data| !data.is_object())));
        let cells = fixed.into_iter().chain([error_text(&result).into()]);
        rows.write_record(
            cells
                .chain(fields.names.iter().map(|name| cell(field(name))))
                .chain(bare)
                .map(bytes),
        )?;
    }
    Ok(rows.flush()?)
}

/// Returns a cell as the CSV writer takes it.
fn bytes(cell: Cow<'_, str>) -> Vec<u8> {
    cell.into_owned().into_bytes()
}

/// Fields of all results, which become columns.
struct Fields {
    /// Names of the schema's properties, then of other fields in the order of their first
    /// occurrence.
    names: Vec<String>,
    /// True if some results are not objects.
    has_bare_values: bool,
}

/// Collects the fields of all results.
async fn fields(results: &mut Results<'_, '_>, properties: &[String]) -> anyhow::Result<Fields> {
    let mut fields = Fields {
        names: properties.to_vec(),
        has_bare_values: false,
    };
    let mut seen: HashSet<_> = properties.iter().cloned().collect();
    while let Some(result) = results.next().await? {
        let result: Map<String, Value> = serde_json::from_str(&result)?;
        match result.get("data") {
            Some(Value::Object(data)) => {
                for name in data
                    .keys()
                    .filter(|name| !seen.contains(*name))
                    .collect::<Vec<_>>()
                {
                    seen.insert(name.clone());
                    fields.names.push(name.clone());
                }
            }
            Some(_) => fields.has_bare_values = true,
            None => {}
        }
        if fields.names.len() > MAX_COLUMNS {
            bail!(
                "the results have more than {MAX_COLUMNS} different fields, too many for a table; use --output-format ndjson"
            );
        }
    }
    Ok(fields)
}

/// Returns the column name of a field; a field named like a fixed column gets the prefix `data.`.
fn column_name(name: &str) -> Cow<'_, str> {
    if FIXED_COLUMNS.contains(&name) || name == "data" {
        format!("data.{name}").into()
    } else {
        name.into()
    }
}

/// Returns a value as a cell: text unchanged, null as an empty cell, other values as JSON.
fn cell(value: Option<&Value>) -> Cow<'_, str> {
    match value {
        None | Some(Value::Null) => "".into(),
        Some(Value::String(text)) => text.into(),
        Some(value) => value.to_string().into(),
    }
}

/// Returns the error of a result as text; empty for a success.
fn error_text(result: &Map<String, Value>) -> String {
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
    let errors = result
        .get("errors")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let errors: Vec<_> = errors
        .iter()
        .map(|error| format!("{}: {}", text(error, "pointer"), text(error, "message")))
        .collect();
    errors.join("; ")
}
