//! The body of a request, with a time for each of its messages.
//!
//! The time is for a whole message, so a caller cannot extend it with single bytes.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{BoxError, body::Body};
use bytes::Bytes;
use http_body::Frame;
use http_body_util::Limited;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::CancellationToken;

use super::MessageTimeouts;

/// The prefix of a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// A body that fails with `BODY_TIMEOUT` when a message is late.
pub(super) struct TimedBody {
    body: Limited<Body>,
    timeouts: MessageTimeouts,
    /// Whether the method takes a stream of messages.
    takes_a_stream: bool,
    timer: Pin<Box<Sleep>>,
    position: Position,
    /// Cancelled when a message is late.
    late: CancellationToken,
}

impl TimedBody {
    pub(super) fn new(
        body: Limited<Body>,
        timeouts: MessageTimeouts,
        takes_a_stream: bool,
        late: CancellationToken,
    ) -> Self {
        let timer = Box::pin(sleep(timeouts.first));
        Self { body, timeouts, takes_a_stream, timer, position: Position::default(), late }
    }
}

impl http_body::Body for TimedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        let data = match &polled {
            Poll::Ready(Some(Ok(frame))) => frame.data_ref().filter(|data| !data.is_empty()),
            Poll::Ready(_) => return polled,
            Poll::Pending => None,
        };
        let Some(data) = data else {
            // Frames without data do not extend the time.
            if self.timer.as_mut().poll(cx).is_pending() {
                return polled;
            }
            self.late.cancel();
            return Poll::Ready(Some(Err(self.timeouts.error().into_status().into())));
        };
        if self.position.advance(data) && self.takes_a_stream {
            let until = Instant::now() + self.timeouts.further;
            self.timer.as_mut().reset(until);
        }
        polled
    }
}

/// The position in the message that is being received.
#[derive(Debug, Default)]
struct Position {
    prefix: [u8; PREFIX],
    /// The bytes of the prefix that were received.
    received: usize,
    /// The bytes of the message that are missing, if its prefix is complete.
    missing: usize,
}

impl Position {
    /// Advances by these bytes. Returns whether they complete a message.
    fn advance(&mut self, mut data: &[u8]) -> bool {
        let mut completed = false;
        while let Some((byte, rest)) = data.split_first() {
            if self.received < PREFIX {
                if let Some(slot) = self.prefix.get_mut(self.received) {
                    *slot = *byte;
                }
                self.received += 1;
                data = rest;
                let [_, length @ ..] = self.prefix;
                self.missing = u32::from_be_bytes(length) as usize;
            } else {
                let part = self.missing.min(data.len());
                self.missing -= part;
                data = data.get(part..).unwrap_or_default();
            }
            if self.received == PREFIX && self.missing == 0 {
                *self = Self::default();
                completed = true;
            }
        }
        completed
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::{BodyExt, StreamBody};
    use proptest::prelude::*;
    use tokio::time::Duration;
    use tokio_stream::StreamExt;

    use super::*;

    const TIMEOUTS: MessageTimeouts =
        MessageTimeouts { first: Duration::from_secs(30), further: Duration::from_mins(10) };

    /// A body that sends one of these parts each `pause`, and does not end.
    fn body(parts: Vec<Bytes>, pause: Duration) -> Limited<Body> {
        let frames = tokio_stream::iter(parts).throttle(pause).map(|data| Ok::<_, Infallible>(Frame::data(data)));
        Limited::new(Body::new(StreamBody::new(frames.chain(tokio_stream::pending()))), 1 << 20)
    }

    /// The time after which the body fails, and the number of frames before that.
    async fn failure(parts: Vec<Bytes>, pause: Duration, takes_a_stream: bool) -> (Duration, usize) {
        let (began, late) = (Instant::now(), CancellationToken::new());
        let mut timed = TimedBody::new(body(parts, pause), TIMEOUTS, takes_a_stream, late.clone());
        let mut frames = 0;
        while timed.frame().await.unwrap().is_ok() {
            frames += 1;
        }
        assert!(late.is_cancelled());
        (began.elapsed(), frames)
    }

    #[tokio::test(start_paused = true)]
    async fn single_bytes_and_empty_frames_do_not_extend_the_time() {
        let about = |time: Duration| TIMEOUTS.first <= time && time < 2 * TIMEOUTS.first;
        let drip = vec![Bytes::from_static(&[0, 0, 0, 1, 0]); 20];
        let (after, frames) = failure(drip, Duration::from_secs(20), true).await;
        assert!(about(after) && frames < 4, "{after:?}, {frames} frames");
        let (after, frames) = failure(vec![Bytes::new(); 1_000], Duration::from_secs(1), false).await;
        assert!(about(after) && frames < 40, "{after:?}, {frames} frames");
    }

    #[tokio::test(start_paused = true)]
    async fn a_whole_message_gives_a_stream_more_time_and_another_method_none() {
        let message = vec![Bytes::from_static(&[0; PREFIX])];
        let (after, _) = failure(message.clone(), Duration::ZERO, false).await;
        assert!(after < 2 * TIMEOUTS.first, "{after:?}");
        let (after, _) = failure(message, Duration::ZERO, true).await;
        assert!(after >= TIMEOUTS.further, "{after:?}");
    }

    proptest! {
        #[test]
        fn messages_are_counted_however_they_are_cut(
            lengths in proptest::collection::vec(0_usize..40, 0..8),
            cuts in proptest::collection::vec(1_usize..12, 1..200),
        ) {
            let mut bytes = Vec::new();
            let mut ends = Vec::new();
            for length in lengths {
                bytes.push(0);
                bytes.extend(u32::try_from(length).unwrap().to_be_bytes());
                bytes.extend(vec![7; length]);
                ends.push(bytes.len());
            }
            let (mut position, mut at) = (Position::default(), 0);
            for cut in cuts {
                let until = (at + cut).min(bytes.len());
                let completes = ends.iter().any(|end| at < *end && *end <= until);
                prop_assert_eq!(position.advance(&bytes[at..until]), completes);
                at = until;
            }
        }
    }
}
