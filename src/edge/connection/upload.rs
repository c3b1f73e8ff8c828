//! The bodies of requests over HTTP/1, and whether a connection can be used again after an answer.
//!
//! A body that is not read to its end ends the connection, because the next request would come after it. hyper then closes without notice, and
//! a client that sends its next request on the connection loses it. So an answer that comes before the end of the body says `connection: close`.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, Version,
    header::{CONNECTION, HeaderMap},
};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

/// Whether a body was read to its end.
#[derive(Debug)]
pub(super) struct Upload(Option<Arc<AtomicBool>>);

/// A body over HTTP/1 that is read.
struct ReadBody {
    body: Incoming,
    read: Arc<AtomicBool>,
}

impl Upload {
    /// Observes the body of a request.
    pub(super) fn of(request: Request<Incoming>) -> (Self, Request<Body>) {
        if request.version() > Version::HTTP_11 || http_body::Body::is_end_stream(request.body()) {
            return (Self(None), request.map(Body::new));
        }
        let read = Arc::new(AtomicBool::new(false));
        let observed = Arc::clone(&read);
        (Self(Some(read)), request.map(|body| Body::new(ReadBody { body, read: observed })))
    }

    /// Tells the client that the connection ends, if the body was not read to its end.
    pub(super) fn announce_end<B>(&self, response: &mut Response<B>) {
        if self.0.as_ref().is_some_and(|read| !read.load(Ordering::Relaxed)) {
            let headers: &mut HeaderMap = response.headers_mut();
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

impl http_body::Body for ReadBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None)) || self.body.is_end_stream() {
            self.read.store(true, Ordering::Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
