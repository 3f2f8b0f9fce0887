//! Contents of a disk after a loss of power.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fastrand::Rng;

use super::recorder::Operation;

/// Bytes that a disk writes as a whole.
const SECTOR: usize = 512;

/// Files after a loss of power.
pub type Image = BTreeMap<PathBuf, Vec<u8>>;

/// Fate of what was written and not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Nothing of it is on the disk.
    All,
    /// All of it is on the disk, as after the death of the process alone.
    Nothing,
    /// Each sector and each truncation is on the disk or not, whatever the order of the writes.
    Some,
    /// For each file, the first writes are on the disk, and the last one only in part.
    Tail,
}

/// Files of a folder, with what is not synced of them.
#[derive(Default)]
struct Disk<'a> {
    files: BTreeMap<PathBuf, File<'a>>,
    /// Deleted files that are there again if the deletion is lost.
    deleted: BTreeMap<PathBuf, File<'a>>,
}

#[derive(Default)]
struct File<'a> {
    /// True once the name of the file is synced.
    is_named: bool,
    durable: Vec<u8>,
    pending: Vec<Change<'a>>,
}

enum Change<'a> {
    Write { offset: usize, data: &'a [u8] },
    Truncate(usize),
}

/// Returns what the disk contains if the power fails after these operations.
#[must_use]
pub fn image(operations: &[Operation], loss: Loss, rng: &mut Rng) -> Image {
    image_of(Image::new(), operations, loss, rng)
}

/// Returns what a disk with these files contains if the power fails after these operations.
#[must_use]
pub fn image_of(files: Image, operations: &[Operation], loss: Loss, rng: &mut Rng) -> Image {
    let synced = |durable| File {
        is_named: true,
        durable,
        pending: Vec::new(),
    };
    let files = files.into_iter();
    let mut disk = Disk {
        files: files.map(|(path, bytes)| (path, synced(bytes))).collect(),
        deleted: BTreeMap::new(),
    };
    for operation in operations {
        disk.apply(operation, loss, rng);
    }
    disk.after(loss, rng)
}

impl<'a> Disk<'a> {
    fn apply(&mut self, operation: &'a Operation, loss: Loss, rng: &mut Rng) {
        match operation {
            Operation::Write { file, offset, data } => {
                let offset = as_usize(*offset);
                self.change(file, Change::Write { offset, data });
            }
            Operation::Truncate { file, size } => {
                self.change(file, Change::Truncate(as_usize(*size)));
            }
            Operation::Sync { file } => self.sync(file),
            Operation::FailedSync { file } => {
                let file = self.files.entry(file.clone()).or_default();
                file.durable = file.take_after(loss, rng);
            }
            Operation::Delete { file, is_synced } => {
                if let Some(deleted) = self.files.remove(file)
                    && deleted.is_named
                {
                    self.deleted.insert(file.clone(), deleted);
                }
                if *is_synced {
                    self.sync_folder();
                }
            }
        }
    }

    fn change(&mut self, file: &Path, change: Change<'a>) {
        let file = self.files.entry(file.to_owned()).or_default();
        file.pending.push(change);
    }

    fn sync(&mut self, file: &Path) {
        let file = self.files.entry(file.to_owned()).or_default();
        for change in std::mem::take(&mut file.pending) {
            change.apply(&mut file.durable, |_| true);
        }
        // SQLite syncs the folder with the first sync of a new log or journal.
        if !file.is_named {
            self.sync_folder();
        }
    }

    fn sync_folder(&mut self) {
        self.deleted.clear();
        for file in self.files.values_mut() {
            file.is_named = true;
        }
    }

    fn after(self, loss: Loss, rng: &mut Rng) -> Image {
        let mut image = Image::new();
        for (path, mut file) in self.deleted {
            if loss.is_lost(rng) {
                image.insert(path, file.take_after(loss, rng));
            }
        }
        for (path, mut file) in self.files {
            if file.is_named || !loss.is_lost(rng) {
                image.insert(path, file.take_after(loss, rng));
            }
        }
        image
    }
}

impl Loss {
    /// Returns true if a name that was made or deleted, and not synced, is lost.
    fn is_lost(self, rng: &mut Rng) -> bool {
        match self {
            Self::All => true,
            Self::Nothing => false,
            Self::Some | Self::Tail => rng.bool(),
        }
    }
}

