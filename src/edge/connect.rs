//! Connect over HTTP/1.1 and HTTP/2, for methods that take one message and answer with one: bodies of JSON or protobuf without frames, so that
//! curl can call them.
//!
//! The layers of gRPC take such a call for one of gRPC-Web: the same checks apply in the same order, and its body is received and counted where
//! theirs are. There it becomes a message with the prefix of gRPC.
//!
//! - `answer` the answer of a method, or its status, in the form of Connect

mod answer;

use std::{collections::HashMap, sync::Arc};

use axum::{
    body::Body,
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use bytes::{BufMut, Bytes, BytesMut};
use http::{
    HeaderMap, HeaderValue, Method, StatusCode, Version,
    header::{ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TE},
};
use http_body_util::BodyExt;
use prost::Message;
use prost_reflect::{DescriptorError, DescriptorPool, DynamicMessage, MethodDescriptor};
use tonic::Code;

use crate::{
    edge::protocol::FromWeb,
    error::{Error, Reason, from_bare},
};

/// The content types, and that of gRPC for the layers within.
const JSON: &str = "application/json";
const PROTO: &str = "application/proto";
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// What a value of JSON takes while it becomes a message, in bytes: the first field of a message makes room for eleven.
const DECODED: u64 = 1_024;

/// The methods of the server by path, of which those are called that take one message and answer with one. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct UnaryMethods {
    methods: Arc<HashMap<String, MethodDescriptor>>,
    /// All messages, also those of the details of errors.
    pool: DescriptorPool,
}

/// How the messages of a call are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Codec {
    Json,
    Proto,
}

/// Marks a call of Connect. Its body is a message alone.
#[derive(Clone, Debug)]
pub(crate) struct ConnectCall {
    /// None is for the layer of gRPC to refuse, which tells callers alone which there are.
    method: Option<MethodDescriptor>,
    codec: Codec,
    pool: DescriptorPool,
}

impl UnaryMethods {
    /// Those of these descriptor sets.
    ///
    /// # Errors
    /// If a set cannot be decoded.
    pub(crate) fn of(descriptor_sets: &[&[u8]]) -> Result<Self, DescriptorError> {
        let mut pool = DescriptorPool::new();
        for set in descriptor_sets {
            pool.decode_file_descriptor_set(*set)?;
        }
        let methods = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
        let by_path =
            methods.map(|method| (format!("/{}/{}", method.parent_service().full_name(), method.name()), method));
        Ok(Self { methods: Arc::new(by_path.collect()), pool })
    }

    /// The call that a request is, if it is one of Connect. Streams have frames there, which are not served.
    pub(crate) fn call(&self, request: &Request) -> Option<ConnectCall> {
        let codec = Codec::of(request.headers()).filter(|_| request.method() == Method::POST)?;
        let path = request.uri().path();
        let method = self.methods.get(path);
        let is_call = method.map_or_else(|| names_method(path), is_unary);
        is_call.then(|| ConnectCall { method: method.cloned(), codec, pool: self.pool.clone() })
    }

    /// The answer to a request for a method by another verb than POST.
    pub(crate) fn refuse_verb(&self, request: &Request) -> Option<Response> {
        let is_method = self.methods.get(request.uri().path()).is_some_and(is_unary);
        let text = "Call a method by POST, with its message as the body.\n";
        (is_method && request.method() != Method::POST)
            .then(|| (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "POST")], text).into_response())
    }
}

/// Whether a path has the form of one of a method: `/package.Service/Method`.
fn names_method(path: &str) -> bool {
    let parts = path.strip_prefix('/').and_then(|path| path.split_once('/'));
    parts.is_some_and(|(service, method)| service.contains('.') && !method.is_empty() && !method.contains('/'))
}

fn is_unary(method: &MethodDescriptor) -> bool {
    !method.is_client_streaming() && !method.is_server_streaming()
}

impl Codec {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let content_type = value.split(';').next().unwrap_or_default().trim();
        match content_type {
            _ if content_type.eq_ignore_ascii_case(JSON) => Some(Self::Json),
            _ if content_type.eq_ignore_ascii_case(PROTO) => Some(Self::Proto),
            _ => None,
        }
    }

    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(if self == Self::Json { JSON } else { PROTO })
    }
}

