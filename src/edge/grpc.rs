//! The outermost layer of gRPC: authenticates the caller, refuses unknown methods, enforces the caller's deadline, gives each call an id, and adds a reason to
//! statuses that the gRPC library makes.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, HeaderValue};
use prost::{DecodeError, Message};
use prost_types::FileDescriptorSet;
use tokio::time::{Instant, timeout};
use tonic::{Code, Status};

use crate::{
    edge::{
        authentication::Authentication,
        bedrock_api::{call::ApiCall, refusal},
        host::AllowedHosts,
        protocol::{FromWeb, is_grpc, not_grpc},
    },
    error::{self, Error, Reason},
    metrics::Metrics,
    request::{generation_id::GenerationId, timeouts::Deadline},
    telemetry::{
        call::{CallRecord, GENERATION},
        observer::{ObservedCall, Observer},
    },
};

/// The trailer that carries the google.rpc details of a status.
const DETAILS: &str = "grpc-status-details-bin";

/// The paths of all methods, `/package.Service/Method`, and what each streams. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Methods(Arc<BTreeMap<String, Streams>>);

/// What a method streams.
#[derive(Clone, Copy, Debug, Default)]
struct Streams {
    requests: bool,
    answers: bool,
}

impl Methods {
    /// The methods that these descriptor sets declare.
    pub(crate) fn of(descriptor_sets: &[&[u8]]) -> Result<Self, DecodeError> {
        let mut paths = BTreeMap::new();
        for set in descriptor_sets {
            for file in FileDescriptorSet::decode(*set)?.file {
                for service in &file.service {
                    paths.extend(service.method.iter().map(|method| {
                        let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                        (path, Streams { requests: method.client_streaming(), answers: method.server_streaming() })
                    }));
                }
            }
        }
        Ok(Self(Arc::new(paths)))
    }

    /// Whether the method of this path takes a stream of messages.
    pub(crate) fn takes_a_stream(&self, path: &str) -> bool {
        self.0.get(path).copied().unwrap_or_default().requests
    }

    /// Whether the method of this path answers with a stream of messages.
    pub(crate) fn answers_with_a_stream(&self, path: &str) -> bool {
        self.0.get(path).copied().unwrap_or_default().answers
    }
}

/// The state of the layer.
#[derive(Debug)]
pub(crate) struct Front {
    /// The methods of the server.
    pub(crate) methods: Methods,
    /// The host names under which browsers can call it.
    pub(crate) hosts: AllowedHosts,
    /// Who the callers are.
    pub(crate) authentication: Authentication,
    /// What is counted.
    pub(crate) metrics: Metrics,
    /// What a collector is told.
    pub(crate) observer: Observer,
}

impl Front {
    /// Begins to observe a call. Load balancers and tools call the other services many times, so only failures to find a method count there.
    fn observe(&self, request: &Request, id: &GenerationId) -> ObservedCall {
        let path = request.uri().path();
        match self.methods.0.contains_key(path) {
            true if path.starts_with(GENERATION) => self.observer.begin(request, Some(path), id.as_str()),
            true => ObservedCall::default(),
            false => self.observer.begin(request, None, id.as_str()),
        }
    }

    /// Authenticates the caller, and refuses unknown methods. Only callers learn which methods there are.
    async fn admit(&self, request: &mut Request) -> Result<(), Error> {
        Box::pin(self.authentication.check(request)).await?;
        let path = request.uri().path();
        if self.methods.0.contains_key(path) {
            return Ok(());
        }
        let known: Vec<_> = self.methods.0.keys().map(String::as_str).collect();
        let message = format!("there is no method {path}. There are: {}", known.join(", "));
        Err(Error::new(Reason::UnknownMethod, message))
    }
}

