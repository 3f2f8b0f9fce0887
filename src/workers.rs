//! Worker threads: those that handle requests and run jobs, and those that serve connections.
//!
//! Connections have workers of their own, which read and write. Requests are handled by the other workers, which also make the responses. One
//! more thread accepts the connections, and answers health probes: a probe waits behind neither the requests nor the other connections.

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

/// Worker threads of connections: one that accepts them, and one for each core, at least two, that serve them. When this is dropped, their tasks
/// are cancelled, and they end; the drop does not wait for them.
#[derive(Debug)]
pub struct ConnectionWorkers {
    accepting: Workers,
    serving: Workers,
}

/// Handles by which tasks are spawned on the threads of connections.
#[derive(Debug, Clone)]
pub struct ConnectionHandles {
    /// Of the thread that accepts connections, and serves those of health probes.
    pub accepting: Handle,
    /// Of the threads that serve all other connections.
    pub serving: Handle,
}

impl ConnectionWorkers {
    /// Starts the threads.
    ///
    /// # Errors
    /// If the operating system refuses a thread or a poll descriptor.
    pub fn start() -> io::Result<Self> {
        let cores = available_parallelism().map_or(1, NonZero::get);
        Ok(Self {
            accepting: Workers::start("accept", 1)?,
            serving: Workers::start("connections", cores.max(MIN_CONNECTION_WORKERS))?,
        })
    }

    /// Returns the handles of the threads.
    #[must_use]
    pub fn handles(&self) -> ConnectionHandles {
        ConnectionHandles {
            accepting: self.accepting.handle.clone(),
            serving: self.serving.handle.clone(),
        }
    }
}

/// Threads of a runtime.
#[derive(Debug)]
struct Workers {
    handle: Handle,
    /// `None` once it is shut down.
    runtime: Option<Runtime>,
}

impl Workers {
    /// Starts `count` threads.
    fn start(name: &str, count: usize) -> io::Result<Self> {
        let runtime = runtime_builder()
            .worker_threads(count)
            .thread_name(name)
            .build()?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }
}

impl Drop for Workers {
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

    use tokio::task::JoinHandle;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn connections_are_served_while_all_other_workers_are_busy() {
        let workers = ConnectionWorkers::start().unwrap();
        let ConnectionHandles { accepting, serving } = workers.handles();
        let tasks = [accepting.spawn(async {}), serving.spawn(async {})];
        let have_ended = || tasks.iter().all(JoinHandle::is_finished);
        let until = Instant::now() + Duration::from_secs(10);
        // Keeps the only worker of the test.
        while !have_ended() && Instant::now() < until {
            thread::yield_now();
        }
        assert!(have_ended());
    }

    #[tokio::test]
    async fn tasks_end_with_the_workers() {
        let workers = ConnectionWorkers::start().unwrap();
        let ConnectionHandles { accepting, serving } = workers.handles();
        let tasks = [accepting, serving].map(|handle| handle.spawn(std::future::pending::<()>()));
        drop(workers);
        for task in tasks {
            let ended = timeout(Duration::from_secs(10), task).await.unwrap();
            assert!(ended.unwrap_err().is_cancelled());
        }
    }
}
