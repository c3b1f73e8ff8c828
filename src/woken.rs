//! A waker that remembers whether it has woken its task.
//!
//! What is polled for every chunk can tell with it, without a lock and without a clock, what has happened since the last poll:
//! [`crate::edge`] looks at what can end a connection, [`crate::response`] at a caller that does not read, and [`crate::bedrock`] at other
//! tasks that have run.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Wake, Waker},
};

use parking_lot::Mutex;

/// The waker, and the task that it wakes.
#[derive(Debug)]
pub(crate) struct Woken {
    signal: Arc<Signal>,
    waker: Waker,
    task: Option<Waker>,
}

#[derive(Debug, Default)]
struct Signal {
    woken: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Default for Woken {
    fn default() -> Self {
        let signal = Arc::<Signal>::default();
        let waker = Waker::from(Arc::clone(&signal));
        Self { signal, waker, task: None }
    }
}

impl Woken {
    /// Wakes the task in `cx` from now on.
    pub(crate) fn wakes(&mut self, cx: &Context<'_>) {
        if !self.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            self.task = Some(cx.waker().clone());
            self.signal.task.lock().clone_from(&self.task);
        }
    }

    /// The waker.
    pub(crate) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Whether the waker was woken since this was last forgotten.
    pub(crate) fn is_woken(&self) -> bool {
        self.signal.woken.load(Ordering::Acquire)
    }

    /// Counts as woken, without waking the task.
    pub(crate) fn set(&self) {
        self.signal.woken.store(true, Ordering::Release);
    }

    /// Forgets that the waker was woken. What is polled after it sees what the wake was for.
    pub(crate) fn forget(&self) {
        // Reads what the waker has written, so it has to acquire too.
        self.signal.woken.swap(false, Ordering::AcqRel);
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Before the look at the task: a poll sets the task first and looks at this flag afterwards.
        // It continues what another waker has published, so it reads and writes.
        self.woken.swap(true, Ordering::AcqRel);
        if let Some(task) = &*self.task.lock() {
            task.wake_by_ref();
        }
    }
}
