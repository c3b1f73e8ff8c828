//! Fetches the keys of an issuer over HTTPS, in bounded size and time.
//!
//! Like calls to Bedrock, a fetch goes through the proxy of the environment. It has a connection of its own, which the future drives and
//! closes with itself: there are few fetches, and a pool would need tasks. Redirects are not followed: the operator names where keys come from.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, client::conn::http1};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::CertificateDer};
use serde_json::Value;
use tokio::time::timeout;
use tower::{Service, ServiceExt};

use super::{
    keys::KeySet,
    settings::{IssuerSettings, certificates, https},
};
use crate::outbound::{Proxied, Proxies};

/// The path of OpenID Connect discovery below an issuer.
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// The maximum size of the headers of an answer, in bytes.
const MAX_HEADERS: usize = 32 << 10;

/// The bounds of a fetch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// The time for the whole fetch: discovery and the JWK set, with their connections.
    pub(super) time: Duration,
    /// The maximum size of a document, in bytes.
    pub(super) bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { time: Duration::from_secs(5), bytes: 256 << 10 }
    }
}

/// The keys that were fetched.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) keys: KeySet,
    /// For how long the issuer lets its clients keep them (`Cache-Control`), if it says so.
    pub(super) max_age: Option<Duration>,
}

/// Where the keys of an issuer come from.
pub(super) trait Source: fmt::Debug + Send + Sync + 'static {
    /// Fetches the keys, in bounded time.
    ///
    /// # Errors
    /// What was wrong, for the log.
    fn fetch(&self, settings: &IssuerSettings) -> impl Future<Output = Result<Fetched, String>> + Send;
}

/// Fetches the keys of one issuer over HTTPS.
pub(super) struct Fetcher {
    connector: HttpsConnector<Proxied>,
    bounds: Bounds,
}

/// The document of an answer, and what its headers say about its age.
struct Document {
    text: Bytes,
    max_age: Option<Duration>,
}

impl Fetcher {
    /// # Errors
    /// If no authority is trusted, with what to do.
    pub(super) fn new(
        settings: &IssuerSettings,
        system: &[CertificateDer<'static>],
        bounds: Bounds,
        proxies: Proxies,
    ) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        match &settings.ca {
            Some(pem) => {
                for certificate in certificates(pem).map_err(|problem| format!("`ca` {problem}"))? {
                    roots
                        .add(certificate)
                        .map_err(|error| format!("`ca` has a certificate that cannot be used: {error}"))?;
                }
            }
            None => drop(roots.add_parsable_certificates(system.iter().cloned())),
        }
        if roots.is_empty() {
            let advice =
                "install them (the package ca-certificates), set SSL_CERT_FILE, or name the issuer's own with `ca`";
            return Err(format!("this machine has no certificates of authorities: {advice}"));
        }
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tcp = Proxied::new(HttpConnector::new(), proxies);
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1().wrap_connector(tcp);
        Ok(Self { connector, bounds })
    }

    async fn keys(&self, settings: &IssuerSettings) -> Result<Fetched, String> {
        let uri = match &settings.jwks_uri {
            Some(uri) => https(uri)?,
            None => self.discover(&settings.issuer).await?,
        };
        let document = self.get(&uri).await.map_err(|problem| format!("GET {uri}: {problem}"))?;
        let keys = KeySet::parse(&document.text).map_err(|problem| format!("GET {uri}: {problem}"))?;
        Ok(Fetched { keys, max_age: document.max_age })
    }

    /// Where the issuer publishes its keys.
    async fn discover(&self, issuer: &str) -> Result<Uri, String> {
        let uri = format!("{}{DISCOVERY}", issuer.trim_end_matches('/'));
        let wrong = |problem: String| format!("GET {uri}: {problem}");
        let document = self.get(&https(&uri)?).await.map_err(wrong)?;
        let discovered: Value = serde_json::from_slice(&document.text)
            .map_err(|error| wrong(format!("the answer is not JSON ({error})")))?;
        let named = |name: &str| discovered.get(name).and_then(Value::as_str).unwrap_or_default();
        if named("issuer") != issuer {
            return Err(wrong(format!("its `issuer` is `{}` and not `{issuer}`", cut(named("issuer")))));
        }
        https(named("jwks_uri"))
            .map_err(|problem| wrong(format!("its `jwks_uri` is `{}`: {problem}", cut(named("jwks_uri")))))
    }