impl ConnectCall {
    /// Makes the call through the layers of gRPC.
    pub(crate) async fn run(self, mut request: Request, next: Next) -> Response {
        let encoding = request.headers().get(CONTENT_ENCODING).filter(|encoding| encoding.as_bytes() != b"identity");
        if let Some(encoding) = encoding {
            let message = format!("the content-encoding {encoding:?} is not taken. Send the body as it is");
            let refused = self.refusal(&from_bare(Code::Unimplemented, &message, |_| ()));
            return ([(ACCEPT_ENCODING, "identity")], refused).into_response();
        }
        if let Err(error) = as_grpc(request.headers_mut()) {
            return self.refusal(&error.into_status());
        }
        *request.version_mut() = Version::HTTP_2;
        request.extensions_mut().insert(FromWeb);
        request.extensions_mut().insert(self.clone());
        self.answer(next.run(request).await).await
    }

    /// What the message takes while it is decoded, in bytes, beside the body.
    pub(crate) fn decoding_takes(&self, body: &[u8]) -> u64 {
        if self.codec == Codec::Proto {
            return 0;
        }
        let values = body.iter().filter(|byte| matches!(byte, b',' | b'{' | b'[' | b':')).count() as u64;
        body.len() as u64 + values * DECODED
    }

    /// The message of a body that has arrived, with the prefix of gRPC.
    ///
    /// # Errors
    /// `MALFORMED_REQUEST`.
    pub(crate) fn framed(&self, body: &Bytes) -> Result<Bytes, Error> {
        let message = match self.codec {
            Codec::Proto => body.clone(),
            Codec::Json => self.decoded(body)?.encode_to_vec().into(),
        };
        let length = u32::try_from(message.len())
            .map_err(|_| Error::new(Reason::MessageTooLarge, "the message has more than 4 GiB. Send less"))?;
        let mut framed = BytesMut::with_capacity(5 + message.len());
        framed.put_u8(0);
        framed.put_u32(length);
        framed.put(message);
        Ok(framed.freeze())
    }

    /// The same for the request of a method without gates, whose body is bounded.
    ///
    /// # Errors
    /// `MALFORMED_REQUEST`, and `MESSAGE_TOO_LARGE` if the body does not arrive whole.
    pub(crate) async fn receive(&self, request: Request) -> Result<Request, Error> {
        let (parts, body) = request.into_parts();
        let received = body.collect().await.map_err(|error| {
            Error::new(Reason::MessageTooLarge, format!("the body cannot be received: {error}")).with_source(error)
        })?;
        Ok(Request::from_parts(parts, Body::from(self.framed(&received.to_bytes())?)))
    }

    fn decoded(&self, body: &[u8]) -> Result<DynamicMessage, Error> {
        let mut json = serde_json::Deserializer::from_slice(body);
        let unknown = || Error::new(Reason::UnknownMethod, "there is no such method");
        let input = self.method.as_ref().ok_or_else(unknown)?.input();
        let name = input.full_name().to_owned();
        let message = DynamicMessage::deserialize(input, &mut json);
        message.and_then(|message| json.end().map(|()| message)).map_err(|error| {
            let message = format!(
                "the body is not the JSON of {name}: {error}. Send an object with its fields, and {{}} for a message without any"
            );
            Error::new(Reason::MalformedRequest, message).logged_as(format!("the body is not the JSON of {name}"))
        })
    }
}

/// The headers of a call of gRPC.
fn as_grpc(headers: &mut HeaderMap) -> Result<(), Error> {
    let malformed = |message| Err(Error::new(Reason::MalformedRequest, message));
    if headers.remove("connect-protocol-version").is_some_and(|version| version != "1") {
        return malformed(
            "the connect-protocol-version is not 1, which is the only one. Send 1, or leave it out".to_owned(),
        );
    }
    for name in ["grpc-timeout", "grpc-encoding", CONTENT_LENGTH.as_str(), CONTENT_ENCODING.as_str()] {
        headers.remove(name);
    }
    headers.insert(CONTENT_TYPE, GRPC);
    headers.insert(TE, HeaderValue::from_static("trailers"));
    let Some(timeout) = headers.remove("connect-timeout-ms") else { return Ok(()) };
    let milliseconds =
        timeout.to_str().ok().filter(|text| text.len() <= 10 && text.bytes().all(|b| b.is_ascii_digit()));
    let Some(milliseconds) = milliseconds.and_then(|text| text.parse::<u64>().ok()) else {
        return malformed(format!(
            "the connect-timeout-ms is {timeout:?}. Send milliseconds as a number of at most ten digits"
        ));
    };
    // gRPC has at most eight digits, and units.
    let grpc =
        if milliseconds < 100_000_000 { format!("{milliseconds}m") } else { format!("{}S", milliseconds / 1_000) };
    headers.extend(HeaderValue::try_from(grpc).ok().map(|grpc| (http::HeaderName::from_static("grpc-timeout"), grpc)));
    Ok(())
}
