//! When the streams of a core begin: few at once, and then the core serves those that have begun.
//!
//! To begin is what a stream computes most for: its checks and its signed request to Bedrock take ten times as long as a chunk and more. If hundreds
//! began one after the other, no request would be sent and no chunk would go on until the last of them has computed.

use std::{collections::VecDeque, fmt, mem, sync::Arc};

use parking_lot::Mutex;
use tokio::task::yield_now;

use super::{Core, task::Task};

/// How many streams begin before the core serves others.
pub(super) const AT_ONCE: usize = 16;

/// How many wait at most. A client that opens streams and resets them could make a line grow without end. Beyond these a stream begins at once, and
/// its connection, which is polled after it, reads no more until then.
pub(super) const MOST_WAITING: usize = 1_000;

/// The streams that wait to begin.
#[derive(Default)]
pub(super) struct Line(Mutex<State>);

#[derive(Default)]
struct State {
    /// How many have begun since the core has last served others, or somewhat earlier. At [`AT_ONCE`] [`go_on`] runs.
    begun: usize,
    waiting: VecDeque<Task>,
    /// Whether the core has ended. Its runtime drops what is spawned then.
    has_ended: bool,
}

impl Core {
    /// Spawns a stream, now or when it is its turn.
    pub(super) fn begin(self: &Arc<Self>, stream: Task) {
        let mut line = self.line.0.lock();
        if line.begun == AT_ONCE && line.waiting.len() < MOST_WAITING && !line.has_ended {
            line.waiting.push_back(stream);
            return;
        }
        let is_last = line.begun + 1 == AT_ONCE;
        line.begun = AT_ONCE.min(line.begun + 1);
        drop(line);
        self.runtime.spawn(stream);
        if is_last {
            self.runtime.spawn(go_on(Arc::clone(self)));
        }
    }
}

impl Line {
    /// How many wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.0.lock().waiting.len()
    }

    /// Drops the streams that wait, because the core has ended. None waits after them.
    pub(super) fn end(&self) {
        let mut line = self.0.lock();
        line.has_ended = true;
        let dropped = mem::take(&mut line.waiting);
        drop(line);
        // What a stream held may take the lock.
        drop(dropped);
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").finish_non_exhaustive()
    }
}

/// Lets the streams begin that wait, after the core has served others.
async fn go_on(core: Arc<Core>) {
    loop {
        // Ends when the core has looked at its sockets, and has polled what was ready.
        yield_now().await;
        let mut line = core.line.0.lock();
        let number = line.waiting.len().min(AT_ONCE);
        let next: Vec<_> = line.waiting.drain(..number).collect();
        line.begun = number;
        drop(line);
        for stream in next {
            core.runtime.spawn(stream);
        }
        if number < AT_ONCE {
            return;
        }
    }
}