impl File<'_> {
    /// Takes the contents, with what the disk has of the changes that are not synced.
    fn take_after(&mut self, loss: Loss, rng: &mut Rng) -> Vec<u8> {
        let mut durable = std::mem::take(&mut self.durable);
        let mut pending = std::mem::take(&mut self.pending);
        if loss == Loss::Tail {
            pending.truncate(rng.usize(..=pending.len()));
        }
        let last = pending.len().saturating_sub(1);
        for (index, change) in pending.into_iter().enumerate() {
            match loss {
                Loss::All => {}
                Loss::Nothing => change.apply(&mut durable, |_| true),
                Loss::Some => change.apply(&mut durable, |_| rng.bool()),
                Loss::Tail if index < last => change.apply(&mut durable, |_| true),
                Loss::Tail => {
                    let kept = rng.usize(..=change.sectors());
                    change.apply(&mut durable, |sector| sector < kept);
                }
            }
        }
        durable
    }
}

impl Change<'_> {
    fn sectors(&self) -> usize {
        match self {
            Self::Write { data, .. } => data.len().div_ceil(SECTOR),
            Self::Truncate(_) => 1,
        }
    }

    /// Applies the sectors of the change that `is_kept` accepts, by their number.
    fn apply(self, file: &mut Vec<u8>, mut is_kept: impl FnMut(usize) -> bool) {
        match self {
            Self::Truncate(size) => {
                if is_kept(0) {
                    file.resize(size, 0);
                }
            }
            Self::Write { offset, data } => {
                for (sector, bytes) in data.chunks(SECTOR).enumerate() {
                    if !is_kept(sector) {
                        continue;
                    }
                    let start = offset + sector * SECTOR;
                    let end = start + bytes.len();
                    if file.len() < end {
                        file.resize(end, 0);
                    }
                    file[start..end].copy_from_slice(bytes);
                }
            }
        }
    }
}

fn as_usize(number: u64) -> usize {
    usize::try_from(number).expect("the file fits into memory")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const FILE: &str = "f";

    fn write(offset: u64, data: &[u8]) -> Operation {
        Operation::Write {
            file: FILE.into(),
            offset,
            data: data.to_vec(),
        }
    }

    fn sync() -> Operation {
        Operation::Sync { file: FILE.into() }
    }

    fn delete(is_synced: bool) -> Operation {
        let file = FILE.into();
        Operation::Delete { file, is_synced }
    }

    /// Returns the possible contents of the file after a loss of power that keeps a part of the unsynced writes. A missing file
    /// counts as empty.
    fn seen(operations: &[Operation]) -> BTreeSet<Vec<u8>> {
        let mut rng = Rng::with_seed(1);
        let mut contents = || image(operations, Loss::Some, &mut rng).remove(Path::new(FILE));
        (0..100).map(|_| contents().unwrap_or_default()).collect()
    }

    fn set<const N: usize>(contents: [&[u8]; N]) -> BTreeSet<Vec<u8>> {
        contents.map(<[u8]>::to_vec).into()
    }

    #[test]
    fn what_is_synced_stays_and_the_rest_may_be_lost_in_any_order() {
        let operations = [write(0, b"aaaa"), sync(), write(0, b"bb"), write(2, b"cc")];
        let expected = set([b"aaaa", b"aacc", b"bbaa", b"bbcc"]);
        assert_eq!(seen(&operations), expected);
        let mut rng = Rng::with_seed(1);
        let all = image(&operations, Loss::All, &mut rng);
        assert_eq!(all[Path::new(FILE)], b"aaaa");
        let nothing = image(&operations, Loss::Nothing, &mut rng);
        assert_eq!(nothing[Path::new(FILE)], b"bbcc");
    }

    #[test]
    fn a_sync_after_a_failed_one_does_not_write_what_that_left_out() {
        let failed = Operation::FailedSync { file: FILE.into() };
        let operations = [
            write(0, b"aa"),
            sync(),
            write(0, b"b"),
            failed,
            write(1, b"c"),
            sync(),
        ];
        assert_eq!(seen(&operations), set([b"ac", b"bc"]));
    }

    #[test]
    fn names_and_deletions_that_are_not_synced_may_be_lost() {
        assert_eq!(seen(&[write(0, b"a")]), set([b"", b"a"]));
        let deleted = [write(0, b"a"), sync(), delete(false)];
        assert_eq!(seen(&deleted), set([b"", b"a"]));
        let synced = [write(0, b"a"), sync(), delete(true)];
        assert_eq!(seen(&synced), set([b""]));
        // The first sync of the new file syncs its name, which replaces the deleted one.
        let replaced = [
            write(0, b"a"),
            sync(),
            delete(false),
            write(0, b"b"),
            sync(),
        ];
        assert_eq!(seen(&replaced), set([b"b"]));
    }
}
