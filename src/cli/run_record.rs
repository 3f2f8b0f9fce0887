//! Record of a run in its folder: the jobs that hold its inputs and results, so that the same command can resume.
//!
//! The file has a header and a line for each job. It is locked while a process uses it. Without a server, the folder also
//! holds the job store of the server within the process.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::inputs::{Prefix, Segment};

/// File name of the record in its folder.
const FILE: &str = "run.ndjson";
/// Name of the job store's folder in the run's folder.
const STORE: &str = "store";
/// Version of the file format.
const VERSION: u32 = 1;
/// Fields of the spec that control the run and do not affect results.
const RUN_FIELDS: [&str; 2] = ["concurrency", "on_error"];

/// Line of the file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Run(Header),
    Job(RecordedJob),
}

/// First line of the file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Header {
    version: u32,
    /// Random ID. Another run with the same inputs and spec has jobs of its own.
    id: String,
    /// Hash of each field of the spec.
    spec: BTreeMap<String, String>,
}

/// Job of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordedJob {
    pub id: String,
    /// Inputs of the job.
    pub inputs: Segment,
}

impl RecordedJob {
    /// Returns a job whose inputs are all inputs.
    pub const fn whole(id: String, count: u64) -> Self {
        let digest = String::new();
        let end = Prefix { count, digest };
        Self {
            id,
            inputs: Segment { first: 0, end },
        }
    }
}

/// Record of a run. Without a folder it is lost with the process.
#[derive(Debug, Default)]
pub struct RunRecord {
    folder: Option<(PathBuf, File)>,
    header: Header,
    jobs: Vec<RecordedJob>,
    /// True if the folder has nothing to resume from.
    pub is_obsolete: bool,
}

impl RunRecord {
    /// Opens the record in a folder and locks it. Creates the folder if it is missing. With `restart`, a damaged record is
    /// read up to the damage.
    ///
    /// # Errors
    /// If the folder cannot be used, is in use by another process, or its record is damaged.
    pub fn open(folder: &Path, restart: bool) -> anyhow::Result<Self> {
        let path = folder.join(FILE);
        if !folder.exists() {
            fs::create_dir(folder)
                .with_context(|| format!("cannot create the folder {}", folder.display()))?;
        } else if !path.exists() {
            let is_empty = folder.read_dir().map(|mut files| files.next().is_none());
            if !is_empty.unwrap_or(false) {
                bail!(
                    "{} exists and is no folder of a run of extractd; name another folder with --checkpoint",
                    folder.display()
                );
            }
        }
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path);
        let mut file = opened.with_context(|| format!("cannot write {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "another process is at work on {}; wait until it has ended",
                folder.display()
            ),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        let mut record = Self::default();
        match record.load(&mut file) {
            Err(error) if !restart => {
                return Err(error)
                    .with_context(|| format!("cannot resume from {}", path.display()));
            }
            _ => {}
        }
        record.is_obsolete = record.is_new();
        record.folder = Some((folder.to_owned(), file));
        Ok(record)
    }

    /// Reads the file, and cuts off a last line that was not written to its end.
    fn load(&mut self, file: &mut File) -> anyhow::Result<()> {
        let mut reader = BufReader::new(&*file);
        let (mut line, mut end) = (Vec::new(), 0);
        for number in 1_u64.. {
            line.clear();
            if reader.read_until(b'\n', &mut line)? == 0 || !line.ends_with(b"\n") {
                break;
            }
            match serde_json::from_slice(&line) {
                Ok(Line::Run(header)) if self.is_new() && header.version == VERSION => {
                    self.header = header;
                }
                Ok(Line::Job(job)) if !self.is_new() && job.inputs.first == self.covered() => {
                    self.jobs.push(job);
                }
                _ => bail!(
                    "line {number} is damaged, or of another version of extractd; --restart starts over without the results"
                ),
            }
            end += line.len() as u64;
        }
        file.set_len(end)?;
        file.seek(SeekFrom::Start(end))?;
        Ok(())
    }

