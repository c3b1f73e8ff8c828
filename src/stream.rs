//! What tonic polls: one stream of chunks. It owns everything its call holds, and dropping it releases everything.
//!
//! Comes after [`crate::dispatch`], whose attempts it polls until one has brought content, and [`crate::reading`], which it polls from
//! then on. There is no task and no channel behind it: a caller who stops reading stops the polling, so flow control reaches
//! Bedrock; a caller who leaves drops the stream, which closes the call to Bedrock or hands it to [`crate::abandoned`].
//!
//! - `call` what a stream owns
//! - [`register`] all of them, for the server to end one that nobody polls

mod call;
mod register;

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use tokio_stream::Stream;
use tonic::Status;

pub(crate) use self::{
    call::{Call, Opening, TimeLimit},
    register::Register,
};
use crate::{abandoned::Drains, error::Error, proto::Chunk};

/// The answer to one `Generate`.
#[derive(Debug)]
pub struct ChunkStream {
    /// Shared with the register alone.
    call: Arc<Mutex<Call>>,
    drains: Drains,
    _registered: register::Entry,
}

impl ChunkStream {
    /// The stream of this call.
    pub(crate) fn new(call: Call, drains: Drains, register: &Register) -> Self {
        let call = Arc::new(Mutex::new(call));
        let registered = register.enter(&call);
        Self { call, drains, _registered: registered }
    }

    /// Waits until there is something to send, so that a call which fails before its content fails without a stream.
    pub(crate) async fn first_content(&mut self) -> Result<(), Error> {
        poll_fn(|cx| locked(&self.call).poll_fill(cx)).await
    }
}

impl Stream for ChunkStream {
    type Item = Result<Chunk, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut call = locked(&self.call);
        match std::task::ready!(call.poll_fill(cx)) {
            Ok(()) => Poll::Ready(call.pop().map(Ok)),
            Err(error) => Poll::Ready(Some(Err(error.into_status()))),
        }
    }
}

impl Drop for ChunkStream {
    fn drop(&mut self) {
        locked(&self.call).leave(&self.drains);
    }
}

/// Nobody else holds it for longer than it takes to end it.
fn locked(call: &Mutex<Call>) -> MutexGuard<'_, Call> {
    call.lock().unwrap_or_else(PoisonError::into_inner)
}
