//! The HTTP body that plays a script and counts what is sent.
//!
//! HTTP polls it: if the client stops reading, the script stops. If the client disconnects, the body is dropped and the stream is counted as
//! abandoned.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::time::{Sleep, sleep};

use crate::{
    connection::Hangup,
    history::{self, Open},
    ledger::Ledger,
    playback::{Action, Actions},
    quota::Admitted,
};

/// The time for HTTP to flush what was sent before a fault closes the connection.
const FLUSH: Duration = Duration::from_millis(20);

/// A scripted fault as an error of the body. HTTP then closes the connection or resets the stream.
#[derive(Debug, thiserror::Error)]
#[error("the script ends the stream here")]
pub(crate) struct ScriptedCut {
    /// What HTTP/2 sends as the code of its RST_STREAM. INTERNAL_ERROR if there is none.
    #[source]
    code: Option<h2::Error>,
}

/// How the stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Running,
    Completed,
    Faulted,
}

/// What has to be settled when an answer ends.
#[derive(Debug, Default)]
pub(crate) struct Tracked {
    /// What the quota has reserved. It is settled when the answer was sent to its end, and kept if it was not.
    pub(crate) admitted: Option<Admitted>,
    /// The place of the request in the history.
    pub(crate) open: Option<Open>,
}

impl Tracked {
    /// The answer is an HTTP error.
    pub(crate) fn refuse(&mut self) {
        self.end(history::Outcome::Refused);
        if let Some(admitted) = self.admitted.take() {
            admitted.release();
        }
    }

    /// The answer becomes this, if it has no body of its own.
    pub(crate) fn end(&mut self, outcome: history::Outcome) {
        if let Some(open) = &mut self.open {
            open.becomes(outcome);
        }
    }
}

/// The body of one answer.
pub(crate) struct ScriptBody {
    actions: Actions,
    sleep: Option<Pin<Box<Sleep>>>,
    ending: Option<Action>,
    outcome: Outcome,
    has_fault: bool,
    /// The bytes to come of a body that declares its length. HTTP drops such a body after the last byte, without reading its end.
    left: Option<usize>,
    tracked: Tracked,
    ledger: Arc<Ledger>,
    hangup: Hangup,
}

impl ScriptBody {
    /// `has_fault`: whether a clean end of these actions is a fault of the script too.
    pub(crate) fn new(actions: Actions, has_fault: bool, ledger: Arc<Ledger>, hangup: Hangup) -> Self {
        ledger.count(|stats| stats.opened += 1);
        Self {
            actions,
            sleep: None,
            ending: None,
            outcome: Outcome::Running,
            has_fault,
            left: None,
            tracked: Tracked::default(),
            ledger,
            hangup,
        }
    }

    /// A body that declares this length in bytes.
    #[must_use]
    pub(crate) fn of_length(mut self, length: usize) -> Self {
        self.left = Some(length);
        self
    }

    /// A body of an answer that has these.
    #[must_use]
    pub(crate) fn tracked(mut self, tracked: Tracked) -> Self {
        self.tracked = tracked;
        self
    }

    fn complete(&mut self) {
        self.outcome = if self.has_fault { Outcome::Faulted } else { Outcome::Completed };
        if let Some(admitted) = self.tracked.admitted.take() {
            admitted.settle();
        }
    }

    fn pause(&mut self, how_long: Duration) {
        self.sleep = Some(Box::pin(sleep(how_long)));
    }

    fn end(&mut self, ending: &Action) -> Poll<Option<Result<Frame<Bytes>, ScriptedCut>>> {
        self.outcome = Outcome::Faulted;
        let mut code = None;
        match ending {
            Action::Reset => self.hangup.reset(),
            Action::Disconnect => self.hangup.disconnect(),
            Action::ResetStream(reason) => code = Some(h2::Reason::from(*reason).into()),
            _ => {}
        }
        Poll::Ready(Some(Err(ScriptedCut { code })))
    }
}

impl Body for ScriptBody {
    type Data = Bytes;
    type Error = ScriptedCut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        loop {
            if let Some(sleep) = &mut self.sleep {
                std::task::ready!(sleep.as_mut().poll(cx));
                self.sleep = None;
            }
            if let Some(ending) = self.ending.take() {
                return self.end(&ending);
            }
            match self.actions.next() {
                Some(Action::Send(bytes)) => {
                    self.ledger.count(|stats| stats.bytes_sent += bytes.len() as u64);
                    self.left = self.left.map(|left| left.saturating_sub(bytes.len()));
                    if self.left == Some(0) {
                        self.complete();
                    }
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Some(Action::Wait(how_long)) => self.pause(how_long),
                // HTTP can poll again, and must not get the actions after the fault.
                Some(Action::Stall) => {
                    self.actions = Box::new(std::iter::repeat(Action::Stall));
                    return Poll::Pending;
                }
                Some(Action::GoAway) => {
                    self.hangup.go_away();
                    // So that it is sent before what follows.
                    self.pause(FLUSH);
                }
                Some(ending @ (Action::Cut | Action::Reset | Action::ResetStream(_) | Action::Disconnect)) => {
                    self.pause(FLUSH);
                    self.ending = Some(ending);
                }
                // HTTP/1.1 drops what it has not flushed when a body is shorter than it declares.
                None if self.left.take().is_some_and(|left| left > 0) => self.pause(FLUSH),
                None => {
                    self.complete();
                    return Poll::Ready(None);
                }
            }
        }
    }
}

impl Drop for ScriptBody {
    fn drop(&mut self) {
        // Before the count, so that the quota and the history are right for a test that waits for the count.
        let Tracked { admitted, mut open } = std::mem::take(&mut self.tracked);
        drop(admitted);
        if let Some(open) = &mut open {
            open.becomes(match self.outcome {
                Outcome::Running => history::Outcome::Abandoned,
                Outcome::Completed => history::Outcome::Completed,
                Outcome::Faulted => history::Outcome::Faulted,
            });
        }
        drop(open);
        self.ledger.count(|stats| match self.outcome {
            Outcome::Running => stats.abandoned += 1,
            Outcome::Completed => stats.completed += 1,
            Outcome::Faulted => stats.faulted += 1,
        });
    }
}
