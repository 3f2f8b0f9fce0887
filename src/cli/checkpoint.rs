//! Checkpoint file of a run: the results so far, so that the same command can resume after an
//! interruption or a crash.
//!
//! The first line holds hashes of the spec's fields; each further line holds the hash of an input
//! and its result, in completion order. An incomplete last line is cut off when the file is opened
//! again. The file is locked while a process uses it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::input_line::InputLine;

/// Version of the file format.
const VERSION: u32 = 1;
/// First bytes of every checkpoint file.
const MAGIC: &[u8] = br#"{"extractd_journal":"#;
/// Upper bound of an input's index: a damaged number must not take all the memory.
const MAX_INDEX: u64 = 1 << 32;

/// First line of the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    extractd_journal: u32,
    /// Hash of each field of the spec.
    spec: BTreeMap<String, String>,
}

/// Line with one result.
#[derive(Deserialize)]
struct Record<'a> {
    /// Hash of the input in hexadecimal.
    input: &'a str,
    #[serde(borrow)]
    result: &'a RawValue,
}

/// Fields of a result that the checkpoint needs.
#[derive(Deserialize)]
struct ResultHead {
    index: u64,
    status: String,
}

/// Position and status of one result.
#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Offset of its line in bytes.
    offset: u64,
    hash: u64,
    has_succeeded: bool,
}

/// Open checkpoint file, locked against other processes.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    file: BufWriter<File>,
    end: u64,
    spec: BTreeMap<String, String>,
    /// Results by the index of their input.
    entries: Vec<Option<Entry>>,
    done: u64,
    failed: u64,
}

impl Checkpoint {
    /// Opens an existing checkpoint. `None`: the file does not exist or has no result.
    ///
    /// # Errors
    /// If the file cannot be read, is not a checkpoint, or is used by another process.
    pub fn open(path: &Path) -> anyhow::Result<Option<Self>> {
        if !path.exists() {
            return Ok(None);
        }
        let mut checkpoint = Self::lock(path)?;
        checkpoint
            .load()
            .with_context(|| format!("cannot resume from the checkpoint {}", path.display()))?;
        Ok((checkpoint.done > 0).then_some(checkpoint))
    }

    /// Creates a checkpoint, replacing an existing one.
    ///
    /// # Errors
    /// If the file cannot be written, is not a checkpoint, or is used by another process.
    pub fn create(path: &Path, spec: BTreeMap<String, String>) -> anyhow::Result<Self> {
        let mut checkpoint = Self::lock(path)?;
        checkpoint
            .file
            .get_ref()
            .set_len(0)
            .with_context(|| checkpoint.cannot_write())?;
        let mut line = serde_json::to_vec(&Header {
            extractd_journal: VERSION,
            spec: spec.clone(),
        })?;
        line.push(b'\n');
        checkpoint.spec = spec;
        checkpoint.append(&line)?;
        checkpoint.flush()?;
        Ok(checkpoint)
    }

    /// Opens and locks the file, which is either empty or begins as a checkpoint.
    fn lock(path: &Path) -> anyhow::Result<Self> {
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path);
        let file = opened.with_context(|| format!("cannot write {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "another process is at work on {}; wait until it has ended",
                path.display()
            ),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        let mut head = Vec::new();
        let read = (&file)
            .take(MAGIC.len() as u64)
            .read_to_end(&mut head)
            .and_then(|_| (&file).rewind());
        read.with_context(|| format!("cannot read {}", path.display()))?;
        // A crash may have cut the file off at any byte.
        if !MAGIC.starts_with(&head) {
            bail!(
                "{} is not a checkpoint of extractd: name another file with --checkpoint",
                path.display()
            );
        }
        let (file, spec) = (BufWriter::new(file), BTreeMap::new());
        Ok(Self {
            path: path.to_owned(),
            file,
            end: 0,
            spec,
            entries: Vec::new(),
            done: 0,
            failed: 0,
        })
    }

