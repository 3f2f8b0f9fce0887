//! Contents of a disk after a loss of power.

use std::collections::BTreeMap;
use std::path::PathBuf;

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

#[derive(Default)]
struct File<'a> {
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
    let mut files: BTreeMap<PathBuf, File<'_>> = BTreeMap::new();
    for operation in operations {
        match operation {
            Operation::Write { file, offset, data } => {
                let change = Change::Write {
                    offset: as_usize(*offset),
                    data,
                };
                files.entry(file.clone()).or_default().pending.push(change);
            }
            Operation::Truncate { file, size } => {
                let change = Change::Truncate(as_usize(*size));
                files.entry(file.clone()).or_default().pending.push(change);
            }
            Operation::Sync { file } => {
                let file = files.entry(file.clone()).or_default();
                for change in std::mem::take(&mut file.pending) {
                    change.apply(&mut file.durable, |_| true);
                }
            }
            Operation::Delete { file } => {
                files.remove(file);
            }
        }
    }
    files
        .into_iter()
        .map(|(path, file)| (path, file.after(loss, rng)))
        .collect()
}

impl File<'_> {
    fn after(self, loss: Loss, rng: &mut Rng) -> Vec<u8> {
        let Self {
            mut durable,
            mut pending,
        } = self;
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
    use super::*;

    fn write(offset: u64, data: &[u8]) -> Operation {
        Operation::Write {
            file: "f".into(),
            offset,
            data: data.to_vec(),
        }
    }

    #[test]
    fn what_is_synced_stays_and_the_rest_may_be_lost_in_any_order() {
        let sync = Operation::Sync { file: "f".into() };
        let operations = [write(0, b"aaaa"), sync, write(0, b"bb"), write(2, b"cc")];
        let mut seen = std::collections::BTreeSet::new();
        let mut rng = Rng::with_seed(1);
        for _ in 0..100 {
            let image = image(&operations, Loss::Some, &mut rng);
            seen.insert(image[&PathBuf::from("f")].clone());
        }
        let expected = [b"aaaa", b"aacc", b"bbaa", b"bbcc"];
        assert_eq!(seen, expected.map(|text| text.to_vec()).into());
        let all = image(&operations, Loss::All, &mut rng);
        assert_eq!(all[&PathBuf::from("f")], b"aaaa");
        let nothing = image(&operations, Loss::Nothing, &mut rng);
        assert_eq!(nothing[&PathBuf::from("f")], b"bbcc");
    }
}
