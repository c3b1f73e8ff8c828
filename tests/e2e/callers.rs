//! Callers with API keys, and calls with any headers over any of the server's protocols.

use bytes::{Buf, Bytes};
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client as Http, connect::HttpConnector},
    rt::TokioExecutor,
};
use outcrop::identity::{
    key::NewKey,
    settings::{CallerSettings, KeySettings},
};
use outcrop_client::proto::GenerateRequest;
use prost::Message;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::{connect, harness::soon};

/// A caller of a tenant of the same name, and its API key.
pub(crate) struct Caller {
    pub(crate) settings: CallerSettings,
    pub(crate) key: String,
}

impl Caller {
    pub(crate) fn new(name: &str) -> Self {
        let (key, settings) = new_key();
        let (name, tenant) = (name.to_owned(), name.to_owned());
        Self { settings: CallerSettings { name, tenant, keys: vec![settings], ..CallerSettings::default() }, key }
    }
}

/// An API key, and what the configuration has of it.
pub(crate) fn new_key() -> (String, KeySettings) {
    let key = NewKey::generate().unwrap();
    (key.text().to_owned(), settings_of(&key))
}

/// What the configuration has of a key.
pub(crate) fn settings_of(key: &NewKey) -> KeySettings {
    let digits = key.sha256();
    let mut sha256 = [0; 32];
    for (byte, digits) in sha256.iter_mut().zip(digits.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
    }
    KeySettings { id: key.id().to_owned(), sha256, expires_at: None, disabled: false }
}

/// The headers of a caller.
pub(crate) type Headers = Vec<(&'static str, String)>;

/// The headers of a caller with this key or token.
pub(crate) fn bearer(key: &str) -> Headers {
    vec![("authorization", format!("Bearer {key}"))]
}

/// How a call reaches the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Grpc,
    /// gRPC-Web over HTTP/2.
    WebOverHttp2,
    /// gRPC-Web over HTTP/1.1.
    WebOverHttp1,
    /// gRPC where there is none.
    GrpcOverHttp1,
    /// Connect over HTTP/1.1, with JSON.
    ConnectJson,
    /// Connect over HTTP/2, with protobuf.
    ConnectProto,
}

impl Protocol {
    /// Whether it has no streams.
    pub(crate) fn is_connect(self) -> bool {
        matches!(self, Self::ConnectJson | Self::ConnectProto)
    }
}

pub(crate) const PROTOCOLS: [Protocol; 6] = [
    Protocol::Grpc,
    Protocol::WebOverHttp2,
    Protocol::WebOverHttp1,
    Protocol::GrpcOverHttp1,
    Protocol::ConnectJson,
    Protocol::ConnectProto,
];

/// What a call came to: its code and reason, or the status of HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Grpc { code: Code, reason: String, message: String },
    Http(StatusCode),
}

impl Answer {
    pub(crate) fn code(&self) -> Option<Code> {
        if let Self::Grpc { code, .. } = self { Some(*code) } else { None }
    }

    pub(crate) fn reason(&self) -> &str {
        if let Self::Grpc { reason, .. } = self { reason } else { "" }
    }

    fn of(headers: &HeaderMap) -> Option<Self> {
        let status = Status::from_header_map(headers)?;
        let reason = status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default();
        Some(Self::Grpc { code: status.code(), reason, message: status.message().to_owned() })
    }
}

/// Connections for every protocol.
pub(crate) struct Wire {
    http1: Http<HttpConnector, Full<Bytes>>,
    http2: Http<HttpConnector, Full<Bytes>>,
    endpoint: String,
}

impl Wire {
    pub(crate) fn to(endpoint: &str) -> Self {
        Self {
            http1: Http::builder(TokioExecutor::new()).build_http(),
            http2: Http::builder(TokioExecutor::new()).http2_only(true).build_http(),
            endpoint: endpoint.to_owned(),
        }
    }

