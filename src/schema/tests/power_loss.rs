//! Loss of power while schemas are stored and deleted: what was answered is on the disk, whatever of the rest is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::super::stored_schema::hash_of;
use super::super::version_store::VersionStore;
use super::super::{Registry, Schema};
use super::registry::{CALLER, open};
use crate::private_files::recorder::{Change, Recording, recording};

const OWNERS: [&str; 2] = ["", "team"];
const NAMES: [&str; 2] = ["a", "b"];

/// File or folder on a disk.
#[derive(Clone)]
enum Node {
    File {
        durable: Option<String>,
        written: String,
    },
    Folder {
        durable: BTreeMap<String, usize>,
        /// Changes of names that are not synced: `None` for a name that was removed.
        pending: Vec<Vec<(String, Option<usize>)>>,
    },
}

/// Disk with the folder of the test, whose number is 0.
struct Disk {
    root: PathBuf,
    nodes: Vec<Node>,
}

/// Fate of what was changed and not synced.
#[derive(Debug, Clone, Copy)]
enum Loss {
    All,
    Nothing,
    Some,
}

impl Loss {
    fn is_lost(self, rng: &mut fastrand::Rng) -> bool {
        match self {
            Self::All => true,
            Self::Nothing => false,
            Self::Some => rng.bool(),
        }
    }
}

impl Disk {
    fn new(root: &Path) -> Self {
        let folder = Node::Folder {
            durable: BTreeMap::new(),
            pending: Vec::new(),
        };
        Self {
            root: root.to_owned(),
            nodes: vec![folder],
        }
    }

    /// Returns the names in a folder, as the running system sees them.
    fn names(&self, folder: usize) -> BTreeMap<String, usize> {
        let Node::Folder { durable, pending } = &self.nodes[folder] else {
            panic!("it is a folder");
        };
        names_after(durable, pending.iter().flatten())
    }

    fn find(&self, path: &Path) -> usize {
        let names = path.strip_prefix(&self.root).unwrap().iter();
        names.fold(0, |folder, name| self.names(folder)[name.to_str().unwrap()])
    }

    /// Changes names of the folder that contains `path`, all or none of them.
    fn rename(&mut self, path: &Path, changes: Vec<(String, Option<usize>)>) {
        let folder = self.find(path.parent().unwrap());
        let Node::Folder { pending, .. } = &mut self.nodes[folder] else {
            panic!("it is a folder");
        };
        pending.push(changes);
    }

    fn add(&mut self, path: &Path, node: Node) {
        self.nodes.push(node);
        self.rename(path, vec![(name(path), Some(self.nodes.len() - 1))]);
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::CreateFolder(path) => {
                let (durable, pending) = (BTreeMap::new(), Vec::new());
                self.add(path, Node::Folder { durable, pending });
            }
            Change::Write(path, text) => {
                let parent = self.find(path.parent().unwrap());
                let written = text.clone();
                if let Some(found) = self.names(parent).get(&name(path)) {
                    self.nodes[*found] = Node::File {
                        durable: None,
                        written,
                    };
                } else {
                    self.add(
                        path,
                        Node::File {
                            durable: None,
                            written,
                        },
                    );
                }
            }
            Change::SyncFile(path) => {
                let node = self.find(path);
                if let Node::File { durable, written } = &mut self.nodes[node] {
                    *durable = Some(written.clone());
                }
            }
            Change::SyncFolder(path) => {
                let folder = self.find(path);
                let names = self.names(folder);
                if let Node::Folder { durable, pending } = &mut self.nodes[folder] {
                    *durable = names;
                    pending.clear();
                }
            }
            Change::Rename(from, to) => {
                let node = self.find(from);
                self.rename(from, vec![(name(from), None), (name(to), Some(node))]);
            }
            Change::Remove(path) => {
                let node = self.find(path);
                if matches!(self.nodes[node], Node::Folder { .. }) {
                    for file in self.names(node).into_keys() {
                        self.rename(&path.join(&file), vec![(file, None)]);
                    }
                }
                self.rename(path, vec![(name(path), None)]);
            }
        }
    }

    /// Writes what is on the disk after a loss of power into `target`, which must not exist.
    fn restore(&self, node: usize, target: &Path, loss: Loss, rng: &mut fastrand::Rng) {
        match &self.nodes[node] {
            Node::File { durable, written } => {
                let kept = match durable {
                    Some(durable) => durable.as_str(),
                    None if loss.is_lost(rng) => &written[..rng.usize(..written.len())],
                    None => written,
                };
                std::fs::write(target, kept).unwrap();
            }
            Node::Folder { durable, pending } => {
                std::fs::create_dir(target).unwrap();
                let kept = pending.iter().filter(|_| !loss.is_lost(rng)).flatten();
                for (name, node) in names_after(durable, kept) {
                    self.restore(node, &target.join(name), loss, rng);
                }
            }
        }
    }
}

