//! Records exchanges with the real Bedrock: a proxy that signs requests with its own credentials and keeps answers as
//! [recordings](crate::recording), without secrets.
//!
//! - `upstream` says where Bedrock is, and `sign` with which credentials requests go there
//! - `proxy` forwards a request; `tee` hands the answer on, chunk by chunk, and keeps it
//! - `exchange` writes a file, without what `scrub` finds

mod exchange;
mod proxy;
mod scrub;
mod sign;
mod tee;
mod upstream;

use std::{fmt, io, net::SocketAddr, path::PathBuf, sync::Arc};

use parking_lot::Mutex;
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

pub(crate) use self::scrub::text as anonymous;
pub use self::{
    sign::Credentials,
    upstream::{Upstream, UpstreamError},
};
use crate::{connection, ledger::Ledger};

/// How a recorder is started.
#[derive(Clone)]
pub struct RecorderConfig {
    /// The address to listen on, which must be a loopback address: every program that reaches it uses the credentials.
    pub listen: SocketAddr,
    /// Where requests go.
    pub upstream: Upstream,
    /// The credentials for requests that go there. Without any, requests are not signed.
    pub credentials: Option<Credentials>,
    /// The folder for recordings. It is made if it does not exist.
    pub into: PathBuf,
    /// Is called for every exchange.
    pub report: Report,
}

impl fmt::Debug for RecorderConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { listen, upstream, credentials, into, report: _ } = self;
        let mut debug = f.debug_struct("RecorderConfig");
        debug.field("listen", listen).field("upstream", upstream).field("credentials", credentials).field("into", into);
        debug.finish_non_exhaustive()
    }
}

/// What is called for every exchange.
pub type Report = Arc<dyn Fn(&Recorded) + Send + Sync>;

/// What became of an exchange.
#[derive(Debug)]
pub enum Recorded {
    /// It was written to this file.
    Saved(PathBuf),
    /// It was not written.
    Lost {
        /// The path of the request.
        path: String,
        /// Why it was not.
        why: String,
    },
}

/// Why a recorder does not start.
#[derive(Debug, thiserror::Error)]
pub enum RecorderError {
    /// The address is not a loopback address.
    #[error("{0} is not a loopback address, and other machines could use the credentials of the recorder")]
    NotLoopback(SocketAddr),
    /// The address cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// The folder cannot be made.
    #[error("cannot make the folder {}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The credentials would go in the clear.
    #[error("an API key of Bedrock is not sent in the clear: the upstream must be https")]
    InTheClear,
    /// The certificates of the system cannot be read.
    #[error("cannot read the certificates that this machine trusts: {0}")]
    Certificates(io::Error),
}

/// A running recorder. Dropping it stops it; [`Recorder::stop`] also waits for files that are being written.
#[derive(Debug)]
pub struct Recorder {
    address: SocketAddr,
    stop: CancellationToken,
    serving: Option<JoinHandle<()>>,
    writes: Writes,
}

/// The files that are being written.
type Writes = Arc<Mutex<JoinSet<()>>>;

impl Recorder {
    /// Starts a recorder. It accepts connections when this returns.
    ///
    /// # Errors
    /// See [`RecorderError`].
    pub async fn start(config: RecorderConfig) -> Result<Self, RecorderError> {
        let RecorderConfig { listen, upstream, credentials, into, report } = config;
        if !listen.ip().is_loopback() {
            return Err(RecorderError::NotLoopback(listen));
        }
        if matches!(credentials, Some(Credentials::ApiKey(_))) && !upstream.is_tls() {
            return Err(RecorderError::InTheClear);
        }
        std::fs::create_dir_all(&into).map_err(|source| RecorderError::Folder { path: into.clone(), source })?;
        let unusable = |source| RecorderError::Listen { address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(unusable)?;
        let address = listener.local_addr().map_err(unusable)?;
        let (stop, writes) = (CancellationToken::new(), Writes::default());
        let saver = tee::Saver { into, report, writes: Arc::clone(&writes) };
        let router = proxy::router(proxy::Proxy::new(upstream, credentials, saver)?);
        let serving = connection::serve(listener, None, None, router, Arc::new(Ledger::default()), stop.clone());
        #[expect(
            clippy::disallowed_methods,
            reason = "`Recorder::stop` waits for it, and dropping the recorder ends it"
        )]
        let serving = Some(tokio::spawn(serving));
        Ok(Self { address, stop, serving, writes })
    }

    /// The value for `AWS_ENDPOINT_URL_BEDROCK_RUNTIME`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Closes all connections, and waits until all files are written.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(serving) = self.serving.take() {
            let _ = serving.await;
        }
        let mut writes = std::mem::take(&mut *self.writes.lock());
        while writes.join_next().await.is_some() {}
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[cfg(test)]
mod tests;
