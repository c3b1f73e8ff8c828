//! Encoded frames, and response bodies that arrive over time, for tests.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::{
    body::SdkBody,
    event_stream::{Header, HeaderValue, Message},
};
use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::time::{Sleep, sleep};

/// A frame with these text headers.
pub(crate) fn frame(headers: &[(&'static str, &'static str)], payload: &'static str) -> Bytes {
    let headers = headers.iter().map(|(name, value)| Header::new(*name, HeaderValue::String((*value).into())));
    let mut bytes = Vec::new();
    write_message_to(&Message::new_from_parts(headers.collect(), payload), &mut bytes).unwrap();
    bytes.into()
}

/// The frame of an event.
pub(crate) fn event(event_type: &'static str, payload: &'static str) -> Bytes {
    frame(&[(":message-type", "event"), (":event-type", event_type)], payload)
}

/// A body that arrives in these pieces, each after so many seconds.
pub(crate) fn paced(pieces: impl IntoIterator<Item = (u64, Bytes)>) -> SdkBody {
    let pieces = pieces.into_iter().map(|(pause, bytes)| (Duration::from_secs(pause), bytes)).collect();
    SdkBody::from_body_1_x(Paced { pieces, pause: None })
}

struct Paced {
    pieces: VecDeque<(Duration, Bytes)>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Body for Paced {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some((pause, _)) = self.pieces.front() else { return Poll::Ready(None) };
        let pause = *pause;
        ready!(self.pause.get_or_insert_with(|| Box::pin(sleep(pause))).as_mut().poll(cx));
        self.pause = None;
        Poll::Ready(self.pieces.pop_front().map(|(_, bytes)| Ok(Frame::data(bytes))))
    }
}
