//! The layers of a server, from the methods outwards.

use std::sync::Arc;

use axum::{Router, middleware::from_fn_with_state};
use tonic::{codec::CompressionEncoding, service::Routes};
use tonic_health::server::HealthReporter;
use tracing::warn;

use super::{AppError, Mounted, Shared};
use crate::{
    admission::request_memory::RequestMemory,
    bedrock::Bedrock,
    config::Settings,
    edge::{
        authentication::{Authentication, proxies::TrustedProxies, signed::Signatures},
        connect::UnaryMethods,
        connection::is_loopback,
        gates::{Gates, gates},
        grpc::{Front, Methods, front},
        health,
        host::AllowedHosts,
        message::Messages,
        probes,
        session::{Session, link::OneTimeLink},
        ungated::{MessageTimeouts, Ungated, ungated},
        web,
    },
    failover::Failover,
    front::layer::{self, Api, operations},
    metrics::endpoint,
    proto::{self, generation_service_server::GenerationServiceServer},
    response::abandoned::AbandonedCalls,
    service::{Service, models::AccountModels, quotas::Quotas},
    telemetry::observer::Observer,
};

/// The descriptors for reflection. They include those of error details, so that grpcurl can print them.
const DESCRIPTORS: [&[u8]; 5] = [
    proto::FILE_DESCRIPTOR_SET,
    tonic_health::pb::FILE_DESCRIPTOR_SET,
    tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
    tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    tonic_types::pb::FILE_DESCRIPTOR_SET,
];

/// All methods behind their layers.
pub(super) fn router(
    settings: &Settings,
    bedrock: Bedrock,
    shared: &Shared,
    link: Option<OneTimeLink>,
    mounted: Option<Mounted>,
) -> Result<Router, AppError> {
    let home = bedrock.home().to_owned();
    let service = Arc::new(service_of(settings, bedrock, shared));
    let generation = GenerationServiceServer::from_arc(Arc::clone(&service))
        .max_decoding_message_size(settings.max_request_bytes)
        // The limit above also holds for what a message decompresses to.
        .accept_compressed(CompressionEncoding::Gzip);
    let hosts = AllowedHosts::new(&settings.allowed_hosts);
    let descriptors: Vec<_> =
        DESCRIPTORS.into_iter().chain(mounted.as_ref().map(|mounted| mounted.descriptors)).collect();
    let methods = Methods::of(&descriptors).map_err(|error| AppError::Descriptors(error.into()))?;
    let unary = UnaryMethods::of(&descriptors).map_err(|error| AppError::Descriptors(error.into()))?;
    let authentication = authentication_of(settings, shared);
    let metrics = shared.metrics.clone();
    let (hosts_of_calls, callers) = (hosts.clone(), authentication.clone());
    // Behind one counter, because a layer is cloned several times for each request.
    let state = Arc::new(Front {
        methods: methods.clone(),
        hosts: hosts_of_calls,
        authentication: callers,
        metrics,
        observer: Observer::new(shared.otlp.as_ref()),
    });
    // Around every method of the generation service, and no other.
    let gate = gates_of(settings, shared)?;
    let mounted = mounted.map_or_else(Router::new, |mounted| mounted.behind(Arc::clone(&gate), methods.clone()));
    let api = Api {
        router: operations(service)
            .layer(from_fn_with_state(Arc::clone(&gate), gates))
            .layer(from_fn_with_state(Arc::clone(&state), front)),
        metrics: shared.metrics.clone(),
        messages: gate.messages.clone(),
        signatures: Signatures::new(
            settings.signing.clone(),
            shared.directory.clone(),
            &home,
            authentication.proxies.clone(),
        ),
    };
    let generation = Routes::new(generation).into_axum_router().layer(from_fn_with_state(gate, gates));
    let timeouts = MessageTimeouts { first: settings.body_timeout, further: settings.connections.idle_timeout };
    let stopping = shared.stopping.clone();
    let others = health_and_reflection(&shared.health, Ungated::new(methods, stopping, timeouts))?;
    let router = Routes::from(generation.merge(mounted).merge(others.reset_fallback()))
        .into_axum_router()
        // Around the methods: sees every request first and every answer last; only the page is further out.
        .layer(from_fn_with_state(state, front));
    let router =
        if settings.page { web::around(router, Session { authentication, hosts, link }, unary) } else { router };
    Ok(if settings.bedrock_api { router.layer(from_fn_with_state(Arc::new(api), layer::layer)) } else { router })
}

