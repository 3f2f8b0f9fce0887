//! Answers of models.

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::LazyLock;

use serde_json::Value;

use super::{check_words, depth, plain};
use extractd::schema::Schema;
use llm_json::answer::{Answer, NoJson, Repair, parse_counted};

/// Bytes that may be read for each byte of an answer, looking ahead and reading again included.
const WORK_PER_BYTE: usize = 64;

/// Reads the bytes as an answer: strict JSON comes out unchanged, whatever else comes out is JSON, an answer that was cut off is no
/// answer, and the work is linear.
pub fn answer(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let strict = plain(text.as_bytes());
    for accepts in [
        Value::is_object as fn(&Value) -> bool,
        Value::is_array,
        |_| false,
    ] {
        match (parse_answer(&text, accepts), &strict) {
            (Ok(answer), Some(value)) => {
                assert_eq!(&answer.value, value, "valid JSON is changed");
                assert!(
                    answer.repairs.is_empty(),
                    "valid JSON is mended: {:?}",
                    answer.repairs
                );
            }
            (Ok(answer), None) => check(&answer),
            (Err(none), Some(_)) => panic!("valid JSON is refused: {none:?}"),
            (Err(none), None) => check_words(&none.message),
        }
    }
    coerced(&text);
    if strict.is_some_and(|value| depth(&value) > 0) {
        let open = text.trim_end_matches([' ', '\t', '\r', '\n', '}', ']']);
        let closed = text.trim_end().len() - open.len();
        let cut = &text[..open.len() + closed - 1];
        let none =
            parse_answer(cut, |_| true).expect_err("an answer without its last bracket is taken");
        assert!(
            none.truncated,
            "it is said to be broken, and was cut: {none:?}"
        );
    }
}

/// Checks that a coerced answer is valid, and that valid or truncated answers stay unchanged.
fn coerced(text: &str) {
    static SCHEMAS: LazyLock<Vec<Schema>> = LazyLock::new(|| {
        let item = r##"{"type": "object", "required": ["a"], "additionalProperties": false, "properties": {"a": {"type": "integer"},
            "b": {"anyOf": [{"enum": ["x", "y", 1]}, {"type": "boolean"}, {"type": "null"}]}, "c": {"type": "array", "items": {"$ref": "#"}}}}"##;
        let schemas = [
            item,
            r#"{"type": "array", "items": {"type": "number"}}"#,
            r#"{"enum": ["one", "two"]}"#,
        ];
        schemas
            .iter()
            .map(|schema| Schema::compile(schema).expect("it is a schema"))
            .collect()
    });
    for schema in SCHEMAS.iter() {
        let (plain, mended) = (
            schema.parse_answer(text, |value| value, false),
            schema.parse_answer(text, |value| value, true),
        );
        match (plain, mended) {
            (Ok(plain), Ok(mended)) if plain.faults.is_empty() => {
                assert_eq!(plain, mended, "a valid answer is mended")
            }
            (Err(none), Ok(mended))
                if none.truncated
                    && mended.left_open.is_none()
                    && !mended
                        .repairs
                        .iter()
                        .any(|repair| *repair == Repair::ClosedObject.to_string()) =>
            {
                panic!("an answer that was cut off is taken: {mended:?}")
            }
            (_, Ok(mended)) if mended.faults.is_empty() => {
                assert!(
                    schema.is_valid(&mended.value),
                    "what is mended is not valid"
                );
                assert!(!mended.repairs.is_empty(), "it is mended silently");
                mended
                    .repairs
                    .iter()
                    .for_each(|repair| check_words(&repair.to_string()));
            }
            _ => {}
        }
    }
}

fn parse_answer(text: &str, accepts: impl Fn(&Value) -> bool) -> Result<Answer, NoJson> {
    let asked = Cell::new(0);
    let (answer, bytes) = parse_counted(text, |value| {
        asked.set(asked.get() + 1);
        accepts(value)
    });
    assert!(asked.get() <= 32, "{} candidates are tried", asked.get());
    assert!(
        bytes <= WORK_PER_BYTE * text.len() + 4096,
        "{bytes} bytes are read of {}",
        text.len()
    );
    answer
}

fn check(answer: &Answer) {
    assert!(
        depth(&answer.value) <= 127,
        "{} levels",
        depth(&answer.value)
    );
    assert_eq!(
        plain(answer.value.to_string().as_bytes()).as_ref(),
        Some(&answer.value),
        "what comes out is no JSON"
    );
    let told: HashSet<_> = answer.repairs.iter().collect();
    assert_eq!(
        told.len(),
        answer.repairs.len(),
        "a repair is told twice: {:?}",
        answer.repairs
    );
    answer
        .repairs
        .iter()
        .for_each(|repair| check_words(&repair.to_string()));
}
