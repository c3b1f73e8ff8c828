//! What a request of the runner says that the answer is to be, and what it wants to hear about the request.

use http::{HeaderMap, HeaderName, HeaderValue};
use outcrop::app::Mounted;
use prost::Message;
use prost_types::Any;
use tonic::{Code, Request, Response, Status, metadata::MetadataMap};

use crate::trailers::Trailers;
use outcrop_conformance::connect::{Error, Header, conformance_payload::RequestInfo};

/// What the server has seen of a call, without its messages.
pub(crate) fn seen<T>(request: &Request<T>) -> RequestInfo {
    let headers = request.metadata().clone().into_headers();
    let each = headers.keys().map(|name| Header {
        name: name.to_string(),
        value: headers.get_all(name).iter().filter_map(|value| value.to_str().ok().map(str::to_owned)).collect(),
    });
    let timeout = Mounted::time_left(request.extensions());
    RequestInfo {
        request_headers: each.collect(),
        timeout_ms: timeout.and_then(|left| left.as_millis().try_into().ok()),
        ..RequestInfo::default()
    }
}

/// A message of this type as the runner wants it back.
pub(crate) fn any(name: &str, message: &impl Message) -> Any {
    Any { type_url: format!("type.googleapis.com/connectrpc.conformance.v1.{name}"), value: message.encode_to_vec() }
}

/// An answer with these headers and trailers.
pub(crate) fn answer<T>(message: T, headers: &[Header], trailers: &[Header]) -> Response<T> {
    let mut response = Response::new(message);
    *response.metadata_mut() = MetadataMap::from_headers(map(headers));
    response.extensions_mut().insert(Trailers(map(trailers)));
    response
}

/// The status of this error. `info`, if set, is its last detail.
pub(crate) fn status(error: Error, info: Option<&RequestInfo>, metadata: HeaderMap) -> Status {
    let Error { code, message, mut details } = error;
    details.extend(info.map(|info| any("ConformancePayload.RequestInfo", info)));
    let message = message.unwrap_or_default();
    let wire = tonic_types::pb::Status { code, message: message.clone(), details };
    let metadata = MetadataMap::from_headers(metadata);
    Status::with_details_and_metadata(Code::from(code), message, wire.encode_to_vec().into(), metadata)
}

/// Headers as HTTP has them.
pub(crate) fn map(headers: &[Header]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for Header { name, value } in headers {
        for value in value {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value)) {
                map.append(name, value);
            }
        }
    }
    map
}
