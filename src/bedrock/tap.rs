//! An SDK interceptor that takes the body of a stream before the SDK reads it, bounds other bodies, and observes the connection.
//!
//! It leaves an empty body to the SDK, which is an empty stream for the SDK.

use std::{future::pending, mem, sync::Arc, time::Duration};

use parking_lot::{Mutex, MutexGuard};

use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        connection::CaptureSmithyConnection,
        interceptors::{
            Intercept,
            context::{
                BeforeDeserializationInterceptorContextMut, BeforeTransmitInterceptorContextMut,
                BeforeTransmitInterceptorContextRef,
            },
        },
        runtime_components::RuntimeComponents,
    },
    http::Headers,
};
use aws_smithy_types::{body::SdkBody, config_bag::ConfigBag};
use http::HeaderMap;
use tokio::time::sleep;

use super::{classify, cut};
use crate::{
    error::{Error, Reason},
    failover::attempt_log::AttemptLog,
};

/// The headers of an answer that go to the caller, besides those that begin with [`OF_BEDROCK`].
const HEADERS: [&str; 2] = ["content-type", "x-amzn-requestid"];

/// The beginning of the headers in which Bedrock says more about an answer, such as its tokens.
const OF_BEDROCK: &str = "x-amzn-bedrock-";

/// The interceptor of one attempt. Clones share its state.
#[derive(Clone, Debug)]
pub(super) struct Tap {
    takes_body: bool,
    log: AttemptLog,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    connection: Option<CaptureSmithyConnection>,
    body: Option<SdkBody>,
    head: HeaderMap,
    request_id: String,
}

impl Tap {
    /// For an operation whose answer is a stream, of an attempt in this log.
    pub(super) fn of_stream(log: &AttemptLog) -> Self {
        Self { takes_body: true, log: log.clone(), seen: Arc::default() }
    }

    /// For an operation whose answer the SDK reads itself.
    pub(super) fn of_unary(log: &AttemptLog) -> Self {
        Self { takes_body: false, log: log.clone(), seen: Arc::default() }
    }

    /// Runs the attempt with a connect timeout. The timeout of the SDK belongs to its connection pool, so it cannot differ from call to call.
    pub(super) async fn connected_within<T>(
        &self,
        limit: Duration,
        attempt: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        tokio::select! {
            result = attempt => result,
            () = self.unconnected_after(limit) => {
                let message = format!("there was no connection to Bedrock within {limit:?}. Try again, or allow more time with time_limits.connect");
                Err(Error::new(Reason::ConnectTimeout, message))
            }
        }
    }

    async fn unconnected_after(&self, limit: Duration) {
        sleep(limit).await;
        if self.seen().connection.as_ref().is_some_and(|connection| connection.get().is_some()) {
            pending::<()>().await;
        }
    }

    /// The response body, if the status was a success, and the AWS request id.
    pub(super) fn into_parts(self) -> (Option<SdkBody>, String) {
        let seen = mem::take(&mut *self.seen());
        (seen.body, seen.request_id)
    }

    /// The headers of the response that go to the caller of a relayed call.
    pub(super) fn head(&self) -> HeaderMap {
        self.seen().head.clone()
    }

    /// Whether the response was a success.
    pub(super) fn has_body(&self) -> bool {
        self.seen().body.is_some()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock()
    }
}

impl Intercept for Tap {
    fn name(&self) -> &'static str {
        "outcrop::Tap"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        // A compressed stream would be delayed until there is enough to compress.
        context.request_mut().headers_mut().insert("accept-encoding", "identity");
        Ok(())
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        // They are not signed, because proxies on the way continue the trace too.
        let headers = context.request_mut().headers_mut();
        for (name, value) in &self.log.trace_headers() {
            headers.try_insert(name.as_str().to_owned(), value.to_str()?.to_owned())?;
        }
        Ok(())
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.seen().connection = config.load::<CaptureSmithyConnection>().cloned();
        Ok(())
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response_mut();
        let mut seen = self.seen();
        seen.request_id = classify::request_id(response.headers());
        seen.head = head(response.headers());
        self.log.responded(response.status().as_u16(), &seen.request_id);
        let body = mem::replace(response.body_mut(), SdkBody::empty());
        match (response.status().is_success(), self.takes_body) {
            (true, true) => seen.body = Some(body),
            (true, false) => *response.body_mut() = cut::at_most(body, cut::UNARY),
            (false, _) => *response.body_mut() = cut::at_most(body, cut::ERROR),
        }
        Ok(())
    }
}

/// The headers of an answer that go to the caller.
fn head(headers: &Headers) -> HeaderMap {
    let relayed = headers.iter().filter(|(name, _)| HEADERS.contains(name) || name.starts_with(OF_BEDROCK));
    relayed.filter_map(|(name, value)| Some((name.parse().ok()?, value.parse().ok()?))).collect::<HeaderMap>()
}
