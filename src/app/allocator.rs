//! Options of the allocator that are set at run time. The others are compiled in from `.cargo/config.toml`.

use std::hint::black_box;

/// Size of a block that is returned to the system when it is freed, in bytes: above `oversize_threshold` of jemalloc on any processor.
const LARGE_BLOCK_BYTES: usize = 512 * 1024;

/// Starts the threads of jemalloc that return freed memory while nothing is allocated.
///
/// jemalloc decides when the first large block is allocated whether to return large blocks at once, which it does only if there are no
/// such threads yet. So a block is allocated first.
pub fn return_memory_when_idle() {
    drop(black_box(vec![1_u8; LARGE_BLOCK_BYTES]));
    if let Err(error) = tikv_jemalloc_ctl::background_thread::write(true) {
        tracing::warn!(%error, "freed memory is returned to the system late, while the server is idle");
    }
}
