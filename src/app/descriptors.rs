//! Descriptors of open files: their limit is raised at the start, and connections may take a part of them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::http;

/// Part of the descriptors that is kept for calls to providers, the job store and files: one of so many.
const KEPT_PART: u64 = 4;
/// Memory of a connection without a request, in bytes: its task, and the buffers that it begins with, with some room.
const CONNECTION_BYTES: usize = 32 * 1024;
/// Memory of a connection that keeps the buffer of a large head, in bytes.
const LARGE_CONNECTION_BYTES: usize = CONNECTION_BYTES + http::MAX_CONNECTION_BUFFER;

/// Raises the number of files that the process may have open to the maximum that the system permits it. Returns the new limit; `None` if
/// the number is not limited.
pub fn raise_limit() -> Option<u64> {
    let before = getrlimit(Resource::Nofile);
    if before.current == before.maximum {
        return before.current;
    }
    let wanted = Rlimit {
        current: before.maximum,
        maximum: before.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, wanted) {
        let limit = before.current;
        tracing::info!(%error, limit, "the limit of open files cannot be raised; set a higher one (`ulimit -n`)");
    }
    getrlimit(Resource::Nofile).current
}

/// Returns the maximum number of connections: three quarters of the descriptors, and as many as have room in the memory of the process
/// itself, `process_bytes`.
pub fn max_connections(descriptors: Option<u64>, process_bytes: usize) -> usize {
    let by_memory = process_bytes / CONNECTION_BYTES;
    let by_descriptors = descriptors.map(|all| all - all / KEPT_PART);
    let by_descriptors = by_descriptors.and_then(|all| usize::try_from(all).ok());
    by_descriptors.map_or(by_memory, |most| most.min(by_memory))
}

/// Returns as how many of `max` connections one with a large head counts: one, unless such connections could take more than the memory of
/// the process itself, `process_bytes`.
pub fn places_of_large(max: usize, process_bytes: usize) -> usize {
    let all_large = max.saturating_mul(LARGE_CONNECTION_BYTES);
    all_large.div_ceil(process_bytes.max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_to_the_hard_one() {
        raise_limit();
        let now = getrlimit(Resource::Nofile);
        assert_eq!(now.current, now.maximum);
    }

    #[test]
    fn connections_leave_descriptors_and_memory() {
        assert_eq!(max_connections(Some(1_024), 1 << 30), 768);
        assert_eq!(max_connections(Some(1 << 30), 128 << 20), 4_096);
        assert_eq!(max_connections(None, 128 << 20), 4_096);
    }

    #[test]
    fn large_heads_leave_memory_too() {
        assert_eq!(places_of_large(4_096, 128 << 20), 4);
        assert_eq!(places_of_large(1_500, 128 << 20), 2);
        assert_eq!(places_of_large(768, 128 << 20), 1);
        assert_eq!(places_of_large(0, 0), 1);
    }
}
