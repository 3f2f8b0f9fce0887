//! Writes while the disk is full: some of them use the reserved space, one by one, and the others wait or fail.

use super::WriteThread;
use crate::jobs::sqlite::group_commit::{execute_group, report_success};
use crate::jobs::sqlite::write_class::WriteClass;
use crate::jobs::sqlite::write_job::WriteJob;
use crate::jobs::store::StoreError;

/// Maximum number of vacuums, of about 4 MiB each, after a removal on a full disk: together as much as the longest input.
const MAX_VACUUMS: u32 = 16;

impl WriteThread {
    /// Executes the writes that may use the reserved space, one by one, and takes the space again if there is room. Returns
    /// true if a write was executed.
    pub(super) fn write_when_full(&mut self, group: Vec<WriteJob>) -> bool {
        let mut writes = std::mem::take(&mut self.stalled);
        writes.extend(group);
        self.reserve.release();
        let mut ready = self.database.truncate_log();
        let mut has_progress = false;
        for write in writes {
            let WriteJob { class, bytes, .. } = write;
            if ready.is_err() || !class.is_executed_when_full(bytes, self.results_left) {
                let error = ready.as_ref().err().unwrap_or(&StoreError::Full).clone();
                self.stall_or_reject(vec![write], &error);
                continue;
            }
            match self.execute_one(write) {
                Ok(()) => {
                    has_progress = true;
                    self.results_left = class.results_left_after(bytes, self.results_left);
                    ready = self.after_reserved_write(class);
                }
                Err(error) => ready = Err(error),
            }
        }
        match ready.and_then(|()| self.take_reserve()) {
            Ok(()) => self.set_writable(),
            Err(error) => self.health.set_error(error),
        }
        has_progress
    }

    /// Executes one write, and reports or keeps it.
    ///
    /// # Errors
    /// The error of the store, if it affects the writes after this one.
    fn execute_one(&mut self, write: WriteJob) -> Result<(), StoreError> {
        let mut group = vec![write];
        let result = execute_group(&mut self.database, &mut group);
        match &result {
            Ok(()) => report_success(group),
            Err(error) => self.stall_or_reject(group, error),
        }
        result
    }

    /// Frees what a write released, so that the next one has the same space.
    fn after_reserved_write(&self, class: WriteClass) -> Result<(), StoreError> {
        self.database.truncate_log()?;
        if class == WriteClass::Removal {
            // The pages of one large row are more than a vacuum returns at once.
            for _ in 0..MAX_VACUUMS {
                if !self.database.vacuum()? {
                    break;
                }
                self.database.truncate_log()?;
            }
        }
        Ok(())
    }

    /// Takes the reserved space again, and writes something.
    fn take_reserve(&mut self) -> Result<(), StoreError> {
        self.reserve.take()?;
        execute_group(&mut self.database, &mut Vec::new())
    }
}
