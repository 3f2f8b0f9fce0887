//! Stream of a job's inputs without a result, read from the store and decoded page by page. The next page is read while the current
//! one is worked on.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::Stream;
use tokio::task::JoinSet;

use super::item_codec::decode_input;
use super::progress::JobProgress;
use super::store::{JobKey, MAX_PAGE_BYTES, PageSize, PendingItem, Store, StoreError};
use crate::extraction::WaitingMemory;
use crate::long_work::{Piece, run_long};
use crate::types::Input;
use throttle::MemoryReservation;

/// Bounds of the page size, which is the job's window of items in flight.
const PAGE_SIZES: std::ops::RangeInclusive<u32> = 16..=256;

/// Time between two checks whether there is room for the results of a job.
const ROOM_CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// Inputs without a result, by index.
pub struct InputStream {
    reader: PageReader,
    /// Inputs of the current page, each with its memory.
    page: VecDeque<Input>,
    next_page: NextPage,
    error: ReadError,
    /// Memory of a large page.
    memory: WaitingMemory,
}

/// Next page of a stream.
enum NextPage {
    /// The page is being read.
    Reading(JoinSet<Result<Page, StoreError>>),
    /// The page is large, and is read once the inputs before it are taken and its memory is reserved.
    Large {
        /// Index from which it begins.
        from: u32,
        size: PageSize,
    },
    /// No page follows: the last one was read, or reading failed.
    None,
}

/// Page of inputs.
enum Page {
    /// It is read.
    Read {
        inputs: VecDeque<Input>,
        /// Index from which the next page begins; `None` after the last page.
        next: Option<u32>,
    },
    /// It is too large to be read ahead.
    Large { from: u32, size: PageSize },
}

/// Error because of which a stream of inputs ended early, shared with the job's run.
#[derive(Debug, Clone, Default)]
pub struct ReadError(Arc<Mutex<Option<StoreError>>>);

impl ReadError {
    /// Returns the error, or `None` if the stream ended after the last input.
    pub fn take(&self) -> Option<StoreError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(&self, error: StoreError) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }
}

impl InputStream {
    /// Begins to read the first page. `window` is the maximum number of items in flight, and `memory` holds the inputs. Each page waits until
    /// the job's caller leaves enough room for the results of others, as `progress` says.
    pub fn new(
        store: &Arc<dyn Store>,
        job: JobKey,
        progress: &Arc<JobProgress>,
        window: usize,
        mut memory: WaitingMemory,
    ) -> Self {
        let page_size = u32::try_from(window)
            .unwrap_or(u32::MAX)
            .clamp(*PAGE_SIZES.start(), *PAGE_SIZES.end());
        let reader = PageReader {
            store: Arc::clone(store),
            job,
            progress: Arc::clone(progress),
            page_size,
        };
        Self {
            page: VecDeque::new(),
            next_page: reader.read_ahead(0, memory.split(0)),
            reader,
            error: ReadError::default(),
            memory,
        }
    }

    /// Returns a handle of the error that may end this stream early.
    pub fn read_error(&self) -> ReadError {
        self.error.clone()
    }

    fn fail(&mut self, error: StoreError) {
        self.next_page = NextPage::None;
        self.error.set(error);
    }

    fn set_page(&mut self, page: Page) {
        match page {
            Page::Read { inputs, next } => {
                self.next_page = match next {
                    Some(from) => self.reader.read_ahead(from, self.memory.split(0)),
                    None => NextPage::None,
                };
                self.page = inputs;
            }
            Page::Large { from, size } => self.next_page = NextPage::Large { from, size },
        }
    }
}

/// Reader of the pages of a job's inputs. The memory of a page is reserved before it is read.
#[derive(Clone)]
struct PageReader {
    store: Arc<dyn Store>,
    job: JobKey,
    progress: Arc<JobProgress>,
    page_size: u32,
}

