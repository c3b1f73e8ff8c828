//! Outgoing TCP connections: straight, or through the proxy of the environment (`HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`).

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Uri, uri::Scheme};
use hyper_util::{
    client::{
        legacy::connect::{HttpConnector, proxy::Tunnel},
        proxy::matcher::Matcher,
    },
    rt::TokioIo,
};
use tokio::net::TcpStream;
use tower::{BoxError, Service};

/// The proxies for outgoing connections. Clones share them.
#[derive(Clone)]
pub(crate) struct Proxies(Arc<Matcher>);

/// TCP, through a proxy if there is one for the target.
#[derive(Clone, Debug)]
pub(crate) struct Proxied {
    tcp: HttpConnector,
    proxies: Proxies,
}

impl Proxies {
    /// Those of the environment.
    pub(crate) fn from_env() -> Self {
        Self(Arc::new(Matcher::from_env()))
    }

    /// This one, for everything.
    #[cfg(test)]
    pub(crate) fn all_through(proxy: &str) -> Self {
        Self(Arc::new(Matcher::builder().all(proxy).build()))
    }
}

/// The address of a proxy can contain a password.
impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proxies")
    }
}

impl Proxied {
    /// `tcp` makes the connections, also those to proxies. TLS is above it.
    pub(crate) fn new(mut tcp: HttpConnector, proxies: Proxies) -> Self {
        tcp.enforce_http(false);
        Self { tcp, proxies }
    }
}

impl Service<Uri> for Proxied {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let secure = target.scheme() == Some(&Scheme::HTTPS);
        let Some(proxy) = self.proxies.0.intercept(&target).filter(|_| secure) else {
            let connecting = self.tcp.call(target);
            return Box::pin(async { Ok(connecting.await?) });
        };
        let mut tunnel = Tunnel::new(proxy.uri().clone(), self.tcp.clone());
        if let Some(auth) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(auth.clone());
        }
        Box::pin(async move { Ok(tunnel.call(target).await?) })
    }
}
