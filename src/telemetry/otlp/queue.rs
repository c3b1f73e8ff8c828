//! The bound of spans that wait to be sent, including those of the export that is running.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use opentelemetry::Context;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{Span, SpanData, SpanProcessor},
};

use super::losses::{Losses, Lost};

/// The maximum number of spans in memory. A span has some 2 KiB.
pub(super) const MAX_SPANS: usize = 2048;

/// The number of spans that wait or are being sent. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Backlog(Arc<AtomicUsize>);

impl Backlog {
    /// Takes a place, if there is one.
    fn enter(&self) -> bool {
        let has_place = self.0.fetch_add(1, Ordering::Relaxed) < MAX_SPANS;
        if !has_place {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
        has_place
    }

    /// Gives places back, when their spans were sent or lost.
    pub(super) fn leave(&self, spans: usize) {
        self.0.fetch_sub(spans, Ordering::Relaxed);
    }
}

/// Passes ended spans on as long as there is a place for them. It never waits.
#[derive(Debug)]
pub(super) struct BoundedProcessor<P> {
    inner: P,
    backlog: Backlog,
    losses: Losses,
}

impl<P> BoundedProcessor<P> {
    /// `inner` must have room for [`MAX_SPANS`], and `backlog` is given back by its exporter.
    pub(super) fn new(inner: P, backlog: Backlog, losses: Losses) -> Self {
        Self { inner, backlog, losses }
    }
}

impl<P: SpanProcessor> SpanProcessor for BoundedProcessor<P> {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.inner.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.backlog.enter() {
            self.inner.on_end(span);
        } else {
            self.losses.spans(Lost::QueueFull, 1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    #[test]
    fn no_more_places_are_taken_than_there_are_and_each_is_given_back() {
        let backlog = Backlog::default();
        let taken = Mutex::new(0);
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    let mine = (0..MAX_SPANS).filter(|_| backlog.enter()).count();
                    *taken.lock() += mine;
                });
            }
        });
        assert_eq!(*taken.lock(), MAX_SPANS);
        assert!(!backlog.enter());
        backlog.leave(2);
        assert_eq!([backlog.enter(), backlog.enter(), backlog.enter()], [true, true, false]);
        backlog.leave(MAX_SPANS);
        assert_eq!(backlog.0.load(Ordering::Relaxed), 0);
    }
}
