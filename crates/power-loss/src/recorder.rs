//! Recorder: the default file system of SQLite, with its writes, truncations, syncs and deletions noted, and with failures on demand.
//!
//! A file is opened by SQLite's own file system, and gets a copy of its table of methods in which four are replaced.

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use rusqlite::ffi;

/// Change of a file, or its sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    Write {
        file: PathBuf,
        offset: u64,
        data: Vec<u8>,
    },
    Truncate {
        file: PathBuf,
        size: u64,
    },
    Sync {
        file: PathBuf,
    },
    /// Sync that failed: what it should have written may be on the disk or not, and no later sync writes it.
    FailedSync {
        file: PathBuf,
    },
    Delete {
        file: PathBuf,
        /// True if the folder is synced.
        is_synced: bool,
    },
}

#[derive(Default)]
struct State {
    /// Folder whose files are recorded.
    folder: Option<PathBuf>,
    operations: Vec<Operation>,
    /// Number of syncs until one fails.
    syncs_until_failure: Option<usize>,
    /// Error of the operating system with which writes fail.
    write_error: Option<i32>,
    /// Open files, by the address of SQLite's object.
    open: HashMap<usize, OpenFile>,
    /// Tables with replaced methods, by the address of the original. They live as long as the process.
    tables: HashMap<usize, usize>,
}

impl State {
    fn is_recorded(&self, path: &Path) -> bool {
        let folder = self.folder.as_ref();
        folder.is_some_and(|folder| path.starts_with(folder))
    }

    /// Returns true if the next sync fails.
    fn takes_sync_failure(&mut self) -> bool {
        let until = self.syncs_until_failure.take();
        self.syncs_until_failure = until.and_then(|until| until.checked_sub(1));
        until == Some(0)
    }
}

struct OpenFile {
    path: PathBuf,
    /// Address of the original table of methods.
    methods: usize,
}

static STATE: Mutex<Option<State>> = Mutex::new(None);

fn state() -> MutexGuard<'static, Option<State>> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn with_state<T>(work: impl FnOnce(&mut State) -> T) -> T {
    work(state().get_or_insert_default())
}

/// Makes the recorder the default file system of SQLite in this process.
///
/// # Panics
/// SQLite refuses it.
pub fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // SAFETY: the default file system lives as long as the process, and so does the copy, which is leaked.
        unsafe {
            let default = ffi::sqlite3_vfs_find(std::ptr::null());
            assert!(!default.is_null(), "SQLite has a file system");
            ORIGINAL.set(default as usize).expect("it is set once");
            let mut copy = Box::new(std::ptr::read(default));
            copy.zName = c"recorder".as_ptr();
            copy.pNext = std::ptr::null_mut();
            copy.xOpen = Some(open);
            copy.xDelete = Some(delete);
            copy.xGetLastError = Some(last_error);
            let registered = ffi::sqlite3_vfs_register(Box::into_raw(copy), 1);
            assert_eq!(registered, ffi::SQLITE_OK, "the recorder is registered");
        }
    });
}

static ORIGINAL: std::sync::OnceLock<usize> = std::sync::OnceLock::new();

fn original() -> *mut ffi::sqlite3_vfs {
    *ORIGINAL.get().expect("the recorder is installed") as *mut ffi::sqlite3_vfs
}

/// Begins to record the files of a folder.
pub fn start(folder: &Path) {
    with_state(|state| {
        state.folder = Some(folder.to_owned());
        state.operations.clear();
        state.syncs_until_failure = None;
        state.write_error = None;
    });
}

/// Lets a sync fail that comes after so many others, once; `None`: no sync fails.
pub fn fail_sync_after(syncs: Option<usize>) {
    with_state(|state| state.syncs_until_failure = syncs);
}

/// Lets all writes fail with this error of the operating system, until it is `None`.
pub fn fail_writes(errno: Option<i32>) {
    with_state(|state| state.write_error = errno);
}

/// Records that the contents of a file were written anew and synced by other means than SQLite.
pub fn note_rewrite(path: &Path, data: Vec<u8>) {
    with_state(|state| {
        let write = |file| Operation::Write {
            file,
            offset: 0,
            data,
        };
        record(state, path, write);
        record(state, path, |file| Operation::Sync { file });
    });
}

/// Returns the number of operations so far.
#[must_use]
pub fn recorded() -> usize {
    with_state(|state| state.operations.len())
}

/// Ends the recording, and returns the operations.
#[must_use]
pub fn finish() -> Vec<Operation> {
    with_state(|state| {
        state.folder = None;
        state.syncs_until_failure = None;
        state.write_error = None;
        std::mem::take(&mut state.operations)
    })
}

fn record(state: &mut State, path: &Path, operation: impl FnOnce(PathBuf) -> Operation) {
    if state.is_recorded(path) {
        state.operations.push(operation(path.to_owned()));
    }
}

