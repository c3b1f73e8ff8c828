//! A connection: its version of HTTP, its idle timeout, and its end.
//!
//! A connection ends gracefully when it was idle for the idle timeout, when it reaches its maximum age, or when the server shuts down. Over
//! HTTP/2 the server sends GOAWAY: calls that were already sent are served, the client sends no further calls, and streams continue. Over
//! HTTP/1 it sends `connection: close`. If the client does not cooperate, the connection is closed after another idle timeout without a
//! request in flight.
//!
//! - `activity` the requests in flight
//! - `corked` lets other streams send before it writes
//! - `opening` the handshake of TLS, and what is known of the client after it
//! - `parked` what can end a connection, which is looked at only when something has happened
//! - `transport` the bytes, with or without TLS
//! - `socket` detects the version of HTTP, and closes without losing the last bytes
//! - `upload` an answer over HTTP/1 that comes before the request has ended

mod activity;
mod corked;
mod opening;
mod parked;
mod socket;
mod transport;
mod upload;

use std::{convert::Infallible, net::SocketAddr, pin::pin, time::Duration};

use axum::Router;
use http::{Request, Response};
use hyper::{
    body::Incoming,
    rt::Executor,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulConnection,
};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service;
use tracing::debug;

use self::{
    activity::{ActiveRequest, Activity, TrackedBody},
    corked::Corked,
    opening::{Opened, Peer, open},
    parked::Parked,
    socket::Version,
    upload::Upload,
};
use crate::{
    cores::{Cores, Place},
    edge::{descriptors, slots::Slot, tls::Tls},
};

/// The time for the first bytes of a connection during a shutdown, because the client can have sent a call already.
const CROSSING: Duration = Duration::from_secs(1);

/// The maximum size of the headers of a request, in bytes as HTTP/2 counts them.
const MAX_HEADERS: u32 = 16 << 10;

/// The bytes of request bodies that a connection can send before they are read. This bounds its memory for any number of bodies.
const CONNECTION_WINDOW: u32 = 1 << 20;

/// The same for one body. It is smaller, so that a body that is not read does not block the others.
const STREAM_WINDOW: u32 = CONNECTION_WINDOW / 2;

/// The maximum number of streams that a client has cancelled before they were served. More is an attack (rapid reset, CVE-2023-44487) and
/// closes the connection.
const MAX_PENDING_RESETS: usize = 100;

/// The maximum number of streams that the server resets because of errors of the client. More closes the connection.
const MAX_LOCAL_RESETS: usize = 1_024;

/// The jitter of the age, so that clients do not reconnect at the same time.
const AGE_JITTER: f64 = 0.1;

/// The default maximum of connections, if the limit of open files allows it.
const DEFAULT_MAX: usize = 10_000;

/// The limits and timeouts of connections.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionSettings {
    /// The maximum number of open connections.
    pub max: usize,
    /// The maximum number of open connections of one client address.
    pub max_per_address: usize,
    /// The maximum number of concurrent HTTP/2 streams of a connection. The client waits before it sends further calls.
    pub max_streams: u32,
    /// The time for the handshake of TLS and the preface of HTTP/2, or for the headers of a request over HTTP/1.
    pub handshake_timeout: Duration,
    /// The time after which an HTTP/2 connection without a request in flight ends.
    pub idle_timeout: Duration,
    /// The idle time after which an HTTP/2 client is pinged, and the time for the acknowledgement.
    pub keepalive: Duration,
    /// The age at which a connection accepts no new calls.
    pub max_age: Option<Duration>,
}

impl Default for ConnectionSettings {
    fn default() -> Self {
        let max = descriptors::connections(descriptors::limit()).clamp(1, DEFAULT_MAX);
        Self {
            max,
            max_per_address: Self::share(max),
            max_streams: 1_000,
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_mins(10),
            keepalive: Duration::from_secs(20),
            max_age: None,
        }
    }
}

impl ConnectionSettings {
    /// The default maximum of connections of one address: half of all, so that one address cannot take all.
    pub(crate) fn share(max: usize) -> usize {
        max.div_ceil(2)
    }
}

/// Whether only this machine can reach the address.
pub(crate) fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// The state that the connections of a listener share.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    pub(super) router: Router,
    pub(super) settings: ConnectionSettings,
    /// `None` if connections are not encrypted.
    pub(super) tls: Option<Tls>,
    /// Where they are served. `None`: on the runtime that accepts them.
    pub(super) cores: Option<Cores>,
    /// The tasks of connections, and of the streams of HTTP/2.
    pub(super) tasks: TaskTracker,
    /// Cancelled when connections end gracefully.
    pub(super) stopping: CancellationToken,
    /// Cancelled when connections end at once.
    pub(super) closing: CancellationToken,
}

impl Connections {
    /// Opens a connection here, and serves it to its end in its place. A handshake computes for up to a millisecond, which the streams of a core
    /// need not wait for.
    pub(super) async fn serve(self, stream: TcpStream, place: Option<Place>, slot: Slot) {
        let Some(Some(opened)) = self.closing.run_until_cancelled(self.open(stream)).await else { return };
        let tasks = self.tasks.clone();
        let serving = tasks.track_future(async move {
            let closing = self.closing.clone();
            tokio::select! {
                biased;
                () = self.serve_opened(opened) => {}
                () = Parked::new(closing.cancelled()) => {}
            }
            drop(slot);
        });
        match place {
            Some(place) => place.spawn(serving),
            None => serving.await,
        }
    }

