//! Writes a report about texts and values: a JSON file of pairs, repeated up to a number of items.

use std::io::{BufWriter, stdout};

use evidence::html::{Item, Report};
use evidence::{Index, OffsetUnit, Options};

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let text = std::fs::read_to_string(arguments.next().unwrap_or_default())?;
    let cases: Vec<(String, serde_json::Value)> = serde_json::from_str(&text)?;
    let count = arguments
        .next()
        .and_then(|count| count.parse().ok())
        .unwrap_or(cases.len());
    let mut report = Report::new(BufWriter::new(stdout().lock()), "Evidence & <values>")?;
    for (number, (text, value)) in cases.iter().cycle().take(count).enumerate() {
        let options = Options {
            unit: OffsetUnit::Utf16,
            ..Options::default()
        };
        let evidence = Index::new(text).align(value, &options);
        let name = format!("item {number}");
        report.push(&Item {
            name: &name,
            text,
            value,
            evidence: &evidence,
            unit: OffsetUnit::Utf16,
        })?;
    }
    report.finish()?;
    Ok(())
}
