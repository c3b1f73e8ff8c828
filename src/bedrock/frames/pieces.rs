//! A response body in pieces, for property tests, fuzz targets and benchmarks.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame};

/// The pieces, all of them there from the beginning.
#[derive(Debug)]
pub(crate) struct Pieces {
    pieces: VecDeque<Bytes>,
    last: Last,
}

/// What comes after the last piece.
#[cfg_attr(not(test), expect(dead_code, reason = "property tests alone have other ends"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    /// The body ends.
    End,
    /// The connection is cut.
    Cut,
    /// Nothing.
    Stall,
}

impl Pieces {
    /// A body that ends after these.
    pub(crate) fn of(pieces: impl IntoIterator<Item = Bytes>) -> Self {
        Self { pieces: pieces.into_iter().collect(), last: Last::End }
    }

    /// The same with another end.
    #[cfg(test)]
    pub(crate) fn ending(self, last: Last) -> Self {
        Self { last, ..self }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match (self.pieces.pop_front(), self.last) {
            (Some(piece), _) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            (None, Last::End) => Poll::Ready(None),
            (None, Last::Cut) => Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into()))),
            (None, Last::Stall) => Poll::Pending,
        }
    }
}
