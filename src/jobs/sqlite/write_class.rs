//! Classes of writes, by what they do while the disk is full.

/// Class of a write. While the disk is full, a write either fails or waits, and may or may not use the reserved space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteClass {
    /// Begins something: a new job, its inputs. Fails.
    Ordinary,
    /// Precedes calls to models: a job's start, the lease of its items. Waits, so that nothing is called.
    Work,
    /// Results of calls that were made. Uses a part of the reserve, then waits.
    Results,
    /// Ends something: a job, a delivery, the process. Uses the reserve; waits if that does not suffice.
    Finish,
    /// Ends something for a caller that waits for the response. Uses the reserve; fails if that does not suffice.
    FinishNow,
    /// Removes rows. Uses the reserve; waits if that does not suffice.
    Removal,
}

impl WriteClass {
    /// Returns true if the write waits while it cannot be executed.
    pub const fn waits(self) -> bool {
        !matches!(self, Self::Ordinary | Self::FinishNow)
    }

    /// Returns true if the write, if it is large, is made only with room for it beside the reserve. The others make room, or are
    /// small.
    pub const fn needs_room(self) -> bool {
        matches!(self, Self::Ordinary | Self::Work | Self::Results)
    }

    /// Returns true if the write is executed while the disk is full. `results_left` is the part of the reserve, in bytes, that
    /// results may still use.
    pub const fn is_executed_when_full(self, bytes: usize, results_left: usize) -> bool {
        match self {
            Self::Ordinary | Self::Work => false,
            Self::Results => bytes <= results_left,
            Self::Finish | Self::FinishNow | Self::Removal => true,
        }
    }

    /// Returns the part of the reserve that results may still use after this write was executed.
    pub const fn results_left_after(self, bytes: usize, results_left: usize) -> usize {
        match self {
            Self::Results => results_left.saturating_sub(bytes),
            _ => results_left,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_use_a_part_of_the_reserve_until_nothing_is_left_of_it() {
        let mut left = 100;
        for (class, bytes, expected) in [
            (WriteClass::Results, 60, 40),
            (WriteClass::Removal, 1_000, 40),
            (WriteClass::Finish, 10, 40),
            (WriteClass::Results, 40, 0),
        ] {
            assert!(class.is_executed_when_full(bytes, left), "{class:?}");
            left = class.results_left_after(bytes, left);
            assert_eq!(left, expected, "{class:?}");
        }
        assert!(!WriteClass::Results.is_executed_when_full(1, left));
        assert!(!WriteClass::Work.is_executed_when_full(0, 100));
    }
}
