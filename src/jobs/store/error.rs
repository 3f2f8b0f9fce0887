//! Errors of the job store, by what an operator or a retry can do about them.

/// Reason why a store operation failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The disk is full. Writes of running jobs are retried until there is room.
    #[error("the disk is full; make room on it, at least 28 MiB")]
    Full,
    /// The file cannot be written to. Writes of running jobs are retried.
    #[error(
        "the store's file cannot be written to; check its owner, its permissions and the mount"
    )]
    ReadOnly,
    /// Another process has the store open.
    #[error("another process has the store open; stop it, or use another `data_dir`")]
    Locked,
    /// The file is locked at the moment. Writes of running jobs are retried.
    #[error("the store is locked at the moment; the write is retried")]
    Busy,
    /// The operating system reported an I/O error other than a full disk, such as a failed fsync. The contents of the disk
    /// are unknown, so nothing is retried, and nothing is written until a restart.
    #[error("the store stopped after an I/O error ({0}); check the disk, then restart the server")]
    Io(String),
    /// The store could not be opened. Opening it is tried again.
    #[error("the store cannot be opened ({0}); it is tried again every second")]
    Unopened(String),
    /// A file of the store was removed or replaced while it is open. What is written would be lost.
    #[error(
        "{0} while the server runs; put it back, or restart the server to use what is there now"
    )]
    Gone(String),
    /// A caller's jobs, or those of all callers, would take more than is allowed.
    #[error("{0}")]
    Quota(StorageQuota),
    /// A newer version of this program created the file.
    #[error(
        "the store was created by a newer extractd (layout {found}, this version knows {known}); use that version, or another `data_dir`"
    )]
    Newer {
        /// Layout of the file.
        found: i64,
        /// Newest layout of this version.
        known: i64,
    },
    /// The file is damaged, or was not created by extractd.
    #[error(
        "the store's file is damaged or was not created by extractd ({0}); restore a backup, or move the file away to start empty"
    )]
    Corrupt(String),
    /// Any other error.
    #[error("the store failed: {0}")]
    Other(String),
}

impl StoreError {
    /// Returns true if no write succeeds until a restart: what is on the disk is unknown, or damaged.
    #[must_use]
    pub const fn is_permanent(&self) -> bool {
        matches!(self, Self::Io(_) | Self::Corrupt(_))
    }

    /// Returns true if the error is of the store, so that all writes fail, and not of a single write.
    #[must_use]
    pub const fn affects_all_writes(&self) -> bool {
        matches!(
            self,
            Self::Full
                | Self::ReadOnly
                | Self::Busy
                | Self::Io(_)
                | Self::Gone(_)
                | Self::Unopened(_)
                | Self::Corrupt(_)
        )
    }

    /// Returns true if the store may be opened later, so that a server starts without it.
    #[must_use]
    pub const fn can_be_opened_later(&self) -> bool {
        matches!(
            self,
            Self::Full | Self::ReadOnly | Self::Busy | Self::Io(_) | Self::Unopened(_)
        )
    }
}

/// Limit of stored jobs that is reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageQuota {
    /// Number of one caller's jobs.
    #[error(
        "the caller has {max} stored jobs, the most it may have; delete jobs that have ended, or raise `jobs.max_per_caller`"
    )]
    Jobs { max: u64 },
    /// Bytes of one caller's jobs.
    #[error(
        "the caller's stored jobs would take more than {max} bytes; delete jobs that have ended, or raise `jobs.max_bytes_per_caller`"
    )]
    Bytes { max: u64 },
    /// Bytes of all callers' jobs.
    #[error(
        "the stored jobs of all callers would take more than {max} bytes; delete jobs that have ended, or raise `jobs.max_stored_bytes`"
    )]
    AllBytes { max: u64 },
    /// Bytes of one of several callers' jobs: what it leaves to the others of the bytes of all.
    #[error(
        "the caller's stored jobs would take more than stays free of {max} bytes for the other callers; delete jobs that have ended, or raise `jobs.max_stored_bytes`"
    )]
    ShareOfAllBytes { max: u64 },
    /// Room on the disk.
    #[error(
        "the disk has too little room for the job; delete jobs that have ended, or make room on the disk"
    )]
    Disk,
    /// Bytes of one of several callers' jobs: what it leaves to the others of the room on the disk.
    #[error(
        "the caller's stored jobs would take more than stays free on the disk for the other callers; delete jobs that have ended, or make room on the disk"
    )]
    ShareOfDisk,
}

impl StorageQuota {
    /// Returns true if the limit is that of one caller, and others may have room.
    #[must_use]
    pub const fn is_of_caller(&self) -> bool {
        !matches!(self, Self::AllBytes { .. } | Self::Disk)
    }
}
