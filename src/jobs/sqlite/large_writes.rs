//! Large writes for which the disk has no room beside the reserve: they wait, and the others go on.
//!
//! A write that does not fit would fill the disk with its part of the write-ahead log. The log could then not be copied into the file,
//! and without that nothing can be removed.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Interval at which one of the waiting writes is tried again.
const TRY_INTERVAL: Duration = Duration::from_millis(500);

/// Returns the free space, beside the reserve, that a write of about so many bytes needs: it is in the write-ahead log and in the file
/// at the same time, in pages that are not filled.
pub fn needed_room(bytes: usize) -> u64 {
    let bytes = bytes as u64;
    bytes.saturating_mul(2).saturating_add(bytes / 8)
}

/// Large writes that wait for room.
#[derive(Debug)]
pub struct LargeWrites<W> {
    /// Oldest first, unless it was tried in vain.
    waiting: VecDeque<W>,
    next_try: Instant,
    /// True if a lack of room was logged since the last large write that had room.
    is_logged: bool,
}

impl<W> Default for LargeWrites<W> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            next_try: Instant::now(),
            is_logged: false,
        }
    }
}

impl<W> LargeWrites<W> {
    /// Adds a write for which there is no room.
    pub fn push(&mut self, write: W) {
        self.next_try = Instant::now() + TRY_INTERVAL;
        self.waiting.push_back(write);
    }

    /// Takes a write that is to be tried now.
    pub fn pop(&mut self) -> Option<W> {
        if Instant::now() < self.next_try {
            return None;
        }
        self.waiting.pop_front()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes all writes.
    pub fn drain(&mut self) -> impl Iterator<Item = W> {
        self.waiting.drain(..)
    }

    /// Logs that a write of about so many bytes has no room, unless that is known.
    pub fn log_lack(&mut self, bytes: usize) {
        if !std::mem::replace(&mut self.is_logged, true) {
            tracing::warn!(
                bytes,
                needed = needed_room(bytes),
                "the disk has no room for a large write to the job store beside what is reserved; a result waits for room, and an upload fails"
            );
        }
    }

    /// Records that a large write has room.
    pub const fn note_room(&mut self) {
        self.is_logged = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_tried_again_after_a_pause() {
        let mut large = LargeWrites::default();
        assert_eq!(large.pop(), None);
        let begun = Instant::now();
        large.push(1);
        large.push(2);
        assert!(!large.is_empty());
        while large.pop() != Some(1) {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(begun.elapsed() >= TRY_INTERVAL);
        large.push(1);
        assert_eq!(large.drain().collect::<Vec<_>>(), [2, 1]);
        assert!(large.is_empty());
    }

    #[test]
    fn a_write_needs_room_in_the_log_and_in_the_file() {
        // 60 MiB of one value took 61.5 MiB in each.
        let measured = 2 * 63_003 * 1024;
        assert!(needed_room(60 << 20) > measured);
        assert_eq!(needed_room(usize::MAX), u64::MAX);
    }
}
