//! Settings -> a server that listens, runs, and drains.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use tokio::{
    net::TcpListener,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::{codec::CompressionEncoding, service::Routes};
use tonic_health::server::HealthReporter;
use tracing::info;

pub use crate::edge::descriptors::raise_file_limit;
use crate::{
    admission::{AdmissionControl, request_memory::RequestMemory},
    bedrock::Bedrock,
    config::Settings,
    conversation::{Conversations, OwnerLimits, settings::OpenError},
    edge::{
        connection::ConnectionSettings,
        gates::{Gates, gates},
        grpc::{Front, Methods, front},
        health,
        host::AllowedHosts,
        message::Messages,
        server::Server,
        ungated::{MessageTimeouts, Ungated, ungated},
        web,
    },
    failover::Failover,
    metrics::{self, Metrics},
    proto::{self, generation_service_server::GenerationServiceServer},
    response::{abandoned::AbandonedCalls, registry::CallRegistry},
    service::Service,
    shutdown::{
        Shutdown,
        steps::{self, Ended, Served, ShutdownSettings},
    },
};

/// The time in which the store can release the leases of conversations.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(2);

/// The maximum number of connections to the metrics endpoint.
const METRICS_CONNECTIONS: usize = 32;

/// The interval of the search for calls that have passed a timeout and are not polled.
const SWEEP: Duration = Duration::from_secs(1);

/// The number of sweeps between two in which rate limits of idle clients are removed.
const FORGET_EVERY: u32 = 60;

/// The interval of the removal of expired conversations.
const EXPIRY: Duration = Duration::from_mins(1);

/// The descriptors for reflection. They include those of error details, so that grpcurl can print them.
const DESCRIPTORS: [&[u8]; 5] = [
    proto::FILE_DESCRIPTOR_SET,
    tonic_health::pb::FILE_DESCRIPTOR_SET,
    tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
    tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    tonic_types::pb::FILE_DESCRIPTOR_SET,
];

