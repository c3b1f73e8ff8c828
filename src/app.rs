//! Settings -> a server that listens, runs, and drains.
//!
//! - `listeners` binds its addresses; `layers` the layers around the methods
//! - `background` what it does besides serving; `account_quotas` the quotas that AWS knows
//! - `reload` what changes while it runs; `error` why it cannot start; `mounted` services of tests

mod account_quotas;
mod background;
mod error;
mod layers;
mod listeners;
mod mounted;
mod reload;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use tokio_util::sync::CancellationToken;
use tonic_health::server::HealthReporter;
use tracing::{info, warn};
use zeroize::Zeroizing;

use self::{
    account_quotas::AccountQuotas,
    background::{drop_idle_clients, keep_quotas, remove_expired, settle, share, sweep},
    listeners::{Listeners, reload_when_changed},
};
pub use self::{error::AppError, mounted::Mounted, reload::Reload};
pub use crate::edge::descriptors::raise_file_limit;
use crate::{
    admission::{AdmissionControl, failure_limit::FailureLimit},
    audit::Audit,
    bedrock::Bedrock,
    config::{Settings, Watcher},
    conversation::{Conversations, OwnerLimits},
    cores::{self, Threads},
    edge::{
        connection::ConnectionSettings,
        server::{Listening, Server},
        session::link::{self, OneTimeLink},
    },
    failover::circuit_breaker::CircuitBreakers,
    identity::{directory::Directory, key::NewKey},
    in_force::InForce,
    metrics::Metrics,
    proto::generation_service_server::GenerationServiceServer,
    quota::{budget::Budgets, ledger::Ledger, sharing::Sharing},
    response::registry::CallRegistry,
    service::Service,
    shutdown::{
        Shutdown,
        steps::{self, Ended, Served, ShutdownSettings},
    },
    telemetry::{
        logs::LogFilter,
        otlp::{Otlp, losses::Losses},
    },
};

/// The maximum number of connections to the metrics endpoint.
const METRICS_CONNECTIONS: usize = 32;

/// A server that is bound and not yet serving.
#[derive(Debug)]
pub struct App {
    listeners: Listeners,
    threads: Threads,
    router: Router,
    metrics_router: Router,
    shared: Shared,
    /// The code of the link to sign in to the page.
    page_code: Option<NewKey>,
    steps: ShutdownSettings,
    unread_timeout: Duration,
    connections: ConnectionSettings,
    watcher: Option<Watcher>,
    log: Option<LogFilter>,
}

/// What the layers of a server share with its lifecycle.
#[derive(Debug)]
struct Shared {
    bedrock: Bedrock,
    shutdown: Shutdown,
    registry: CallRegistry,
    admission: AdmissionControl,
    ledger: Ledger,
    account_quotas: AccountQuotas,
    breakers: CircuitBreakers,
    /// `None`: this server shares nothing.
    sharing: Option<Sharing>,
    failures: Arc<FailureLimit>,
    directory: Directory,
    conversations: Conversations,
    metrics: Metrics,
    audit: Audit,
    otlp: Option<Otlp>,
    health: HealthReporter,
    /// Cancelled when the server stops accepting.
    stopping: CancellationToken,
}

impl Shared {
    async fn open(settings: &Settings, bedrock: &Bedrock) -> Result<Self, AppError> {
        let owner = OwnerLimits { conversations: settings.max_conversations, bytes: settings.max_stored_bytes };
        let metrics = Metrics::default();
        let account_quotas = AccountQuotas::open(bedrock, &settings.quotas).await;
        let ledger = Ledger::new(bedrock.home(), &account_quotas.applied(&settings.quotas));
        let breakers = CircuitBreakers::default().with_metrics(metrics.clone());
        let budgets = Budgets::default();
        budgets.follow(settings.identity.budgets());
        let in_force = InForce::new(&settings.rules, &settings.limits, &settings.quotas);
        metrics.limits(settings.limits.streams, settings.limits.streams_per_caller, settings.limits.streams_per_model);
        let admission = AdmissionControl::with_budgets(budgets.clone());
        let sharing = share(settings, bedrock.home(), &ledger, &admission, &breakers).await?;
        let conversations =
            Conversations::open(&settings.conversations, settings.conversation_bounds, owner, &metrics).await?;
        conversations.restore(&budgets).await?;
        Ok(Self {
            bedrock: bedrock.clone(),
            shutdown: Shutdown::default(),
            registry: CallRegistry::default(),
            sharing,
            admission,
            ledger,
            account_quotas,
            breakers,
            failures: Arc::default(),
            directory: Directory::new(&settings.identity, in_force).map_err(AppError::Issuers)?,
            conversations,
            audit: Audit::open(settings.audit.as_ref(), &metrics).map_err(|source| AppError::Audit {
                path: settings.audit.as_ref().map(|audit| audit.path.clone()).unwrap_or_default(),
                source,
            })?,
            otlp: settings
                .otlp
                .as_ref()
                .map(|otlp| Otlp::start(otlp, Losses::new(metrics.clone())))
                .transpose()
                .map_err(AppError::Otlp)?,
            metrics,
            health: HealthReporter::new(),
            stopping: CancellationToken::new(),
        })
    }
}

impl App {
    /// Binds the listeners and puts the layers together. Nothing is served before [`App::run`].
    ///
    /// # Errors
    /// See [`AppError`].
    pub async fn build(settings: &Settings, bedrock: Bedrock) -> Result<Self, AppError> {
        Self::assemble(settings, bedrock, None).await
    }

