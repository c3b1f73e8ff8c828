//! The stream of a call, which tonic polls.
//!
//! There is no task and no channel behind it. If the caller stops reading, tonic stops polling, so backpressure reaches Bedrock. If the
//! caller cancels, tonic drops the stream, which abandons the call ([`crate::response::abandoned`]).

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use parking_lot::Mutex;
use tokio_stream::Stream;
use tonic::Status;

use crate::{
    error::Error,
    identity::Identity,
    proto::Chunk,
    response::{
        abandoned::AbandonedCalls,
        call::Call,
        piece::Piece,
        registry::{CallRegistry, Entry},
    },
};

/// The answer to one call.
#[derive(Debug)]
pub(crate) struct PieceStream {
    /// Shared with the registry, which locks it only to end the call.
    call: Arc<Mutex<Call>>,
    /// The first piece, if it was not returned yet.
    first: Option<Box<Piece>>,
    abandoned: AbandonedCalls,
    _registered: Entry,
}

/// The answer to one `Generate`.
#[derive(Debug)]
pub struct ChunkStream(PieceStream);

impl PieceStream {
    /// The stream of this call.
    pub(crate) fn new(call: Call, identity: Identity, abandoned: AbandonedCalls, registry: &CallRegistry) -> Self {
        let call = Arc::new(Mutex::new(call));
        let registered = registry.enter(&call, identity);
        Self { call, first: None, abandoned, _registered: registered }
    }

    /// Waits for the first piece, so that a call that fails before content fails without a stream.
    pub(crate) async fn first_piece(&mut self) -> Result<(), Error> {
        self.first = poll_fn(|cx| Pin::new(&mut *self.call.lock()).poll_next(cx)).await.transpose()?.map(Box::new);
        Ok(())
    }

    /// Ends the call with this error, unless its answer is complete.
    pub(crate) fn end(&self, error: Error) {
        self.call.lock().end(error);
    }
}

impl Stream for PieceStream {
    type Item = Result<Piece, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(Ok(*first))),
            None => Pin::new(&mut *self.call.lock()).poll_next(cx),
        }
    }
}

impl Drop for PieceStream {
    fn drop(&mut self) {
        self.call.lock().abandon(&self.abandoned);
    }
}

impl From<PieceStream> for ChunkStream {
    fn from(pieces: PieceStream) -> Self {
        Self(pieces)
    }
}

impl Stream for ChunkStream {
    type Item = Result<Chunk, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match ready!(Pin::new(&mut self.0).poll_next(cx)) {
                Some(Ok(Piece::Chunk(chunk))) => return Poll::Ready(Some(Ok(chunk))),
                // Only the Bedrock API asks for parts.
                Some(Ok(Piece::Relayed(_))) => {}
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into_status()))),
                None => return Poll::Ready(None),
            }
        }
    }
}