/// Records an operation on an open file, and returns its original methods.
fn note(
    file: *mut ffi::sqlite3_file,
    operation: impl FnOnce(PathBuf) -> Operation,
) -> *const ffi::sqlite3_io_methods {
    with_state(|state| {
        let open = &state.open[&(file as usize)];
        let (path, methods) = (open.path.clone(), open.methods);
        record(state, &path, operation);
        methods as *const ffi::sqlite3_io_methods
    })
}

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let vfs = original();
    // SAFETY: the arguments are SQLite's, for the file system that it would use otherwise.
    unsafe {
        let Some(open) = (*vfs).xOpen else {
            return ffi::SQLITE_CANTOPEN;
        };
        let result = open(vfs, name, file, flags, out_flags);
        // Temporary files have no name.
        if result == ffi::SQLITE_OK && !name.is_null() && !(*file).pMethods.is_null() {
            let path = PathBuf::from(CStr::from_ptr(name).to_string_lossy().into_owned());
            let methods = (*file).pMethods;
            (*file).pMethods = with_state(|state| {
                let open = OpenFile {
                    path,
                    methods: methods as usize,
                };
                state.open.insert(file as usize, open);
                *state
                    .tables
                    .entry(methods as usize)
                    .or_insert_with(|| replaced(methods) as usize)
            }) as *const ffi::sqlite3_io_methods;
        }
        result
    }
}

/// Returns a copy of a table with replaced methods, which lives as long as the process.
///
/// # Safety
/// `methods` is a valid table.
unsafe fn replaced(methods: *const ffi::sqlite3_io_methods) -> *const ffi::sqlite3_io_methods {
    // SAFETY: see above.
    let mut table = Box::new(unsafe { std::ptr::read(methods) });
    table.xWrite = Some(write);
    table.xTruncate = Some(truncate);
    table.xSync = Some(sync);
    table.xClose = Some(close);
    // A file that is mapped into memory would be written past the recorder.
    table.iVersion = table.iVersion.min(2);
    Box::into_raw(table)
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    data: *const c_void,
    len: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite passes `len` bytes, and `methods` are those that opened the file.
    unsafe {
        if with_state(|state| state.write_error.is_some() && is_recorded(state, file)) {
            return ffi::SQLITE_IOERR_WRITE;
        }
        let len_bytes = usize::try_from(len).unwrap_or(0);
        let bytes = std::slice::from_raw_parts(data.cast::<u8>(), len_bytes);
        let methods = note(file, |file| Operation::Write {
            file,
            offset: unsigned(offset),
            data: bytes.to_vec(),
        });
        let write = (*methods).xWrite;
        write.map_or(ffi::SQLITE_IOERR_WRITE, |write| {
            write(file, data, len, offset)
        })
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: ffi::sqlite3_int64) -> c_int {
    let methods = note(file, |file| Operation::Truncate {
        file,
        size: unsigned(size),
    });
    // SAFETY: `methods` are those that opened the file.
    unsafe {
        let truncate = (*methods).xTruncate;
        truncate.map_or(ffi::SQLITE_IOERR_TRUNCATE, |truncate| truncate(file, size))
    }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    // The real sync is left out: it takes time, and nothing here loses its power.
    let _ = flags;
    if with_state(|state| is_recorded(state, file) && state.takes_sync_failure()) {
        note(file, |file| Operation::FailedSync { file });
        return ffi::SQLITE_IOERR_FSYNC;
    }
    note(file, |file| Operation::Sync { file });
    ffi::SQLITE_OK
}

/// Returns true if an open file is recorded.
fn is_recorded(state: &State, file: *mut ffi::sqlite3_file) -> bool {
    let open = &state.open[&(file as usize)];
    state.is_recorded(&open.path)
}

/// Returns the operating system's error of the latest failure.
unsafe extern "C" fn last_error(
    _: *mut ffi::sqlite3_vfs,
    len: c_int,
    message: *mut c_char,
) -> c_int {
    if let Some(errno) = with_state(|state| state.write_error) {
        return errno;
    }
    let vfs = original();
    // SAFETY: the arguments are SQLite's, for the file system that it would use otherwise.
    unsafe {
        let last_error = (*vfs).xGetLastError;
        last_error.map_or(0, |last_error| last_error(vfs, len, message))
    }
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    let open = with_state(|state| state.open.remove(&(file as usize)));
    let methods = open.expect("the file is open").methods as *const ffi::sqlite3_io_methods;
    // SAFETY: `methods` are those that opened the file, and get it back.
    unsafe {
        (*file).pMethods = methods;
        (*methods)
            .xClose
            .map_or(ffi::SQLITE_OK, |close| close(file))
    }
}

unsafe extern "C" fn delete(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    sync_dir: c_int,
) -> c_int {
    let vfs = original();
    // SAFETY: the arguments are SQLite's, for the file system that it would use otherwise.
    unsafe {
        let path = PathBuf::from(CStr::from_ptr(name).to_string_lossy().into_owned());
        let is_synced = sync_dir != 0;
        with_state(|state| record(state, &path, |file| Operation::Delete { file, is_synced }));
        (*vfs).xDelete.map_or(ffi::SQLITE_IOERR_DELETE, |delete| {
            delete(vfs, name, sync_dir)
        })
    }
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
