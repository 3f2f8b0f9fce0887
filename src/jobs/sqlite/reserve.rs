//! Reserve of disk space: a file that only takes up room, and is given up while the disk is full. Removing jobs needs room, as
//! does recording how they end.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, fstatvfs};
use rustix::io::Errno;

use super::error::from_open;
use crate::jobs::store::StoreError;
use crate::private_files;

/// Size of the reserve: the uncheckpointed part of the write-ahead log, and one step of a removal.
pub const RESERVE_BYTES: u64 = 16 << 20;
/// Free space, besides the reserve, without which the disk counts as full: room for the write-ahead log. Otherwise a store would
/// be ready for a moment after each removal.
const HEADROOM_BYTES: u64 = 12 << 20;
/// The same at a start, if the reserve of the previous process is there: as much as a group of writes, so that a store that uploads have
/// filled as far as they may is ready again.
const HEADROOM_OF_HELD_BYTES: u64 = 4 << 20;
/// Bytes in one write, where space cannot be allocated without writing.
const BLOCK_BYTES: usize = 1 << 20;

/// Reserved disk space.
#[derive(Debug)]
pub struct Reserve {
    path: PathBuf,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// The space is taken.
    Held,
    /// The space was given up.
    Released,
    /// No file may be that long, so nothing can be reserved.
    Unsupported,
}

impl Reserve {
    /// Returns a reserve without space, beside the store's file at `path`.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.with_extension("reserve"),
            state: State::Released,
        }
    }

    /// Takes the space, if it is not taken.
    ///
    /// # Errors
    /// The disk is full, or cannot be written to.
    pub fn take(&mut self) -> Result<(), StoreError> {
        if self.state == State::Held {
            return Ok(());
        }
        match self.allocate() {
            Ok(()) => self.state = State::Held,
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                if self.state != State::Unsupported {
                    tracing::warn!(
                        file = %self.path.display(),
                        bytes = RESERVE_BYTES,
                        "no file may be long enough to reserve disk space; while the disk is full, jobs can perhaps not be deleted"
                    );
                }
                self.state = State::Unsupported;
            }
            Err(error) => {
                self.release();
                return Err(from_open(&self.path, &error));
            }
        }
        Ok(())
    }

    /// Gives the space up.
    pub fn release(&mut self) {
        if self.state == State::Unsupported {
            return;
        }
        self.state = State::Released;
        if let Err(error) = std::fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(file = %self.path.display(), %error, "the reserved disk space could not be given up");
        }
    }

    /// Returns true if so many bytes are free beside the reserve, or if that is unknown.
    pub fn has_room(&self, bytes: u64) -> bool {
        if self.state == State::Unsupported {
            return true;
        }
        let room = private_files::open_file(&self.path).and_then(|file| {
            // An attempt to allocate more than is free would fill the disk for a moment.
            let disk = fstatvfs(&file)?;
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            // Some file systems do not know their size.
            if disk.f_blocks > 0 && free < bytes {
                return Ok(false);
            }
            // The free space may not be that of a quota.
            let allocated = allocate(&file, RESERVE_BYTES.saturating_add(bytes));
            file.set_len(RESERVE_BYTES)?;
            allocated.map(|()| true)
        });
        room.unwrap_or_else(|error| {
            let unknown = [io::ErrorKind::FileTooLarge, io::ErrorKind::Unsupported];
            unknown.contains(&error.kind())
        })
    }

    fn allocate(&self) -> io::Result<()> {
        let file = private_files::open_file(&self.path)?;
        let is_there = file.metadata()?.len() >= RESERVE_BYTES;
        let headroom = if is_there {
            HEADROOM_OF_HELD_BYTES
        } else {
            HEADROOM_BYTES
        };
        match allocate(&file, RESERVE_BYTES + headroom) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => write_noise(&file)?,
            allocated => allocated?,
        }
        file.set_len(RESERVE_BYTES)
    }
}

/// Takes space for so many bytes of a file.
///
/// # Errors
/// There is no room, or (`Unsupported`) space cannot be allocated without writing.
fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    fallocate(file, FallocateFlags::empty(), 0, bytes).map_err(|error| match error {
        Errno::OPNOTSUPP | Errno::NOSYS => io::ErrorKind::Unsupported.into(),
        // A quota is a full disk for its user.
        Errno::DQUOT => io::ErrorKind::StorageFull.into(),
        error => error.into(),
    })
}

/// Fills the file with bytes that cannot be compressed.
fn write_noise(mut file: &File) -> io::Result<()> {
    let mut noise = vec![0; BLOCK_BYTES];
    let mut written = 0;
    while written < RESERVE_BYTES {
        noise.fill_with(|| fastrand::u8(..));
        file.write_all(&noise)?;
        written += BLOCK_BYTES as u64;
    }
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::super::tests::Folder;
    use super::*;

    #[test]
    fn the_reserve_takes_space_and_gives_it_up() {
        use std::os::unix::fs::MetadataExt;
        let folder = Folder::new("reserve");
        let mut reserve = Reserve::new(&folder.file());
        let path = folder.file().with_extension("reserve");
        for _ in 0..2 {
            reserve.take().unwrap();
            let blocks = std::fs::metadata(&path).unwrap().blocks();
            assert!(blocks * 512 >= RESERVE_BYTES, "{blocks} blocks");
            reserve.release();
            assert!(!path.exists());
        }
    }

    #[test]
    fn room_is_looked_for_beside_the_reserve_and_given_back() {
        let folder = Folder::new("room");
        let mut reserve = Reserve::new(&folder.file());
        reserve.take().unwrap();
        assert!(reserve.has_room(1 << 20));
        assert!(!reserve.has_room(1 << 60), "no disk has as much");
        let path = folder.file().with_extension("reserve");
        assert_eq!(std::fs::metadata(path).unwrap().len(), RESERVE_BYTES);
    }

    #[test]
    fn noise_takes_space_where_it_cannot_be_allocated() {
        let folder = Folder::new("noise");
        let path = folder.file();
        write_noise(&private_files::open_file(&path).unwrap()).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), RESERVE_BYTES);
    }
}
