//! A task on a core. When it is about to compute for long it leaves: the rest of it runs at home.

use std::{
    cell::Cell,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::runtime::Handle;

use super::{Counted, current};

thread_local! {
    /// Whether the task that is polled wants to leave.
    static LEAVES: Cell<bool> = const { Cell::new(false) };
}

/// A connection or a stream on a core.
pub(super) struct Task {
    /// In a box of its own, which can be taken to another runtime. `None` when it was.
    work: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    home: Handle,
    _counted: Counted,
}

impl Task {
    /// A task that counts on its core until it ends or leaves.
    pub(super) fn new(work: impl Future<Output = ()> + Send + 'static, counted: Counted, home: Handle) -> Self {
        Self { work: Some(Box::pin(work)), home, _counted: counted }
    }
}

impl Future for Task {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(work) = &mut self.work else { return Poll::Ready(()) };
        LEAVES.set(false);
        let polled = work.as_mut().poll(cx);
        if polled.is_pending() && LEAVES.take() {
            // It is polled at once in its new place, so no wake is lost.
            if let Some(work) = self.work.take() {
                self.home.spawn(work);
            }
            return Poll::Ready(());
        }
        polled
    }
}

/// What handles more bytes than these computes for long: it decodes, checks, encodes and signs them, each in one poll.
const LARGE: u64 = 256 << 10;

/// Leaves the core if what follows handles so many bytes.
pub(crate) async fn leave_if_large(bytes: u64) {
    if bytes > LARGE {
        leave().await;
    }
}

/// Moves the rest of this task from its core to the home, whose threads take over from each other what waits. Nothing happens where there is no core.
///
/// For what is about to compute for milliseconds: on a core all its streams would wait for it. The task does not come back.
pub(super) async fn leave() {
    let mut asked = current().is_none();
    poll_fn(|cx| {
        if asked {
            return Poll::Ready(());
        }
        asked = true;
        LEAVES.set(true);
        // What is not such a task goes on where it is.
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
