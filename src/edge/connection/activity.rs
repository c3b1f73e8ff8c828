//! The requests in flight of a connection, and the time since the last one ended.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::cores::Counted;

/// The requests of one connection. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Activity(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    in_flight: usize,
    idle_since: Instant,
}

/// A request in flight. Dropping it ends the request.
#[derive(Debug)]
pub(super) struct ActiveRequest {
    activity: Activity,
    _counted: Option<Counted>,
}

/// The body of a response. Its request is in flight until the body is dropped.
#[derive(Debug)]
pub(super) struct TrackedBody {
    body: Body,
    _request: ActiveRequest,
}

impl Activity {
    /// The activity of a new connection.
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(State { in_flight: 0, idle_since: Instant::now() })))
    }

    /// Begins a request, which counts on its core as long as it is in flight.
    pub(super) fn begin(&self, counted: Option<Counted>) -> ActiveRequest {
        self.0.lock().in_flight += 1;
        ActiveRequest { activity: self.clone(), _counted: counted }
    }

    /// The time since which no request is in flight. `None` while there is one.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let state = self.0.lock();
        (state.in_flight == 0).then_some(state.idle_since)
    }
}

impl ActiveRequest {
    /// Wraps the body of the response.
    pub(super) fn until_end_of(self, body: Body) -> TrackedBody {
        TrackedBody { body, _request: self }
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        let mut state = self.activity.0.lock();
        state.in_flight -= 1;
        if state.in_flight == 0 {
            state.idle_since = Instant::now();
        }
    }
}

impl http_body::Body for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_is_idle_when_the_last_body_is_dropped() {
        let activity = Activity::new();
        assert!(activity.idle_since().is_some());
        let (first, second) = (activity.begin(None), activity.begin(None));
        drop(first);
        let body = second.until_end_of(Body::empty());
        assert!(activity.idle_since().is_none());
        drop(body);
        assert!(activity.idle_since().is_some());
    }
}
