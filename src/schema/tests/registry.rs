//! The registry: what survives, what is read when, and what the disk does to it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;
use throttle::CallerId;

use super::*;
use crate::private_files::sync_folder;

pub const CALLER: CallerId = CallerId(0);
const QUOTA: Quota = Quota {
    schemas: 10,
    bytes: 10_000,
};

/// Folder of a test, removed with it.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("extractd-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Writes a file with the folders around it.
    pub fn write(&self, file: &str, bytes: impl AsRef<[u8]>) {
        let path = self.0.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    pub fn open(&self) -> Arc<Registry> {
        open(&self.0)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Returns the registry of what is stored in a data folder.
pub fn open(data_dir: &Path) -> Arc<Registry> {
    Arc::new(Registry::open(None, data_dir, QUOTA).unwrap())
}

pub fn of_type(name: &str) -> Arc<Schema> {
    Arc::new(compile(&json!({"type": name})).unwrap())
}

pub async fn names(registry: &Arc<Registry>, owner: &str) -> Vec<String> {
    let (page, _) = registry.list(CALLER, owner, None, 100).await.unwrap();
    page.into_iter().map(|(name, _)| name).collect()
}

async fn text(registry: &Arc<Registry>, owner: &str, name: &str) -> Option<String> {
    registry.text(CALLER, owner, name).await.unwrap()
}

/// Returns the size of all files in a folder, in bytes.
fn stored_bytes(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).unwrap();
    files
        .map(|file| {
            let metadata = std::fs::metadata(file.as_ref().unwrap().path()).unwrap();
            if metadata.is_dir() {
                stored_bytes(&file.unwrap().path())
            } else {
                metadata.len()
            }
        })
        .sum()
}

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
    let schema = Arc::new(Schema::compile("{}").unwrap());
    runtime.block_on(async {
        // So that the changes wait for their turn at once.
        assert!(
            registry
                .entry(CALLER, "alice", "a")
                .await
                .unwrap()
                .is_none()
        );
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
        // An unchanged schema is not written, so it does not wait for the writer.
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
        let schema = Arc::new(Schema::compile(schema).unwrap());
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
    assert_eq!(read.unwrap().as_deref(), Some("{}"));
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
    let [object, string] = ["object", "string"].map(of_type);
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
    let text = async |owner, name| registry.text(CALLER, owner, name).await.unwrap();
    assert_eq!(
        text("alice", "person").await.as_deref(),
        Some(r#"{"type":"string"}"#)
    );
    assert_eq!(
        text("bob", "person").await.as_deref(),
        Some(r#"{"type":"object"}"#)
    );
    assert_eq!(text("carol", "person").await, None);
    assert!(text("carol", "fixed").await.is_some());
    let page = registry.list(CALLER, "alice", None, 2).await;
    let (page, more) = page.unwrap();
    let names: Vec<_> = page.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((names, more), (vec!["fixed", "person"], true));
    assert_eq!(
        registry.delete(CALLER, "bob", "second").await,
        Ok(false),
        "it is Alice's"
    );
    assert_eq!(registry.delete(CALLER, "alice", "person").await, Ok(true));
    assert_eq!(registry.delete(CALLER, "alice", "person").await, Ok(false));
    let is_stored = async |owner| {
        let entry = open().entry(CALLER, owner, "person").await;
        entry.unwrap().is_some()
    };
    assert!(!is_stored("alice").await);
    assert!(is_stored("bob").await);
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

/// Reading the schemas of all callers at each start takes long, and holding their texts takes memory that nothing counts.
#[tokio::test]
async fn nothing_is_read_before_it_is_used_and_texts_are_not_kept() {
    let folder = Folder::new("lazy");
    for name in ["a", "b"] {
        folder.write(&format!("schemas/@alice/{name}.json"), "{}");
    }
    let registry = folder.open();
    std::fs::remove_file(folder.0.join("schemas/@alice/b.json")).unwrap();
    assert_eq!(names(&registry, "alice").await, ["a"]);
    assert_eq!(text(&registry, "alice", "a").await.as_deref(), Some("{}"));
    folder.write("schemas/@alice/a.json", r#"{"type":"string"}"#);
    assert_eq!(
        text(&registry, "alice", "a").await.as_deref(),
        Some(r#"{"type":"string"}"#)
    );
    // A listed schema without its file is an error of the disk, and not a missing schema.
    std::fs::remove_file(folder.0.join("schemas/@alice/a.json")).unwrap();
    let lost = registry.text(CALLER, "alice", "a").await.unwrap_err();
    assert_eq!(lost.code, Code::Overloaded);
}

/// A disk that is mounted after the start.
#[tokio::test]
async fn a_data_folder_that_comes_later_is_used_and_what_it_has_is_kept_as_a_version() {
    let folder = Folder::new("late");
    std::fs::remove_dir(&folder.0).unwrap();
    let registry = folder.open();
    assert!(text(&registry, "alice", "absent").await.is_none());
    folder.write("schemas/@alice/absent.json", "{}");
    assert!(text(&registry, "alice", "absent").await.is_some());
    // The place of the mount is a folder, which has none of Bob's.
    assert!(text(&registry, "bob", "person").await.is_none());
    folder.write("schemas/@bob/person.json", "{}");
    assert!(text(&registry, "bob", "person").await.is_none());
    registry.reload();
    assert!(text(&registry, "bob", "person").await.is_some());
    registry.reload();
    let string = of_type("string");
    let stored = registry.put(CALLER, "bob", "person", &string).await;
    assert!(!stored.unwrap().1, "it replaces the one that is there");
    let versions = registry.versions(CALLER, "bob", "person").await;
    assert_eq!(versions.unwrap().unwrap().len(), 2);
}

#[tokio::test]
async fn a_file_that_is_no_schema_is_skipped_and_a_folder_that_cannot_be_read_is_not_empty() {
    let folder = Folder::new("skipped");
    for owner in ["", "@alice/"] {
        folder.write(&format!("schemas/{owner}good{}.json", owner.len()), "{}");
        folder.write(&format!("schemas/{owner}Bad name.json"), "{}");
        folder.write(
            &format!("schemas/{owner}latin1.json"),
            b"{\"title\": \"\xe9\"}",
        );
        folder.write(
            &format!("schemas/{owner}large.json"),
            vec![b' '; (1 << 20) + 1],
        );
        folder.write(&format!("schemas/{owner}folder.json/file"), "");
    }
    folder.write("schemas/@bob", "a file where a folder has to be");
    let registry = folder.open();
    assert_eq!(names(&registry, "alice").await, ["good0", "good7"]);
    let refused = registry.entry(CALLER, "bob", "good0").await.unwrap_err();
    assert_eq!(refused.code, Code::Overloaded);
    let refused = registry.put(CALLER, "bob", "a", &of_type("string")).await;
    assert_eq!(refused.unwrap_err().code, Code::Overloaded);
    std::fs::remove_file(folder.0.join("schemas/@bob")).unwrap();
    assert!(text(&registry, "bob", "good0").await.is_some());
}

/// A restart reads the same schema as was used before it.
#[tokio::test]
async fn a_change_that_may_be_lost_is_an_error_and_is_used_even_so() {
    static FAILS: AtomicBool = AtomicBool::new(true);
    fn sync(folder: &Path) -> std::io::Result<()> {
        if FAILS.load(Ordering::Relaxed) {
            return Err(std::io::Error::other("on purpose"));
        }
        sync_folder(folder)
    }
    let folder = Folder::new("sync");
    let mut registry = Registry::open(None, &folder.0, QUOTA).unwrap();
    registry.stored.sync = sync;
    let registry = Arc::new(registry);
    let [object, string] = ["object", "string"].map(of_type);
    let put = async |schema: &Arc<Schema>| {
        let stored = registry.put(CALLER, "alice", "a", schema).await;
        stored.map(|(_, is_new)| is_new).map_err(|error| error.code)
    };
    let same_after_a_restart = async |expected: Option<&Arc<Schema>>| {
        let expected = expected.map(|schema| schema.raw().get());
        for registry in [&registry, &folder.open()] {
            assert_eq!(text(registry, "alice", "a").await.as_deref(), expected);
        }
    };
    assert_eq!(put(&object).await, Err(Code::Overloaded));
    same_after_a_restart(Some(&object)).await;
    // It is not taken for stored.
    assert_eq!(put(&object).await, Err(Code::Overloaded));
    FAILS.store(false, Ordering::Relaxed);
    assert_eq!(put(&object).await, Ok(false));
    FAILS.store(true, Ordering::Relaxed);
    assert_eq!(put(&string).await, Err(Code::Overloaded));
    same_after_a_restart(Some(&string)).await;
    let versions = registry.versions(CALLER, "alice", "a").await;
    assert_eq!(versions.unwrap().unwrap().len(), 2);
    let deleted = registry.delete(CALLER, "alice", "a").await;
    assert_eq!(deleted.unwrap_err().code, Code::Overloaded);
    same_after_a_restart(None).await;
}

/// Versions would otherwise take a hundred times what a caller may store.
#[tokio::test]
async fn schemas_and_their_versions_take_no_more_than_an_owner_may_store() {
    let folder = Folder::new("bound");
    let schema = |number: usize, bytes: usize| {
        let schema = json!({"minimum": number, "title": "x".repeat(bytes)});
        Arc::new(compile(&schema).unwrap())
    };
    let mut registry = folder.open();
    for number in 0..40 {
        // What was stored before a restart counts, too.
        if number == 20 {
            registry = folder.open();
        }
        for name in ["a", "b"] {
            let schema = schema(number, 1_000);
            let stored = registry.put(CALLER, "alice", name, &schema).await;
            stored.unwrap();
            let bytes = stored_bytes(&folder.0);
            assert!(bytes <= QUOTA.bytes as u64, "{bytes}");
        }
    }
    for name in ["a", "b"] {
        let versions = registry.versions(CALLER, "alice", name).await;
        let versions = versions.unwrap().unwrap();
        assert!(versions.len() >= 3, "{versions:?}");
        for (version, number) in versions.iter().zip((0..40).rev()) {
            let text = registry.version(CALLER, "alice", name, &version.hash).await;
            let expected = schema(number, 1_000);
            assert_eq!(text.unwrap().as_deref(), Some(expected.raw().get()));
        }
    }
    // Schemas themselves have precedence.
    let large = schema(0, 7_500);
    let stored = registry.put(CALLER, "alice", "c", &large).await;
    assert!(stored.unwrap().1);
    let versions = registry.versions(CALLER, "alice", "a").await;
    assert_eq!(versions.unwrap().unwrap().len(), 1);
    let other = schema(0, 1_000);
    let refused = registry.put(CALLER, "alice", "d", &other).await;
    assert_eq!(refused.unwrap_err().code, Code::QuotaExceeded);
}