    /// Calls a method with one message. A stream that does not end by itself is left after its first message.
    pub(crate) async fn call(
        &self,
        protocol: Protocol,
        path: &str,
        message: &[u8],
        headers: &[(&str, &str)],
    ) -> Answer {
        let (http, content_type) = match protocol {
            Protocol::Grpc => (&self.http2, "application/grpc"),
            Protocol::WebOverHttp2 => (&self.http2, "application/grpc-web+proto"),
            Protocol::WebOverHttp1 => (&self.http1, "application/grpc-web+proto"),
            Protocol::GrpcOverHttp1 => (&self.http1, "application/grpc"),
            Protocol::ConnectJson => (&self.http1, "application/json"),
            Protocol::ConnectProto => (&self.http2, "application/proto"),
        };
        let body = match protocol {
            Protocol::ConnectJson => connect::json_of(path, message).into(),
            Protocol::ConnectProto => Bytes::copy_from_slice(message),
            _ => framed(message),
        };
        let mut request = http::Request::post(format!("{}{path}", self.endpoint)).header("content-type", content_type);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = soon(http.request(request.body(Full::new(body)).unwrap())).await.unwrap();
        if protocol.is_connect() {
            let (head, body) = answer.into_parts();
            return connect::answer_of(head.status, &soon(body.collect()).await.unwrap().to_bytes());
        }
        if answer.status() != StatusCode::OK {
            return Answer::Http(answer.status());
        }
        if let Some(status) = Answer::of(answer.headers()) {
            return status;
        }
        let ends = !path.ends_with("/Watch");
        soon(status_of(answer.into_body(), ends)).await
    }
}

/// A message with its prefix.
fn framed(message: &[u8]) -> Bytes {
    let mut body = vec![0];
    body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    body.extend(message);
    body.into()
}

/// The status after the messages: in trailers, or in the last frame of gRPC-Web.
async fn status_of(mut body: hyper::body::Incoming, ends: bool) -> Answer {
    let mut received = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.unwrap();
        if let Some(status) = frame.trailers_ref().and_then(Answer::of) {
            return status;
        }
        received.extend_from_slice(frame.data_ref().map(Bytes::as_ref).unwrap_or_default());
        if !ends && received.len() > 5 {
            return Answer::Grpc { code: Code::Ok, reason: String::new(), message: String::new() };
        }
    }
    let mut rest = received.as_slice();
    while rest.len() >= 5 {
        let (flags, length) = (rest.get_u8(), rest.get_u32() as usize);
        let (frame, more) = rest.split_at(length);
        if flags & 0x80 != 0 {
            let mut trailers = HeaderMap::new();
            for line in std::str::from_utf8(frame).unwrap().lines() {
                let (name, value) = line.split_once(':').unwrap();
                trailers.insert(
                    http::HeaderName::try_from(name.trim()).unwrap(),
                    http::HeaderValue::try_from(value.trim()).unwrap(),
                );
            }
            return Answer::of(&trailers).unwrap();
        }
        rest = more;
    }
    panic!("no status in {received:?}");
}

/// A stream that runs, with the rest of its messages unread.
pub(crate) struct OpenStream(hyper::body::Incoming);

/// Opens a stream, and waits for its first bytes.
pub(crate) async fn open_stream(endpoint: &str, key: &str, request: &GenerateRequest) -> OpenStream {
    let call = http::Request::post(format!("{endpoint}/outcrop.v1.GenerationService/Generate"))
        .header("content-type", "application/grpc")
        .header("authorization", format!("Bearer {key}"))
        .body(Full::new(framed(&request.encode_to_vec())))
        .unwrap();
    let mut stream = OpenStream(soon(Wire::to(endpoint).http2.request(call)).await.unwrap().into_body());
    stream.more().await;
    stream
}

impl OpenStream {
    /// Waits for more bytes.
    pub(crate) async fn more(&mut self) {
        let frame = soon(self.0.frame()).await.expect("the stream goes on").unwrap();
        assert!(frame.is_data(), "{frame:?}");
    }

    /// Waits for the end.
    pub(crate) async fn status(self) -> Answer {
        soon(status_of(self.0, true)).await
    }
}

/// The message of the answer of a method of the generation service.
pub(crate) async fn unary(endpoint: &str, method: &str, message: &[u8], headers: &[(&'static str, String)]) -> Vec<u8> {
    let http = Http::builder(TokioExecutor::new()).http2_only(true).build_http::<Full<Bytes>>();
    let mut request = http::Request::post(format!("{endpoint}/outcrop.v1.GenerationService/{method}"))
        .header("content-type", "application/grpc");
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let answer = http.request(request.body(Full::new(framed(message))).unwrap()).await.unwrap();
    answer.into_body().collect().await.unwrap().to_bytes()[5..].to_vec()
}