    async fn assemble(settings: &Settings, bedrock: Bedrock, mounted: Option<Mounted>) -> Result<Self, AppError> {
        let shared = Shared::open(settings, &bedrock).await?;
        shared.health.set_serving::<GenerationServiceServer<Service>>().await;
        let (link, page_code) = settings.page_login.as_deref().map(OneTimeLink::new).transpose()?.unzip();
        let router = layers::router(settings, bedrock, &shared, link, mounted)?;
        let metrics_router = layers::metrics_router(settings, &shared);
        let listeners = Listeners::bind(settings, &shared.metrics).await?;
        if settings.insecure_no_auth {
            let address = listeners.address;
            warn!(%address, "--insecure-no-auth: all clients that reach this address can call models and read all conversations");
        }
        Ok(Self {
            listeners,
            threads: Threads::start(cores::number()).map_err(AppError::Threads)?,
            router,
            metrics_router,
            shared,
            page_code,
            steps: settings.shutdown,
            unread_timeout: settings.unread_timeout,
            connections: settings.connections,
            watcher: None,
            log: None,
        })
    }

    /// Lets the server apply the changes of the configuration file while it runs. `log` is the filter of the process, if it logs.
    #[must_use]
    pub fn with_watcher(self, watcher: Option<Watcher>, log: Option<LogFilter>) -> Self {
        Self { watcher, log, ..self }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listeners.address
    }

    /// Where its metrics are, if they are served.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.listeners.metrics.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// The link that signs a browser in to the page once, within 10 minutes, if the settings have its caller. Print it for the operator alone.
    pub fn page_link(&self) -> Option<Zeroizing<String>> {
        let scheme = if self.listeners.tls.is_some() { "https" } else { "http" };
        let code = self.page_code.as_ref()?;
        Some(Zeroizing::new(format!("{scheme}://{}{}?code={}", self.listeners.address, link::PATH, code.text())))
    }

    /// Applies new settings while the server runs.
    pub fn reload(&self) -> Reload {
        Reload {
            directory: self.shared.directory.clone(),
            registry: self.shared.registry.clone(),
            admission: self.shared.admission.clone(),
            ledger: self.shared.ledger.clone(),
            account_quotas: self.shared.account_quotas.clone(),
            metrics: self.shared.metrics.clone(),
            audit: self.shared.audit.clone(),
            log: self.log.clone(),
        }
    }

    /// The metrics.
    pub fn metrics(&self) -> Metrics {
        self.shared.metrics.clone()
    }

    /// Serves until `stop_signal` is ready, and then shuts down gracefully. `force_signal` ends the grace period early.
    pub async fn run(self, stop_signal: impl Future<Output = ()>, force_signal: impl Future<Output = ()>) -> Ended {
        let reload = self.reload();
        let Shared {
            bedrock,
            shutdown,
            registry,
            admission,
            ledger,
            account_quotas,
            sharing,
            failures,
            directory,
            conversations,
            metrics,
            audit,
            otlp,
            health,
            stopping,
            ..
        } = self.shared;
        directory.prefetch();
        audit.lifecycle("start");
        let Listeners { calls, metrics: for_metrics, tls, .. } = self.listeners;
        let calls = Listening { listener: calls, tls: tls.clone(), cores: Some(self.threads.cores()) };
        let server = Server::start(calls, self.router, self.connections, stopping, Some(metrics.clone()));
        let metrics_server = for_metrics.map(|listener| {
            let (max, max_per_address) = (METRICS_CONNECTIONS, METRICS_CONNECTIONS);
            let limits = ConnectionSettings { max, max_per_address, ..self.connections };
            let listening = Listening { listener, tls: tls.clone(), cores: None };
            Server::start(listening, self.metrics_router, limits, CancellationToken::new(), None)
        });
        let serving = Serving { health: &health, registry: &registry, server: &server };
        let ended = tokio::select! {
            () = sweep(&registry, &admission, &failures, self.unread_timeout) => Ended::Drained,
            () = drop_idle_clients(&bedrock) => Ended::Drained,
            () = remove_expired(&conversations) => Ended::Drained,
            () = keep_quotas(&ledger, &account_quotas, &directory, sharing.as_ref()) => Ended::Drained,
            () = conversations.renew_leases() => Ended::Drained,
            () = conversations.keep(admission.budgets()) => Ended::Drained,
            () = reload_when_changed(tls.as_ref(), &audit) => Ended::Drained,
            () = reload.watch(self.watcher) => Ended::Drained,
            ended = async {
                stop_signal.await;
                steps::run(&shutdown, &serving, self.steps, force_signal).await
            } => ended,
        };
        server.close().await;
        if let Some(metrics_server) = metrics_server {
            metrics_server.close().await;
        }
        settle(&conversations, admission.budgets(), sharing.as_ref()).await;
        if let Some(otlp) = otlp {
            otlp.shut_down().await;
        }
        audit.lifecycle("stop");
        audit.close().await;
        // Last, because what calls left behind, such as the release of a lease, runs there.
        self.threads.stop().await;
        info!(?ended, "stopped");
        ended
    }
}

/// The parts of the server that the steps of a shutdown control.
struct Serving<'a> {
    health: &'a HealthReporter,
    registry: &'a CallRegistry,
    server: &'a Server,
}

impl Served for Serving<'_> {
    async fn not_ready(&self) {
        self.health.set_not_serving::<GenerationServiceServer<Service>>().await;
        self.health.set_service_status("", tonic_health::ServingStatus::NotServing).await;
    }

    fn stop_accepting(&self) {
        self.server.stop_accepting();
    }

    async fn closed(&self) {
        self.server.closed().await;
    }

    fn end_streams(&self) {
        self.registry.end_all(Shutdown::revocation);
    }
}
