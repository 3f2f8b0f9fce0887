//! The OpenAPI document is up to date, and lists the fields that the server parses.

use std::collections::BTreeSet;

use super::document;

/// The committed document is what the code says; `make openapi` writes it anew.
#[test]
fn the_committed_document_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/openapi.json");
    let committed = std::fs::read_to_string(path).unwrap();
    assert!(
        committed.trim() == format!("{:#}", document()),
        "run `make openapi` and commit openapi/openapi.json"
    );
}

#[test]
fn the_document_lists_exactly_the_fields_that_are_parsed() {
    let document = document();
    for (path, fields) in crate::types::request_fields() {
        let content = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
            ["schema"]
            .clone();
        let schema = match content["$ref"].as_str() {
            Some(reference) => document
                .pointer(reference.trim_start_matches('#'))
                .unwrap()
                .clone(),
            None => content,
        };
        let documented: BTreeSet<_> = schema["properties"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        assert_eq!(
            documented,
            fields.iter().map(|field| (*field).to_owned()).collect(),
            "{path}"
        );
    }
}
