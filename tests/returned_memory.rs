//! Freed memory goes back to the system soon, also what another thread has allocated: the values of a large body are parsed on one
//! thread and freed on another.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::thread;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const VALUES: usize = 1_000_000;

fn resident_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib: usize = line
        .unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    kib << 10
}

#[test]
fn freed_memory_is_returned_within_a_part_of_a_second() {
    extractd::app::return_memory_when_idle();
    let before = resident_bytes();
    let parsing = thread::spawn(|| (0..VALUES).map(|n| Box::new([n; 8])).collect::<Vec<_>>());
    let values = parsing.join().unwrap();
    let held = resident_bytes() - before;
    assert!(held > VALUES * 64, "{held} bytes");
    drop(values);
    // The default of jemalloc is ten seconds, and that of mimalloc was a second.
    thread::sleep(Duration::from_millis(400));
    let kept = resident_bytes().saturating_sub(before);
    assert!(kept < held / 4, "{kept} of {held} bytes are kept");
}
