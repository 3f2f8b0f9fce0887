//! Opening of the store's file: lock, migrations, recovery, and the threads that write and watch.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::database::Database;
use super::error::{from_connect, from_open, from_sqlite};
use super::health::Health;
use super::identity::{Identity, log_path};
use super::read_gate::ReadGate;
use super::readers::{BUSY_TIMEOUT, Readers, connect};
use super::reserve::Reserve;
use super::write_thread::Writer;
use super::{migrations, queries, recovery};
use crate::jobs::store::StoreError;
use crate::private_files;

/// Settings of the connection that writes. `auto_vacuum` has to precede the first table. Checkpoints are made by the write
/// thread.
const PRAGMAS: &str = "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
    PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16384; PRAGMA wal_autocheckpoint = 0;";
/// Bytes of the write-ahead log that are written anew at once.
const LOG_BLOCK_BYTES: usize = 1 << 20;
/// Interval at which a store that could not be opened is tried again, and at which the files of an open store are checked.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Store that may not be open yet.
#[derive(Debug)]
pub struct Shared {
    pub path: PathBuf,
    pub health: Arc<Health>,
    pub opened: OnceLock<Opened>,
}

/// Open store.
#[derive(Debug)]
pub struct Opened {
    pub writer: Writer,
    pub readers: Arc<Readers>,
    /// Random secret of the store.
    pub secret: [u8; 32],
    /// Lock file, locked until the process ends: a second process would run the same jobs.
    _lock: File,
}

/// Opens a store that is not open. Calls `before_open` when it can be, before it counts as open.
///
/// # Errors
/// The reason for which it cannot be opened.
pub fn open(shared: &Shared, before_open: impl FnOnce()) -> Result<(), StoreError> {
    let path = shared.path.as_path();
    if let Some(folder) = path.parent() {
        private_files::create_folder(folder).map_err(|error| from_open(folder, &error))?;
    }
    let lock = lock_file(&path.with_extension("lock"))?;
    let mut reserve = Reserve::new(path);
    let connection = match open_database(path) {
        // The space that the previous process reserved is for this.
        Err(StoreError::Full) => {
            reserve.release();
            open_database(path)
        }
        result => result,
    }?;
    let secret = queries::secret(&connection).map_err(|error| from_sqlite(&connection, &error))?;
    let identity = Identity::record(path).map_err(|error| from_open(path, &error))?;
    let identity = Arc::new(identity);
    let gate = Arc::new(ReadGate::default());
    let database = Database::new(connection, Arc::clone(&gate), BUSY_TIMEOUT)
        .map_err(|error| from_connect(&error))?;
    let health = &shared.health;
    match reserve.take() {
        Ok(()) => health.set_writable(),
        Err(error) => health.set_error(error),
    }
    let readers = Readers::new(path, gate, Arc::clone(health), Arc::clone(&identity));
    watch(&identity, health)?;
    let writer = Writer::start(database, reserve, identity, Arc::clone(health));
    let opened = Opened {
        writer: writer.map_err(|error| cannot_start_thread(&error))?,
        readers: Arc::new(readers),
        secret,
        _lock: lock,
    };
    before_open();
    // Only one thread opens the store.
    drop(shared.opened.set(opened));
    Ok(())
}

/// Opens the store as soon as it can be opened, in a thread of its own. Calls `before_open` before it counts as open.
///
/// # Errors
/// The operating system cannot start a thread.
pub fn retry_in_background(
    shared: &Arc<Shared>,
    before_open: impl Fn() + Send + 'static,
) -> Result<(), StoreError> {
    let shared = Arc::downgrade(shared);
    every_second("store-open", move || {
        let Some(shared) = Weak::upgrade(&shared) else {
            return false;
        };
        // After a failed read or fsync, the contents of the disk are unknown.
        if shared.health.permanent_error().is_some() {
            return false;
        }
        match open(&shared, &before_open) {
            Ok(()) => {
                tracing::info!(file = %shared.path.display(), "the job store is open");
                false
            }
            Err(error) => {
                shared.health.set_error(error);
                true
            }
        }
    })
}

/// Checks the store's files every second, until the store is dropped.
fn watch(identity: &Arc<Identity>, health: &Arc<Health>) -> Result<(), StoreError> {
    let (identity, health) = (Arc::clone(identity), Arc::downgrade(health));
    every_second("store-watch", move || {
        let health = Weak::upgrade(&health);
        health.is_some_and(|health| {
            health.set_files(identity.check());
            true
        })
    })
}

/// Runs `step` every second in a thread of its own, as long as it returns true.
fn every_second(
    name: &str,
    mut step: impl FnMut() -> bool + Send + 'static,
) -> Result<(), StoreError> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
        loop {
            thread::sleep(WATCH_INTERVAL);
            if !step() {
                return;
            }
        }
    });
    thread
        .map(drop)
        .map_err(|error| cannot_start_thread(&error))
}

fn cannot_start_thread(error: &std::io::Error) -> StoreError {
    StoreError::Other(format!("cannot start a thread of the store: {error}"))
}

fn lock_file(path: &Path) -> Result<File, StoreError> {
    let file = private_files::open_file(path).map_err(|error| from_open(path, &error))?;
    file.try_lock().map_err(|_| StoreError::Locked)?;
    Ok(file)
}

/// Opens or creates the database, migrates it, and recovers the state that the previous process left.
fn open_database(path: &Path) -> Result<Connection, StoreError> {
    private_files::open_file(path).map_err(|error| from_open(path, &error))?;
    let log = log_path(path);
    rewrite_log(&log).map_err(|error| from_open(&log, &error))?;
    let connected = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE);
    let mut connection = connected.map_err(|error| from_connect(&error))?;
    let set = connection.execute_batch(PRAGMAS);
    set.map_err(|error| from_sqlite(&connection, &error))?;
    migrations::migrate(&mut connection)?;
    recover(&mut connection).map_err(|error| from_sqlite(&connection, &error))?;
    Ok(connection)
}

/// Writes the write-ahead log that the previous process left anew, as it is, and syncs it. After its failed fsync, the system may have
/// a part of the log in memory that no further sync writes: a loss of power would end the log there, with all that was written
/// behind it.
///
/// # Errors
/// The operating system's error.
pub fn rewrite_log(path: &Path) -> io::Result<()> {
    let log = match File::options().read(true).write(true).open(path) {
        Ok(log) => log,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let (mut block, mut offset) = (vec![0; LOG_BLOCK_BYTES], 0);
    loop {
        let len = log.read_at(&mut block, offset)?;
        let Some(bytes) = block.get(..len).filter(|bytes| !bytes.is_empty()) else {
            return log.sync_data();
        };
        log.write_all_at(bytes, offset)?;
        offset += len as u64;
    }
}

fn recover(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    recovery::recover(&transaction)?;
    transaction.commit()
}
