//! CSV output: one row per result, one column per field.

use std::collections::HashSet;
use std::io::Write;

use anyhow::bail;
use serde_json::{Map, Value};

use crate::cli::results::Results;

/// Columns that every table has.
const FIXED_COLUMNS: [&str; 4] = ["index", "id", "status", "error"];
/// Columns of a table of results with evidence: pointers of the values that the text does not state, and all evidence as JSON.
const EVIDENCE_COLUMNS: [&str; 2] = ["absent", "evidence"];
/// Maximum number of columns; beyond it `data` is probably a map with different keys in each
/// result.
const MAX_COLUMNS: usize = 10_000;
/// First characters of a cell that a spreadsheet takes for a formula, and those before which it looks for one. The last four are
/// wide forms.
const FORMULA_BEGINS: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

/// Columns that are known before the results are read.
#[derive(Debug, Clone, Default)]
pub struct KnownColumns {
    /// Names of the input's columns, which come back as metadata.
    pub input: Vec<String>,
    /// Names of the schema's properties.
    pub properties: Vec<String>,
}

/// Writes all results as CSV.
pub async fn write(
    results: &mut Results<'_, '_>,
    known: &KnownColumns,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let fields = Fields::collect(results, known).await?;
    results.rewind();
    let mut rows = csv::Writer::from_writer(out);
    rows.write_record(fields.header())?;
    while let Some(result) = results.next().await? {
        let result: Map<String, Value> = serde_json::from_str(&result)?;
        rows.write_record(fields.row(&result))?;
    }
    Ok(rows.flush()?)
}

/// Fields of all results, which become columns.
struct Fields {
    /// Names of the input's columns, then of other metadata.
    metadata: Names,
    /// Names of the schema's properties, then of other fields.
    data: Names,
    /// True if some results are not objects.
    has_bare_values: bool,
    /// True if some results have evidence.
    has_evidence: bool,
}

/// Names in the order of their first occurrence.
#[derive(Default)]
struct Names {
    names: Vec<String>,
    seen: HashSet<String>,
}

impl Names {
    fn new(known: &[String]) -> Self {
        Self {
            names: known.to_vec(),
            seen: known.iter().cloned().collect(),
        }
    }

    fn add<'n>(&mut self, names: impl Iterator<Item = &'n String>) {
        for name in names {
            if !self.seen.contains(name) {
                self.seen.insert(name.clone());
                self.names.push(name.clone());
            }
        }
    }
}

impl Fields {
    /// Collects the fields of all results.
    async fn collect(results: &mut Results<'_, '_>, known: &KnownColumns) -> anyhow::Result<Self> {
        let mut fields = Self {
            metadata: Names::new(&known.input),
            data: Names::new(&known.properties),
            has_bare_values: false,
            has_evidence: false,
        };
        while let Some(result) = results.next().await? {
            let result: Map<String, Value> = serde_json::from_str(&result)?;
            if let Some(metadata) = object(&result, "metadata") {
                fields.metadata.add(metadata.keys());
            }
            match result.get("data") {
                Some(Value::Object(data)) => fields.data.add(data.keys()),
                Some(_) => fields.has_bare_values = true,
                None => {}
            }
            fields.has_evidence |= result.contains_key("evidence");
            if fields.metadata.names.len() + fields.data.names.len() > MAX_COLUMNS {
                bail!(
                    "the results have more than {MAX_COLUMNS} different fields, too many for a table; use --output-format ndjson"
                );
            }
        }
        Ok(fields)
    }

    /// Returns the names of the columns. A name that is taken gets a prefix: `input.` or `data.`.
    fn header(&self) -> Vec<String> {
        let mut header: Vec<String> = FIXED_COLUMNS.map(str::to_owned).to_vec();
        let mut taken: HashSet<String> = header.iter().cloned().collect();
        taken.insert("data".to_owned());
        let evidence = EVIDENCE_COLUMNS.iter().filter(|_| self.has_evidence);
        let evidence: Vec<String> = evidence.map(|name| (*name).to_owned()).collect();
        taken.extend(evidence.iter().cloned());
        for (prefix, names) in [("input", &self.metadata.names), ("data", &self.data.names)] {
            for name in names {
                let is_free = taken.insert(name.clone());
                let name = if is_free {
                    name.clone()
                } else {
                    format!("{prefix}.{name}")
                };
                header.push(guarded(name));
            }
        }
        header.extend(self.has_bare_values.then(|| "data".to_owned()));
        header.extend(evidence);
        header
    }

