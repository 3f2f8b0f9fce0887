//! Configuration errors.

use std::{io, path::PathBuf};

use super::setting::Origin;

/// Reason why the configuration was rejected. Never contains the value of a secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that the configuration names cannot be read.
    #[error("{place}: cannot read the file {}", path.display())]
    Read {
        /// Source of the file's path: `extractd.toml:12:1`, or the name of a variable or flag.
        place: String,
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// A key or a value is invalid.
    #[error("{place}: {message}")]
    Invalid {
        /// Source of the key: `extractd.toml:12:1`, or the name of a variable or flag.
        place: String,
        /// Description of the error and of what is allowed.
        message: String,
    },
}

impl Error {
    /// Returns the error for a key or value that was set at `origin`.
    pub(super) fn new(origin: &Origin, message: impl Into<String>) -> Self {
        Self::Invalid {
            place: origin.place(),
            message: message.into(),
        }
    }
}