/// The metrics behind their layer.
pub(super) fn metrics_router(settings: &Settings, shared: &Shared) -> Router {
    let is_reachable = settings.metrics_listen.is_some_and(|address| !is_loopback(address));
    let health = shared.health.clone();
    let (figures, page) = (quotas_of(shared), quotas_of(shared));
    shared.metrics.read_quotas(move || figures.figures());
    let page = move || {
        let page = page.page().inspect_err(|error| warn!(%error, "the page of quotas cannot be written"));
        page.ok().map(|page| page.to_string())
    };
    let authentication = is_reachable.then(|| authentication_of(settings, shared));
    endpoint::router(shared.metrics.clone(), page, authentication)
        .merge(probes::router(move || health::is_serving(health.clone())))
}

fn service_of(settings: &Settings, bedrock: Bedrock, shared: &Shared) -> Service {
    let (timeouts, metrics) = (settings.rules.timeouts.default, shared.metrics.clone());
    let account = settings.list_account_models.then(|| AccountModels::new(bedrock.account()));
    Service {
        failover: Arc::new(
            Failover::new(bedrock, settings.attempts, timeouts, shared.ledger.clone(), shared.breakers.clone())
                .with_metrics(&metrics),
        ),
        admission: shared.admission.clone(),
        quotas: quotas_of(shared),
        abandoned: AbandonedCalls::new(settings.abandonment),
        registry: shared.registry.clone(),
        conversations: shared.conversations.clone(),
        directory: shared.directory.clone(),
        metrics,
        account,
    }
}

fn quotas_of(shared: &Shared) -> Quotas {
    let Shared { directory, admission, ledger, .. } = shared;
    Quotas { directory: directory.clone(), admission: admission.clone(), ledger: ledger.clone() }
}

fn gates_of(settings: &Settings, shared: &Shared) -> Result<Arc<Gates>, AppError> {
    let memory = RequestMemory::new(settings.max_request_memory, shared.metrics.clone());
    let messages = Messages::new(memory, settings.max_request_bytes, settings.body_timeout)
        .map_err(|error| AppError::Descriptors(error.into()))?;
    let (shutdown, admission) = (shared.shutdown.clone(), shared.admission.clone());
    Ok(Arc::new(Gates { shutdown, admission, audit: shared.audit.clone(), messages }))
}

fn authentication_of(settings: &Settings, shared: &Shared) -> Authentication {
    Authentication {
        directory: shared.directory.clone(),
        open_reflection: settings.open_reflection.unwrap_or_else(|| is_loopback(settings.listen)),
        proxies: TrustedProxies::new(settings.proxies.clone()),
        failures: Arc::clone(&shared.failures),
        audit: shared.audit.clone(),
        metrics: shared.metrics.clone(),
    }
}

/// Health and reflection. Their streams end when the server stops accepting.
fn health_and_reflection(health: &HealthReporter, state: Ungated) -> Result<Router, AppError> {
    let unreadable = |error: tonic_reflection::server::Error| AppError::Descriptors(error.into());
    let services = Routes::new(health::server(health.clone()))
        .add_service(reflection().build_v1().map_err(unreadable)?.accept_compressed(CompressionEncoding::Gzip))
        .add_service(reflection().build_v1alpha().map_err(unreadable)?.accept_compressed(CompressionEncoding::Gzip));
    Ok(services.into_axum_router().layer(from_fn_with_state(state, ungated)))
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
