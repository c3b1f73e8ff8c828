//! A connector whose connections are measured: the time until there is one, or until it is given up.

use std::{
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use http::Uri;
use tokio::time::Instant;
use tower::{BoxError, Service};

use crate::metrics::Metrics;

/// Where connections are measured, once a server is built on the client.
pub(super) type MeasuredBy = Arc<OnceLock<Metrics>>;

/// A connector and where it is measured.
#[derive(Clone, Debug)]
pub(super) struct Measured<C> {
    connector: C,
    by: MeasuredBy,
}

/// A connection that is being made.
struct Connecting {
    by: MeasuredBy,
    since: Instant,
    outcome: &'static str,
}

impl<C> Measured<C> {
    pub(super) fn new(connector: C, by: MeasuredBy) -> Self {
        Self { connector, by }
    }
}

impl<C> Service<Uri> for Measured<C>
where
    C: Service<Uri, Error = BoxError>,
    C::Future: Send + 'static,
    C::Response: 'static,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<C::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(cx)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let connecting = Connecting { by: Arc::clone(&self.by), since: Instant::now(), outcome: "failed" };
        let connection = self.connector.call(to);
        Box::pin(async move {
            // As a whole, so that it is dropped if the wait is given up.
            let mut connecting = connecting;
            let connection = connection.await?;
            connecting.outcome = "connected";
            Ok(connection)
        })
    }
}

impl Drop for Connecting {
    fn drop(&mut self) {
        if let Some(metrics) = self.by.get() {
            metrics.connected(self.outcome, self.since.elapsed());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, io, time::Duration};

    use tokio::time::{sleep, timeout};
    use tower::{ServiceExt, service_fn};

    use super::*;

    /// What is measured of a connection that is made like this, and given up after a minute.
    async fn measured<F: Future<Output = Result<(), BoxError>> + Send + 'static>(connect: fn() -> F) -> String {
        let metrics = Metrics::default();
        let by = MeasuredBy::default();
        by.set(metrics.clone()).unwrap();
        let connector = Measured::new(service_fn(move |_: Uri| connect()), by);
        let _ = timeout(Duration::from_mins(1), connector.oneshot(Uri::from_static("https://bedrock"))).await;
        metrics.text().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn connections_are_timed_until_they_are_there_or_given_up() {
        let made = measured(|| async {
            sleep(Duration::from_secs(2)).await;
            Ok(())
        });
        assert!(made.await.contains("outcrop_upstream_connect_seconds_sum{outcome=\"connected\"} 2.0\n"));
        let refused = measured(|| async { Err(io::Error::from(io::ErrorKind::ConnectionRefused).into()) });
        assert!(refused.await.contains("outcrop_upstream_connect_seconds_count{outcome=\"failed\"} 1\n"));
        let given_up = measured(pending);
        assert!(given_up.await.contains("outcrop_upstream_connect_seconds_sum{outcome=\"failed\"} 60.0"));
    }
}
