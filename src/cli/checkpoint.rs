//! The results that are there already, in the order in which they came, so that the same command can go on.
//!
//! A first line says what they were asked for with; each further one holds the hash of an input and its result. It is written as
//! results come. A line that was not written to its end is cut off when the file is opened again.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::input_line::InputLine;

const VERSION: u32 = 1;
/// How every journal begins.
const BEGINNING: &[u8] = br#"{"extractd_journal":"#;
/// More inputs than anybody has: a damaged number must not take all the memory.
const MAX_INDEX: u64 = 1 << 32;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    extractd_journal: u32,
    /// A hash of each field of the spec.
    spec: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Record<'a> {
    /// The input's hash, in hexadecimal.
    input: &'a str,
    #[serde(borrow)]
    result: &'a RawValue,
}

/// What is to be known of a result.
#[derive(Deserialize)]
struct Brief {
    index: u64,
    status: String,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Where its line begins.
    offset: u64,
    hash: u64,
    has_succeeded: bool,
}

/// An open journal. No other process can open it.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    file: BufWriter<File>,
    end: u64,
    spec: BTreeMap<String, String>,
    /// By the inputs' index.
    entries: Vec<Option<Entry>>,
    done: u64,
    failed: u64,
}

impl Checkpoint {
    /// The one that is there; `None` also when it has no result.
    ///
    /// # Errors
    /// When it cannot be read, is none, or another process has it.
    pub fn open(path: &Path) -> anyhow::Result<Option<Self>> {
        if !path.exists() {
            return Ok(None);
        }
        let mut journal = Self::at(path)?;
        journal
            .load()
            .with_context(|| format!("cannot go on from {}", path.display()))?;
        Ok((journal.done > 0).then_some(journal))
    }

    /// A new one in place of what is there.
    ///
    /// # Errors
    /// When it cannot be written, or another process has it.
    pub fn create(path: &Path, spec: BTreeMap<String, String>) -> anyhow::Result<Self> {
        let mut journal = Self::at(path)?;
        journal
            .file
            .get_ref()
            .set_len(0)
            .with_context(|| journal.cannot_write())?;
        let mut line = serde_json::to_vec(&Header {
            extractd_journal: VERSION,
            spec: spec.clone(),
        })?;
        line.push(b'\n');
        journal.spec = spec;
        journal.append(&line)?;
        journal.flush()?;
        Ok(journal)
    }

    fn at(path: &Path) -> anyhow::Result<Self> {
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
                "another process is at work on {}; wait for its end",
                path.display()
            ),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        let mut beginning = Vec::new();
        let read = (&file)
            .take(BEGINNING.len() as u64)
            .read_to_end(&mut beginning)
            .and_then(|_| (&file).rewind());
        read.with_context(|| format!("cannot read {}", path.display()))?;
        // It may have been cut off anywhere.
        if !BEGINNING.starts_with(&beginning) {
            bail!(
                "{} is no journal: name another with --journal",
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

    fn load(&mut self) -> anyhow::Result<()> {
        let mut reader = BufReader::new(self.file.get_ref().try_clone()?);
        let mut line = Vec::new();
        for number in 1_u64.. {
            line.clear();
            if reader.read_until(b'\n', &mut line)? == 0 || !line.ends_with(b"\n") {
                break;
            }
            if number == 1 {
                self.spec = header(&line)?;
            } else {
                let (index, entry) = record(&line, self.end)
                    .with_context(|| format!("its line {number} is damaged"))?;
                self.enter(index, entry);
            }
            self.end += line.len() as u64;
        }
        // What is left was being written when the process ended.
        self.file.get_ref().set_len(self.end)?;
        self.file.seek(SeekFrom::Start(self.end))?;
        Ok(())
    }

    fn enter(&mut self, index: u64, entry: Entry) {
        let at = usize::try_from(index).unwrap_or(usize::MAX);
        if at >= self.entries.len() {
            self.entries.resize(at + 1, None);
        }
        let Some(place) = self.entries.get_mut(at) else {
            return;
        };
        match place.replace(entry) {
            None => self.done += 1,
            Some(before) => self.failed -= u64::from(!before.has_succeeded),
        }
        self.failed += u64::from(!entry.has_succeeded);
    }

    /// # Errors
    /// When it was begun with another spec, naming the fields that differ.
    pub fn check(&self, spec: &BTreeMap<String, String>) -> anyhow::Result<()> {
        let differ = |name: &&String| self.spec.get(*name) != spec.get(*name);
        let mut names: Vec<_> = self
            .spec
            .keys()
            .chain(spec.keys())
            .filter(differ)
            .map(|name| format!("`{name}`"))
            .collect();
        names.sort();
        names.dedup();
        if names.is_empty() {
            return Ok(());
        }
        bail!(
            "{} was begun with another {}; give the same again, or --restart to begin anew without its {} results",
            self.path.display(),
            names.join(", "),
            self.done
        )
    }

    /// Keeps a result.
    ///
    /// # Errors
    /// When it cannot be written.
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
        self.enter(line.index, entry);
        Ok(())
    }

    fn append(&mut self, line: &[u8]) -> anyhow::Result<()> {
        self.file
            .write_all(line)
            .with_context(|| self.cannot_write())?;
        self.end += line.len() as u64;
        Ok(())
    }

    /// Hands what was recorded to the system: it is there even if the process is killed.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        self.file
            .flush()
            .with_context(|| format!("cannot write {}", self.path.display()))
    }

