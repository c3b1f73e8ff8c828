//! Hands an answer on to the client, chunk by chunk, and keeps it for its recording.

use std::{
    path::PathBuf,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{
    Recorded, Report, Writes,
    exchange::{Exchange, save},
};

/// The longest answer that is kept, in bytes.
const LONGEST: usize = 256 << 20;

/// Writes recordings to a folder.
#[derive(Clone)]
pub(super) struct Saver {
    pub(super) into: PathBuf,
    pub(super) report: Report,
    pub(super) writes: Writes,
}

impl Saver {
    fn save(&self, exchange: Exchange) {
        let (into, report) = (self.into.clone(), self.report.clone());
        let mut writes = self.writes.lock();
        // What has ended needs no place any more.
        while writes.try_join_next().is_some() {}
        writes.spawn_blocking(move || {
            let recorded = match save(&into, &exchange) {
                Ok(path) => Recorded::Saved(path),
                Err(error) => Recorded::Lost { path: exchange.path, why: error.to_string() },
            };
            report(&recorded);
        });
    }

    pub(super) fn lost(&self, path: String, why: &str) {
        (self.report)(&Recorded::Lost { path, why: why.to_owned() });
    }
}

/// The body of an answer on its way to the client.
pub(super) struct Tee<B> {
    inner: B,
    saver: Saver,
    /// What was received. `None` after its end.
    exchange: Option<Exchange>,
}

impl<B: Body<Data = Bytes>> Tee<B> {
    pub(super) fn new(inner: B, saver: Saver, exchange: Exchange) -> Self {
        let mut tee = Self { inner, saver, exchange: Some(exchange) };
        tee.look_for_end();
        tee
    }

    /// HTTP does not read the end of a body after the last byte that its length declares.
    fn look_for_end(&mut self) {
        if self.inner.is_end_stream() {
            self.end();
        }
    }

    fn end(&mut self) {
        if let Some(exchange) = self.exchange.take() {
            self.saver.save(exchange);
        }
    }

    fn lose(&mut self, why: &str) {
        if let Some(exchange) = self.exchange.take() {
            self.saver.lost(exchange.path, why);
        }
    }

    fn keep(&mut self, bytes: &Bytes) {
        let Some(exchange) = &mut self.exchange else { return };
        exchange.body.extend_from_slice(bytes);
        exchange.chunks.push(bytes.len());
        if exchange.body.len() > LONGEST {
            self.lose("the answer is too long");
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Tee<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = std::task::ready!(Pin::new(&mut self.inner).poll_frame(cx));
        match &polled {
            Some(Ok(frame)) => {
                if let Some(bytes) = frame.data_ref() {
                    let bytes = bytes.clone();
                    self.keep(&bytes);
                }
                self.look_for_end();
            }
            Some(Err(_)) => self.lose("the answer was cut"),
            None => self.end(),
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B> Drop for Tee<B> {
    fn drop(&mut self) {
        if let Some(exchange) = self.exchange.take() {
            self.saver.lost(exchange.path, "the client left before the end of the answer");
        }
    }
}
