//! What tonic polls: the stream of one call. Dropping it releases everything that the call holds.
//!
//! There is no task and no channel behind it: a caller who stops reading stops the polling, so backpressure reaches Bedrock. A caller
//! who leaves drops the stream, which closes the call to Bedrock or hands it to [`crate::response::abandoned`].

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
    /// Shared with the registry, which locks it only to end it.
    call: Arc<Mutex<Call>>,
    /// The first chunk, which was waited for before the stream was returned.
    first: Option<Chunk>,
    abandoned: AbandonedCalls,
    _registered: Entry,
}

impl ChunkStream {
    /// The stream of this call.
    pub(crate) fn new(call: Call, abandoned: AbandonedCalls, registry: &CallRegistry) -> Self {
        let call = Arc::new(Mutex::new(call));
        let registered = registry.enter(&call);
        Self { call, first: None, abandoned, _registered: registered }
    }

    /// Waits for the first chunk, so that a call that fails before its content fails without a stream.
    pub(crate) async fn first_chunk(&mut self) -> Result<(), Error> {
        self.first = poll_fn(|cx| Pin::new(&mut *self.call.lock()).poll_next(cx)).await.transpose()?;
        Ok(())
    }
}

impl ChunkStream {
    /// Ends the call from outside, unless its answer is complete.
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
        self.call.lock().leave(&self.abandoned);
    }
}
