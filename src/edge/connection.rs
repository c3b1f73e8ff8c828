//! One connection: which HTTP it speaks, how long it may be idle, and how it ends.
//!
//! A connection ends gracefully when it is idle for long, when it is old, or when the server shuts down. HTTP/2 gets GOAWAY: calls
//! that are on their way are served, the client opens no further ones, and streams run on. HTTP/1 gets `connection: close`. A
//! client may withhold what would end its connection, or not read the end of an answer: a connection that was told to end and then
//! has no request in flight for the idle timeout is closed all the same.
//!
//! - `activity` the requests in flight
//! - `socket` the version of HTTP, and closing without losing what was sent last

mod activity;
mod socket;

use std::{convert::Infallible, pin::pin, time::Duration};

use axum::{Router, body::Body};
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
use tonic::transport::server::{Connected, TcpConnectInfo};
use tower::Service;
use tracing::debug;

use self::{
    activity::{Activity, TrackedBody},
    socket::{Socket, Version},
};
use crate::edge::descriptors;

/// How long a connection may take for its first bytes once the server shuts down: a call may be on its way.
const CROSSING: Duration = Duration::from_secs(1);

/// The longest list of headers of a request, in bytes as HTTP/2 counts them.
const MAX_HEADERS: u32 = 16 << 10;

/// How many bytes of request bodies a connection may send that nobody has read. This bounds what it can hold, however many
/// bodies it sends at once.
const CONNECTION_WINDOW: u32 = 1 << 20;

/// The same for one body. It is less, so that a body that is not read does not hold up those beside it.
const STREAM_WINDOW: u32 = CONNECTION_WINDOW / 2;

/// How many streams a client may have cancelled that were not served yet. More is an attack (rapid reset, CVE-2023-44487), and
/// closes the connection.
const MAX_PENDING_RESETS: usize = 100;

/// How many streams the server may have reset for errors of the client before it closes the connection.
const MAX_LOCAL_RESETS: usize = 1_024;

/// The age varies by a tenth, so that clients do not all come back at once.
const AGE_JITTER: f64 = 0.1;

/// The most connections by default, if the limit of open files allows them.
const DEFAULT_MAX: usize = 10_000;

/// The limits and timeouts of connections.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionSettings {
    /// The most connections at once.
    pub max: usize,
    /// The most connections of one client address at once.
    pub max_per_address: usize,
    /// The most HTTP/2 streams of one connection at once. A client waits with further calls.
    pub max_streams: u32,
    /// How long a client may take for the preface of HTTP/2, or for the headers of a request over HTTP/1.
    pub handshake_timeout: Duration,
    /// How long an HTTP/2 connection may have no request in flight.
    pub idle_timeout: Duration,
    /// After how much silence an HTTP/2 client is pinged, and how long it may take to answer.
    pub keepalive: Duration,
    /// The age at which a connection takes no new calls.
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
    /// The most connections of one address by default: half of all, so that the others have some left.
    pub(crate) fn share(max: usize) -> usize {
        max.div_ceil(2)
    }
}

/// What all connections of a listener share.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    pub(super) router: Router,
    pub(super) settings: ConnectionSettings,
    /// The tasks of connections, and of the streams of HTTP/2.
    pub(super) tasks: TaskTracker,
    /// Connections end gracefully.
    pub(super) stopping: CancellationToken,
    /// Connections end at once.
    pub(super) closing: CancellationToken,
}

impl Connections {
    /// Serves one connection to its end.
    pub(super) async fn serve(self, stream: TcpStream) {
        let closing = self.closing.clone();
        closing.run_until_cancelled(self.serve_to_end(stream)).await;
    }

    async fn serve_to_end(self, stream: TcpStream) {
        let peer = stream.connect_info();
        let detect = async {
            tokio::select! {
                detected = timeout(self.settings.handshake_timeout, Socket::detect(stream)) => detected.ok(),
                () = async { self.stopping.cancelled().await; sleep(CROSSING).await } => None,
            }
        };
        let Some(Ok(Some((version, socket)))) = detect.await else {
            debug!(peer = ?peer.remote_addr(), "closed: the client sent neither a preface nor a request");
            return;
        };
        let activity = Activity::new();
        let service = service_fn(|request| self.call(request, &peer, &activity));
        let io = TokioIo::new(socket);
        let ended = match version {
            Version::Http1 => self.drive(self.http1().serve_connection(io, service), &activity).await,
            Version::Http2 => self.drive(self.http2().serve_connection(io, service), &activity).await,
        };
        if let Err(error) = ended {
            debug!(%error, peer = ?peer.remote_addr(), "a connection failed");
        }
    }

    fn call(
        &self,
        request: Request<Incoming>,
        peer: &TcpConnectInfo,
        activity: &Activity,
    ) -> impl Future<Output = Result<Response<TrackedBody>, Infallible>> + Send + use<> {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer.clone());
        let active = activity.begin();
        let answer = self.router.clone().call(request);
        async move { answer.await.map(|response| response.map(|body| active.until_end_of(body))) }
    }

    /// Runs a connection, and ends it when it is idle, old, or the server shuts down.
    async fn drive<C: GracefulConnection>(&self, connection: C, activity: &Activity) -> Result<(), C::Error> {
        let mut connection = pin!(connection);
        let mut counted_from = Instant::now();
        let mut check = pin!(sleep(self.settings.idle_timeout));
        let mut old = pin!(self.is_old());
        let mut told = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => return ended,
                () = self.stopping.cancelled(), if !told => {}
                () = &mut old, if !told => {}
                () = &mut check => {
                    let now = Instant::now();
                    // While a request is in flight the time has not begun.
                    let idle_since = activity.idle_since().map_or(now, |since| since.max(counted_from));
                    let end = idle_since + self.settings.idle_timeout;
                    if end > now {
                        check.set(sleep_until(end));
                        continue;
                    }
                    if told {
                        return Ok(());
                    }
                }
            }
            told = true;
            connection.as_mut().graceful_shutdown();
            counted_from = Instant::now();
            check.set(sleep(self.settings.idle_timeout));
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
        let mut builder = http2::Builder::new(StreamTasks(self.tasks.clone()));
        builder
            .timer(TokioTimer::new())
            // A caller whose machine is gone must not hold a stream, and a request to Bedrock, for ever.
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

/// Runs the streams of HTTP/2 as tasks that the shutdown waits for.
#[derive(Clone, Debug)]
struct StreamTasks(TaskTracker);

impl<F> Executor<F> for StreamTasks
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, stream: F) {
        self.0.spawn(stream);
    }
}
