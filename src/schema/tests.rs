mod generators;
mod hostile;

use std::sync::Arc;

use futures_util::FutureExt;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use throttle::CallerId;

use super::error_messages::MAX_FAULTS;
use super::*;
use crate::types::{Code, Dialect, Error};

fn compile(schema: &Value) -> Result<Schema, Error> {
    Schema::compile(&schema.to_string())
}

fn refusal(schema: &Value) -> Error {
    let error = compile(schema).expect_err(&schema.to_string());
    assert_eq!(error.code, Code::InvalidSchema);
    error
}

#[test]
fn what_is_no_schema_is_refused_where_it_is_wrong() {
    for (schema, at, words) in [
        (json!({"type": "strin"}), "/type", "strin"),
        (
            json!({"properties": {"age": {"type": 3}}}),
            "/properties/age/type",
            "3",
        ),
        (json!({"pattern": "("}), "/pattern", "("),
        (json!({"pattern": "(?=a"}), "/pattern", "(?=a"),
        (
            json!({"pattern": "^((a|bc){1,1000}){1,1000}$"}),
            "/pattern",
            "1000",
        ),
        (
            json!({"$schema": "http://localhost:1234/meta.json"}),
            "/$schema",
            "would have to be fetched",
        ),
        (
            json!({"$ref": "https://example.com/a.json"}),
            "/$ref",
            "nothing is fetched",
        ),
        (
            json!({"$ref": "file:///etc/passwd"}),
            "/$ref",
            "nothing is fetched",
        ),
        (
            json!({"items": {"$ref": "other.json"}}),
            "/items/$ref",
            "nothing is fetched",
        ),
        (json!({"$ref": "#/$defs/none"}), "/$ref", "leads nowhere"),
        (json!({"$ref": "#"}), "/$ref", "comes back to itself"),
        (
            json!({"items": {"$ref": "#/$defs/a"}, "$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}]}, "b": {"$ref": "#/$defs/a"}}}),
            "/$defs/a/allOf/0/$ref",
            "comes back to itself",
        ),
        (json!([]), "", "not a JSON Schema"),
    ] {
        let error = refusal(&schema);
        assert_eq!(error.errors[0].pointer, at, "{schema}: {error}");
        assert!(error.detail.contains(words), "{schema}: {error}");
    }
}

fn doubling(levels: usize, part: impl Fn(Value) -> Value) -> Value {
    let mut defs = serde_json::Map::new();
    for level in 0..levels {
        let next = part(json!({"$ref": format!("#/$defs/l{}", level + 1)}));
        defs.insert(format!("l{level}"), json!({"anyOf": [next.clone(), next]}));
    }
    defs.insert(format!("l{levels}"), json!({"type": "string"}));
    json!({"$ref": "#/$defs/l0", "$defs": defs})
}

#[test]
fn what_would_take_for_ever_is_refused_or_measured() {
    assert!(refusal(&doubling(14, |next| next)).detail.contains("ways"));
    let deep = (0..100).fold(json!({}), |inner, _| json!({"items": inner}));
    assert!(refusal(&deep).detail.contains("levels deep"));
    assert!(
        refusal(&json!({"enum": vec![1; 60_000]}))
            .detail
            .contains("parts")
    );

    let nested = compile(&doubling(25, |next| json!({"properties": {"a": next}}))).unwrap();
    let deep = (0..25).fold(json!("x"), |inner, _| json!({"a": inner}));
    let started = std::time::Instant::now();
    assert!(nested.faults(&deep)[0].message.contains("bounded time"));
    assert!(!nested.is_valid(&deep));
    let own = json!({"anyOf": [{"properties": {"a": {"$ref": "#"}}}, {"properties": {"a": {"$ref": "#"}}}, {"type": "string"}]});
    assert!(
        compile(&own).unwrap().faults(&deep)[0]
            .message
            .contains("bounded time")
    );
    assert!(started.elapsed().as_secs() < 5);
}

#[test]
fn a_long_chain_of_references_is_refused_and_not_followed() {
    let chain = |links: usize| {
        let link = |n: usize| {
            (
                format!("d{n}"),
                json!({"$ref": format!("#/$defs/d{}", n + 1)}),
            )
        };
        let mut defs: serde_json::Map<_, _> = (0..links).map(link).collect();
        defs.insert(
            format!("d{links}"),
            json!({"type": "array", "items": {"$ref": "#/$defs/d0"}}),
        );
        json!({"$ref": "#/$defs/d0", "$defs": defs})
    };
    assert!(refusal(&chain(9000)).detail.contains("references"));
    let deep = |levels| (0..levels).fold(json!([]), |inner, _| json!([inner]));
    assert!(compile(&chain(20)).unwrap().is_valid(&deep(40)));
    assert!(
        compile(&chain(20)).unwrap().faults(&deep(120))[0]
            .message
            .contains("nested too deeply")
    );
}

#[test]
fn a_recursive_schema_is_followed() {
    let tree = json!({"type": "object", "required": ["name"], "properties":
        {"name": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#"}}}});
    let tree = compile(&tree).unwrap();
    let leaf = (0..30).fold(
        json!({"name": "leaf"}),
        |inner, _| json!({"name": "n", "children": [inner]}),
    );
    assert!(tree.is_valid(&leaf));
    let faults = tree.faults(&json!({"name": "a", "children": [{"children": []}]}));
    assert_eq!(faults[0].pointer, "/children/0");
}

#[test]
fn format_asserts_in_both_drafts_and_ids_are_followed() {
    for draft in [
        json!("https://json-schema.org/draft/2020-12/schema"),
        json!("http://json-schema.org/draft-07/schema#"),
    ] {
        let schema =
            compile(&json!({"$schema": draft, "type": "string", "format": "date"})).unwrap();
        assert!(schema.is_valid(&json!("2026-11-22")) && !schema.is_valid(&json!("yesterday")));
    }
    let named = json!({"$id": "https://example.com/root", "properties": {"a": {"$ref": "#word"}},
        "$defs": {"w": {"$anchor": "word", "type": "string"}}});
    assert!(!compile(&named).unwrap().is_valid(&json!({"a": 1})));
    assert!(compile(&json!({"const": {"$ref": "https://example.com"}})).is_ok());
}

#[test]
fn faults_have_pointers_and_stay_small() {
    let schema = compile(&json!({"properties": {"a": {"type": "integer"}}, "additionalProperties": {"maxLength": 3}})).unwrap();
    let faults = schema.faults(&json!({"a": "x".repeat(5000)}));
    assert_eq!(faults[0].pointer, "/a");
    assert!(faults[0].message.len() < 400);
    let many: serde_json::Map<_, _> = (0..100)
        .map(|n| (n.to_string(), json!("long text")))
        .collect();
    assert_eq!(schema.faults(&many.into()).len(), MAX_FAULTS);
}

const CALLER: CallerId = CallerId(0);

/// Changes that wait for their turn would otherwise take the threads on which the store is read and bodies are parsed.
#[test]
fn changes_that_wait_take_no_thread() {
    let root = std::env::temp_dir().join(format!("extractd-changes-{}", std::process::id()));
    let quota = Quota {
        schemas: 10,
        bytes: 1000,
    };
    std::fs::create_dir_all(&root).unwrap();
    let registry = Arc::new(Registry::open(None, &root, quota).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(2)
        .enable_time()
        .build()
        .unwrap();
    let schema = Schema::compile("{}").unwrap();
    runtime.block_on(async {
        let writing = registry.writing.acquire(CALLER, 1).await;
        let mut changes: Vec<_> = ["a", "b", "c", "d"]
            .map(|name| Box::pin(registry.put(CALLER, "alice", name, &schema)))
            .into();
        for change in &mut changes {
            assert!(change.now_or_never().is_none());
        }
        let other = tokio::task::spawn_blocking(|| ());
        let limit = std::time::Duration::from_secs(30);
        tokio::time::timeout(limit, other).await.unwrap().unwrap();
        drop(writing);
        for change in changes {
            assert!(change.await.unwrap().1);
        }
        // What is stored already is not written, for which it would wait.
        let _writing = registry.writing.acquire(CALLER, 1).await;
        let unchanged = Box::pin(registry.put(CALLER, "alice", "a", &schema));
        let stored = unchanged.now_or_never().unwrap();
        assert!(!stored.unwrap().1);
    });
    std::fs::remove_dir_all(root).unwrap();
}

/// A disk that does not answer would otherwise keep a thread for each request that reads versions.
#[tokio::test]
async fn reads_of_versions_by_one_caller_leave_room_for_those_of_another() {
    const EVE: CallerId = CallerId(1);
    let root = std::env::temp_dir().join(format!("extractd-reads-{}", std::process::id()));
    let quota = Quota {
        schemas: 10,
        bytes: 1000,
    };
    std::fs::create_dir_all(&root).unwrap();
    let registry = Arc::new(Registry::open(None, &root, quota).unwrap());
    for schema in ["{}", r#"{"type": "string"}"#] {
        let schema = Schema::compile(schema).unwrap();
        registry.put(CALLER, "", "a", &schema).await.unwrap();
    }
    let versions = async |caller| registry.versions(caller, "", "a").await.unwrap().unwrap();
    let earlier = versions(EVE).await.pop().unwrap().hash;
    // As many reads of Eve's as there may be, none of which ends.
    let mut held = Vec::new();
    while let Some(turn) = registry.reading.acquire(EVE, 1).now_or_never() {
        held.push(turn);
        assert!(held.len() < 100);
    }
    assert!(versions(EVE).now_or_never().is_none());
    let read = registry.version(EVE, "", "a", &earlier);
    assert!(read.now_or_never().is_none());
    assert_eq!(versions(CALLER).await.len(), 2);
    let read = registry.version(CALLER, "", "a", &earlier).await;
    assert_eq!(read.unwrap().unwrap().text.as_ref(), "{}");
    drop(held);
    assert_eq!(versions(EVE).await.len(), 2);
    std::fs::remove_dir_all(root).unwrap();
}

#[tokio::test]
async fn registered_schemas_survive_and_the_folders_cannot_be_changed() {
    let root = std::env::temp_dir().join(format!("extractd-registry-{}", std::process::id()));
    let (folder, data) = (root.join("folder"), root.join("data"));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(folder.join("fixed.json"), r#"{"type": "object"}"#).unwrap();
    let quota = Quota {
        schemas: 2,
        bytes: 1000,
    };
    let open = || Arc::new(Registry::open(Some(&folder), &data, quota).unwrap());
    let registry = open();
    let object = Schema::compile(r#"{"type": "object"}"#).unwrap();
    let string = Schema::compile(r#"{"type": "string"}"#).unwrap();
    let put = async |registry: &Arc<Registry>, owner, name, schema| {
        let stored = registry.put(CALLER, owner, name, schema).await;
        stored.map(|(_, is_new)| is_new)
    };
    assert_eq!(put(&registry, "alice", "person", &object).await, Ok(true));
    assert_eq!(put(&registry, "alice", "person", &string).await, Ok(false));
    assert_eq!(put(&registry, "bob", "person", &object).await, Ok(true));
    let refused = async |name| {
        put(&registry, "alice", name, &object)
            .await
            .unwrap_err()
            .code
    };
    assert_eq!(refused("fixed").await, Code::Conflict);
    assert_eq!(refused("../evil").await, Code::InvalidRequest);
    assert_eq!(put(&registry, "alice", "second", &object).await, Ok(true));
    assert_eq!(refused("third").await, Code::QuotaExceeded);

    let registry = open();
    let text = |owner, name| {
        registry
            .get(owner, name)
            .map(|entry| entry.text.to_string())
    };
    assert_eq!(
        text("alice", "person").as_deref(),
        Some(r#"{"type":"string"}"#)
    );
    assert_eq!(
        text("bob", "person").as_deref(),
        Some(r#"{"type":"object"}"#)
    );
    assert_eq!(text("carol", "person"), None);
    assert!(text("carol", "fixed").is_some());
    let (page, more) = registry.list("alice", None, 2);
    let names: Vec<_> = page.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((names, more), (vec!["fixed", "person"], true));
    assert_eq!(
        registry.delete(CALLER, "bob", "second").await,
        Ok(false),
        "it is Alice's"
    );
    assert_eq!(registry.delete(CALLER, "alice", "person").await, Ok(true));
    assert_eq!(registry.delete(CALLER, "alice", "person").await, Ok(false));
    assert!(open().get("alice", "person").is_none());
    assert!(open().get("bob", "person").is_some());
    let registry = open();
    std::fs::remove_dir_all(&data).unwrap();
    assert_eq!(
        put(&registry, "bob", "other", &object)
            .await
            .unwrap_err()
            .code,
        Code::Overloaded
    );
    assert!(!data.exists(), "no other folder is made in its place");
    std::fs::remove_dir_all(root).unwrap();
}
