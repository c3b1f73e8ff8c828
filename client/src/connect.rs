//! Connects to an endpoint, with TLS if and only if it begins with `https://`.
//!
//! It never falls back to the other protocol. If the server uses another protocol than the endpoint says, the error says so.

use std::{
    error::Error as StdError,
    io,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use outcrop_secret_file::{ExposeSecret, SecretString};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::error::Elapsed,
};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Uri};
use tower::ServiceExt;

use crate::ClientError;

/// The time for a TCP connection, and after it for the TLS handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The interval of HTTP/2 pings during a call, and the time for their acknowledgement.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// The forms of an endpoint.
const FORMS: &str = "write http://HOST:PORT (not encrypted) or https://HOST:PORT (TLS)";

/// The protocol that the first bytes of the server show, if it is not HTTP/2.
#[derive(Clone, Debug, Default)]
pub(crate) struct DetectedProtocol(Arc<AtomicU8>);

impl DetectedProtocol {
    const TLS: u8 = 1;
    const HTTP1: u8 = 2;

    /// The problem with the endpoint that the first bytes of the server show.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        match self.0.load(Ordering::Relaxed) {
            Self::TLS => Some("the server speaks TLS, and http:// does not. Write https://"),
            Self::HTTP1 => Some("the server answers with HTTP/1.1, and gRPC needs HTTP/2. Is it an Outcrop server?"),
            _ => None,
        }
    }

    /// Inspects the first bytes of a connection.
    fn inspect(&self, first: &[u8]) {
        let spoken = match first {
            // An alert or a handshake record of any version of TLS; or the answer of Outcrop to a client without TLS: SETTINGS, then GOAWAY
            // with INADEQUATE_SECURITY.
            [0x15 | 0x16, 0x03, ..]
            | [0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, _, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12, ..] => Self::TLS,
            [b'H', b'T', ..] => Self::HTTP1,
            _ => 0,
        };
        self.0.store(spoken, Ordering::Relaxed);
    }
}

/// What a client shows and whom it trusts when it connects.
#[derive(Clone, Debug, Default)]
pub(crate) struct Security {
    /// The authorities to trust in place of those of the machine, in PEM.
    pub(crate) authorities: Option<Vec<u8>>,
    /// The certificate of the client.
    pub(crate) identity: Option<ClientIdentity>,
}

/// The HTTP/2 window of a stream, in bytes: the default of HTTP/2. It bounds what is received and not read.
const STREAM_WINDOW: u32 = 65_535;

/// The HTTP/2 window of a connection, in bytes: the maximum of HTTP/2. The `h2` crate closes a connection whose small DATA frames are not read,
/// once they exceed a share of this window, and a chunk of an answer is such a frame.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;

/// The certificate of a client and its private key, in PEM.
#[derive(Clone, Debug)]
pub(crate) struct ClientIdentity {
    pub(crate) certificate: Vec<u8>,
    pub(crate) key: SecretString,
}

/// Connects to the endpoint. Returns the channel, and the protocol that the server's first bytes show during a call.
pub(crate) async fn connect(endpoint: &str, security: &Security) -> Result<(Channel, DetectedProtocol), ClientError> {
    let unusable = |message: String| ClientError::Endpoint { endpoint: endpoint.to_owned(), message };
    let channel = Endpoint::from_shared(endpoint.to_owned())
        .map_err(|error| unusable(format!("is not a URL ({}): {FORMS}", root(&error))))?;
    let channel = channel.connect_timeout(CONNECT_TIMEOUT).tcp_nodelay(true);
    let channel = channel.http2_keep_alive_interval(KEEPALIVE).keep_alive_timeout(KEEPALIVE);
    let channel = channel.initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
    let spoken = DetectedProtocol::default();
    let failed = |error: tonic::transport::Error| ClientError::Connect {
        endpoint: endpoint.to_owned(),
        message: explained(&error),
        source: error,
    };
    let scheme = endpoint.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    let channel = match scheme.as_deref() {
        Some("https") => {
            let tls = tls(security)?.timeout(CONNECT_TIMEOUT);
            // The certificates were read before, so only the key can be wrong.
            let channel = channel.tls_config(tls);
            channel.map_err(|error| ClientError::Identity(root(&error).to_string()))?.connect().await
        }
        _ if security.authorities.is_some() || security.identity.is_some() => {
            return Err(unusable(
                "is not encrypted, so --ca, --cert and --key have no effect. Write https://, or leave them and their variables out"
                    .to_owned(),
            ));
        }
        Some("http") => channel.connect_with_connector(plaintext(&spoken)).await,
        Some("unix") => channel.connect().await,
        Some(_) if endpoint.contains("://") => {
            return Err(unusable(format!("has another scheme: {FORMS}")));
        }
        _ => return Err(unusable(format!("has no scheme: {FORMS}"))),
    };
    Ok((channel.map_err(failed)?, spoken))
}