    /// Reads the header and all results.
    fn load(&mut self) -> anyhow::Result<()> {
        let mut reader = BufReader::new(self.file.get_ref().try_clone()?);
        let mut line = Vec::new();
        for number in 1_u64.. {
            line.clear();
            if reader.read_until(b'\n', &mut line)? == 0 || !line.ends_with(b"\n") {
                break;
            }
            if number == 1 {
                self.spec = parse_header(&line)?;
            } else {
                let (index, entry) = parse_record(&line, self.end).with_context(|| {
                    format!("line {number} is damaged; --restart starts over without its results")
                })?;
                self.insert(index, entry);
            }
            self.end += line.len() as u64;
        }
        // The rest is a line that was being written when the process ended.
        self.file.get_ref().set_len(self.end)?;
        self.file.seek(SeekFrom::Start(self.end))?;
        Ok(())
    }

    /// Adds a result, or replaces an earlier result of the same input.
    fn insert(&mut self, index: u64, entry: Entry) {
        let position = usize::try_from(index).unwrap_or(usize::MAX);
        if position >= self.entries.len() {
            self.entries.resize(position + 1, None);
        }
        let Some(slot) = self.entries.get_mut(position) else {
            return;
        };
        match slot.replace(entry) {
            None => self.done += 1,
            Some(earlier) => self.failed -= u64::from(!earlier.has_succeeded),
        }
        self.failed += u64::from(!entry.has_succeeded);
    }

    /// Checks that the checkpoint was written with the same spec.
    ///
    /// # Errors
    /// If the spec differs, naming the fields that differ.
    pub fn check(&self, spec: &BTreeMap<String, String>) -> anyhow::Result<()> {
        let differs = |name: &&String| self.spec.get(*name) != spec.get(*name);
        let mut names: Vec<_> = self
            .spec
            .keys()
            .chain(spec.keys())
            .filter(differs)
            .map(|name| format!("`{name}`"))
            .collect();
        names.sort();
        names.dedup();
        if names.is_empty() {
            return Ok(());
        }
        bail!(
            "{} was started with another {}; use the same values, or --restart to start over without its {} results",
            self.path.display(),
            names.join(", "),
            self.done
        )
    }

    /// Appends a result; [`Checkpoint::flush`] writes it to the file.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn record(
        &mut self,
        line: &InputLine,
        has_succeeded: bool,
        result: &Map<String, Value>,
    ) -> anyhow::Result<()> {
        let entry = Entry {
            offset: self.end,
            hash: line.hash,
            has_succeeded,
        };
        let mut record = format!("{{\"input\":\"{:016x}\",\"result\":", line.hash).into_bytes();
        serde_json::to_writer(&mut record, result)?;
        record.extend_from_slice(b"}\n");
        self.append(&record)?;
        self.insert(line.index, entry);
        Ok(())
    }

    /// Appends a line.
    fn append(&mut self, line: &[u8]) -> anyhow::Result<()> {
        self.file
            .write_all(line)
            .with_context(|| self.cannot_write())?;
        self.end += line.len() as u64;
        Ok(())
    }

    /// Writes the appended results to the file, so that they survive the death of the process.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        self.file
            .flush()
            .with_context(|| format!("cannot write {}", self.path.display()))
    }

    fn cannot_write(&self) -> String {
        format!("cannot write {}", self.path.display())
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the number of inputs with a result.
    pub const fn done(&self) -> u64 {
        self.done
    }

    /// Returns the number of inputs whose result is not a success.
    pub const fn failed(&self) -> u64 {
        self.failed
    }

    /// Returns the inputs with a result; with `retry_failed`, failed inputs are to be sent again.
    pub fn inputs(&self, retry_failed: bool) -> Checkpointed {
        let input = |entry: &Entry| (entry.hash, retry_failed && !entry.has_succeeded);
        Checkpointed {
            inputs: self
                .entries
                .iter()
                .map(|entry| entry.as_ref().map(input))
                .collect(),
            path: self.path.clone(),
        }
    }

    /// Returns the results in input order.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn results(&self) -> anyhow::Result<Results<'_>> {
        let file = File::open(&self.path)
            .with_context(|| format!("cannot read {}", self.path.display()))?;
        Ok(Results {
            entries: self.entries.iter(),
            reader: BufReader::with_capacity(256 * 1024, file),
            position: 0,
            line: Vec::new(),
        })
    }

    /// Removes the file.
    ///
    /// # Errors
    /// If the file cannot be removed.
    pub fn remove(self) -> anyhow::Result<()> {
        std::fs::remove_file(&self.path)
            .with_context(|| format!("cannot remove {}", self.path.display()))
    }
}

