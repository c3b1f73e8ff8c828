//! The layer around health and reflection, which have no gates. It bounds the number, the size and the time of requests, and ends streams when
//! the server shuts down, because they do not end by themselves.
//!
//! - `timed` the time for the messages of a request

mod timed;

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use http_body_util::Limited;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use self::timed::TimedBody;
use crate::{
    edge::{
        connect::ConnectCall,
        grpc::{Methods, grpc},
        slots::{Full, Slot, Slots},
    },
    error::{Error, Quota, Reason},
    identity::Identity,
    shutdown::Shutdown,
};

/// The maximum number of bytes of all messages of a request.
const MAX_BYTES: usize = 64 << 10;

/// The maximum number of open streams, in total and of one address. Every client can open a Watch, and it costs nothing to keep it open.
const MAX_OPEN: (usize, usize) = (4_096, 1_024);

/// The state of the layer. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Ungated {
    open: Slots,
    /// The methods of the server.
    pub(crate) methods: Methods,
    /// Cancelled when the server shuts down.
    pub(crate) stopping: CancellationToken,
    pub(crate) timeouts: MessageTimeouts,
}

impl Ungated {
    pub(crate) fn new(methods: Methods, stopping: CancellationToken, timeouts: MessageTimeouts) -> Self {
        let (total, per_address) = MAX_OPEN;
        Self { open: Slots::new(total, per_address, None), methods, stopping, timeouts }
    }

    /// A slot for a call that is answered with a stream. Any other needs none.
    fn slot(&self, request: &Request) -> Result<Option<Slot>, Error> {
        if !self.methods.answers_with_a_stream(request.uri().path()) {
            return Ok(None);
        }
        let address = Identity::of(request.extensions())?.address().clone();
        self.open.take(address.clone()).map(Some).map_err(|full| {
            let (total, per_address) = MAX_OPEN;
            let description = match full {
                Full::Total => format!("the server can have {total} open streams of health and reflection"),
                Full::Address => format!("{address} can have {per_address} open streams of health and reflection"),
            };
            let message = format!("{description}. Close some, or share one Watch");
            Error::new(Reason::LocalLimit, message)
                .with_quota(Quota { subject: format!("caller:{address}"), description })
        })
    }
}

/// The timeouts of the messages of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MessageTimeouts {
    /// The time for the first message. If the method takes one message, the body must also end in this time.
    pub(crate) first: Duration,
    /// The time for each further message of a stream.
    pub(crate) further: Duration,
}

impl MessageTimeouts {
    /// The error of a request whose message is late.
    fn error(self) -> Error {
        let Self { first, further } = self;
        let message = format!(
            "the message was not received in time. Send the first message within {first:?} (--body-timeout), \
             and each further message of a stream within {further:?} (--connection-idle-timeout)"
        );
        Error::new(Reason::BodyTimeout, message)
    }
}

/// The layer. A call whose message is late ends with `BODY_TIMEOUT`. When the server shuts down, a stream sends its pending messages and
/// ends with `DRAINING`.
pub(crate) async fn ungated(State(state): State<Ungated>, request: Request, next: Next) -> Response {
    let slot = match state.slot(&request) {
        Ok(slot) => slot,
        Err(refused) => return grpc(&refused.into_status()),
    };
    let Ungated { methods, stopping, timeouts, .. } = state;
    let takes_a_stream = methods.takes_a_stream(request.uri().path());
    let late = CancellationToken::new();
    let timed = |body| TimedBody::new(Limited::new(body, MAX_BYTES), timeouts, takes_a_stream, late.clone());
    let request = request.map(|body| Body::new(timed(body)));
    let request = match request.extensions().get::<ConnectCall>().cloned() {
        None => request,
        Some(call) => match call.receive(request).await {
            Ok(request) => request,
            Err(_) if late.is_cancelled() => return grpc(&timeouts.error().into_status()),
            Err(refused) => return grpc(&refused.into_status()),
        },
    };
    let answer = next.run(request).await;
    let stopped = Box::pin(stopping.cancelled_owned());
    answer.map(|body| Body::new(EndingBody { body, stopped, late, timeouts, _slot: slot, ended: false }))
}

/// The body of a response.
struct EndingBody {
    body: Body,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Cancelled when a message of the request was late.
    late: CancellationToken,
    timeouts: MessageTimeouts,
    _slot: Option<Slot>,
    ended: bool,
}

impl http_body::Body for EndingBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let error = match Pin::new(&mut self.body).poll_frame(cx) {
            // Reflection ends its stream with OK when it cannot read.
            Poll::Ready(Some(Ok(frame))) if frame.is_trailers() && self.late.is_cancelled() => self.timeouts.error(),
            Poll::Pending if self.stopped.as_mut().poll(cx).is_ready() => Shutdown::refusal(),
            polled => return polled,
        };
        self.ended = true;
        let mut trailers = HeaderMap::new();
        let status = error.into_status();
        Poll::Ready(status.add_header(&mut trailers).ok().map(|()| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }
}
