//! What tonic polls: one stream of chunks. It owns everything its call holds, and dropping it releases everything.
//!
//! There is no task and no channel behind it: a caller who stops reading stops the polling, so flow control reaches
//! Bedrock; a caller who leaves drops the stream, which closes the call to Bedrock or hands it to
//! [`crate::response::abandoned`].

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
    /// Shared with the registry alone.
    call: Arc<Mutex<Call>>,
    abandoned: AbandonedCalls,
    _registered: Entry,
}

impl ChunkStream {
    /// The stream of this call.
    pub(crate) fn new(call: Call, abandoned: AbandonedCalls, registry: &CallRegistry) -> Self {
        let call = Arc::new(Mutex::new(call));
        let registered = registry.enter(&call);
        Self { call, abandoned, _registered: registered }
    }

    /// Waits until there is something to send, so that a call which fails before its content fails without a stream.
    pub(crate) async fn first_content(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.call.lock().poll_fill(cx)).await
    }
}

impl Stream for ChunkStream {
    type Item = Result<Chunk, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut call = self.call.lock();
        match std::task::ready!(call.poll_fill(cx)) {
            Ok(()) => Poll::Ready(call.pop().map(Ok)),
            Err(error) => Poll::Ready(Some(Err(error.into_status()))),
        }
    }
}

impl Drop for ChunkStream {
    fn drop(&mut self) {
        self.call.lock().leave(&self.abandoned);
    }
}