/// Parses the first line.
fn parse_header(line: &[u8]) -> anyhow::Result<BTreeMap<String, String>> {
    match serde_json::from_slice::<Header>(line) {
        Ok(header) if header.extractd_journal == VERSION => Ok(header.spec),
        _ => bail!(
            "it was written by another version of extractd; resume with that version, or use --restart to start over"
        ),
    }
}

/// Parses the line of a result at an offset.
fn parse_record(line: &[u8], offset: u64) -> anyhow::Result<(u64, Entry)> {
    let record: Record = serde_json::from_slice(line)?;
    let head: ResultHead = serde_json::from_str(record.result.get())?;
    if head.index >= MAX_INDEX {
        bail!("index {}", head.index);
    }
    let hash = u64::from_str_radix(record.input, 16)?;
    Ok((
        head.index,
        Entry {
            offset,
            hash,
            has_succeeded: head.status == "succeeded",
        },
    ))
}

/// Inputs that had a result when the run started.
#[derive(Debug, Clone, Default)]
pub struct Checkpointed {
    /// Hash of each input, and true if it is to be sent again.
    inputs: Vec<Option<(u64, bool)>>,
    path: PathBuf,
}

impl Checkpointed {
    /// Returns true if an input is still to be sent.
    ///
    /// # Errors
    /// If the input at this index has changed.
    pub fn is_missing(&self, line: &InputLine) -> anyhow::Result<bool> {
        let earlier = usize::try_from(line.index)
            .ok()
            .and_then(|index| self.inputs.get(index).copied().flatten());
        match earlier {
            None => Ok(true),
            Some((hash, is_missing)) if hash == line.hash => Ok(is_missing),
            Some(_) => bail!(
                "input {} is another than in the earlier run; {}",
                line.index,
                self.advice()
            ),
        }
    }

    /// Checks the number of inputs.
    ///
    /// # Errors
    /// If there were more inputs in the earlier run.
    pub fn check_total(&self, total: u64) -> anyhow::Result<()> {
        let before = self.inputs.len() as u64;
        if before > total {
            bail!(
                "there are {total} inputs, but at least {before} in the earlier run; {}",
                self.advice()
            );
        }
        Ok(())
    }

    /// Returns the end of the messages about changed inputs.
    fn advice(&self) -> String {
        format!(
            "{} belongs to other inputs: use those, or --restart to start over without its results",
            self.path.display()
        )
    }
}

/// Reader of the results in input order, which is close to the order in the file.
pub struct Results<'a> {
    entries: std::slice::Iter<'a, Option<Entry>>,
    reader: BufReader<File>,
    /// Position of `reader` in the file, in bytes.
    position: u64,
    line: Vec<u8>,
}

