//! The time of a call in the queue.

use std::{future::poll_fn, pin::pin, task::Poll};

use tokio::time::Instant;

use super::call::CallRecord;

/// A call that waits.
struct Waiting<'a> {
    record: &'a CallRecord,
    since: Instant,
    /// How the wait ends.
    outcome: &'static str,
}

/// Admits a call, and records its wait if it is not admitted at once. Nothing but the queue lets a call wait for its admission.
pub(crate) async fn in_queue<T, E>(record: &CallRecord, admission: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let mut admission = pin!(admission);
    let mut waiting = None;
    poll_fn(|cx| {
        let polled = admission.as_mut().poll(cx);
        match (&polled, &mut waiting) {
            (Poll::Pending, None) => waiting = Some(Waiting::begin(record)),
            (Poll::Ready(result), Some(waiting)) => {
                waiting.outcome = if result.is_ok() { "admitted" } else { "refused" };
            }
            _ => {}
        }
        polled
    })
    .await
}

impl<'a> Waiting<'a> {
    fn begin(record: &'a CallRecord) -> Self {
        record.queued();
        Self { record, since: Instant::now(), outcome: "left" }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.record.dequeued(self.outcome, self.since.elapsed());
    }
}