impl PageReader {
    /// Begins to read the next page, unless it is large. `memory` is an empty reservation.
    fn read_ahead(&self, from: u32, memory: MemoryReservation) -> NextPage {
        let reader = self.clone();
        NextPage::Reading(spawn(async move {
            let size = reader
                .store
                .pending_size(reader.job, from, reader.page_size);
            let size = size.await?;
            if size.rows > 0 {
                reader.wait_for_room().await?;
            }
            if size.bytes > MAX_PAGE_BYTES {
                return Ok(Page::Large { from, size });
            }
            let mut memory = WaitingMemory::new(memory, Duration::MAX);
            // A job waits without an end.
            let _ = memory.reserve_inputs(size.bytes).await;
            reader.lease(from, size, memory.split(size.bytes)).await
        }))
    }

    /// Waits until the job may make further results.
    async fn wait_for_room(&self) -> Result<(), StoreError> {
        loop {
            let quota = self.store.quota_of_results(self.job).await?;
            let waits = quota.is_some();
            self.progress.set_storage_quota(quota);
            if !waits {
                return Ok(());
            }
            tokio::time::sleep(ROOM_CHECK_INTERVAL).await;
        }
    }

    /// Begins to read a page for which there is memory.
    fn read(&self, from: u32, size: PageSize, memory: MemoryReservation) -> NextPage {
        let reader = self.clone();
        NextPage::Reading(spawn(async move { reader.lease(from, size, memory).await }))
    }

    /// Reads a page, leases its items to this process before any of them is handed out, and decodes them.
    async fn lease(
        &self,
        from: u32,
        size: PageSize,
        mut memory: MemoryReservation,
    ) -> Result<Page, StoreError> {
        let items = self.store.pending(self.job, from, size.rows).await?;
        let next = items.last().map(|last| last.index.saturating_add(1));
        if let Some(until) = next {
            self.store.lease_until(self.job, until).await?;
        }
        let bytes = items.iter().map(|item| item.input.len()).sum();
        let piece = Piece::if_long(memory.caller(), bytes);
        if piece.is_some() {
            // For the texts, which are there beside the page for a moment. They are not waited for: the job might never have room for
            // both beside its spec.
            memory.record(bytes.saturating_mul(2));
        }
        let inputs = run_long(piece, || decode(items, memory)).await;
        Ok(Page::Read { inputs, next })
    }
}

/// Decodes a page. Each input takes its part of the page's memory with it, and the rest is given back.
fn decode(items: Vec<PendingItem>, mut memory: MemoryReservation) -> VecDeque<Input> {
    let decode = |item: PendingItem| Input {
        memory: Some(memory.split(item.input.len())),
        ..decode_input(&item)
    };
    items.into_iter().map(decode).collect()
}

fn spawn(
    read: impl Future<Output = Result<Page, StoreError>> + Send + 'static,
) -> JoinSet<Result<Page, StoreError>> {
    let mut reading = JoinSet::new();
    reading.spawn(read);
    reading
}

