//! Class of a request: single, batch or job.

/// Class of a request: decides how long its items wait for a provider, and their priority. Ordered by their patience.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RequestClass {
    Single,
    Batch,
    /// Items of a job wait without limit, because no client waits for them.
    Job,
}

impl RequestClass {
    /// Returns the name in traces.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Batch => "batch",
            Self::Job => "job",
        }
    }
}
