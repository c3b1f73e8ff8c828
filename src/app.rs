//! Settings -> a server that listens, runs, and drains.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::{
    codec::CompressionEncoding,
    service::Routes,
    transport::{Server, server::TcpIncoming},
};
use tonic_health::server::HealthReporter;
use tracing::info;

use crate::{
    admission::{AdmissionControl, request_memory::RequestMemory},
    bedrock::Bedrock,
    config::Settings,
    conversation::{Conversations, place::OpenError},
    edge::{
        gates::{Gates, gates},
        grpc::{Front, Methods, front},
        health,
        host::AllowedHosts,
        message::Messages,
        web,
    },
    failover::Failover,
    metrics::Metrics,
    proto::{self, generation_service_server::GenerationServiceServer},
    response::{abandoned::AbandonedCalls, registry::CallRegistry},
    service::Service,
    shutdown::{
        Shutdown,
        steps::{self, Ended, Served, ShutdownSettings},
    },
};

/// How long connections get to close once no call is left. Watchers of the health service would hold them for ever.
const CLOSE: Duration = Duration::from_secs(2);

/// How often a silent connection is asked whether it is alive, and how long it may take to answer.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// How often calls are looked for whose time is over and which nobody polls.
const SWEEP: Duration = Duration::from_secs(1);

/// How many sweeps there are between two in which idle callers are forgotten.
const FORGET_EVERY: u32 = 60;

/// How often expired conversations are removed.
const EXPIRY: Duration = Duration::from_mins(1);

/// Everything that callers may ask reflection about. The details of errors are among it, so that grpcurl can print them.
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
    routes: Routes,
    health: HealthReporter,
    shutdown: Shutdown,
    registry: CallRegistry,
    admission: AdmissionControl,
    conversations: Conversations,
    metrics: Metrics,
    steps: ShutdownSettings,
    unread_timeout: Duration,
    max_connection_age: Option<Duration>,
}

/// Why a server cannot be started or ends early.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// An address is not to be had.
    #[error("cannot listen on {address}: {source}. Choose another with {flag}")]
    Listen {
        /// The flag that says which.
        flag: &'static str,
        /// The address asked for.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The descriptors of the contract are broken: a defect of the build.
    #[error("the descriptors of the contract cannot be read: {0}")]
    Descriptors(Box<dyn std::error::Error + Send + Sync>),
    /// There is no place to keep conversations in.
    #[error(transparent)]
    Conversations(#[from] OpenError),
    /// Serving failed.
    #[error("serving failed: {0}")]
    Serve(#[from] tonic::transport::Error),
}

impl App {
    /// Binds the listeners and puts the layers together. Nothing is served before [`App::run`].
    ///
    /// # Errors
    /// See [`AppError`].
    pub async fn build(settings: &Settings, bedrock: Bedrock) -> Result<Self, AppError> {
        let (shutdown, registry, metrics) = (Shutdown::default(), CallRegistry::default(), Metrics::default());
        let admission = AdmissionControl::new(&settings.limits);
        let conversations =
            Conversations::open(&settings.conversations, settings.conversation_bounds, settings.max_conversations)?;
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
        let state = Front { methods, hosts: hosts.clone() };
        let unreadable = |error: tonic_reflection::server::Error| AppError::Descriptors(error.into());
        let gate = gates_of(settings, &shutdown, &admission, &metrics)?;
        // Around every method of the generation service, and no other.
        let generation =
            Routes::new(generation).into_axum_router().layer(axum::middleware::from_fn_with_state(gate, gates));
        let router = Routes::from(generation)
            .add_service(health::server(health.clone()))
            .add_service(reflection().build_v1().map_err(unreadable)?.accept_compressed(CompressionEncoding::Gzip))
            .add_service(reflection().build_v1alpha().map_err(unreadable)?.accept_compressed(CompressionEncoding::Gzip))
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
            routes: router.into(),
            health,
            shutdown,
            registry,
            admission,
            conversations,
            metrics,
            steps: settings.shutdown,
            unread_timeout: settings.unread_timeout,
            max_connection_age: settings.max_connection_age,
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

    /// What it counts.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Serves until `stop_signal` is ready and the shutdown is over: when every stream has ended, the grace period has, or `hurry`
    /// is ready.
    ///
    /// # Errors
    /// If serving fails.
    pub async fn run(
        self,
        stop_signal: impl Future<Output = ()>,
        hurry: impl Future<Output = ()>,
    ) -> Result<Ended, AppError> {
        let Self {
            listener,
            metrics_listener,
            routes,
            health,
            shutdown,
            registry,
            admission,
            conversations,
            metrics,
            steps,
            unread_timeout,
            max_connection_age,
            ..
        } = self;
        let stop = CancellationToken::new();
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true)).with_keepalive(Some(KEEPALIVE));
        let mut server = Server::builder()
            // For the page, and to tell curl what this port is.
            .accept_http1(true)
            // A caller whose machine is gone must not hold a stream, and a request to Bedrock, for ever.
            .http2_keepalive_interval(Some(KEEPALIVE))
            .http2_keepalive_timeout(Some(KEEPALIVE));
        if let Some(age) = max_connection_age {
            // Without a grace: the connection takes no new calls, and its streams end by themselves.
            server = server.max_connection_age(age);
        }
        let mut serving =
            pin!(server.add_routes(routes).serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned()));
        let ended = tokio::select! {
            result = &mut serving => return result.map(|()| Ended::Drained).map_err(AppError::from),
            () = sweep(&registry, &admission, unread_timeout) => Ended::Drained,
            () = remove_expired(&conversations) => Ended::Drained,
            () = conversations.renew_leases() => Ended::Drained,
            () = crate::metrics::serve(metrics_listener, metrics) => Ended::Drained,
            ended = async {
                stop_signal.await;
                steps::walk(&shutdown, &Serving { health: &health, registry: &registry }, steps, hurry).await
            } => ended,
        };
        stop.cancel();
        match timeout(CLOSE, serving).await {
            Ok(result) => result?,
            Err(_) => info!("connections were still open and are closed now"),
        }
        // What Redis does not take in this time runs out by itself.
        let _ = timeout(CLOSE, conversations.settle()).await;
        info!(?ended, "stopped");
        Ok(ended)
    }
}

/// What the steps of a shutdown act upon.
struct Serving<'a> {
    health: &'a HealthReporter,
    registry: &'a CallRegistry,
}

impl Served for Serving<'_> {
    async fn not_ready(&self) {
        self.health.set_not_serving::<GenerationServiceServer<Service>>().await;
        self.health.set_service_status("", tonic_health::ServingStatus::NotServing).await;
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

/// Ends calls whose time is over and forgets idle clients while it is polled. It waits for nothing but time.
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

/// Removes expired conversations while it is polled. A store that hangs holds up nothing else.
async fn remove_expired(conversations: &Conversations) {
    loop {
        sleep(EXPIRY).await;
        conversations.remove_expired().await;
    }
}

/// What reflection tells about, beside itself.
fn reflection() -> tonic_reflection::server::Builder<'static> {
    DESCRIPTORS
        .iter()
        .fold(tonic_reflection::server::Builder::configure(), |builder, set| {
            builder.register_encoded_file_descriptor_set(set)
        })
        .include_reflection_service(false)
}
