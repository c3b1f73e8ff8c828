//! The socket of a connection: detects the version of HTTP, and closes without losing the last bytes.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// The preface of HTTP/2.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The time for the peer to close its side after this side was closed.
const LINGER: Duration = Duration::from_secs(1);

/// The version of HTTP that a client uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Http1,
    Http2,
}

/// A connection with its first bytes, which were read to detect the version.
#[derive(Debug)]
pub(super) struct Socket<T> {
    io: T,
    unread: Bytes,
    linger: Option<Pin<Box<Sleep>>>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Socket<T> {
    /// A connection of which nothing was read.
    pub(super) fn of(io: T) -> Self {
        Self { io, unread: Bytes::new(), linger: None }
    }

    /// Reads until the version is known: at most the preface of HTTP/2. `None` if the peer closed the connection before.
    ///
    /// # Errors
    /// If reading fails.
    pub(super) async fn detect(mut io: T) -> io::Result<Option<(Version, Self)>> {
        let mut first = BytesMut::with_capacity(PREFACE.len());
        let version = loop {
            if io.read_buf(&mut first).await? == 0 {
                return Ok(None);
            }
            let known = first.len().min(PREFACE.len());
            if first[..known] != PREFACE[..known] {
                break Version::Http1;
            }
            if known == PREFACE.len() {
                break Version::Http2;
            }
        };
        Ok(Some((version, Self { io, unread: first.freeze(), linger: None })))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Socket<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.unread.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let length = self.unread.len().min(buf.remaining());
        buf.put_slice(&self.unread[..length]);
        self.unread.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Socket<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Closes this side, then reads and discards until the peer closes its side.
    ///
    /// Closing a socket with unread bytes resets the connection, and the peer could lose the last bytes.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { io, linger, .. } = &mut *self;
        if linger.is_none() {
            ready!(Pin::new(&mut *io).poll_shutdown(cx))?;
        }
        let time_over = linger.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        let mut discarded = [0; 4096];
        loop {
            if time_over.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut discarded = ReadBuf::new(&mut discarded);
            match ready!(Pin::new(&mut *io).poll_read(cx, &mut discarded)) {
                Ok(()) if !discarded.filled().is_empty() => {}
                _ => return Poll::Ready(Ok(())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn the_version_is_told_by_the_first_bytes_and_none_is_lost() {
        for (sent, version) in [
            (&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nrest"[..], Version::Http2),
            (b"GET / HTTP/1.1\r\n\r\n", Version::Http1),
            (b"PRI * HTTP/1.1\r\n\r\n", Version::Http1),
            (b"\x16\x03\x01", Version::Http1),
        ] {
            // One byte at a time, as a slow peer sends.
            let (mut client, server) = duplex(1);
            let send = async {
                client.write_all(sent).await.unwrap();
                drop(client);
            };
            let receive = async {
                let (told, mut socket) = Socket::detect(server).await.unwrap().unwrap();
                let mut read = Vec::new();
                socket.read_to_end(&mut read).await.unwrap();
                (told, read)
            };
            let ((), (told, read)) = tokio::join!(send, receive);
            assert_eq!((told, read.as_slice()), (version, sent));
        }
    }

    #[tokio::test]
    async fn a_peer_that_leaves_in_the_preface_has_no_version() {
        let (mut client, server) = duplex(64);
        client.write_all(b"PRI *").await.unwrap();
        drop(client);
        assert!(Socket::detect(server).await.unwrap().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn closing_waits_for_the_peer_for_a_limited_time() {
        let (mut client, server) = duplex(64);
        client.write_all(b"GET").await.unwrap();
        let (_, mut socket) = Socket::detect(server).await.unwrap().unwrap();
        // The peer keeps its side open.
        socket.shutdown().await.unwrap();
        // It closes at once.
        let (mut client, server) = duplex(64);
        client.write_all(b"GET and more").await.unwrap();
        let (_, mut socket) = Socket::detect(server).await.unwrap().unwrap();
        client.shutdown().await.unwrap();
        let before = tokio::time::Instant::now();
        socket.shutdown().await.unwrap();
        assert_eq!(before.elapsed(), Duration::ZERO);
    }
}
