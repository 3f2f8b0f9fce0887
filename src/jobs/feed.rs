//! A job's inputs as a stream: read a page at a time, the next while the one before is worked on.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use futures_util::{FutureExt, Stream};

use super::Shared;
use super::run::input;
use super::store::{JobKey, Pending, StoreError};
use crate::model::Input;

/// Inputs that are read at a time.
const PAGE: u32 = 256;

type Page = Pin<Box<dyn Future<Output = Result<Vec<Pending>, StoreError>> + Send>>;

/// The inputs without a result, in their order.
pub struct Feed {
    shared: Arc<Shared>,
    job: JobKey,
    page: VecDeque<Pending>,
    /// `None`: nothing is left to read.
    reading: Option<Page>,
    failed: Arc<Mutex<Option<StoreError>>>,
}

impl Feed {
    pub fn new(shared: &Arc<Shared>, job: JobKey) -> Self {
        let reading = Some(read(Arc::clone(shared), job, 0));
        Self { shared: Arc::clone(shared), job, page: VecDeque::new(), reading, failed: Arc::default() }
    }

    /// Why the stream has ended before its time.
    pub fn failed(&self) -> Arc<Mutex<Option<StoreError>>> {
        Arc::clone(&self.failed)
    }
}

/// Reads a page and marks it as taken up: what is handed out is known to be.
fn read(shared: Arc<Shared>, job: JobKey, from: u32) -> Page {
    Box::pin(async move {
        let page = shared.store.pending(job, from, PAGE).await?;
        if let Some(last) = page.last() {
            shared.store.take(job, last.index.saturating_add(1)).await?;
        }
        Ok(page)
    })
}

impl Stream for Feed {
    type Item = Input;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Input>> {
        let this = &mut *self;
        loop {
            if let Some(next) = this.page.pop_front() {
                return Poll::Ready(Some(input(&next)));
            }
            let Some(reading) = &mut this.reading else { return Poll::Ready(None) };
            let page = ready!(reading.poll_unpin(cx));
            this.reading = None;
            match page {
                Ok(page) => {
                    let next = page.last().map(|last| last.index.saturating_add(1));
                    this.reading = next.map(|next| read(Arc::clone(&this.shared), this.job, next));
                    this.page = page.into();
                    if let Some(reading) = &mut this.reading {
                        // Begins now, and is there when this page is used up.
                        drop(reading.poll_unpin(cx).is_ready().then(|| ()));
                    }
                }
                Err(error) => *this.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error),
            }
        }
    }
}