    /// Appends a line to the file.
    fn append(&mut self, line: &Line) -> anyhow::Result<()> {
        let mut json = serde_json::to_vec(line)?;
        json.push(b'\n');
        match &mut self.folder {
            Some((folder, file)) => file
                .write_all(&json)
                .with_context(|| format!("cannot write to {}", folder.display())),
            None => Ok(()),
        }
    }

    /// Begins a new run, without the jobs of an earlier one.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn begin(&mut self, spec: BTreeMap<String, String>) -> anyhow::Result<()> {
        if let Some((_, file)) = &mut self.folder {
            file.set_len(0)?;
            file.rewind()?;
        }
        (self.jobs, self.is_obsolete) = (Vec::new(), true);
        self.header = Header {
            version: VERSION,
            id: crate::types::ids::new_uuid().simple().to_string(),
            spec,
        };
        self.append(&Line::Run(self.header.clone()))
    }

    /// Adds a job that was created.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn add(&mut self, id: String, inputs: Segment) -> anyhow::Result<()> {
        let job = RecordedJob { id, inputs };
        self.append(&Line::Job(job.clone()))?;
        self.jobs.push(job);
        self.is_obsolete = false;
        Ok(())
    }

    /// Checks that the run was begun with the same spec. Returns the names of the fields that differ and do not affect
    /// results.
    ///
    /// # Errors
    /// If another field differs.
    pub fn check(&self, spec: &BTreeMap<String, String>) -> anyhow::Result<Vec<String>> {
        let recorded = &self.header.spec;
        let mut names: Vec<_> = recorded.keys().chain(spec.keys()).cloned().collect();
        names.retain(|name| recorded.get(name) != spec.get(name));
        names.sort();
        names.dedup();
        let (run_fields, others): (Vec<_>, Vec<_>) = names
            .into_iter()
            .partition(|name| RUN_FIELDS.contains(&name.as_str()));
        if !others.is_empty() {
            bail!(
                "{} was started with another `{}`; use the same values, or --restart to start over without its results",
                self.name(),
                others.join("`, `")
            );
        }
        Ok(run_fields)
    }

    /// Returns true if no run was begun.
    pub const fn is_new(&self) -> bool {
        self.header.version == 0
    }

    /// Returns the jobs, in the order of their inputs.
    pub fn jobs(&self) -> &[RecordedJob] {
        &self.jobs
    }

    /// Returns the prefix of the inputs that ends with each job.
    pub fn prefixes(&self) -> Vec<Prefix> {
        let jobs = self.jobs.iter();
        jobs.map(|job| job.inputs.end.clone()).collect()
    }

    /// Returns the number of inputs of all jobs.
    pub fn covered(&self) -> u64 {
        self.jobs.last().map_or(0, |job| job.inputs.end.count)
    }

    /// Returns the idempotency key of the job with these inputs: a hash of the run, its spec and the inputs.
    pub fn idempotency_key(&self, inputs: &Segment) -> String {
        let json = serde_json::to_vec(&(&self.header, inputs)).unwrap_or_default();
        let digest: [u8; 32] = Sha256::digest(&json).into();
        let hex = crate::types::hexadecimal(&digest);
        format!("extractd-batch-{hex}")
    }

    /// Returns true if the run can be resumed.
    pub const fn has_folder(&self) -> bool {
        self.folder.is_some()
    }

    /// Returns the folder's name for messages.
    pub fn name(&self) -> String {
        let folder = self.folder.as_ref();
        folder.map_or_else(String::new, |(folder, _)| folder.display().to_string())
    }

    /// Creates the folder of the job store of the server within the process, and returns its path. `None`: nothing is kept.
    ///
    /// # Errors
    /// If the folder cannot be created.
    pub fn store(&self, restart: bool) -> anyhow::Result<Option<PathBuf>> {
        let Some((folder, _)) = &self.folder else {
            return Ok(None);
        };
        let store = folder.join(STORE);
        if restart && store.exists() {
            remove_store(&store)?;
        }
        fs::create_dir_all(&store)
            .with_context(|| format!("cannot create the folder {}", store.display()))?;
        Ok(Some(store))
    }

    /// Removes the record, the job store and their folder. Other files in the folder stay.
    ///
    /// # Errors
    /// If a file cannot be removed.
    pub fn remove(self) -> anyhow::Result<()> {
        let Some((folder, _)) = &self.folder else {
            return Ok(());
        };
        let (store, path) = (folder.join(STORE), folder.join(FILE));
        if store.exists() {
            remove_store(&store)?;
        }
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        // Fails if the folder has other files.
        drop(fs::remove_dir(folder));
        Ok(())
    }
}