/// The layer.
pub(crate) async fn front(State(state): State<Arc<Front>>, mut request: Request, next: Next) -> Response {
    let of_api = request.extensions().get::<ApiCall>().is_some();
    if !of_api && !is_grpc(&request) && request.extensions().get::<FromWeb>().is_none() {
        return not_grpc(&request, "");
    }
    let id = GenerationId::random();
    let observed = state.observe(&request, &id);
    let record = CallRecord::begin(request.uri().path(), id.clone(), state.metrics.clone(), observed);
    request.extensions_mut().insert(id.clone());
    request.extensions_mut().insert(Arc::clone(&record));
    let mut response = answer(&state, request, next, &record).await;
    // Only a stream is not over yet.
    record.finish();
    if let Ok(id) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(GenerationId::METADATA, id);
    }
    response
}

async fn answer(state: &Front, mut request: Request, next: Next, record: &CallRecord) -> Response {
    let of_api = request.extensions().get::<ApiCall>().is_some();
    let refused = |error: Error| {
        record.refuse(&error);
        refusal(of_api, error)
    };
    if let Err(error) = state.hosts.check_call(&request) {
        return refused(error);
    }
    let deadline = time_left(request.headers());
    // A stream ends a millisecond earlier, so that its own status is sent and not that of this layer.
    let for_stream = deadline.map(|time_left| time_left.saturating_sub(Duration::from_millis(1)));
    if let Some(at) = for_stream.and_then(|time_left| Instant::now().checked_add(time_left)) {
        request.extensions_mut().insert(Deadline(at));
    }
    let answer = async {
        match state.admit(&mut request).await {
            Ok(()) => next.run(request).await,
            Err(error) => refused(error),
        }
    };
    let response = match deadline {
        None => answer.await,
        Some(time_left) => timeout(time_left, answer).await.unwrap_or_else(|_| {
            let message =
                format!("the caller's deadline passed after {time_left:?}, before any content. Set a longer deadline");
            refused(Error::new(Reason::CallerDeadline, message))
        }),
    };
    with_reason(response, record)
}

/// Parses the caller's deadline from the header `grpc-timeout`: up to eight digits and a unit. It is a millisecond shorter, so that the
/// status can arrive before the caller's own timer ends the call.
pub(crate) fn time_left(headers: &HeaderMap) -> Option<Duration> {
    let header = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = header.split_at_checked(header.len().checked_sub(1)?)?;
    let number: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    let time_left = match unit {
        "H" => Duration::from_secs(number * 3_600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    };
    Some(time_left.saturating_sub(Duration::from_millis(1)))
}

/// Adds a reason to a status that the gRPC library made. Such a status is in the headers, before any message.
fn with_reason(response: Response, record: &CallRecord) -> Response {
    if response.headers().contains_key(DETAILS) {
        return response;
    }
    match Status::from_header_map(response.headers()) {
        Some(status) if status.code() != Code::Ok => {
            let with_reason = error::from_bare(status.code(), status.message(), |error| record.refuse(error));
            let mut replaced = grpc(&with_reason);
            keep_metadata(replaced.headers_mut(), response.headers());
            replaced
        }
        _ => response,
    }
}

/// Adds the metadata of the library's response, such as `grpc-accept-encoding`, which tells the client the accepted compressions.
fn keep_metadata(headers: &mut HeaderMap, own: &HeaderMap) {
    for (name, value) in own {
        if !headers.contains_key(name) {
            headers.insert(name, value.clone());
        }
    }
}

/// The answer to a call that is refused, in the form of its protocol.
pub(crate) fn refusal(of_api: bool, error: Error) -> Response {
    if of_api { refusal::answer(&error) } else { grpc(&error.into_status()) }
}

/// A response with a status in its headers and no message.
pub(crate) fn grpc(status: &Status) -> Response {
    status.clone().into_http::<tonic::body::Body>().map(Body::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_are_read_in_every_unit() {
        let read = |header: &str| {
            time_left(Request::builder().header("grpc-timeout", header).body(Body::empty()).unwrap().headers())
        };
        assert_eq!(read("2S"), Some(Duration::from_millis(1_999)));
        assert_eq!(read("250m"), Some(Duration::from_millis(249)));
        assert_eq!(read("1H"), Some(Duration::from_millis(3_599_999)));
        assert_eq!(read("1n"), Some(Duration::ZERO));
        for wrong in ["", "S", "1", "-1S", "123456789S", "1x", "ä"] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }
}