    /// `None` if the client has sent nothing that can be served.
    async fn open(&self, stream: TcpStream) -> Option<Opened> {
        let address = stream.peer_addr().ok();
        let opening = timeout(self.settings.handshake_timeout, open(stream, self.tls.as_ref()));
        let opened = tokio::select! {
            opened = opening => opened.unwrap_or(Ok(None)),
            () = async { self.stopping.cancelled().await; sleep(CROSSING).await } => Ok(None),
        };
        match opened {
            Ok(Some(opened)) => return Some(opened),
            Ok(None) => debug!(peer = ?address, "closed: the client sent neither a preface nor a request"),
            Err(error) => debug!(%error, peer = ?address, "closed: the connection cannot be opened"),
        }
        None
    }

    async fn serve_opened(self, Opened { version, socket, peer }: Opened) {
        let activity = Activity::new();
        let service = service_fn(|request| {
            // Over HTTP/2 each is a task, which counts itself.
            let counted = matches!(version, Version::Http1).then(|| self.cores.as_ref()?.count_stream()).flatten();
            self.call(request, &peer, activity.begin(counted))
        });
        let io = TokioIo::new(Corked::new(socket));
        let ended = match version {
            Version::Http1 => self.drive(self.http1().serve_connection(io, service), &activity).await,
            Version::Http2 => self.drive(self.http2().serve_connection(io, service), &activity).await,
        };
        if let Err(error) = ended {
            debug!(%error, peer = ?peer.address(), "a connection failed");
        }
    }

    fn call(
        &self,
        request: Request<Incoming>,
        peer: &Peer,
        active: ActiveRequest,
    ) -> impl Future<Output = Result<Response<TrackedBody>, Infallible>> + Send + use<> {
        let (upload, mut request) = Upload::of(request);
        peer.attach(request.extensions_mut());
        let answer = self.router.clone().call(request);
        async move {
            let mut response = answer.await?;
            upload.announce_end(&mut response);
            Ok(response.map(|body| active.until_end_of(body)))
        }
    }

    /// Runs a connection, and ends it when it is idle, old, or the server shuts down.
    async fn drive<C: GracefulConnection>(&self, connection: C, activity: &Activity) -> Result<(), C::Error> {
        let mut connection = pin!(connection);
        let told = async {
            tokio::select! {
                () = self.stopping.cancelled() => {}
                () = self.is_old() => {}
                () = self.is_idle(activity) => {}
            }
        };
        tokio::select! {
            // First, because a client that floods the connection leaves no budget to what follows it.
            biased;
            () = Parked::new(told) => {}
            ended = connection.as_mut() => return ended,
        }
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            biased;
            () = Parked::new(self.is_idle(activity)) => Ok(()),
            ended = connection.as_mut() => ended,
        }
    }

    /// Waits until no request was in flight for the idle timeout, counted from now.
    async fn is_idle(&self, activity: &Activity) {
        let counted_from = Instant::now();
        loop {
            let now = Instant::now();
            // The idle timeout does not run while a request is in flight.
            let idle_since = activity.idle_since().map_or(now, |since| since.max(counted_from));
            let end = idle_since + self.settings.idle_timeout;
            if end <= now {
                return;
            }
            sleep_until(end).await;
        }
    }

    async fn is_old(&self) {
        match self.settings.max_age {
            Some(age) => sleep(age.mul_f64(1.0 + AGE_JITTER * (2.0 * fastrand::f64() - 1.0))).await,
            None => std::future::pending().await,
        }
    }

    fn http1(&self) -> http1::Builder {
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(self.settings.handshake_timeout);
        builder
    }

    fn http2(&self) -> http2::Builder<StreamTasks> {
        let ConnectionSettings { max_streams, keepalive, .. } = self.settings;
        let mut builder = http2::Builder::new(StreamTasks { tasks: self.tasks.clone(), cores: self.cores.clone() });
        builder
            .timer(TokioTimer::new())
            // A client that has disappeared must not keep a stream and a request to Bedrock.
            .keep_alive_interval(keepalive)
            .keep_alive_timeout(keepalive)
            .max_concurrent_streams(max_streams)
            .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
            .max_local_error_reset_streams(MAX_LOCAL_RESETS)
            .max_header_list_size(MAX_HEADERS)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_stream_window_size(STREAM_WINDOW);
        builder
    }
}

/// Runs the streams of HTTP/2 as tasks for which the shutdown waits.
#[derive(Clone, Debug)]
struct StreamTasks {
    tasks: TaskTracker,
    cores: Option<Cores>,
}

impl<F> Executor<F> for StreamTasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        match &self.cores {
            Some(cores) => cores.spawn_stream(self.tasks.track_future(stream)),
            None => drop(self.tasks.spawn(stream)),
        }
    }
}