impl Stream for InputStream {
    type Item = Input;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Input>> {
        let this = &mut *self;
        loop {
            if let Some(input) = this.page.pop_front() {
                return Poll::Ready(Some(input));
            }
            match &mut this.next_page {
                NextPage::None => return Poll::Ready(None),
                NextPage::Large { from, size } => {
                    // A job waits without an end.
                    let _ = ready!(this.memory.poll_reserve_inputs(cx, size.bytes));
                    let memory = this.memory.split(size.bytes);
                    this.next_page = this.reader.read(*from, *size, memory);
                }
                NextPage::Reading(read) => match ready!(read.poll_join_next(cx)) {
                    Some(Ok(Ok(page))) => this.set_page(page),
                    Some(Ok(Err(error))) => this.fail(error),
                    Some(Err(_)) | None => {
                        let reason = "the read of a page of inputs panicked; this is a bug";
                        this.fail(StoreError::Other(reason.to_owned()));
                    }
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use rusqlite::Connection;
    use throttle::{CallerId, MemoryLedger, MemoryUse};
    use tokio::time::timeout;

    use super::super::sqlite::{Sqlite, StorageLimits};
    use super::super::store::StorageQuota;
    use super::super::test_context::{TestContext, running_job, store_file, store_queued};
    use super::*;
    use crate::long_work::take_all_permits;

    #[tokio::test]
    async fn a_page_waits_until_there_is_room_for_its_results() {
        const MAX: u64 = 1 << 20;
        let name = "results-room";
        let limits = StorageLimits {
            max_bytes: MAX,
            ..StorageLimits::default()
        };
        let store = Sqlite::open(&store_file(name)).unwrap().with_limits(limits);
        store.set_has_several_callers(true);
        let test = TestContext::with_store(name, store);
        let store = &test.context.store;
        let with_input = store_queued(store.as_ref(), "job_1", 1).await;
        let without = store_queued(store.as_ref(), "job_2", 0).await;
        let file = Connection::open(store_file(name)).unwrap();
        let store_bytes = |bytes: i64| {
            let sql = "UPDATE callers SET bytes = ?1";
            file.execute(sql, [bytes]).unwrap();
        };
        let progress = Arc::new(JobProgress::new(0));
        let stream_of = |job| {
            let ledger = test.context.extractor.limits().memory();
            let memory = ledger.empty(CallerId::default(), MemoryUse::Inputs);
            let memory = WaitingMemory::new(memory, Duration::MAX);
            InputStream::new(store, job, &progress, 16, memory)
        };
        store_bytes(i64::try_from(MAX).unwrap());
        let mut stream = stream_of(with_input);
        let early = timeout(Duration::from_millis(500), stream.next()).await;
        assert!(early.is_err(), "its results would leave no room to others");
        let quota = progress.rate(&running_job()).storage_quota;
        assert_eq!(quota, Some(StorageQuota::ShareOfAllBytes { max: MAX }));
        let end = timeout(ROOM_CHECK_INTERVAL, stream_of(without).next()).await;
        assert!(end.unwrap().is_none(), "what has no inputs does not wait");
        store_bytes(0);
        let input = timeout(ROOM_CHECK_INTERVAL * 5, stream.next()).await;
        assert!(input.unwrap().is_some());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_page_is_read_after_its_memory_is_reserved() {
        const SMALL: usize = 1000;
        const LARGE: usize = 3 * MAX_PAGE_BYTES;
        let test = TestContext::new("inputs");
        let store = &test.context.store;
        let job = store_queued(store.as_ref(), "job_a", 0).await;
        let input = |bytes| format!("\"{}\"", "x".repeat(bytes - 2)).into_bytes();
        let inputs = [SMALL, SMALL, LARGE, SMALL].map(input).into();
        store.add_inputs(job, 0, inputs).await.unwrap();

        let ledger = MemoryLedger::new(usize::MAX, usize::MAX);
        let held = || ledger.snapshot().held;
        let memory = ledger.empty(CallerId::default(), MemoryUse::Inputs);
        let memory = WaitingMemory::new(memory, Duration::MAX);
        let mut stream = InputStream::new(store, job, &Arc::new(JobProgress::new(0)), 16, memory);
        let first = stream.next().await.unwrap();
        let NextPage::Reading(read) = &mut stream.next_page else {
            panic!("the first page was read");
        };
        let next = read.join_next().await.unwrap().unwrap().unwrap();
        assert!(matches!(next, Page::Large { .. }), "it is not read ahead");
        stream.set_page(next);
        assert_eq!(held(), 2 * SMALL);
        let second = stream.next().await.unwrap();
        drop((first, second));
        assert_eq!(held(), 0);
        let release = take_all_permits(CallerId::default());
        let early = timeout(Duration::from_secs(1), stream.next()).await;
        assert!(early.is_err(), "it is long work to decode it");
        assert_eq!(held(), 2 * LARGE, "the input and its text");
        drop(release);
        let large = stream.next().await.unwrap();
        assert_eq!(
            large.memory.as_ref().map(MemoryReservation::bytes),
            Some(LARGE)
        );
        let last = stream.next().await.unwrap();
        assert_eq!((held(), last.index), (LARGE + SMALL, 3));
        assert!(stream.next().await.is_none());
        assert_eq!(stream.read_error().take(), None);
        drop((large, last));
        assert_eq!(held(), 0);
    }
}
