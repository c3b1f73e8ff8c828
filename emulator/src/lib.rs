//! A scriptable Amazon Bedrock Runtime that runs on a laptop or in CI.
//!
//! It has HTTP/1.1, HTTP/2 and TLS, and sends real `application/vnd.amazon.eventstream` frames, so every AWS SDK can use it with
//! `AWS_ENDPOINT_URL_BEDROCK_RUNTIME`. A [`Script`] describes an answer.
//!
//! # Layout, in the order in which a request meets it
//!
//! - `connection` accepts connections, with TLS and HTTP, and can reset them
//! - `routes` has the operations, and `control` those of the emulator itself
//! - `told` finds the script that answers a request, and asks the `quota` of its model
//! - `catalogue` has the scripts by model id: built in, from files, from recordings, from tests
//! - `account` has the listings of the control plane, and `listed` what they have by default
//! - `prompt` reads what a request says, and `limits` the limits that it sets; `reply` makes the answer of an ordinary model, and `tools` with `schema` a call of a tool
//! - [`script`] describes an answer; [`recording`] reads one from a recorded exchange
//! - `answer` makes the HTTP response of a script, for each `operation`; `native` has the formats of families
//! - `playback` turns a script into bytes, pauses and faults; `frame` encodes frames
//! - `whole` does so for the operations that do not stream; `fold` joins the events to the answer of Converse
//! - `body` sends them, and `ledger` counts

mod account;
mod answer;
mod body;
mod catalogue;
mod connection;
mod control;
mod delivery;
mod fold;
mod frame;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzzing;
mod ledger;
mod limits;
mod listed;
mod native;
mod operation;
mod playback;
mod prompt;
mod quota;
pub mod recording;
mod reply;
mod routes;
mod schema;
pub mod script;
#[cfg(test)]
mod served;
mod tls;
mod told;
mod tools;
mod whole;

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{account::Account, catalogue::Catalogue, ledger::Ledger, quota::Quotas};
pub use crate::{
    catalogue::{RECORDING_PREFIX, SCRIPT_PREFIX},
    ledger::{CapturedRequest, Stats},
    quota::{MinuteModel, ModelQuota, Quota, QuotaError, QuotaUsage, TokenUsage},
    reply::STORY_PROMPT,
    script::{At, Delivery, Fault, FaultKind, Refusal, Script, Step},
};

/// A complete answer with this text in the native format of this model, without pauses.
pub fn native_reply(model_id: &str, text: &str) -> Script {
    native::reply(model_id, text)
}

/// How an emulator is started.
#[derive(Clone, Debug)]
pub struct Config {
    /// The address to listen on. Port 0 selects a free port.
    pub listen: SocketAddr,
    /// Use TLS with a certificate that is generated at start.
    pub tls: bool,
    /// The maximum number of concurrent streams of an HTTP/2 connection. Default: no limit. Bedrock's is about 100.
    pub max_concurrent_streams: Option<u32>,
    /// Let ordinary models answer without pauses, so that tests need not wait.
    pub unpaced: bool,
    /// A folder of script files; `name.json` becomes the model `emulator.name`.
    pub scripts: Option<PathBuf>,
    /// A folder of recordings; `folder/name.json` becomes the model `recording.folder/name`.
    pub recordings: Option<PathBuf>,
    /// Quotas that are enforced from the start. [`Emulator::set_quota`] sets them later.
    pub quotas: Vec<ModelQuota>,
}

impl Default for Config {
    /// A free loopback port, no TLS, and only the built-in scripts.
    fn default() -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            listen,
            tls: false,
            max_concurrent_streams: None,
            unpaced: false,
            scripts: None,
            recordings: None,
            quotas: Vec::new(),
        }
    }
}

/// Why an emulator does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// A folder of scripts or recordings cannot be used.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A quota cannot be used.
    #[error(transparent)]
    Quota(#[from] QuotaError),
    /// No certificate could be generated.
    #[error("cannot generate a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// TLS could not be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] tokio_rustls::rustls::Error),
}

/// Why a script or a recording cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// It is invalid.
    #[error("{} is invalid: {source}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// The place and the cause.
        source: serde_json::Error,
    },
}

/// The names of the scripts and recordings that an emulator with these folders has.
///
/// # Errors
/// If a folder or a file in it cannot be used.
pub fn models(scripts: Option<&Path>, recordings: Option<&Path>) -> Result<Vec<String>, LoadError> {
    Ok(Catalogue::load(scripts, recordings)?.names())
}

/// A running emulator. Dropping it stops it; [`Emulator::stop`] also waits.
#[derive(Debug)]
pub struct Emulator {
    address: SocketAddr,
    certificate: Option<String>,
    catalogue: Arc<Catalogue>,
    ledger: Arc<Ledger>,
    account: Arc<Account>,
    quotas: Arc<Quotas>,
    stop: CancellationToken,
    serving: Option<JoinHandle<()>>,
}

