//! Schemas, what is held against them, and what is made up for them.

use serde_json::{Value, json};

use super::{check_places, check_words, depth, plain};
use extractd::schema::Schema;
use extractd::types::Code;

/// Compiles what is before the first NUL, and holds against it what is behind: both JSON, or as hostile as it likes.
pub fn schema(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let Some(schema) = compile(parts.next().unwrap_or_default()) else {
        return;
    };
    let again = Schema::compile(schema.raw().get()).expect("its own text is a schema");
    assert_eq!(again.tree().json(), schema.tree().json());
    let given = parts.next().and_then(plain);
    for instance in given.into_iter().chain(some_instances()) {
        let faults = schema.faults(&instance);
        assert_eq!(faults.is_empty(), schema.is_valid(&instance), "{faults:?}");
        assert_eq!(faults.is_empty(), again.is_valid(&instance), "{faults:?}");
        assert!(faults.len() <= 20, "{} faults", faults.len());
        for fault in &faults {
            check_words(&fault.message);
            assert!(
                instance.pointer(&fault.pointer).is_some(),
                "{fault:?} is not there"
            );
        }
    }
}

/// Compiles the bytes, and checks the size of the schema's skeleton.
pub fn skeleton(data: &[u8]) {
    let Some(schema) = compile(data) else { return };
    let skeleton = schema.skeleton();
    let output = &skeleton.output;
    assert!(depth(output) <= 10, "{} levels", depth(output));
    // Each value has a name of the schema and a few words.
    let most = 64 * (data.len() + 256);
    assert!(
        output.to_string().len() <= most && skeleton.input.0.len() <= most,
        "{output}"
    );
}

pub(super) fn compile(text: &[u8]) -> Option<Schema> {
    let text = String::from_utf8_lossy(text);
    match Schema::compile(&text) {
        Ok(schema) => {
            let own = plain(text.as_bytes()).expect("a schema is JSON");
            assert_eq!(schema.raw().get(), own.to_string());
            Some(schema)
        }
        Err(error) => {
            assert_eq!(error.code, Code::InvalidSchema, "{error:?}");
            assert!(!error.errors.is_empty(), "no place is told: {error:?}");
            check_places(&error, plain(text.as_bytes()).as_ref());
            None
        }
    }
}

fn some_instances() -> [Value; 6] {
    let nested = |levels: usize, wrap: fn(Value) -> Value| {
        (0..levels).fold(json!(0), |inner, _| wrap(inner))
    };
    [
        json!(null),
        json!(-1.5),
        json!("2026-11-22"),
        json!({"a": {"a": [1, "b"]}, "b": "", "": {}}),
        nested(100, |inner| json!([inner])),
        nested(100, |inner| json!({"a": inner})),
    ]
}
