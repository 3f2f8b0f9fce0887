use serde_json::{Value, json};

use super::*;
use crate::SchemaDocument;

fn checked(schema: Value) -> Emptiness {
    let document = SchemaDocument::parse(schema).unwrap();
    check(&Tree::build(document).unwrap())
}

#[test]
fn a_reason_is_short_however_long_the_names_are() {
    let closed =
        json!({"type": "object", "additionalProperties": false, "required": ["n".repeat(500_000)]});
    let branches = vec![json!({"$ref": "#/$defs/x"}); 20];
    let whole = checked(json!({"anyOf": branches, "$defs": {"x": closed}})).whole;
    let message = whole.unwrap().message;
    assert!(message.len() < 2 * MAX_REASON_BYTES, "{}", message.len());
    assert!(message.contains("nnn…` is required, but"), "{message}");

    let nested = (0..20).fold(closed, |inner, _| {
        json!({"required": ["m".repeat(100)], "properties": {"m".repeat(100): inner}, "type": "object"})
    });
    let message = checked(nested).whole.unwrap().message;
    assert!(message.len() < 2 * MAX_REASON_BYTES, "{}", message.len());
}

#[test]
fn the_search_ends_where_many_refer_to_a_large_definition() {
    let never = json!({"type": "string", "minLength": 2, "maxLength": 1});
    let large = json!({"anyOf": vec![never; 3000]});
    let all: Vec<_> = (0..3000)
        .map(|n| json!({"$ref": "#/$defs/x", "minLength": n}))
        .collect();
    let document = SchemaDocument::parse(json!({"prefixItems": all, "$defs": {"x": large}}));
    let tree = Tree::build(document.unwrap()).unwrap();
    let mut search = Search::new(&tree);
    let prefix = tree.root().prefix_items().unwrap();
    let found = prefix.iter().filter(|part| search.reason(*part).is_some());
    // What is left is taken for satisfiable.
    let found = found.count();
    assert!((100..2999).contains(&found), "{found}");
    assert_eq!(check(&tree).parts.len(), crate::MAX_WARNINGS);
}

#[test]
fn a_small_schema_takes_few_steps_however_many_refer_to_a_costly_one() {
    let names: Vec<_> = (0..400).map(|n| format!("{n:x}")).collect();
    let parts = vec![json!({"properties": {}}); 62];
    let all = json!({"type": "object", "required": names, "allOf": parts});
    let referring = vec![json!({"$ref": "#/$defs/a"}); 156];
    let schema = json!({"prefixItems": referring, "$defs": {"a": all}});
    assert!(schema.to_string().len() < 8 * 1024);
    let tree = Tree::build(SchemaDocument::parse(schema).unwrap()).unwrap();
    let mut search = Search::new(&tree);
    let steps = search.steps_left;
    assert!(steps < 100_000, "{steps}");
    let prefix = tree.root().prefix_items().unwrap();
    assert!(prefix.iter().all(|part| search.reason(part).is_none()));
    assert_eq!(search.steps_left, 0);
}