/// Whether others on the network can read what is sent to the endpoint.
pub(crate) fn is_readable_by_others(endpoint: &str) -> bool {
    let Ok(uri) = endpoint.parse::<Uri>() else { return false };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_loopback = host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
    uri.scheme_str() == Some("http") && !is_loopback
}

fn tls(security: &Security) -> Result<ClientTlsConfig, ClientError> {
    let mut config = ClientTlsConfig::new();
    config = match &security.authorities {
        Some(pem) => {
            certificates(pem).map_err(ClientError::Authorities)?;
            config.ca_certificate(Certificate::from_pem(pem))
        }
        None => config.with_native_roots(),
    };
    let Some(ClientIdentity { certificate, key }) = &security.identity else { return Ok(config) };
    certificates(certificate).map_err(ClientError::Identity)?;
    let key = key.expose_secret();
    PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|_| ClientError::Identity("the key has no `BEGIN PRIVATE KEY`, or is not valid PEM".to_owned()))?;
    Ok(config.identity(Identity::from_pem(certificate, key)))
}

/// Checks that there is a certificate, and that all can be read.
fn certificates(pem: &[u8]) -> Result<(), String> {
    match CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>() {
        Ok(certificates) if certificates.is_empty() => Err("there is no `BEGIN CERTIFICATE` in it".to_owned()),
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// Makes TCP connections whose first bytes are inspected.
fn plaintext(
    spoken: &DetectedProtocol,
) -> impl tower::Service<
    Uri,
    Response = TokioIo<InspectedConnection>,
    Error = <HttpConnector as tower::Service<Uri>>::Error,
    Future: Send,
> + Send
+ use<> {
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    let spoken = spoken.clone();
    tcp.map_response(move |stream| {
        TokioIo::new(InspectedConnection { stream: stream.into_inner(), spoken: spoken.clone(), is_new: true })
    })
}

/// A connection whose first bytes are inspected.
pub(crate) struct InspectedConnection {
    stream: TcpStream,
    spoken: DetectedProtocol,
    is_new: bool,
}

impl AsyncRead for InspectedConnection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if let (true, Poll::Ready(Ok(()))) = (self.is_new, &read) {
            self.is_new = false;
            self.spoken.inspect(&buffer.filled()[before..]);
        }
        read
    }
}

impl AsyncWrite for InspectedConnection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        // A server that speaks another protocol can close the connection before the client has read its first bytes.
        let mut first = [0; 8];
        if self.is_new
            && matches!(written, Poll::Ready(Err(_)))
            && let Ok(length) = self.stream.try_read(&mut first)
        {
            self.is_new = false;
            self.spoken.inspect(&first[..length]);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The cause of a failed connection, and what to do.
fn explained(error: &tonic::transport::Error) -> String {
    let cause = root(error);
    match cause.downcast_ref::<rustls::Error>() {
        Some(rustls::Error::InvalidMessage(_)) => {
            "the server does not speak TLS. If the connection need not be encrypted, write http://".to_owned()
        }
        Some(rustls::Error::InvalidCertificate(_)) => {
            format!(
                "the certificate of the server is not trusted ({cause}). If its authority is your own, name it with --ca FILE"
            )
        }
        Some(_) => refused_certificate(cause).unwrap_or_else(|| format!("the TLS handshake failed: {cause}")),
        None if cause.to_string().contains("tls handshake eof") => {
            "the server closed the connection during the TLS handshake. Does it speak TLS?".to_owned()
        }
        None if cause.is::<Elapsed>() || cause.to_string() == "TLS handshake timeout." => {
            "the server did not answer in time. Is it running there, and does it speak TLS?".to_owned()
        }
        None => format!("{cause}. Is the server running there?"),
    }
}

/// The alerts of TLS that are about the certificate of the client.
const CERTIFICATE_ALERTS: [&str; 8] = [
    "AccessDenied",
    "BadCertificate",
    "CertificateExpired",
    "CertificateRevoked",
    "CertificateUnknown",
    "DecryptError",
    "UnknownCA",
    "UnsupportedCertificate",
];

/// What an alert of the server says about the certificate of the client, and what to do. An alert after the handshake comes through the
/// HTTP/2 library, which keeps only its text.
pub(crate) fn refused_certificate(cause: &(dyn StdError + 'static)) -> Option<String> {
    let cause = cause.to_string();
    let alert = cause.strip_prefix("received fatal alert: ")?;
    // rustls adds hints to some.
    let alert = alert.split_whitespace().next()?;
    if alert == "CertificateRequired" {
        return Some("the server needs a client certificate. Name one with --cert FILE and --key FILE".to_owned());
    }
    let is_refused = CERTIFICATE_ALERTS.contains(&alert);
    is_refused.then(|| format!("the server does not accept the client certificate ({alert})"))
}

/// The innermost cause.
pub(crate) fn root<'a>(error: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    let inner: Option<&(dyn StdError + 'static)> = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref)
    {
        Some(inner) => Some(inner),
        None => error.source(),
    };
    inner.map_or(error, root)
}