/// Returns the names in a folder after these changes.
fn names_after<'c>(
    before: &BTreeMap<String, usize>,
    changes: impl Iterator<Item = &'c (String, Option<usize>)>,
) -> BTreeMap<String, usize> {
    let mut names = before.clone();
    for (name, node) in changes {
        match node {
            Some(node) => drop(names.insert(name.clone(), *node)),
            None => drop(names.remove(name)),
        }
    }
    names
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// Possible contents of the disk for one schema.
#[derive(Debug, Clone, Default)]
struct Promise {
    /// Texts of which one is there; `None`: no schema.
    texts: BTreeSet<Option<String>>,
    /// Hashes of the earlier versions that are there, unless a request has not been answered.
    versions: BTreeSet<String>,
}

type Promises = BTreeMap<(&'static str, &'static str), Promise>;

/// Requests to a registry that is killed at times, and what was promised after how many changes.
struct History {
    folder: PathBuf,
    registry: Arc<Registry>,
    promises: Promises,
    promised_after: Vec<(usize, Promises)>,
}

impl History {
    fn new(folder: &Path) -> Self {
        let none = Promise {
            texts: [None].into(),
            versions: BTreeSet::new(),
        };
        let names = OWNERS
            .iter()
            .flat_map(|owner| NAMES.map(|name| (*owner, name)));
        Self {
            folder: folder.to_owned(),
            registry: open(folder),
            promises: names.map(|key| (key, none.clone())).collect(),
            promised_after: Vec::new(),
        }
    }

    fn note(&mut self) {
        let changes = recording().as_ref().unwrap().changes.len();
        self.promised_after.push((changes, self.promises.clone()));
    }

    fn promise(&mut self, key: (&'static str, &'static str)) -> &mut Promise {
        self.promises.get_mut(&key).unwrap()
    }

    /// Stores a text, or deletes the schema without one. The process ends after `until_kill` changes of files.
    async fn change(
        &mut self,
        key: (&'static str, &'static str),
        text: Option<String>,
        until_kill: Option<usize>,
    ) {
        let (owner, name) = key;
        let before = current(&self.registry, key).await;
        let promise = self.promise(key);
        assert!(promise.texts.contains(&before), "{key:?}: {before:?}");
        // The answer to the reading, too, is a promise.
        promise.texts = [before.clone(), text.clone()].into();
        self.note();
        recording().as_mut().unwrap().until_kill = until_kill;
        let is_done = match &text {
            None => self.registry.delete(CALLER, owner, name).await.is_ok(),
            Some(text) => {
                let schema = Arc::new(Schema::compile(text).unwrap());
                self.registry
                    .put(CALLER, owner, name, &schema)
                    .await
                    .is_ok()
            }
        };
        recording().as_mut().unwrap().until_kill = None;
        if !is_done {
            // The process has ended.
            self.registry = open(&self.folder);
            self.promise(key).versions.clear();
            return self.note();
        }
        let promise = self.promise(key);
        promise.texts = [text.clone()].into();
        match (before, text) {
            (_, None) => promise.versions.clear(),
            (before, Some(text)) => {
                if let Some(before) = before {
                    promise.versions.insert(hash_of(&before));
                }
                promise.versions.remove(&hash_of(&text));
            }
        }
        self.note();
    }
}

/// Returns the text of a schema of the owner itself.
async fn current(registry: &Arc<Registry>, (owner, name): (&str, &str)) -> Option<String> {
    registry.list(CALLER, owner, None, 1).await.unwrap();
    registry.stored.find(owner, name)?;
    registry.text(CALLER, owner, name).await.unwrap()
}

/// Checks that what was promised is in the folder.
async fn check(folder: &Path, promises: &Promises, place: &str) {
    let registry = open(folder);
    for (key, promise) in promises {
        let text = current(&registry, *key).await;
        assert!(
            promise.texts.contains(&text),
            "{place}: {key:?} is {text:?} instead of {promise:?}"
        );
        if promise.texts.len() > 1 {
            continue;
        }
        let (owner, name) = key;
        if text.is_none() {
            let store = VersionStore::of_schema_file(&registry.stored.path(owner, name));
            let left = store.list().unwrap();
            assert!(
                left.is_empty(),
                "{place}: {key:?} is deleted and has {left:?}"
            );
        }
        for hash in &promise.versions {
            let version = registry.version(CALLER, owner, name, hash).await.unwrap();
            let is_there = version.is_some_and(|text| hash_of(&text) == *hash);
            assert!(is_there, "{place}: {key:?} lacks the version {hash}");
        }
    }
}

#[tokio::test]
async fn a_loss_of_power_takes_no_schema_that_was_stored_and_returns_none_that_was_deleted() {
    let root = std::env::temp_dir().join(format!("extractd-schemas-power-{}", std::process::id()));
    drop(std::fs::remove_dir_all(&root));
    for seed in 0..12 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let folder = root.join(format!("live-{seed}"));
        std::fs::create_dir_all(&folder).unwrap();
        *recording() = Some(Recording {
            folder: folder.clone(),
            changes: Vec::new(),
            until_kill: None,
        });
        let mut history = History::new(&folder);
        for _ in 0..24 {
            let key = (OWNERS[rng.usize(..2)], NAMES[rng.usize(..2)]);
            let text = json!({"type": "object", "description": rng.u8(..4).to_string()});
            let text = (rng.u8(..5) > 0).then(|| text.to_string());
            let until_kill = rng.bool().then(|| rng.usize(..8));
            history.change(key, text, until_kill).await;
        }
        let changes = recording().take().unwrap().changes;
        let mut disk = Disk::new(&folder);
        let mut notes = history.promised_after.iter().peekable();
        let mut promises = None;
        for (number, change) in changes.iter().enumerate() {
            disk.apply(change);
            // What was promised before the next change began.
            while let Some((_, next)) = notes.next_if(|(after, _)| *after <= number + 1) {
                promises = Some(next);
            }
            for loss in [Loss::All, Loss::Nothing, Loss::Some, Loss::Some] {
                let image = root.join("image");
                disk.restore(0, &image, loss, &mut rng);
                let place =
                    format!("seed {seed}, {loss:?} is lost after change {number}, {change:?}");
                check(&image, promises.unwrap(), &place).await;
                std::fs::remove_dir_all(&image).unwrap();
            }
        }
    }
    std::fs::remove_dir_all(&root).unwrap();
}