fn remove_store(store: &Path) -> anyhow::Result<()> {
    fs::remove_dir_all(store).with_context(|| format!("cannot remove {}", store.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let name = format!("extractd-run-{}-{name}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        drop(fs::remove_dir_all(&folder));
        folder
    }

    fn spec(seed: &str) -> BTreeMap<String, String> {
        [("seed", seed), ("schema", "a"), ("on_error", seed)]
            .map(|(name, hash)| (name.to_owned(), hash.to_owned()))
            .into()
    }

    fn prefix(count: u64) -> Prefix {
        Prefix {
            count,
            digest: format!("{count:02x}"),
        }
    }

    #[test]
    fn a_record_is_read_again_up_to_an_incomplete_line() {
        let folder = folder("again");
        let mut record = RunRecord::open(&folder, false).unwrap();
        assert!(record.is_new());
        record.begin(spec("1")).unwrap();
        let segment = |first, count| Segment {
            first,
            end: prefix(count),
        };
        record.add("job_a".to_owned(), segment(0, 3)).unwrap();
        let key = record.idempotency_key(&segment(3, 5));
        assert!(key.len() < 255 && key.is_ascii(), "{key}");
        let in_use = RunRecord::open(&folder, false).unwrap_err();
        assert!(in_use.to_string().contains("another process is at work"));
        drop(record);
        let path = folder.join(FILE);
        let mut text = fs::read_to_string(&path).unwrap();
        text.push_str("{\"job\":\"jo");
        fs::write(&path, text).unwrap();
        let mut record = RunRecord::open(&folder, false).unwrap();
        assert_eq!((record.prefixes(), record.covered()), (vec![prefix(3)], 3));
        assert_eq!(record.idempotency_key(&segment(3, 5)), key);
        assert_ne!(record.idempotency_key(&segment(3, 6)), key);
        record.add("job_b".to_owned(), segment(3, 5)).unwrap();
        drop(record);
        let record = RunRecord::open(&folder, false).unwrap();
        let ids: Vec<_> = record.jobs().iter().map(|job| &*job.id).collect();
        assert_eq!(ids, ["job_a", "job_b"]);
        record.remove().unwrap();
        assert!(!folder.exists());
    }

    #[test]
    fn another_spec_is_named() {
        let mut record = RunRecord::default();
        record.begin(spec("1")).unwrap();
        assert!(record.check(&spec("1")).unwrap().is_empty());
        let mut other = spec("1");
        other.remove("on_error");
        assert_eq!(record.check(&other).unwrap(), ["on_error"]);
        other.insert("model".to_owned(), "x".to_owned());
        other.remove("seed");
        let message = record.check(&other).unwrap_err().to_string();
        assert!(message.contains("another `model`, `seed`; "), "{message}");
    }

    #[test]
    fn a_damaged_record_is_discarded_by_restart_only() {
        for text in [
            "{\"extractd_journal\":1}\n",
            "{\"run\":{\"version\":2,\"id\":\"\",\"spec\":{}}}\n",
            "{\"job\":{\"id\":\"a\",\"inputs\":{\"first\":0,\"end\":{\"count\":1,\"digest\":\"\"}}}}\n",
            "\n",
        ] {
            let folder = folder("damaged");
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(FILE), text).unwrap();
            let error = RunRecord::open(&folder, false).unwrap_err();
            assert!(
                format!("{error:#}").contains("line 1 is damaged"),
                "{error:#}"
            );
            let mut record = RunRecord::open(&folder, true).unwrap();
            record.begin(spec("1")).unwrap();
            drop(record);
            let record = RunRecord::open(&folder, false).unwrap();
            assert!(!record.is_new() && record.jobs().is_empty());
            record.remove().unwrap();
        }
    }
}