    /// Returns the cells of a result.
    fn row(&self, result: &Map<String, Value>) -> Vec<String> {
        let data = result.get("data");
        let in_object = |name: &'static str, field: &String| {
            cell(object(result, name).and_then(|object| object.get(field)))
        };
        let mut row: Vec<_> = ["index", "id", "status"]
            .map(|name| cell(result.get(name)))
            .to_vec();
        row.push(guarded(error_text(result)));
        row.extend(
            self.metadata
                .names
                .iter()
                .map(|name| in_object("metadata", name)),
        );
        row.extend(self.data.names.iter().map(|name| in_object("data", name)));
        if self.has_bare_values {
            row.push(cell(data.filter(|data| !data.is_object())));
        }
        if self.has_evidence {
            row.push(guarded(absent_pointers(result)));
            row.push(cell(result.get("evidence")));
        }
        row
    }
}

/// Returns the pointers of the values that the text does not state, with spaces between them.
fn absent_pointers(result: &Map<String, Value>) -> String {
    let evidence = result.get("evidence").and_then(Value::as_array);
    let is_absent = |leaf: &&Value| leaf.get("status").is_some_and(|status| status == "absent");
    let pointers: Vec<_> = evidence
        .into_iter()
        .flatten()
        .filter(is_absent)
        .filter_map(|leaf| leaf.get("pointer")?.as_str())
        .collect();
    pointers.join(" ")
}

fn object<'r>(result: &'r Map<String, Value>, name: &str) -> Option<&'r Map<String, Value>> {
    result.get(name)?.as_object()
}

/// Returns a value as a cell: text unchanged, but guarded; null as an empty cell; other values as JSON.
fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => guarded(text.clone()),
        Some(value) => value.to_string(),
    }
}

/// Returns a text that no spreadsheet takes for a formula: one that begins like a formula, and is no number, gets an apostrophe
/// before it.
fn guarded(text: String) -> String {
    if text.starts_with(FORMULA_BEGINS) && !is_number(&text) {
        format!("'{text}")
    } else {
        text
    }
}

/// Returns true for a decimal number with an optional sign and exponent.
fn is_number(text: &str) -> bool {
    let has_digits_only = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E'));
    has_digits_only && text.parse::<f64>().is_ok()
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_cell_that_begins_like_a_formula_is_guarded() {
        for text in [
            "=1+1",
            "+SUM(A1)",
            "-cmd|' /C calc'!A0",
            "@SUM(1)",
            "\t=1",
            "\r=1",
            "\n=1",
            "＝1",
            "-",
            "+",
            "- a list",
            "-1-1",
            "+1 555 12",
            "-inf",
            "=",
        ] {
            assert_eq!(cell(Some(&json!(text))), format!("'{text}"));
        }
        for text in [
            "", "a=b", "-1", "+49", "-1.50", "-1e-7", "'=1", " =1", "1-2", "−5",
        ] {
            assert_eq!(cell(Some(&json!(text))), text);
        }
        assert_eq!(cell(Some(&json!(-1.5))), "-1.5");
        assert_eq!(cell(Some(&json!(["=1"]))), r#"["=1"]"#);
        assert_eq!(cell(Some(&json!(null))), "");
    }

    #[test]
    fn a_column_whose_name_is_taken_gets_a_prefix() {
        let fields = Fields {
            metadata: Names::new(&["id", "name", "=x"].map(str::to_owned)),
            data: Names::new(&["name", "age", "data", "status"].map(str::to_owned)),
            has_bare_values: true,
            has_evidence: false,
        };
        assert_eq!(
            fields.header(),
            [
                "index",
                "id",
                "status",
                "error",
                "input.id",
                "name",
                "'=x",
                "data.name",
                "age",
                "data.data",
                "data.status",
                "data"
            ]
        );
    }

    #[test]
    fn evidence_has_columns_of_its_own() {
        let fields = Fields {
            metadata: Names::default(),
            data: Names::new(&["name", "evidence"].map(str::to_owned)),
            has_bare_values: false,
            has_evidence: true,
        };
        assert_eq!(
            fields.header()[4..],
            ["name", "data.evidence", "absent", "evidence"]
        );
        let evidence = json!([
            {"pointer": "/name", "status": "exact", "spans": [{"start": 0, "end": 4}], "text": "Anna"},
            {"pointer": "/evidence", "status": "absent", "spans": [], "text": ""},
        ]);
        let result = json!({"index": 0, "status": "succeeded", "data": {"name": "Anna", "evidence": "DNA"}, "evidence": evidence});
        let row = fields.row(result.as_object().unwrap());
        assert_eq!(row[4..6], ["Anna", "DNA"]);
        assert_eq!(row[6..], ["/evidence".to_owned(), evidence.to_string()]);
        let failed = json!({"index": 1, "status": "failed", "error": {"code": "x", "detail": "y"}});
        assert_eq!(fields.row(failed.as_object().unwrap())[6..], ["", ""]);
    }
}
