//! Texts in many languages with hand-marked spans.
//!
//! A mark is the text of the span, for a repeated text with the number of the occurrence after "@". Its first character says
//! the status: none for exact, "~" normalised, "?" fuzzy, "=" derived, `null` absent. In `marked/*.txt` the marks stand in the
//! texts.

#![allow(
    clippy::cast_precision_loss,
    reason = "a program of tests or measurements"
)]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic fails the test"
)]

#[path = "multilingual/marked.rs"]
mod marked;

use std::collections::BTreeMap;
use std::path::Path;

use evidence::{Index, Kinds, LeafEvidence, LeafKind, Options, Status};
use serde_json::Value;

#[derive(serde::Deserialize)]
struct Case {
    text: String,
    value: Value,
    marks: BTreeMap<String, Mark>,
    #[serde(default)]
    kinds: BTreeMap<String, String>,
}

#[derive(serde::Deserialize)]
#[serde(from = "Value")]
enum Mark {
    /// Text of the span.
    Text(Value),
    /// Spans in code points.
    Spans(Status, Vec<(usize, usize)>),
}

impl From<Value> for Mark {
    fn from(mark: Value) -> Self {
        Self::Text(mark)
    }
}

#[derive(Default)]
struct Score {
    right: usize,
    all: usize,
}

impl Score {
    fn percent(&self) -> f64 {
        100.0 * self.right as f64 / self.all.max(1) as f64
    }
}

fn cases() -> Vec<(String, Case)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/multilingual");
    let mut cases = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let list: Vec<Case> =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        cases.extend(list.into_iter().map(|case| (name.clone(), case)));
    }
    cases.extend(marked::cases());
    cases
}

/// Status of a mark, with its spans in code points.
type Expected = (Status, Vec<(usize, usize)>);

fn expected(text: &str, mark: &Mark) -> Expected {
    let mark = match mark {
        Mark::Spans(status, spans) => return (*status, spans.clone()),
        Mark::Text(mark) => mark,
    };
    let marks: Vec<&str> = match mark {
        Value::Null => return (Status::Absent, Vec::new()),
        Value::String(mark) => vec![mark],
        Value::Array(marks) => marks.iter().map(|mark| mark.as_str().unwrap()).collect(),
        other => panic!("{other} is no mark"),
    };
    let status = match marks[0].chars().next().unwrap() {
        '~' => Status::Normalized,
        '?' => Status::Fuzzy,
        '=' => return (Status::Derived, Vec::new()),
        _ => Status::Exact,
    };
    let spans = marks.iter().map(|mark| {
        let bare = mark.trim_start_matches(['~', '?']);
        let numbered = bare
            .rsplit_once('@')
            .and_then(|(part, number)| Some((part, number.parse::<usize>().ok()?)));
        let (part, number) = numbered.unwrap_or((bare, 1));
        let byte = text
            .match_indices(part)
            .nth(number - 1)
            .map(|(byte, _)| byte);
        let byte = byte.unwrap_or_else(|| panic!("{mark:?} is not in {text:?}"));
        let start = text[..byte].chars().count();
        (start, start + part.chars().count())
    });
    (status, spans.collect())
}

fn align(case: &Case) -> Vec<LeafEvidence> {
    let kinds: Kinds = case
        .kinds
        .iter()
        .map(|(pointer, kind)| {
            assert_eq!(kind, "choice");
            (pointer.as_str(), LeafKind::Choice)
        })
        .collect();
    let kind = |pointer: &str| kinds.kind(pointer);
    let options = Options {
        kind: Some(&kind),
        ..Options::default()
    };
    Index::new(&case.text).align(&case.value, &options)
}

#[test]
fn nearly_all_leaves_have_the_marked_spans() {
    let cases = cases();
    let (mut plain, mut fuzzy, mut others) = (Score::default(), Score::default(), Score::default());
    let mut wrong_exact = Vec::new();
    for (language, case) in &cases {
        let evidence = align(case);
        assert_eq!(
            evidence.len(),
            case.marks.len(),
            "{language}: {}",
            case.text
        );
        for leaf in evidence {
            let (status, spans) = expected(&case.text, &case.marks[&leaf.pointer]);
            let found: Vec<_> = leaf
                .spans
                .iter()
                .map(|span| (span.start, span.end))
                .collect();
            let is_right = leaf.status == status && found == spans;
            let score = match status {
                Status::Exact | Status::Normalized => &mut plain,
                Status::Fuzzy => &mut fuzzy,
                Status::Derived | Status::Absent => &mut others,
            };
            score.all += 1;
            score.right += usize::from(is_right);
            if !is_right {
                println!(
                    "{language}: {} of {:?}: {:?} {:?} {:?}, marked {status:?} {spans:?}",
                    leaf.pointer, case.text, leaf.status, leaf.text, found
                );
            }
            if leaf.status == Status::Exact && !is_right {
                wrong_exact.push(leaf.pointer.clone());
            }
        }
    }
    println!(
        "{} texts; exact and normalised {:.1} % of {}; fuzzy {:.1} % of {}; others {:.1} % of {}",
        cases.len(),
        plain.percent(),
        plain.all,
        fuzzy.percent(),
        fuzzy.all,
        others.percent(),
        others.all
    );
    assert!(cases.len() >= 200, "{} texts", cases.len());
    assert!(plain.percent() >= 98.0, "{:.1} %", plain.percent());
    assert!(fuzzy.percent() >= 90.0, "{:.1} %", fuzzy.percent());
    assert!(others.percent() >= 98.0, "{:.1} %", others.percent());
    assert!(wrong_exact.is_empty(), "{wrong_exact:?}");
}