    fn cannot_write(&self) -> String {
        format!("cannot write {}", self.path.display())
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many have a result.
    pub const fn done(&self) -> u64 {
        self.done
    }

    /// How many of them did not succeed.
    pub const fn failed(&self) -> u64 {
        self.failed
    }

    /// What is known of the inputs; `again` says whether those that failed are to be asked again.
    pub fn known(&self, again: bool) -> Checkpointed {
        let known = |entry: &Entry| (entry.hash, again && !entry.has_succeeded);
        Checkpointed {
            inputs: self
                .entries
                .iter()
                .map(|entry| entry.as_ref().map(known))
                .collect(),
            path: self.path.clone(),
        }
    }

    /// The results in the order of the inputs.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn results(&self) -> anyhow::Result<Results<'_>> {
        let file = File::open(&self.path)
            .with_context(|| format!("cannot read {}", self.path.display()))?;
        Ok(Results {
            entries: self.entries.iter(),
            reader: BufReader::with_capacity(256 * 1024, file),
            at: 0,
            line: Vec::new(),
        })
    }

    /// Removes the file.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(self) -> anyhow::Result<()> {
        std::fs::remove_file(&self.path)
            .with_context(|| format!("cannot remove {}", self.path.display()))
    }
}

fn header(line: &[u8]) -> anyhow::Result<BTreeMap<String, String>> {
    match serde_json::from_slice::<Header>(line) {
        Ok(header) if header.extractd_journal == VERSION => Ok(header.spec),
        _ => bail!(
            "it is of another version of extractd; go on with that one, or --restart to begin anew"
        ),
    }
}

fn record(line: &[u8], offset: u64) -> anyhow::Result<(u64, Entry)> {
    let record: Record = serde_json::from_slice(line)?;
    let brief: Brief = serde_json::from_str(record.result.get())?;
    if brief.index >= MAX_INDEX {
        bail!("index {}", brief.index);
    }
    let hash = u64::from_str_radix(record.input, 16)?;
    Ok((
        brief.index,
        Entry {
            offset,
            hash,
            has_succeeded: brief.status == "succeeded",
        },
    ))
}

/// What was known of the inputs when the run began.
#[derive(Debug, Clone, Default)]
pub struct Checkpointed {
    /// Each one's hash, and whether it is to be asked again.
    inputs: Vec<Option<(u64, bool)>>,
    path: PathBuf,
}

impl Checkpointed {
    /// Whether an input is still to be asked.
    ///
    /// # Errors
    /// When it is not the one that was asked before.
    pub fn wants(&self, line: &InputLine) -> anyhow::Result<bool> {
        let known = usize::try_from(line.index)
            .ok()
            .and_then(|index| self.inputs.get(index).copied().flatten());
        match known {
            None => Ok(true),
            Some((hash, again)) if hash == line.hash => Ok(again),
            Some(_) => bail!(
                "input {} is another than the one that was asked before; {}",
                line.index,
                self.advice()
            ),
        }
    }