/// A server that is bound and not yet serving.
#[derive(Debug)]
pub struct App {
    listener: TcpListener,
    address: SocketAddr,
    metrics_listener: Option<TcpListener>,
    router: Router,
    health: HealthReporter,
    stopping: CancellationToken,
    shutdown: Shutdown,
    registry: CallRegistry,
    admission: AdmissionControl,
    conversations: Conversations,
    metrics: Metrics,
    steps: ShutdownSettings,
    unread_timeout: Duration,
    connections: ConnectionSettings,
}

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// An address cannot be bound.
    #[error("cannot listen on {address}: {source}. Choose another with {flag}")]
    Listen {
        /// The flag of the address.
        flag: &'static str,
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// The descriptors of the contract cannot be decoded. This is a defect of the build.
    #[error("the descriptors of the contract cannot be read: {0}")]
    Descriptors(Box<dyn std::error::Error + Send + Sync>),
    /// The storage of conversations cannot be opened.
    #[error(transparent)]
    Conversations(#[from] OpenError),
}

impl App {
    /// Binds the listeners and puts the layers together. Nothing is served before [`App::run`].
    ///
    /// # Errors
    /// See [`AppError`].
    pub async fn build(settings: &Settings, bedrock: Bedrock) -> Result<Self, AppError> {
        let (shutdown, registry, metrics) = (Shutdown::default(), CallRegistry::default(), Metrics::default());
        let admission = AdmissionControl::new(&settings.limits);
        let owner = OwnerLimits { conversations: settings.max_conversations, bytes: settings.max_stored_bytes };
        let conversations = Conversations::open(&settings.conversations, settings.conversation_bounds, owner).await?;
        let service = Service {
            failover: Arc::new(Failover::new(
                bedrock,
                settings.attempts,
                settings.rules.timeouts.default,
                metrics.clone(),
            )),
            rules: settings.rules.clone(),
            admission: admission.clone(),
            abandoned: AbandonedCalls::new(settings.abandonment),
            registry: registry.clone(),
            conversations: conversations.clone(),
            metrics: metrics.clone(),
        };
        let generation = GenerationServiceServer::new(service)
            .max_decoding_message_size(settings.max_request_bytes)
            // The limit above also holds for what a message decompresses to.
            .accept_compressed(CompressionEncoding::Gzip);
        let health = HealthReporter::new();
        health.set_serving::<GenerationServiceServer<Service>>().await;
        let hosts = AllowedHosts::new(&settings.allowed_hosts);
        let methods = Methods::of(&DESCRIPTORS).map_err(|error| AppError::Descriptors(error.into()))?;
        let state = Front { methods: methods.clone(), hosts: hosts.clone() };
        let gate = gates_of(settings, &shutdown, &admission, &metrics)?;
        // Around every method of the generation service, and no other.
        let generation =
            Routes::new(generation).into_axum_router().layer(axum::middleware::from_fn_with_state(gate, gates));
        let stopping = CancellationToken::new();
        let timeouts = MessageTimeouts { first: settings.body_timeout, further: settings.connections.idle_timeout };
        let others = health_and_reflection(&health, Ungated { methods, stopping: stopping.clone(), timeouts })?;
        let router = Routes::from(generation.merge(others.reset_fallback()))
            .into_axum_router()
            // Around the methods: sees every request first and every answer last; only the page is further out.
            .layer(axum::middleware::from_fn_with_state(state, front));
        let router = if settings.page { web::around(router, hosts) } else { router };
        let (listener, address) = bind("--listen", settings.listen).await?;
        let metrics_listener = match settings.metrics_listen {
            Some(address) => Some(bind("--metrics-listen", address).await?.0),
            None => None,
        };
        Ok(Self {
            listener,
            address,
            metrics_listener,
            router,
            health,
            stopping,
            shutdown,
            registry,
            admission,
            conversations,
            metrics,
            steps: settings.shutdown,
            unread_timeout: settings.unread_timeout,
            connections: settings.connections,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its metrics are, if they are served.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_listener.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// The metrics.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Serves until `stop_signal` is ready, and then shuts down gracefully. `force_signal` ends the grace period early.
    pub async fn run(self, stop_signal: impl Future<Output = ()>, force_signal: impl Future<Output = ()>) -> Ended {
        let Self { shutdown, health, registry, admission, conversations, metrics, steps, unread_timeout, .. } = self;
        let server = Server::start(self.listener, self.router, self.connections, self.stopping, Some(metrics.clone()));
        let metrics_server = self.metrics_listener.map(|listener| {
            let (max, max_per_address) = (METRICS_CONNECTIONS, METRICS_CONNECTIONS);
            let limits = ConnectionSettings { max, max_per_address, ..self.connections };
            Server::start(listener, metrics::router(metrics), limits, CancellationToken::new(), None)
        });
        let serving = Serving { health: &health, registry: &registry, server: &server };
        let ended = tokio::select! {
            () = sweep(&registry, &admission, unread_timeout) => Ended::Drained,
            () = remove_expired(&conversations) => Ended::Drained,
            () = conversations.renew_leases() => Ended::Drained,
            ended = async {
                stop_signal.await;
                steps::run(&shutdown, &serving, steps, force_signal).await
            } => ended,
        };
        server.close().await;
        if let Some(metrics_server) = metrics_server {
            metrics_server.close().await;
        }
        // Leases that are not released in this time expire.
        let _ = timeout(SETTLE_TIMEOUT, conversations.settle()).await;
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

async fn bind(flag: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), AppError> {
    let unbound = |source| AppError::Listen { flag, address, source };
    let listener = TcpListener::bind(address).await.map_err(unbound)?;
    let bound = listener.local_addr().map_err(unbound)?;
    Ok((listener, bound))
}

fn gates_of(
    settings: &Settings,
    shutdown: &Shutdown,
    admission: &AdmissionControl,
    metrics: &Metrics,
) -> Result<Gates, AppError> {
    let memory = RequestMemory::new(settings.max_request_memory, metrics.clone());
    let messages = Messages::new(memory, settings.max_request_bytes, settings.body_timeout)
        .map_err(|error| AppError::Descriptors(error.into()))?;
    Ok(Gates { shutdown: shutdown.clone(), admission: admission.clone(), messages, metrics: metrics.clone() })
}

/// Ends calls that have passed a timeout, and removes the rate limits of idle clients, while it is polled. It awaits only timers, so it
/// cannot be delayed by a store.
async fn sweep(registry: &CallRegistry, admission: &AdmissionControl, unread: Duration) {
    let mut sweeps = interval(SWEEP);
    sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        for _ in 0..FORGET_EVERY {
            sweeps.tick().await;
            registry.end_overdue(unread);
        }
        admission.forget_idle();
    }
}

/// Removes expired conversations while it is polled. It is separate, because a store can hang.
async fn remove_expired(conversations: &Conversations) {
    loop {
        sleep(EXPIRY).await;
        conversations.remove_expired().await;
    }
}

/// Health and reflection. Their streams end when the server stops accepting.
fn health_and_reflection(health: &HealthReporter, state: Ungated) -> Result<Router, AppError> {
    let unreadable = |error: tonic_reflection::server::Error| AppError::Descriptors(error.into());
    let services = Routes::new(health::server(health.clone()))
        .add_service(reflection().build_v1().map_err(unreadable)?.accept_compressed(CompressionEncoding::Gzip))
        .add_service(reflection().build_v1alpha().map_err(unreadable)?.accept_compressed(CompressionEncoding::Gzip));
    Ok(services.into_axum_router().layer(axum::middleware::from_fn_with_state(state, ungated)))
}

/// The reflection service.
fn reflection() -> tonic_reflection::server::Builder<'static> {
    DESCRIPTORS
        .iter()
        .fold(tonic_reflection::server::Builder::configure(), |builder, set| {
            builder.register_encoded_file_descriptor_set(set)
        })
        .include_reflection_service(false)
}
