//! The health service as its protocol demands: whoever watches a service that this server does not have is told so.
//!
//! tonic-health ends such a Watch with `NOT_FOUND`. The protocol wants `SERVICE_UNKNOWN` on a stream that stays open, because
//! clients that check health treat an error as a broken connection and try again.

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

/// The health service of this reporter. The services that it knows are set before serving begins; none is added later.
pub(crate) fn server(reporter: HealthReporter) -> HealthServer<impl Health> {
    let service = WithUnknownServices(HealthService::from_health_reporter(reporter));
    HealthServer::new(service).accept_compressed(CompressionEncoding::Gzip)
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
                // Open until the caller leaves, or until connections are closed at the end of a shutdown.
                Box::pin(once(Ok(unknown)).chain(pending()))
            }
            Err(status) => return Err(status),
        };
        Ok(Response::new(statuses))
    }
}
