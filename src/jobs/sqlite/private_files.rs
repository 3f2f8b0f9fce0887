//! Files and folders that only their owner can read.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Opens a file, or creates it, readable by its owner only.
///
/// # Errors
/// The operating system's error.
pub fn open_private(path: &Path) -> io::Result<File> {
    File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(path)
}

/// Creates a folder with its parents, readable by its owner only, if it is missing. An existing folder keeps its permissions:
/// it may be shared with others.
///
/// # Errors
/// The operating system's error.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700).create(path)
}
