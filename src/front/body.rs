//! The frames of an answer on their way to the caller. An answer that fails ends with an exception frame; only one whose end is proven ends
//! without.
//!
//! Nothing stands between Bedrock and the caller but the call itself, so a caller that does not read holds Bedrock back, and one that leaves
//! abandons the call.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::Frame;
use tokio_stream::Stream;

use super::exception;
use crate::{
    request::relayed::Operation,
    response::{
        piece::{Part, Piece},
        stream::PieceStream,
    },
};

/// The body of a streamed answer.
pub(super) struct RelayedBody {
    pieces: PieceStream,
    operation: Operation,
    first: Option<Bytes>,
    is_over: bool,
}

impl RelayedBody {
    /// An answer whose first bytes were read.
    pub(super) fn new(first: Bytes, pieces: PieceStream, operation: Operation) -> Self {
        Self { pieces, operation, first: Some(first), is_over: false }
    }
}

impl http_body::Body for RelayedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        if self.is_over {
            return Poll::Ready(None);
        }
        let bytes = match ready!(Pin::new(&mut self.pieces).poll_next(cx)) {
            Some(Ok(Piece::Relayed(Part { bytes, .. }))) => bytes,
            // The finish is the proof of the end.
            Some(Ok(Piece::Chunk(_))) | None => {
                self.is_over = true;
                return Poll::Ready(None);
            }
            Some(Err(error)) => {
                self.is_over = true;
                exception::frame(&error, self.operation)
            }
        };
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }
}
