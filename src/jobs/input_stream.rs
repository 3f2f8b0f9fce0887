//! A job's inputs as a stream: read a page at a time, the next while the one before is worked on.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use tokio::task::JoinSet;

use super::Shared;
use super::job_run::input;
use super::store::{JobKey, PendingItem, StoreError};
use crate::types::Input;

/// Inputs that are read at a time: as many as may be under way, within these.
const PAGES: std::ops::RangeInclusive<u32> = 16..=256;

type Read = Result<Vec<PendingItem>, StoreError>;
/// A page that is being read, whoever waits for it.
type Page = JoinSet<Read>;

/// The inputs without a result, in their order.
pub struct InputStream {
    shared: Arc<Shared>,
    job: JobKey,
    page_size: u32,
    page: VecDeque<PendingItem>,
    /// `None`: nothing is left to read.
    reading: Option<Page>,
    failed: Arc<Mutex<Option<StoreError>>>,
}

impl InputStream {
    /// `window`: how many may be under way at a time.
    pub fn new(shared: &Arc<Shared>, job: JobKey, window: usize) -> Self {
        let page_size = u32::try_from(window)
            .unwrap_or(u32::MAX)
            .clamp(*PAGES.start(), *PAGES.end());
        let reading = Some(read(Arc::clone(shared), job, 0, page_size));
        Self {
            shared: Arc::clone(shared),
            job,
            page_size,
            page: VecDeque::new(),
            reading,
            failed: Arc::default(),
        }
    }

    fn fail(&mut self, error: StoreError) {
        self.reading = None;
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    /// Why the stream has ended before its time.
    pub fn failed(&self) -> Arc<Mutex<Option<StoreError>>> {
        Arc::clone(&self.failed)
    }
}

/// Reads a page and marks it as taken up: what is handed out is known to be.
fn read(shared: Arc<Shared>, job: JobKey, from: u32, page_size: u32) -> Page {
    let mut reading = JoinSet::new();
    reading.spawn(async move {
        let page = shared.store.pending(job, from, page_size).await?;
        if let Some(last) = page.last() {
            shared
                .store
                .lease_until(job, last.index.saturating_add(1))
                .await?;
        }
        Ok(page)
    });
    reading
}

impl Stream for InputStream {
    type Item = Input;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Input>> {
        let this = &mut *self;
        loop {
            if let Some(next) = this.page.pop_front() {
                return Poll::Ready(Some(input(&next)));
            }
            let Some(reading) = &mut this.reading else {
                return Poll::Ready(None);
            };
            match ready!(reading.poll_join_next(cx)) {
                Some(Ok(Ok(page))) => {
                    let next = page.last().map(|last| last.index.saturating_add(1));
                    this.page = page.into();
                    // Begins now, and is there when this page is used up.
                    this.reading = next
                        .map(|next| read(Arc::clone(&this.shared), this.job, next, this.page_size));
                }
                Some(Ok(Err(error))) => this.fail(error),
                Some(Err(_)) | None => {
                    this.fail(StoreError::Other("a read was given up".to_owned()));
                }
            }
        }
    }
}
