//! The attempts of a call that have no content yet.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use crate::{error::Error, response::reader::ResponseReader};

/// Ready with the answer of the first attempt that brings content, or with an error.
pub(crate) struct PendingResponse(Pin<Box<dyn Future<Output = Result<ResponseReader, Error>> + Send>>);

impl PendingResponse {
    pub(crate) fn new(attempts: impl Future<Output = Result<ResponseReader, Error>> + Send + 'static) -> Self {
        Self(Box::pin(attempts))
    }
}

impl Future for PendingResponse {
    type Output = Result<Box<ResponseReader>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx).map_ok(Box::new)
    }
}

impl fmt::Debug for PendingResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PendingResponse")
    }
}