    async fn get(&self, uri: &Uri) -> Result<Document, String> {
        let mut connector = self.connector.clone();
        let ready = connector.ready().await.map_err(|error| chain(&*error))?;
        let stream = ready.call(uri.clone()).await.map_err(|error| chain(&*error))?;
        let (mut sender, connection) =
            http1::Builder::new().max_buf_size(MAX_HEADERS).handshake(stream).await.map_err(|error| chain(&error))?;
        let request = Request::get(uri.path_and_query().map_or("/", |path| path.as_str()))
            .header(header::HOST, uri.authority().map_or("", |authority| authority.as_str()))
            .header(header::ACCEPT, "application/json")
            .header(header::ACCEPT_ENCODING, "identity")
            .header(header::USER_AGENT, concat!("outcrop/", env!("CARGO_PKG_VERSION")))
            .body(Empty::<Bytes>::new())
            .map_err(|error| chain(&error))?;
        let mut exchange = Box::pin(async move {
            let response = sender.send_request(request).await.map_err(|error| chain(&error))?;
            read(response, self.bounds.bytes).await
        });
        tokio::select! {
            document = &mut exchange => document,
            // What was received before the end of the connection is in the exchange.
            _ = connection => exchange.await,
        }
    }
}

impl Source for Fetcher {
    async fn fetch(&self, settings: &IssuerSettings) -> Result<Fetched, String> {
        let time = self.bounds.time;
        let fetched = timeout(time, self.keys(settings)).await;
        fetched.unwrap_or_else(|_| Err(format!("the issuer did not answer in {}", humantime::format_duration(time))))
    }
}

async fn read(response: Response<Incoming>, max: usize) -> Result<Document, String> {
    let (head, mut body) = response.into_parts();
    if head.status.is_redirection() {
        let to = head.headers.get(header::LOCATION).and_then(|to| to.to_str().ok()).unwrap_or_default();
        let advice = "redirects are not followed. Name the URL of the JWK set with `jwks_uri`";
        return Err(format!("the answer is a redirect to `{}`: {advice}", cut(to)));
    }
    if head.status != StatusCode::OK {
        return Err(format!("the answer has the status {}", head.status));
    }
    let too_long = || format!("the answer has more than {max} bytes");
    let mut text = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| chain(&error))?;
        let Ok(data) = frame.into_data() else { continue };
        if data.len() > max - text.len() {
            return Err(too_long());
        }
        text.extend_from_slice(&data);
    }
    Ok(Document { text: text.freeze(), max_age: max_age(&head.headers) })
}

/// For how long an answer with these headers may be kept. `None`: they do not say.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let mut directives = headers
        .get_all(header::CACHE_CONTROL)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|directive| directive.trim().to_ascii_lowercase())
        .peekable();
    directives.peek()?;
    let mut max_age = None;
    for directive in directives {
        match directive.split_once('=') {
            None if directive == "no-store" || directive == "no-cache" => return Some(Duration::ZERO),
            Some(("max-age", seconds)) => max_age = seconds.trim_matches('"').parse().ok().map(Duration::from_secs),
            _ => {}
        }
    }
    let age = headers.get(header::AGE).and_then(|age| age.to_str().ok()?.parse().ok()).map(Duration::from_secs);
    max_age.map(|max_age| max_age.saturating_sub(age.unwrap_or_default()))
}

/// The beginning of a text that a server sent, on one line.
fn cut(text: &str) -> String {
    text.chars().take(200).flat_map(char::escape_debug).collect()
}

/// An error with its causes.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// The authorities that the machine trusts.
pub(super) fn system_roots() -> Vec<CertificateDer<'static>> {
    rustls_native_certs::load_native_certs().certs
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher").field("bounds", &self.bounds).finish_non_exhaustive()
    }
}
