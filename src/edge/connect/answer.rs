//! The answer of a call as Connect has it: the message alone, or the status as a status of HTTP and JSON. Trailers become headers.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use bytes::Bytes;
use http::{
    HeaderName, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, TRAILER},
};
use http_body_util::BodyExt;
use prost::Message;
use prost_reflect::{DynamicMessage, SerializeOptions};
use serde_json::{Value, json};
use tonic::{Code, Status};

use super::{Codec, ConnectCall};
use crate::error::from_bare;

/// The length of the prefix of a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

impl ConnectCall {
    /// The answer, from that of gRPC.
    pub(super) async fn answer(&self, response: Response) -> Response {
        let (parts, body) = response.into_parts();
        let (trailers, message) = match body.collect().await {
            Ok(collected) => (collected.trailers().cloned().unwrap_or_default(), collected.to_bytes()),
            Err(error) => return self.refusal(&bare(Code::Internal, &format!("the answer broke off: {error}"))),
        };
        let status = Status::from_header_map(&parts.headers).or_else(|| Status::from_header_map(&trailers));
        let mut answer = match status {
            Some(status) if status.code() != Code::Ok => self.refusal(&status),
            Some(_) => self.message(&message),
            None => self.refusal(&bare(Code::Internal, "the answer has no status")),
        };
        let own = parts.headers.iter().map(|(name, value)| (name.clone(), value));
        let trailing = trailers
            .iter()
            .filter(|(name, _)| is_metadata(name))
            .filter_map(|(name, value)| Some((HeaderName::try_from(format!("trailer-{name}")).ok()?, value)));
        for (name, value) in own.filter(|(name, _)| is_metadata(name)).chain(trailing) {
            answer.headers_mut().append(name, value.clone());
        }
        answer
    }

    fn message(&self, framed: &Bytes) -> Response {
        let bytes = framed.slice(PREFIX.min(framed.len())..);
        let body = match self.codec {
            Codec::Proto => bytes,
            Codec::Json => match self.method.as_ref().map(|it| to_json(DynamicMessage::decode(it.output(), bytes))) {
                Some(Ok(json)) => json.to_string().into(),
                None => return self.refusal(&bare(Code::Internal, "the method is unknown")),
                Some(Err(error)) => {
                    return self.refusal(&bare(Code::Internal, &format!("the answer has no JSON: {error}")));
                }
            },
        };
        ([(CONTENT_TYPE, self.codec.content_type())], Body::from(body)).into_response()
    }

    /// A status in the form of Connect. It is JSON whatever the messages are.
    pub(super) fn refusal(&self, status: &Status) -> Response {
        let details = tonic_types::pb::Status::decode(status.details()).unwrap_or_default().details;
        let details: Vec<_> = details.iter().map(|detail| self.detail(detail)).collect();
        let (name, http) = code(status.code());
        let http =
            if self.method.is_none() && http == StatusCode::NOT_IMPLEMENTED { StatusCode::NOT_FOUND } else { http };
        let mut error = json!({"code": name, "message": status.message()});
        if !details.is_empty() {
            error["details"] = details.into();
        }
        (http, [(CONTENT_TYPE, Codec::Json.content_type())], error.to_string()).into_response()
    }

    /// A detail, and as a help for people what it says.
    fn detail(&self, detail: &prost_types::Any) -> Value {
        let name = detail.type_url.rsplit('/').next().unwrap_or_default();
        let mut value = json!({"type": name, "value": STANDARD_NO_PAD.encode(&detail.value)});
        let known = self.pool.get_message_by_name(name);
        if let Some(debug) = known.and_then(|kind| to_json(DynamicMessage::decode(kind, detail.value.as_slice())).ok())
        {
            value["debug"] = debug;
        }
        value
    }
}

/// The JSON of protobuf.
fn to_json(message: Result<DynamicMessage, prost::DecodeError>) -> Result<Value, Box<dyn std::error::Error>> {
    Ok(message?.serialize_with_options(serde_json::value::Serializer, &SerializeOptions::new())?)
}

/// A status of this layer.
fn bare(code: Code, message: &str) -> Status {
    from_bare(code, message, |_| ())
}

/// Whether a header of gRPC is metadata of the call.
fn is_metadata(name: &HeaderName) -> bool {
    !name.as_str().starts_with("grpc-") && ![CONTENT_TYPE, CONTENT_LENGTH, TRAILER].contains(name)
}

/// The name of a code in Connect, and the status of HTTP that it has there.
fn code(code: Code) -> (&'static str, StatusCode) {
    match code {
        // No failure has it.
        Code::Ok | Code::Unknown => ("unknown", StatusCode::INTERNAL_SERVER_ERROR),
        Code::Cancelled => ("canceled", StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST)),
        Code::InvalidArgument => ("invalid_argument", StatusCode::BAD_REQUEST),
        Code::DeadlineExceeded => ("deadline_exceeded", StatusCode::GATEWAY_TIMEOUT),
        Code::NotFound => ("not_found", StatusCode::NOT_FOUND),
        Code::AlreadyExists => ("already_exists", StatusCode::CONFLICT),
        Code::PermissionDenied => ("permission_denied", StatusCode::FORBIDDEN),
        Code::ResourceExhausted => ("resource_exhausted", StatusCode::TOO_MANY_REQUESTS),
        Code::FailedPrecondition => ("failed_precondition", StatusCode::BAD_REQUEST),
        Code::Aborted => ("aborted", StatusCode::CONFLICT),
        Code::OutOfRange => ("out_of_range", StatusCode::BAD_REQUEST),
        Code::Unimplemented => ("unimplemented", StatusCode::NOT_IMPLEMENTED),
        Code::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR),
        Code::Unavailable => ("unavailable", StatusCode::SERVICE_UNAVAILABLE),
        Code::DataLoss => ("data_loss", StatusCode::INTERNAL_SERVER_ERROR),
        Code::Unauthenticated => ("unauthenticated", StatusCode::UNAUTHORIZED),
    }
}
