//! A future beside a connection, which is polled only after it was woken.
//!
//! A connection is polled for every chunk. What can end it is nearly never ready, and the tokens of a server are shared: a poll of one takes
//! a lock that all connections take.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use crate::woken::Woken;

/// The future. It must not be polled after it was ready.
pub(super) struct Parked<'a> {
    future: Pin<Box<dyn Future<Output = ()> + Send + 'a>>,
    woken: Woken,
}

impl<'a> Parked<'a> {
    /// Parks a future. It is polled once at first.
    pub(super) fn new(future: impl Future<Output = ()> + Send + 'a) -> Self {
        let woken = Woken::default();
        woken.set();
        Self { future: Box::pin(future), woken }
    }
}

impl Future for Parked<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { future, woken } = &mut *self;
        woken.wakes(cx);
        if !woken.is_woken() {
            return Poll::Pending;
        }
        woken.forget();
        future.as_mut().poll(&mut Context::from_waker(woken.waker()))
    }
}

impl fmt::Debug for Parked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parked").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::poll_fn,
        sync::atomic::{AtomicUsize, Ordering},
        task::Waker,
        thread,
    };

    use tokio::{sync::Notify, task::yield_now};

    use super::*;

    #[tokio::test]
    async fn it_is_polled_at_first_and_then_only_after_it_was_woken() {
        let (polls, notify) = (AtomicUsize::new(0), Notify::new());
        let mut notified = Box::pin(notify.notified());
        let mut parked = Parked::new(poll_fn(|cx| {
            polls.fetch_add(1, Ordering::Relaxed);
            notified.as_mut().poll(cx)
        }));
        let mut poll = || Pin::new(&mut parked).poll(&mut Context::from_waker(Waker::noop()));
        for _ in 0..3 {
            assert!(poll().is_pending());
        }
        assert_eq!(polls.load(Ordering::Relaxed), 1);
        notify.notify_waiters();
        assert!(poll().is_ready());
        assert_eq!(polls.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn no_wake_is_lost_on_its_way_from_another_thread() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            for round in 0..5_000 {
                let (tell, told) = tokio::sync::oneshot::channel::<()>();
                let parked = Parked::new(async move { drop(told.await) });
                let teller = thread::spawn(move || tell.send(()));
                if round % 2 == 0 {
                    yield_now().await;
                }
                // It hangs if a wake is lost.
                parked.await;
                teller.join().unwrap().unwrap();
            }
        });
    }
}
