//! Worker threads: those that handle requests and run jobs, and those that serve connections.
//!
//! Connections have workers of their own, which read, write, and answer health probes. Requests are handled by the other workers, which
//! also make the responses: a probe does not wait behind them.

use std::io;
use std::num::NonZero;
use std::thread::available_parallelism;

use tokio::runtime::{Builder, Handle, Runtime};

/// Stack size of a worker thread in bytes: a valid answer may be nested 128 deep, and validation
/// recurses.
const STACK_BYTES: usize = 8 * 1024 * 1024;

/// Minimum number of workers for connections: with only one, all connections would wait for the longest poll of any.
const MIN_CONNECTION_WORKERS: usize = 2;

/// Returns the builder of a runtime whose workers have room for deeply nested values.
#[must_use]
pub fn runtime_builder() -> Builder {
    let mut builder = Builder::new_multi_thread();
    builder.enable_all().thread_stack_size(STACK_BYTES);
    builder
}

/// Worker threads of connections: one for each core, at least two. When this is dropped, their tasks are cancelled, and they end; the drop does not wait for
/// them.
#[derive(Debug)]
pub struct ConnectionWorkers {
    handle: Handle,
    /// `None` once it is shut down.
    runtime: Option<Runtime>,
}

impl ConnectionWorkers {
    /// Starts the threads.
    ///
    /// # Errors
    /// If the operating system refuses a thread or a poll descriptor.
    pub fn start() -> io::Result<Self> {
        let cores = available_parallelism().map_or(1, NonZero::get);
        let runtime = runtime_builder()
            .worker_threads(cores.max(MIN_CONNECTION_WORKERS))
            .thread_name("connections")
            .build()?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }

    /// Returns the handle by which tasks are spawned on the threads.
    #[must_use]
    pub const fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for ConnectionWorkers {
    fn drop(&mut self) {
        // The drop of a runtime would block until its threads have ended, which the worker of another one may not do.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::{Duration, Instant};

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn connections_are_served_while_all_other_workers_are_busy() {
        let workers = ConnectionWorkers::start().unwrap();
        let task = workers.handle().spawn(async {});
        let until = Instant::now() + Duration::from_secs(10);
        // Keeps the only worker of the test.
        while !task.is_finished() && Instant::now() < until {
            thread::yield_now();
        }
        assert!(task.is_finished());
    }

    #[tokio::test]
    async fn tasks_end_with_the_workers() {
        let workers = ConnectionWorkers::start().unwrap();
        let task = workers.handle().spawn(std::future::pending::<()>());
        drop(workers);
        let ended = timeout(Duration::from_secs(10), task).await.unwrap();
        assert!(ended.unwrap_err().is_cancelled());
    }
}