impl Results<'_> {
    /// Returns the next result as JSON; `None` after the last.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn next(&mut self) -> anyhow::Result<Option<&str>> {
        let Some(entry) = self.entries.by_ref().flatten().next() else {
            return Ok(None);
        };
        self.reader
            .seek_relative(entry.offset.cast_signed() - self.position.cast_signed())?;
        self.line.clear();
        let read = self.reader.by_ref().read_until(b'\n', &mut self.line)?;
        self.position = entry.offset + read as u64;
        let record: Record = serde_json::from_slice(&self.line)?;
        Ok(Some(record.result.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(seed: &str) -> BTreeMap<String, String> {
        BTreeMap::from([
            ("seed".to_owned(), seed.to_owned()),
            ("schema".to_owned(), "a".to_owned()),
        ])
    }

    fn result(index: u64, status: &str) -> Map<String, Value> {
        serde_json::json!({"index": index, "status": status})
            .as_object()
            .unwrap()
            .clone()
    }

    fn path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("extractd-checkpoint-{}-{name}", std::process::id()))
    }

    fn write_checkpoint(name: &str) -> PathBuf {
        let path = path(name);
        let mut checkpoint = Checkpoint::create(&path, spec("1")).unwrap();
        for (index, status) in [(1, "succeeded"), (0, "failed"), (3, "succeeded")] {
            checkpoint
                .record(
                    &InputLine::new(index, &index.to_string()),
                    status == "succeeded",
                    &result(index, status),
                )
                .unwrap();
        }
        checkpoint.flush().unwrap();
        path
    }

    #[test]
    fn a_checkpoint_cut_off_at_any_byte_is_resumed() {
        let path = write_checkpoint("cut");
        let bytes = std::fs::read(&path).unwrap();
        // The last record is cut at every byte.
        let last = bytes[..bytes.len() - 1]
            .iter()
            .rposition(|byte| *byte == b'\n')
            .unwrap()
            + 1;
        for cut in last..bytes.len() {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            let mut checkpoint = Checkpoint::open(&path).unwrap().unwrap();
            assert_eq!(
                (checkpoint.done(), checkpoint.failed()),
                (2, 1),
                "cut at {cut}"
            );
            checkpoint
                .record(&InputLine::new(0, "0"), true, &result(0, "succeeded"))
                .unwrap();
            checkpoint
                .record(&InputLine::new(2, "2"), true, &result(2, "succeeded"))
                .unwrap();
            checkpoint.flush().unwrap();
            assert_eq!((checkpoint.done(), checkpoint.failed()), (3, 0));
            let mut results = checkpoint.results().unwrap();
            for index in 0..3 {
                assert_eq!(
                    results.next().unwrap().unwrap(),
                    format!(r#"{{"index":{index},"status":"succeeded"}}"#)
                );
            }
            assert!(results.next().unwrap().is_none());
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn inputs_with_a_result_are_not_sent_again() {
        let path = write_checkpoint("known");
        let checkpoint = Checkpoint::open(&path).unwrap().unwrap();
        let is_missing = |retry_failed, index: u64| {
            checkpoint
                .inputs(retry_failed)
                .is_missing(&InputLine::new(index, &index.to_string()))
                .unwrap()
        };
        assert_eq!(
            [0, 1, 2, 3].map(|index| is_missing(false, index)),
            [false, false, true, false]
        );
        assert_eq!(
            [0, 1, 2, 3].map(|index| is_missing(true, index)),
            [true, false, true, false]
        );
        assert!(
            checkpoint
                .inputs(true)
                .is_missing(&InputLine::new(0, "other"))
                .is_err()
        );
        assert!(
            checkpoint.inputs(false).check_total(3).is_err()
                && checkpoint.inputs(false).check_total(4).is_ok()
        );
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn another_spec_and_another_process_are_rejected() {
        let path = write_checkpoint("refused");
        let checkpoint = Checkpoint::open(&path).unwrap().unwrap();
        assert!(checkpoint.check(&spec("1")).is_ok());
        let message = checkpoint.check(&spec("2")).unwrap_err().to_string();
        assert!(
            message.contains("another `seed`;") && message.contains("3 results"),
            "{message}"
        );
        let message = Checkpoint::open(&path).unwrap_err().to_string();
        assert!(message.contains("another process"), "{message}");
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_file_that_is_not_a_checkpoint_is_not_changed() {
        let path = path("other");
        for text in ["my notes\n", "my notes", "{\"inputs\": []}"] {
            std::fs::write(&path, text).unwrap();
            assert!(
                Checkpoint::open(&path).is_err() && Checkpoint::create(&path, spec("1")).is_err(),
                "{text}"
            );
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        let newer = "{\"extractd_journal\":2,\"spec\":{}}\n";
        std::fs::write(&path, newer).unwrap();
        assert!(Checkpoint::open(&path).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), newer);
        std::fs::remove_file(path).unwrap();
    }
}
