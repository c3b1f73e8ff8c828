//! Lets other tasks run before a task goes on with what it has, if that has brought more before.
//!
//! Bytes that go on together are written once. [`crate::edge`] waits so before a connection writes, because other streams of it may have
//! something to send too, and [`crate::bedrock`] for more frames of one stream.

use std::{pin::pin, task::Context};

use tokio::task::yield_now;

use crate::woken::Woken;

/// After an interlude that brought nothing, so many are left out.
const LEFT_OUT: u32 = 64;

/// The interludes of one task.
#[derive(Debug, Default)]
pub(crate) struct Interlude {
    /// What was there when the running one began.
    before: Option<usize>,
    /// Whether the other tasks have run. A poll of this task does not tell, because hyper polls again at once. Made when it is first needed.
    others_ran: Option<Woken>,
    /// The number of those that are left out.
    left_out: u32,
}

impl Interlude {
    /// Whether to wait for more than this amount. The task is woken when the others have run.
    pub(crate) fn waits(&mut self, cx: &Context<'_>, amount: usize) -> bool {
        if self.before.is_none() && self.left_out > 0 {
            self.left_out -= 1;
            return false;
        }
        let others_ran = self.others_ran.get_or_insert_default();
        others_ran.wakes(cx);
        let Some(before) = self.before else {
            self.before = Some(amount);
            others_ran.forget();
            // Wakes its waker after the other tasks.
            return pin!(yield_now()).poll(&mut Context::from_waker(others_ran.waker())).is_pending();
        };
        if !others_ran.is_woken() {
            return true;
        }
        self.before = None;
        if amount <= before {
            self.left_out = LEFT_OUT;
        }
        false
    }

    /// Ends the running one, because there is enough.
    pub(crate) fn end(&mut self) {
        self.before = None;
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::poll_fn,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::Poll,
    };

    use tokio::task::{JoinSet, yield_now};

    use super::*;

    /// Waits as a task does that is polled again at once, until it goes on. Returns what was there then.
    async fn amount_after(interlude: &mut Interlude, amount: &AtomicUsize) -> usize {
        poll_fn(|cx| {
            for _ in 0..3 {
                if !interlude.waits(cx, amount.load(Ordering::Relaxed)) {
                    return Poll::Ready(amount.load(Ordering::Relaxed));
                }
            }
            Poll::Pending
        })
        .await
    }

    #[tokio::test]
    async fn it_lasts_until_the_other_tasks_have_run() {
        let (mut interlude, amount) = (Interlude::default(), Arc::new(AtomicUsize::new(1)));
        for round in 1..=3 {
            let mut others = JoinSet::new();
            for _ in 0..5 {
                let amount = Arc::clone(&amount);
                others.spawn(async move { amount.fetch_add(1, Ordering::Relaxed) });
            }
            assert_eq!(amount_after(&mut interlude, &amount).await, 1 + 5 * round);
            others.join_all().await;
        }
    }

    #[tokio::test]
    async fn after_one_that_brought_nothing_others_are_left_out() {
        let (mut interlude, amount) = (Interlude::default(), AtomicUsize::new(1));
        let mut lasted = 0;
        for _ in 0..=2 * LEFT_OUT {
            let at_once = poll_fn(|cx| Poll::Ready(!interlude.waits(cx, 1))).await;
            if !at_once {
                lasted += 1;
                assert_eq!(amount_after(&mut interlude, &amount).await, 1);
            }
            yield_now().await;
        }
        assert_eq!(lasted, 2);
    }

    #[tokio::test]
    async fn enough_ends_it() {
        let mut interlude = Interlude::default();
        poll_fn(|cx| {
            assert!(interlude.waits(cx, 1));
            interlude.end();
            assert!(interlude.waits(cx, 1), "the next one begins");
            Poll::Ready(())
        })
        .await;
    }
}
