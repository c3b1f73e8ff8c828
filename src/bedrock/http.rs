//! The HTTP client of the SDK: hyper and rustls, as in the SDK's own client, with settings for HTTP/2 windows and pings.
//!
//! Each SDK client has one. Over HTTP/2 all streams of a connection share its window. With hyper's defaults three callers that do not read
//! would fill it and block the others. Here the windows of all streams fit into it. Idle connections are pinged, so that a broken one is
//! detected.

use std::{fmt, io, pin::Pin, sync::Arc, time::Duration};

use aws_smithy_runtime_api::client::{
    connection::{CaptureSmithyConnection, ConnectionMetadata},
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
    },
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::body::SdkBody;
use http::Uri;
use hyper_rustls::{ConfigBuilderExt, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{self, CaptureConnection, capture_connection},
    },
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier, crypto::aws_lc_rs};
use tokio::{net::TcpStream, sync::Mutex};
use tower::{BoxError, timeout::Timeout, util::BoxCloneSyncService};

use super::{
    measured::{Measured, MeasuredBy},
    tap::Tap,
};
use crate::{
    metrics::Metrics,
    outbound::{Proxied, Proxies},
};

/// The maximum number of streams of a client. It is below Bedrock's limit, because Bedrock counts a stream slightly longer.
pub(super) const STREAMS: usize = 90;

/// The HTTP/2 window of a stream, in bytes: the default of HTTP/2, or some hundred events.
const STREAM_WINDOW: u32 = 64 << 10;

/// The window of a connection is that of all its streams, times this. The `h2` crate closes a connection whose small DATA frames are not read,
/// once they exceed a share of its window. With this factor events of 85 bytes fit, and no event is as small.
const SMALL_FRAMES: u32 = 4;

/// The interval of HTTP/2 pings, and the time for their acknowledgement.
const KEEPALIVE: Duration = Duration::from_secs(20);

type Connecting = BoxCloneSyncService<Uri, MaybeHttpsStream<TokioIo<TcpStream>>, BoxError>;

/// Makes the connections of one SDK client.
#[derive(Clone)]
struct Connections {
    /// The queue of a connection has room for 32 requests, so their bodies are boxed.
    client: Client<Connecting, Pin<Box<SdkBody>>>,
    /// Held by a request until it has its connection, so that one connects and the others of a burst wait for that connection. Without it
    /// each would connect, because the protocol of a connection, and with it how many requests it can take, is known only after the handshake.
    protocol: Arc<Mutex<Protocol>>,
}

/// The protocol of the newest connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Protocol {
    #[default]
    Unknown,
    /// A connection for each request: there is nothing to wait for.
    Http1,
    /// One connection for all requests, until it ends and the next request makes another.
    Http2,
}

/// The settings that all clients share.
#[derive(Clone)]
pub(super) struct Http {
    tls: ClientConfig,
    proxies: Proxies,
    max_connect: Duration,
    measured_by: MeasuredBy,
}

impl Http {
    /// Trusts the certificate authorities of the machine. `max_connect` bounds the time to make a connection.
    ///
    /// # Errors
    /// If the certificates of the machine's authorities cannot be loaded.
    pub(super) fn load(max_connect: Duration) -> io::Result<Self> {
        Ok(Self::with(tls()?.with_native_roots()?.with_no_client_auth(), max_connect))
    }

    /// Trusts no authority. For an emulator on a machine without certificates, such as a small container.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub(super) fn without_authorities(max_connect: Duration) -> io::Result<Self> {
        Ok(Self::with(tls()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth(), max_connect))
    }

    fn with(tls: ClientConfig, max_connect: Duration) -> Self {
        Self { tls, proxies: Proxies::from_env(), max_connect, measured_by: MeasuredBy::default() }
    }

    /// Measures the connections of all clients from now on. The first call counts.
    pub(super) fn measure(&self, metrics: &Metrics) {
        let _ = self.measured_by.set(metrics.clone());
    }

    /// A client with its own connections.
    pub(super) fn client(&self) -> SharedHttpClient {
        let mut tcp = connect::HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(self.tls.clone())
            .https_or_http()
            .enable_http1()
            .enable_http2()
            .wrap_connector(Proxied::new(tcp, self.proxies.clone()));
        let connecting = Measured::new(Timeout::new(https, self.max_connect), Arc::clone(&self.measured_by));
        let streams = u32::try_from(STREAMS).unwrap_or(u32::MAX);
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(streams.saturating_mul(STREAM_WINDOW).saturating_mul(SMALL_FRAMES))
            .http2_keep_alive_interval(KEEPALIVE)
            .http2_keep_alive_timeout(KEEPALIVE)
            .build(BoxCloneSyncService::new(connecting));
        SharedHttpClient::new(Connections { client, protocol: Arc::default() })
    }
}

fn tls() -> io::Result<ConfigBuilder<ClientConfig, WantsVerifier>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(io::Error::other)
}

/// The address of a proxy can contain a password.
impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("max_connect", &self.max_connect).finish_non_exhaustive()
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connections")
    }
}

impl HttpClient for Connections {
    // The settings are those of the SDK's timeouts, which are off.
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Connections {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut request = match request.try_into_http1x() {
            Ok(request) => request,
            Err(error) => return HttpConnectorFuture::ready(Err(ConnectorError::user(error.into()))),
        };
        let connection = capture_connection(&mut request);
        let mut captured = connection.clone();
        let tap = Tap::of_task();
        if let Some(tap) = &tap {
            tap.sends(request.headers_mut(), connection.clone());
        }
        if let Some(capture) = request.extensions().get::<CaptureSmithyConnection>() {
            capture.set_connection_retriever(move || metadata(&connection));
        }
        let this = self.clone();
        HttpConnectorFuture::new(async move {
            let mut protocol = this.protocol.lock().await;
            let mut answer = this.client.request(request.map(Box::pin));
            let answered = if *protocol == Protocol::Http1 {
                None
            } else {
                tokio::select! {
                    answered = &mut answer => Some(answered),
                    metadata = captured.wait_for_connection_metadata() => {
                        if let Some(connected) = metadata.as_ref() {
                            *protocol = if connected.is_negotiated_h2() { Protocol::Http2 } else { Protocol::Http1 };
                        }
                        None
                    }
                }
            };
            drop(protocol);
            let answered = match answered {
                Some(answered) => answered,
                None => answer.await,
            };
            let response = answered.map_err(|error| ConnectorError::io(error.into()))?;
            let response = response.map(SdkBody::from_body_1_x);
            HttpResponse::try_from(match tap {
                Some(tap) => tap.receives(response),
                None => response,
            })
            .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// The metadata of a connection, for [`super::tap`], with the function by which the SDK drops a broken connection.
fn metadata(connection: &CaptureConnection) -> Option<ConnectionMetadata> {
    let proxied = connection.connection_metadata().as_ref()?.is_proxied();
    let connection = connection.clone();
    let poison = move || {
        if let Some(connected) = connection.connection_metadata().as_ref() {
            connected.poison();
        }
    };
    Some(ConnectionMetadata::builder().proxied(proxied).poison_fn(poison).build())
}
