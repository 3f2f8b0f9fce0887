//! Stream of a job's inputs without a result, read from the store page by page. The next page is read while the current one is
//! worked on.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use tokio::task::JoinSet;

use super::context::JobContext;
use super::item_codec::decode_input;
use super::store::{JobKey, PendingItem, StoreError};
use crate::extraction::WaitingMemory;
use crate::types::Input;

/// Bounds of the page size, which is the job's window of items in flight.
const PAGE_SIZES: std::ops::RangeInclusive<u32> = 16..=256;

type Page = Result<Vec<PendingItem>, StoreError>;

/// Inputs without a result, by index.
pub struct InputStream {
    context: Arc<JobContext>,
    job: JobKey,
    page_size: u32,
    page: VecDeque<PendingItem>,
    /// Read of the next page; `None` after the last page or an error.
    next_page: Option<JoinSet<Page>>,
    error: ReadError,
    memory: WaitingMemory,
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
    /// Begins to read the first page. `window` is the maximum number of items in flight, and `memory` holds the inputs.
    pub fn new(
        context: &Arc<JobContext>,
        job: JobKey,
        window: usize,
        memory: WaitingMemory,
    ) -> Self {
        let page_size = u32::try_from(window)
            .unwrap_or(u32::MAX)
            .clamp(*PAGE_SIZES.start(), *PAGE_SIZES.end());
        Self {
            context: Arc::clone(context),
            job,
            page_size,
            page: VecDeque::new(),
            next_page: Some(lease_page(Arc::clone(context), job, 0, page_size)),
            error: ReadError::default(),
            memory,
        }
    }

    /// Returns a handle of the error that may end this stream early.
    pub fn read_error(&self) -> ReadError {
        self.error.clone()
    }

    fn fail(&mut self, error: StoreError) {
        self.next_page = None;
        self.error.set(error);
    }
}

/// Reads a page and leases its items to this process before any of them is handed out.
fn lease_page(context: Arc<JobContext>, job: JobKey, from: u32, page_size: u32) -> JoinSet<Page> {
    let mut read = JoinSet::new();
    read.spawn(async move {
        let page = context.store.pending(job, from, page_size).await?;
        if let Some(last) = page.last() {
            let until = last.index.saturating_add(1);
            context.store.lease_until(job, until).await?;
        }
        Ok(page)
    });
    read
}

impl Stream for InputStream {
    type Item = Input;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Input>> {
        let this = &mut *self;
        loop {
            if let Some(item) = this.page.front() {
                let bytes = item.input.len();
                // A job waits without an end.
                let _ = ready!(this.memory.poll_reserve(cx, bytes));
                let memory = Some(this.memory.split(bytes));
                let input = decode_input(item);
                this.page.pop_front();
                return Poll::Ready(Some(Input { memory, ..input }));
            }
            let Some(read) = &mut this.next_page else {
                return Poll::Ready(None);
            };
            match ready!(read.poll_join_next(cx)) {
                Some(Ok(Ok(page))) => {
                    this.next_page = page.last().map(|last| {
                        let from = last.index.saturating_add(1);
                        lease_page(Arc::clone(&this.context), this.job, from, this.page_size)
                    });
                    this.page = page.into();
                }
                Some(Ok(Err(error))) => this.fail(error),
                Some(Err(_)) | None => {
                    let reason = "the read of a page of inputs panicked; this is a bug";
                    this.fail(StoreError::Other(reason.to_owned()));
                }
            }
        }
    }
}
