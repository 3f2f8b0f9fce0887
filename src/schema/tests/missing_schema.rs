//! The message about a name without a schema.

use super::registry::{CALLER, Folder, names, of_type};

#[tokio::test]
async fn the_message_about_a_missing_schema_names_a_near_one_that_its_reader_sees() {
    let folder = Folder::new("missing");
    folder.write("schemas/company.json", "{}");
    let registry = folder.open();
    let message = |owner: &str, name: &str| registry.missing(owner, name);
    assert!(message("alice", "persn").ends_with("; register it by PUT /v1/schemas/NAME"));
    registry
        .put(CALLER, "alice", "person", &of_type("object"))
        .await
        .unwrap();
    assert!(message("alice", "persn").contains("; did you mean `person`? see /v1/schemas"));
    assert!(!message("bob", "persn").contains("person"));
    assert_eq!(names(&registry, "bob").await, ["company"]);
    assert!(message("bob", "compny").contains("did you mean `company`?"));
    // So many names are not looked at: a caller may have a thousand.
    let folder = Folder::new("missing-of-many");
    for number in 0..300 {
        folder.write(&format!("schemas/a{number:05}.json"), "{}");
    }
    folder.write("schemas/person.json", "{}");
    let registry = folder.open();
    assert_eq!(names(&registry, "bob").await.len(), 100);
    let message = registry.missing("bob", "persn");
    assert!(message.contains("\"persn\"; see /v1/schemas"), "{message}");
}
