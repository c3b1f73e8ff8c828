//! The listeners of a server, and TLS for their connections.

use std::{future::pending, net::SocketAddr};

use tokio::net::TcpListener;
use tracing::warn;

use super::AppError;
use crate::{
    audit::Audit,
    config::Settings,
    edge::{connection::is_loopback, tls::Tls},
    metrics::Metrics,
};

/// Listeners that are bound and not yet served.
#[derive(Debug)]
pub(super) struct Listeners {
    pub(super) calls: TcpListener,
    /// Where calls are listened for.
    pub(super) address: SocketAddr,
    pub(super) metrics: Option<TcpListener>,
    /// For all of them.
    pub(super) tls: Option<Tls>,
}

impl Listeners {
    /// Reads the files of TLS and binds the addresses.
    pub(super) async fn bind(settings: &Settings, metrics: &Metrics) -> Result<Self, AppError> {
        let tls = settings.tls.clone().map(|tls| Tls::load(tls, metrics.clone())).transpose().map_err(AppError::Tls)?;
        let (calls, address) = bind("--listen", settings.listen, tls.as_ref()).await?;
        let metrics = match settings.metrics_listen {
            Some(address) => Some(bind("--metrics-listen", address, tls.as_ref()).await?.0),
            None => None,
        };
        Ok(Self { calls, address, metrics, tls })
    }
}

async fn bind(
    flag: &'static str,
    address: SocketAddr,
    tls: Option<&Tls>,
) -> Result<(TcpListener, SocketAddr), AppError> {
    let unbound = |source| AppError::Listen { flag, address, source };
    let listener = TcpListener::bind(address).await.map_err(unbound)?;
    let bound = listener.local_addr().map_err(unbound)?;
    if tls.is_none() && !is_loopback(bound) {
        warn!(
            address = %bound,
            "listening without TLS: others on the network can read and change what is sent. Set --tls-cert and --tls-key"
        );
    }
    Ok((listener, bound))
}

/// Reloads the files of TLS when they change, while it is polled.
pub(super) async fn reload_when_changed(tls: Option<&Tls>, audit: &Audit) {
    match tls {
        Some(tls) => tls.reload_when_changed(|expires| audit.tls_replaced(expires)).await,
        None => pending().await,
    }
}
