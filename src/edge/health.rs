//! The health service, with the behaviour of its protocol for unknown services.
//!
//! tonic-health ends the Watch of an unknown service with `NOT_FOUND`. The protocol requires `SERVICE_UNKNOWN` on a stream that stays open,
//! because clients treat an error as a broken connection and retry.

use std::pin::Pin;

use tokio_stream::{Stream, StreamExt, once, pending};
use tonic::{Code, Request, Response, Status, codec::CompressionEncoding};
use tonic_health::{
    pb::{
        HealthCheckRequest, HealthCheckResponse,
        health_check_response::ServingStatus,
        health_server::{Health, HealthServer},
    },
    server::{HealthReporter, HealthService},
};

/// The health service of this reporter. All services are registered before the server accepts calls.
pub(crate) fn server(reporter: HealthReporter) -> HealthServer<impl Health> {
    let service = WithUnknownServices(HealthService::from_health_reporter(reporter));
    HealthServer::new(service).accept_compressed(CompressionEncoding::Gzip)
}

/// Whether the server as a whole is serving, by the same report.
pub(crate) async fn is_serving(reporter: HealthReporter) -> bool {
    let service = HealthService::from_health_reporter(reporter);
    let answer = service.check(Request::new(HealthCheckRequest::default())).await;
    answer.is_ok_and(|answer| answer.into_inner().status() == ServingStatus::Serving)
}

struct WithUnknownServices(HealthService);

type Statuses = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Health for WithUnknownServices {
    type WatchStream = Statuses;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        self.0.check(request).await
    }

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Statuses>, Status> {
        let statuses: Statuses = match self.0.watch(request).await {
            Ok(known) => Box::pin(known.into_inner()),
            Err(status) if status.code() == Code::NotFound => {
                let unknown = HealthCheckResponse { status: ServingStatus::ServiceUnknown.into() };
                // Open until the client cancels, or until the server shuts down.
                Box::pin(once(Ok(unknown)).chain(pending()))
            }
            Err(status) => return Err(status),
        };
        Ok(Response::new(statuses))
    }
}
