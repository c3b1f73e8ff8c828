//! Takes the body of a stream before the SDK reads it, bounds other bodies, and observes the connection.
//!
//! The HTTP client asks for the tap of its task, because the SDK builds and searches a layer of configuration for everything that an operation
//! is customized with, such as an interceptor, and wraps each body that it hands on. It leaves an empty body to the SDK, which is an empty
//! stream for the SDK.

use std::{future::pending, mem, sync::Arc, time::Duration};

use parking_lot::{Mutex, MutexGuard};

use aws_smithy_types::body::SdkBody;
use http::{HeaderMap, HeaderValue, Response, header::ACCEPT_ENCODING};
use hyper_util::client::legacy::connect::CaptureConnection;
use tokio::{task_local, time::sleep};

use super::{classify, cut};
use crate::{
    error::{Error, Reason},
    failover::attempt_log::AttemptLog,
};

/// The headers of an answer that go to the caller, besides those that begin with [`OF_BEDROCK`].
const HEADERS: [&str; 2] = ["content-type", "x-amzn-requestid"];

/// The beginning of the headers in which Bedrock says more about an answer, such as its tokens.
const OF_BEDROCK: &str = "x-amzn-bedrock-";

task_local! {
    /// The tap of the operation that the task sends.
    static TAP: Tap;
}

/// What is seen of one attempt. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Tap {
    takes_body: bool,
    log: AttemptLog,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    connection: Option<CaptureConnection>,
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

    /// The tap of the operation that this task sends.
    pub(super) fn of_task() -> Option<Self> {
        TAP.try_with(Self::clone).ok()
    }

    /// Sends an operation whose request and response pass this tap.
    pub(super) async fn during<T>(&self, sent: impl Future<Output = T>) -> T {
        TAP.scope(self.clone(), sent).await
    }

    /// Runs the attempt with a connect timeout. The timeout of the SDK belongs to its connection pool, so it cannot differ from call to call.
    pub(super) async fn connected_within<T>(
        &self,
        limit: Duration,
        attempt: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        tokio::select! {
            result = self.during(attempt) => result,
            () = self.unconnected_after(limit) => {
                let message = format!("there was no connection to Bedrock within {limit:?}. Try again, or allow more time with time_limits.connect");
                Err(Error::new(Reason::ConnectTimeout, message))
            }
        }
    }

    async fn unconnected_after(&self, limit: Duration) {
        sleep(limit).await;
        if self.seen().connection.as_ref().is_some_and(|connection| connection.connection_metadata().is_some()) {
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

    /// Adds the headers of the attempt to its signed request, whose connection this is. They are not signed, because proxies on the way
    /// continue the trace too.
    pub(super) fn sends(&self, headers: &mut HeaderMap, connection: CaptureConnection) {
        // A compressed stream would be delayed until there is enough to compress.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.extend(self.log.trace_headers());
        self.seen().connection = Some(connection);
    }

    /// Sees a response, and returns it with the remaining body for the SDK.
    pub(super) fn receives(&self, response: Response<SdkBody>) -> Response<SdkBody> {
        let (parts, body) = response.into_parts();
        let mut seen = self.seen();
        seen.request_id = classify::request_id(&parts.headers);
        seen.head = head(&parts.headers);
        self.log.responded(parts.status.as_u16(), &seen.request_id);
        let left = match (parts.status.is_success(), self.takes_body) {
            (true, true) => {
                seen.body = Some(body);
                SdkBody::empty()
            }
            (true, false) => cut::at_most(body, cut::UNARY),
            (false, _) => cut::at_most(body, cut::ERROR),
        };
        Response::from_parts(parts, left)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock()
    }
}

/// Sends an operation of no attempt, whose answer is bounded.
pub(super) async fn with_bounded_answer<T>(sent: impl Future<Output = T>) -> T {
    Tap::of_unary(&AttemptLog::default()).during(sent).await
}

/// The headers of an answer that go to the caller.
fn head(headers: &HeaderMap) -> HeaderMap {
    let relayed = |name: &str| HEADERS.contains(&name) || name.starts_with(OF_BEDROCK);
    headers
        .iter()
        .filter(|(name, _)| relayed(name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
