//! Connections: accept, TLS, HTTP/1.1 or HTTP/2, and TCP resets that a script requests.

use std::{
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{Extension, Router};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::{conn::auto, graceful::GracefulConnection},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::ledger::Ledger;

/// How a script ends the connection under its answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hangup {
    reset: Arc<AtomicBool>,
    go_away: CancellationToken,
    disconnect: CancellationToken,
}

impl Hangup {
    /// The connection ends with a TCP reset instead of an orderly close.
    pub(crate) fn reset(&self) {
        self.reset.store(true, Ordering::SeqCst);
    }

    /// The connection takes no new streams, and closes after those that it has.
    pub(crate) fn go_away(&self) {
        self.go_away.cancel();
    }

    /// The connection closes now.
    pub(crate) fn disconnect(&self) {
        self.disconnect.cancel();
    }
}

/// Accepts connections until told to stop, then closes them all.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    max_streams: Option<u32>,
    router: Router,
    ledger: Arc<Ledger>,
    stop: CancellationToken,
) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of file descriptors, or the peer has disconnected. An immediate retry would fail again.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let open = OpenConnection::new(Arc::clone(&ledger));
        let connection = connection(stream, tls.clone(), max_streams, router.clone());
        connections.spawn(async move {
            connection.await;
            drop(open);
        });
    }
    connections.shutdown().await;
}

/// Counts an open connection until it is dropped.
struct OpenConnection(Arc<Ledger>);

impl OpenConnection {
    fn new(ledger: Arc<Ledger>) -> Self {
        ledger.count(|stats| {
            stats.connections += 1;
            stats.open_connections += 1;
        });
        Self(ledger)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.count(|stats| stats.open_connections -= 1);
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, max_streams: Option<u32>, router: Router) {
    let hangup = Hangup::default();
    let _ = stream.set_nodelay(true);
    let stream = Resettable { stream, hangup: hangup.clone() };
    let service = TowerToHyperService::new(router.layer(Extension(hangup.clone())));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http2().max_concurrent_streams(max_streams);
    match tls {
        Some(acceptor) => {
            if let Ok(stream) = acceptor.accept(stream).await {
                until_hangup(builder.serve_connection(TokioIo::new(stream), service), &hangup).await;
            }
        }
        None => until_hangup(builder.serve_connection(TokioIo::new(stream), service), &hangup).await,
    }
}

/// Serves a connection until it ends by itself or by its script. An error is the peer leaving or a scripted fault; the ledger has
/// both.
async fn until_hangup(connection: impl GracefulConnection, hangup: &Hangup) {
    let mut connection = pin!(connection);
    tokio::select! {
        biased;
        () = hangup.disconnect.cancelled() => return,
        () = hangup.go_away.cancelled() => connection.as_mut().graceful_shutdown(),
        _ = connection.as_mut() => return,
    }
    tokio::select! {
        biased;
        () = hangup.disconnect.cancelled() => {}
        _ = connection => {}
    }
}

/// A TCP stream that can end with a reset.
struct Resettable {
    stream: TcpStream,
    hangup: Hangup,
}

impl Drop for Resettable {
    fn drop(&mut self) {
        if self.hangup.reset.load(Ordering::SeqCst) {
            // A linger of zero makes the close that follows a reset.
            let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        }
    }
}

impl AsyncRead for Resettable {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Resettable {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.hangup.reset.load(Ordering::SeqCst) {
            // An orderly shutdown first would turn the reset into a clean end.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
