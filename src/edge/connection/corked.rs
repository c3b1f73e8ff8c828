//! A connection that lets other tasks run before it writes.
//!
//! The chunk of one stream wakes the connection. If it wrote at once, each chunk would be a write of its own, although other streams of the connection
//! have one too. The bytes stay where they are in the meantime, with hyper.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::interlude::Interlude;

/// So many bytes are written without waiting for more.
const ENOUGH: usize = 16 << 10;

/// The connection.
#[derive(Debug)]
pub(super) struct Corked<T> {
    io: T,
    interlude: Interlude,
    /// Whether what is written now is the rest of a write, for which the peer had no room.
    is_rest: bool,
}

impl<T> Corked<T> {
    /// A connection of which nothing was written.
    pub(super) fn new(io: T) -> Self {
        Self { io, interlude: Interlude::default(), is_rest: false }
    }
}

impl<T: AsyncWrite + Unpin> Corked<T> {
    /// Writes bytes of this length, after other tasks have run.
    fn poll_with(
        &mut self,
        cx: &mut Context<'_>,
        length: usize,
        write: impl FnOnce(Pin<&mut T>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if length >= ENOUGH || self.is_rest {
            self.interlude.end();
        } else if self.interlude.waits(cx, length) {
            return Poll::Pending;
        }
        let written = write(Pin::new(&mut self.io), cx);
        self.is_rest = !matches!(written, Poll::Ready(Ok(written)) if written == length);
        written
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Corked<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Corked<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_with(cx, buf.len(), |io, cx| io.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = bufs.iter().map(|buf| buf.len()).sum();
        self.poll_with(cx, length, |io, cx| io.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        task::yield_now,
    };

    use super::*;

    #[tokio::test]
    async fn bytes_that_other_tasks_add_are_written_together_and_none_is_lost() {
        let (near, mut far) = duplex(1 << 20);
        let mut corked = Corked::new(near);
        let mut polls = 0;
        // As hyper, which offers what has been added when it is polled again.
        let written = std::future::poll_fn(|cx| {
            polls += 1;
            let offered = vec![b'x'; 10 * polls];
            Pin::new(&mut corked).poll_write(cx, &offered)
        });
        assert_eq!(written.await.unwrap(), 20);
        let mut bytes = [0; 20];
        far.read_exact(&mut bytes).await.unwrap();
        assert_eq!(bytes, [b'x'; 20]);
    }

    #[tokio::test]
    async fn a_peer_that_reads_slowly_gets_every_byte() {
        let (near, mut far) = duplex(7);
        let mut corked = Corked::new(near);
        let sent: Vec<u8> = (0..=255).cycle().take(3 * ENOUGH).collect();
        let write = async {
            for piece in sent.chunks(1_000) {
                corked.write_all(piece).await.unwrap();
            }
            corked.shutdown().await.unwrap();
        };
        let read = async {
            let mut received = Vec::new();
            let mut bytes = [0; 5];
            loop {
                match far.read(&mut bytes).await.unwrap() {
                    0 => return received,
                    length => received.extend_from_slice(&bytes[..length]),
                }
                yield_now().await;
            }
        };
        let ((), received) = tokio::join!(write, read);
        assert!(received == sent);
    }
}
