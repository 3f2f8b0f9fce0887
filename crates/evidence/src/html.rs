//! A page that shows texts with their values: one self-contained file that opens from disk.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;

use crate::index::LeafEvidence;
use crate::mention::Status;
use crate::span::{OffsetUnit, Span};

/// Page, cut at the places of its title and of its items.
const PAGE: &str = include_str!("html/page.html");
const TITLE: &str = "<!--title-->";
const ITEMS: &str = "<!--items-->";

/// Text with the value that was extracted from it, and the evidence.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// Name of the item: its number, its file.
    pub name: &'a str,
    pub text: &'a str,
    pub value: &'a Value,
    pub evidence: &'a [LeafEvidence],
    /// Unit of the spans.
    pub unit: OffsetUnit,
}

/// Report that is being written. Items are written as they come, so that ten thousand of them need no memory here.
#[derive(Debug)]
pub struct Report<W: Write> {
    out: W,
    items: usize,
}

/// Item as the page reads it.
#[derive(Serialize)]
struct Row<'a> {
    n: &'a str,
    t: &'a str,
    l: Vec<Leaf<'a>>,
}

/// Leaf as the page reads it.
#[derive(Serialize)]
struct Leaf<'a> {
    p: &'a str,
    v: String,
    s: Status,
    a: Vec<[usize; 2]>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    e: bool,
}

impl<W: Write> Report<W> {
    /// Begins a report with a title.
    ///
    /// # Errors
    ///
    /// Fails if `out` does.
    pub fn new(mut out: W, title: &str) -> io::Result<Self> {
        let (head, _) = parts();
        out.write_all(head.replace(TITLE, &escape_html(title)).as_bytes())?;
        Ok(Self { out, items: 0 })
    }

    /// Writes an item.
    ///
    /// # Errors
    ///
    /// Fails if the writer does.
    pub fn push(&mut self, item: &Item) -> io::Result<()> {
        if self.items > 0 {
            self.out.write_all(b",")?;
        }
        self.items += 1;
        let row = Row {
            n: item.name,
            t: item.text,
            l: item.evidence.iter().map(|leaf| row(item, leaf)).collect(),
        };
        // Within a script element, "</script>" and "<!--" mean something.
        let json = serde_json::to_string(&row)?.replace('<', "\\u003c");
        self.out.write_all(b"\n")?;
        self.out.write_all(json.as_bytes())
    }

    /// Ends the report, and returns the writer.
    ///
    /// # Errors
    ///
    /// Fails if the writer does.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.write_all(parts().1.as_bytes())?;
        self.out.flush()?;
        Ok(self.out)
    }
}

fn parts() -> (&'static str, &'static str) {
    PAGE.split_once(ITEMS).unwrap_or((PAGE, ""))
}

fn row<'a>(item: &Item<'a>, leaf: &'a LeafEvidence) -> Leaf<'a> {
    let span = |span: &Span| {
        let span = span.convert(item.text, item.unit, OffsetUnit::Utf16);
        [span.start, span.end]
    };
    let value = match item.value.pointer(&leaf.pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    Leaf {
        p: &leaf.pointer,
        v: value,
        s: leaf.status,
        a: leaf.spans.iter().map(span).collect(),
        e: leaf.from_example,
    }
}

fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