impl Emulator {
    /// Starts an emulator. It accepts connections when this returns.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let Config { listen, tls, max_concurrent_streams, unpaced, scripts, recordings, quotas } = config;
        let catalogue = Arc::new(Catalogue::load(scripts.as_deref(), recordings.as_deref())?);
        let quotas = Arc::new(Quotas::load(quotas)?);
        let (acceptor, certificate) =
            if tls { tls::acceptor().map(|(a, pem)| (Some(a), Some(pem)))? } else { (None, None) };
        let unusable = |source| StartError::Listen { address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(unusable)?;
        let address = listener.local_addr().map_err(unusable)?;
        let ledger = Arc::new(Ledger::default());
        let stop = CancellationToken::new();
        let account = Arc::new(Account::default());
        let shared = routes::Shared {
            catalogue: Arc::clone(&catalogue),
            ledger: Arc::clone(&ledger),
            account: Arc::clone(&account),
            quotas: Arc::clone(&quotas),
            unpaced,
        };
        let serving = connection::serve(
            listener,
            acceptor,
            max_concurrent_streams,
            routes::router(shared),
            Arc::clone(&ledger),
            stop.clone(),
        );
        #[expect(
            clippy::disallowed_methods,
            reason = "`Emulator::stop` waits for it, and dropping the emulator ends it"
        )]
        let serving = Some(tokio::spawn(serving));
        Ok(Self { address, certificate, catalogue, ledger, account, quotas, stop, serving })
    }

    /// The address on which it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The value for `AWS_ENDPOINT_URL_BEDROCK_RUNTIME`.
    pub fn endpoint(&self) -> String {
        match self.certificate {
            Some(_) => format!("https://localhost:{}", self.address.port()),
            None => format!("http://{}", self.address),
        }
    }

    /// The certificate to trust, as PEM. `None` without TLS.
    pub fn certificate(&self) -> Option<&str> {
        self.certificate.as_deref()
    }

    /// Registers a script for the model `emulator.<name>`, and returns the model id.
    pub fn register(&self, name: &str, script: Script) -> String {
        self.register_sequence(name, [script])
    }

    /// Registers scripts for the model `emulator.<name>`, and returns the model id. Each request gets the next script, and the last one is
    /// repeated.
    pub fn register_sequence(&self, name: &str, scripts: impl IntoIterator<Item = Script>) -> String {
        let model_id = format!("{SCRIPT_PREFIX}{name}");
        self.catalogue.register(model_id.clone(), scripts);
        model_id
    }

    /// Registers scripts as [`Emulator::register_sequence`] does, for requests that were signed for this region.
    pub fn register_in(&self, name: &str, region: &str, scripts: impl IntoIterator<Item = Script>) -> String {
        let model_id = format!("{SCRIPT_PREFIX}{name}");
        self.catalogue.register_in(&model_id, region, scripts);
        model_id
    }

    /// Registers a function that makes the script of each request for the model `emulator.<name>`, and returns the model id.
    pub fn register_with(
        &self,
        name: &str,
        script: impl Fn(&CapturedRequest) -> Script + Send + Sync + 'static,
    ) -> String {
        let model_id = format!("{SCRIPT_PREFIX}{name}");
        self.catalogue.register_maker(model_id.clone(), Arc::new(script));
        model_id
    }

    /// Enforces this quota of a model for requests that were signed for this region, with all counts at zero. Without a region it is one
    /// quota for all regions that have none of their own. Running requests settle with the quota that was set before.
    ///
    /// # Errors
    /// If a number of the quota is unusable.
    pub fn set_quota(&self, model_id: &str, region: Option<&str>, quota: Quota) -> Result<(), QuotaError> {
        self.quotas.set(model_id, region, quota)
    }

    /// What was used of the quota that was set for exactly this model and region. `None` if there is none.
    pub fn quota_usage(&self, model_id: &str, region: Option<&str>) -> Option<QuotaUsage> {
        self.quotas.usage(model_id, region)
    }

    /// Replaces what ListFoundationModels and ListInferenceProfiles list, in the form of Bedrock's summaries. A page has at most `page` of the
    /// profiles.
    pub fn set_account(&self, models: Vec<Value>, profiles: Vec<Value>, page: usize) {
        self.account.replace(models, profiles, page);
    }

    /// Refuses the next requests to list, one by one.
    pub fn refuse_listings(&self, refusals: impl IntoIterator<Item = Refusal>) {
        self.account.refuse(refusals);
    }

    /// How many requests to list there were.
    pub fn listings(&self) -> u64 {
        self.account.requests()
    }

    /// The current counts.
    pub fn stats(&self) -> Stats {
        self.ledger.stats()
    }

    /// Waits until the counts satisfy a condition, and returns them.
    pub async fn wait_until(&self, wanted: impl FnMut(&Stats) -> bool) -> Stats {
        let mut watch = self.ledger.watch();
        // The sender is in `self`, so the wait does not fail.
        watch.wait_for(wanted).await.map(|stats| *stats).unwrap_or_default()
    }

    /// The last request to an operation.
    pub fn last_request(&self) -> Option<CapturedRequest> {
        self.ledger.last_request()
    }

    /// Closes all connections and waits until they are closed.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(serving) = self.serving.take() {
            let _ = serving.await;
        }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