    /// # Errors
    /// When there were more inputs before.
    pub fn check_total(&self, total: u64) -> anyhow::Result<()> {
        let before = self.inputs.len() as u64;
        if before > total {
            bail!(
                "there are {total} inputs, and were at least {before} before; {}",
                self.advice()
            );
        }
        Ok(())
    }

    fn advice(&self) -> String {
        format!(
            "{} belongs to other inputs: give those, or --restart to begin anew without it",
            self.path.display()
        )
    }
}

/// Reads results by the order of their inputs, which is nearly that of the file.
pub struct Results<'a> {
    entries: std::slice::Iter<'a, Option<Entry>>,
    reader: BufReader<File>,
    at: u64,
    line: Vec<u8>,
}

impl Results<'_> {
    /// The next result, as JSON; `None` after the last.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn next(&mut self) -> anyhow::Result<Option<&str>> {
        let Some(entry) = self.entries.by_ref().flatten().next() else {
            return Ok(None);
        };
        self.reader
            .seek_relative(entry.offset.cast_signed() - self.at.cast_signed())?;
        self.line.clear();
        let read = self.reader.by_ref().read_until(b'\n', &mut self.line)?;
        self.at = entry.offset + read as u64;
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
        std::env::temp_dir().join(format!("extractd-journal-{}-{name}", std::process::id()))
    }

    fn written(name: &str) -> PathBuf {
        let path = path(name);
        let mut journal = Checkpoint::create(&path, spec("1")).unwrap();
        for (index, status) in [(1, "succeeded"), (0, "failed"), (3, "succeeded")] {
            journal
                .record(
                    &InputLine::new(index, &index.to_string()),
                    status == "succeeded",
                    &result(index, status),
                )
                .unwrap();
        }
        journal.flush().unwrap();
        path
    }

    #[test]
    fn it_goes_on_where_it_was_cut_off() {
        let path = written("cut");
        let whole = std::fs::read(&path).unwrap();
        // Wherever the last record is cut.
        let last = whole[..whole.len() - 1]
            .iter()
            .rposition(|byte| *byte == b'\n')
            .unwrap()
            + 1;
        for cut in last..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut journal = Checkpoint::open(&path).unwrap().unwrap();
            assert_eq!((journal.done(), journal.failed()), (2, 1), "cut at {cut}");
            journal
                .record(&InputLine::new(0, "0"), true, &result(0, "succeeded"))
                .unwrap();
            journal
                .record(&InputLine::new(2, "2"), true, &result(2, "succeeded"))
                .unwrap();
            journal.flush().unwrap();
            assert_eq!((journal.done(), journal.failed()), (3, 0));
            let mut results = journal.results().unwrap();
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
    fn what_is_known_is_not_asked_again() {
        let path = written("known");
        let journal = Checkpoint::open(&path).unwrap().unwrap();
        let wants = |again, index: u64| {
            journal
                .known(again)
                .wants(&InputLine::new(index, &index.to_string()))
                .unwrap()
        };
        assert_eq!(
            [0, 1, 2, 3].map(|index| wants(false, index)),
            [false, false, true, false]
        );
        assert_eq!(
            [0, 1, 2, 3].map(|index| wants(true, index)),
            [true, false, true, false]
        );
        assert!(
            journal
                .known(true)
                .wants(&InputLine::new(0, "other"))
                .is_err()
        );
        assert!(
            journal.known(false).check_total(3).is_err()
                && journal.known(false).check_total(4).is_ok()
        );
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn it_is_refused_with_another_spec_and_to_another_process() {
        let path = written("refused");
        let journal = Checkpoint::open(&path).unwrap().unwrap();
        assert!(journal.check(&spec("1")).is_ok());
        let said = journal.check(&spec("2")).unwrap_err().to_string();
        assert!(
            said.contains("another `seed`;") && said.contains("3 results"),
            "{said}"
        );
        let said = Checkpoint::open(&path).unwrap_err().to_string();
        assert!(said.contains("another process"), "{said}");
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn another_file_is_left_as_it_is() {
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
