//! Detects that a caller does not read: its call has a chunk or was woken, and is not polled.
//!
//! hyper polls a response body only while the flow-control window of the stream is not full. After a chunk, or after a wake, the next poll
//! follows at once unless the window is full.

use std::{
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

use parking_lot::Mutex;
use tokio::time::Instant;

/// Wakes the task of a call, and records since when the task has not polled the call.
#[derive(Debug, Default)]
pub(crate) struct ReadState(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    task: Option<Waker>,
    unread_since: Option<Instant>,
}

impl ReadState {
    /// Polls with a waker that wakes the task in `cx`.
    pub(crate) fn poll<T>(
        self: &Arc<Self>,
        cx: &Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        {
            let mut state = self.0.lock();
            state.unread_since = None;
            match &mut state.task {
                Some(task) => task.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
        }
        let waker = Waker::from(Arc::clone(self));
        let polled = poll(&mut Context::from_waker(&waker));
        if polled.is_ready() {
            self.0.lock().unread_since = Some(Instant::now());
        }
        polled
    }

    /// Since when the caller has not read although there is something to read.
    pub(crate) fn unread_since(&self) -> Option<Instant> {
        self.0.lock().unread_since
    }
}

impl Wake for ReadState {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let task = {
            let mut state = self.0.lock();
            state.unread_since.get_or_insert_with(Instant::now);
            state.task.clone()
        };
        if let Some(task) = task {
            task.wake();
        }
    }
}
