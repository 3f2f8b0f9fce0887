//! Loss of power for tests of an SQLite store: records the writes and syncs of a folder's files, and returns what a disk may contain
//! if the power fails after any of them. Syncs and writes can be made to fail.
//!
//! A killed process loses nothing that it has written; a machine without power loses what was not synced, in any order.

mod image;
mod recorder;

pub use image::{Image, Loss, image, image_of};
pub use recorder::{
    Operation, fail_sync_after, fail_writes, finish, install, note_rewrite, recorded, start,
};
