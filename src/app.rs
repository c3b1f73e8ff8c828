//! Settings -> a server that listens, runs, and drains.
//!
//! Comes after [`crate::config`]; [`crate::front`] and [`crate::service`] are put together here.

use std::{io, net::SocketAddr, pin::pin, time::Duration};

use tokio::{
    net::TcpListener,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::{
    service::Routes,
    transport::{Server, server::TcpIncoming},
};
use tonic_health::server::HealthReporter;
use tracing::{info, warn};

use crate::{
    bedrock::Bedrock,
    config::Settings,
    front::{Methods, front},
    proto::{self, generation_service_server::GenerationServiceServer},
    service::Service,
    shutdown::Drain,
};

/// How long connections get to close once no call is left. Watchers of the health service would hold them for ever.
const CLOSE: Duration = Duration::from_secs(2);

/// How often a silent connection is asked whether it is alive, and how long it may take to answer.
const KEEPALIVE: Duration = Duration::from_secs(20);

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
    routes: Routes,
    health: HealthReporter,
    drain: Drain,
    grace: Duration,
}

/// Why a server cannot be started or ends early.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The address is not to be had.
    #[error("cannot listen on {address}: {source}. Choose another with --listen")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The descriptors of the contract are broken: a defect of the build.
    #[error("the descriptors of the contract cannot be read: {0}")]
    Descriptors(Box<dyn std::error::Error + Send + Sync>),
    /// Serving failed.
    #[error("serving failed: {0}")]
    Serve(#[from] tonic::transport::Error),
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every stream came to its own end.
    Drained,
    /// The grace period was over, and this many streams were ended.
    Forced(usize),
}

impl App {
    /// Binds the listener and puts the layers together. Nothing is served before [`App::run`].
    ///
    /// # Errors
    /// See [`AppError`].
    pub async fn build(settings: &Settings, bedrock: Bedrock) -> Result<Self, AppError> {
        let drain = Drain::default();
        let service = Service { bedrock, drain: drain.clone(), default_model: settings.default_model.clone() };
        let generation = GenerationServiceServer::new(service).max_decoding_message_size(settings.max_request_bytes);
        let (health, health_service) = tonic_health::server::health_reporter();
        health.set_serving::<GenerationServiceServer<Service>>().await;
        let methods = Methods::of(&DESCRIPTORS).map_err(|error| AppError::Descriptors(error.into()))?;
        let unreadable = |error: tonic_reflection::server::Error| AppError::Descriptors(error.into());
        let router = Routes::new(generation)
            .add_service(health_service)
            .add_service(reflection().build_v1().map_err(unreadable)?)
            .add_service(reflection().build_v1alpha().map_err(unreadable)?)
            .into_axum_router()
            // Outermost: sees every request first and every answer last.
            .layer(axum::middleware::from_fn_with_state(methods, front));
        let unbound = |source| AppError::Listen { address: settings.listen, source };
        let listener = TcpListener::bind(settings.listen).await.map_err(unbound)?;
        let address = listener.local_addr().map_err(unbound)?;
        Ok(Self { listener, address, routes: router.into(), health, drain, grace: settings.grace })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` is ready and the drain is over: when every stream has ended, the grace period has, or `hurry`
    /// is ready.
    ///
    /// # Errors
    /// If serving fails.
    pub async fn run(
        self,
        shutdown: impl Future<Output = ()>,
        hurry: impl Future<Output = ()>,
    ) -> Result<Ended, AppError> {
        let Self { listener, routes, health, drain, grace, .. } = self;
        let stop = CancellationToken::new();
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let mut serving = pin!(
            Server::builder()
                // Only to tell a browser or curl what this port is.
                .accept_http1(true)
                // A caller whose machine is gone must not hold a stream, and a request to Bedrock, for ever.
                .http2_keepalive_interval(Some(KEEPALIVE))
                .http2_keepalive_timeout(Some(KEEPALIVE))
                .add_routes(routes)
                .serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned())
        );
        let ended = tokio::select! {
            result = &mut serving => return result.map(|()| Ended::Drained).map_err(AppError::from),
            ended = async {
                shutdown.await;
                drain_steps(&drain, &health, grace, hurry).await
            } => ended,
        };
        stop.cancel();
        match timeout(CLOSE, serving).await {
            Ok(result) => result?,
            Err(_) => info!("connections were still open and are closed now"),
        }
        info!(?ended, "stopped");
        Ok(ended)
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

/// Not ready -> refuse new calls -> wait for the running ones -> end what is left.
async fn drain_steps(
    drain: &Drain,
    health: &HealthReporter,
    grace: Duration,
    hurry: impl Future<Output = ()>,
) -> Ended {
    health.set_not_serving::<GenerationServiceServer<Service>>().await;
    health.set_service_status("", tonic_health::ServingStatus::NotServing).await;
    drain.begin();
    info!(running = drain.running(), grace = ?grace, "draining: new calls are refused");
    let why = tokio::select! {
        () = drain.finished() => return Ended::Drained,
        () = sleep(grace) => "the grace period is over",
        () = hurry => "a second signal came",
    };
    let left = drain.running();
    warn!(left, "{why}: ending what is left");
    drain.revoke();
    // A stream whose caller does not read cannot be told, so this wait has an end too.
    let _ = timeout(CLOSE, drain.finished()).await;
    Ended::Forced(left)
}
