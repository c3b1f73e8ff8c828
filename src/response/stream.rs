//! The stream of a call, which tonic polls.
//!
//! There is no task and no channel behind it. If the caller stops reading, tonic stops polling, so backpressure reaches Bedrock. If the
//! caller cancels, tonic drops the stream, which abandons the call ([`crate::response::abandoned`]).

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
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
        registry::{CallRegistry, Entry},
    },
};

/// The answer to one `Generate`.
#[derive(Debug)]
pub struct ChunkStream {
    /// Shared with the registry, which locks it only to end the call.
    call: Arc<Mutex<Call>>,
    /// The first chunk, if it was not returned yet.
    first: Option<Chunk>,
    abandoned: AbandonedCalls,
    _registered: Entry,
}

impl ChunkStream {
    /// The stream of this call.
    pub(crate) fn new(call: Call, identity: Identity, abandoned: AbandonedCalls, registry: &CallRegistry) -> Self {
        let call = Arc::new(Mutex::new(call));
        let registered = registry.enter(&call, identity);
        Self { call, first: None, abandoned, _registered: registered }
    }

    /// Waits for the first chunk, so that a call that fails before content fails without a stream.
    pub(crate) async fn first_chunk(&mut self) -> Result<(), Error> {
        self.first = poll_fn(|cx| Pin::new(&mut *self.call.lock()).poll_next(cx)).await.transpose()?;
        Ok(())
    }
}

impl ChunkStream {
    /// Ends the call with this error, unless its answer is complete.
    pub(crate) fn end(&self, error: Error) {
        self.call.lock().end(error);
    }
}

impl Stream for ChunkStream {
    type Item = Result<Chunk, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        let polled = Pin::new(&mut *self.call.lock()).poll_next(cx);
        polled.map(|chunk| chunk.map(|chunk| chunk.map_err(Error::into_status)))
    }
}

impl Drop for ChunkStream {
    fn drop(&mut self) {
        self.call.lock().abandon(&self.abandoned);
    }
}
