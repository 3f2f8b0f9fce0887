//! Size of the memory that the process may use: of the machine, or of its control group if that is smaller.

use std::fs;
use std::path::Path;

/// Budget if the machine's memory cannot be read, in bytes: 1 GiB.
const FALLBACK_BYTES: usize = 1 << 30;

/// Memory of the program itself while it is busy, in bytes: its code and threads (about 40 MiB without the built-in model), the page caches
/// of the job store (up to 32 MiB), and the buffers of connections.
const PROGRAM_BYTES: usize = 96 << 20;

/// Returns the part of `limits.max_memory_bytes` that requests may not hold: 96 MiB for the program itself and an eighth for the pages that
/// the allocator has not returned yet; half of a budget below 256 MiB. In seven minutes of `scripts/attack.py` with a budget of 512 MiB,
/// the process had at most 157 MiB beside what requests held.
pub fn process_share(max_memory_bytes: usize) -> usize {
    (PROGRAM_BYTES + max_memory_bytes / 8).min(max_memory_bytes / 2)
}

/// Returns the default of `limits.max_memory_bytes`: half of the memory. The other half is for the built-in model and the system.
pub fn default_budget() -> usize {
    let machine = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| total_of(&text));
    let limits = machine
        .into_iter()
        .chain(group_limits(Path::new("/sys/fs/cgroup")));
    limits.min().map_or(FALLBACK_BYTES, |bytes| bytes / 2)
}

/// Returns `MemTotal` of `/proc/meminfo`, in bytes.
fn total_of(meminfo: &str) -> Option<usize> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// Returns the memory limits of the process's control groups, of either version.
fn group_limits(root: &Path) -> Vec<usize> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut files = vec![
        root.join("memory.max"),
        root.join("memory/memory.limit_in_bytes"),
    ];
    for group in groups.lines().filter_map(|line| line.splitn(3, ':').nth(2)) {
        let group = Path::new(group.trim_start_matches('/'));
        for ancestor in group.ancestors() {
            files.push(root.join(ancestor).join("memory.max"));
            files.push(
                root.join("memory")
                    .join(ancestor)
                    .join("memory.limit_in_bytes"),
            );
        }
    }
    let limits = files
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok());
    limits.filter_map(|text| text.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_and_the_allocator_have_their_share() {
        for (budget, share) in [(16, 8), (128, 64), (256, 128), (512, 160), (8192, 1120)] {
            assert_eq!(process_share(budget << 20), share << 20, "{budget} MiB");
        }
    }

    #[test]
    fn the_memory_of_the_machine_is_read() {
        let text = "MemTotal:       16384000 kB\nMemFree: 1 kB\n";
        assert_eq!(total_of(text), Some(16_384_000 * 1024));
        assert_eq!(total_of("MemFree: 1 kB\n"), None);
        assert!(default_budget() >= 64 << 20);
    }

    #[test]
    fn the_limit_of_a_control_group_is_read() {
        let root =
            std::env::temp_dir().join(format!("extractd-cgroup-{}", crate::types::ids::new_uuid()));
        fs::create_dir_all(&root).unwrap();
        fs::write(root.join("memory.max"), "536870912\n").unwrap();
        let limits = group_limits(&root);
        fs::write(root.join("memory.max"), "max\n").unwrap();
        let unlimited = group_limits(&root);
        fs::remove_dir_all(&root).unwrap();
        assert_eq!((limits.contains(&536_870_912), unlimited.len()), (true, 0));
    }
}
