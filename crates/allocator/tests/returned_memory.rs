//! Freed memory goes back to the system.

use std::fs;
use std::thread;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: allocator::MiMalloc = allocator::MiMalloc;

const BLOCK_BYTES: usize = 20 << 20;

#[cfg(target_os = "linux")]
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

#[cfg(target_os = "linux")]
#[test]
fn freed_blocks_are_returned_within_a_part_of_a_second() {
    allocator::return_memory_quickly();
    let before = resident_bytes();
    let blocks: Vec<_> = (0..5).map(|_| vec![1_u8; BLOCK_BYTES]).collect();
    assert!(resident_bytes() > before + 4 * BLOCK_BYTES);
    drop(blocks);
    // By default it is a second. mimalloc looks for pages to return when memory is allocated or freed.
    for _ in 0..15 {
        thread::sleep(Duration::from_millis(20));
        drop(vec![1_u8; 1 << 20]);
    }
    assert!(
        resident_bytes() < before + 2 * BLOCK_BYTES,
        "{} bytes before, {} after",
        before,
        resident_bytes()
    );
}
