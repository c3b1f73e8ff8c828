//! Wrong input gets a status with a reason that says what to change, and the server stays up.

use outcrop_client::CallError;
use outcrop_client::proto::{ContentBlock, GenerateRequest, InferenceConfiguration, Message, Role, content_block};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::{
    Code, Request, Status,
    client::Grpc,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::Endpoint,
};

use crate::harness::{Harness, request};

#[tokio::test]
async fn all_violations_of_a_request_come_at_once() {
    let harness = Harness::start().await;
    let block = ContentBlock { block: Some(content_block::Block::Text("I begin".into())) };
    let config =
        InferenceConfiguration { temperature: Some(2.0), max_tokens: Some(-1), ..InferenceConfiguration::default() };
    let request = GenerateRequest {
        messages: vec![Message { role: Role::Assistant.into(), content: vec![block] }],
        inference_config: Some(config),
        ..GenerateRequest::default()
    };
    let (_, error) = harness.ask(request).await.failed();
    assert_eq!((error.code, error.reason.as_str()), (Code::InvalidArgument, "INVALID_REQUEST"));
    let fields: Vec<_> = error.violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["messages[0].role", "inference_config.max_tokens", "inference_config.temperature"]);
    assert!(error.message.contains("is 2; it must be from 0 to 1"), "{error}");
    assert_eq!(harness.emulator.stats().requests, 0, "Bedrock was not asked");
}

#[tokio::test]
async fn a_request_that_is_wrong_everywhere_gets_a_short_answer() {
    let harness = Harness::start().await;
    let messages = vec![Message { role: Role::User.into(), content: vec![ContentBlock::default(); 90_000] }];
    let (_, error) = harness.ask(GenerateRequest { messages, ..GenerateRequest::default() }).await.failed();
    assert_eq!(error.reason, "INVALID_REQUEST");
    assert!(error.violations.len() < 100, "{}", error.violations.len());
    assert!(error.violations.last().unwrap().description.contains("more"), "{error:?}");
}

#[tokio::test]
async fn an_empty_request_says_what_to_set() {
    let harness = Harness::start().await;
    let (_, error) = harness.ask(GenerateRequest::default()).await.failed();
    assert_eq!((error.code, error.reason.as_str()), (Code::InvalidArgument, "INVALID_REQUEST"));
    assert!(error.message.contains("Set prompt"), "{error}");
}

#[tokio::test]
async fn an_unknown_model_is_refused_in_bedrocks_words() {
    let harness = Harness::start().await;
    let (_, error) = harness.ask(request("gpt-4")).await.failed();
    assert_eq!((error.code, error.reason.as_str()), (Code::InvalidArgument, "BEDROCK_VALIDATION"));
    assert!(error.message.contains("The provided model identifier is invalid."), "{error}");
    let (_, error) = harness.ask(request("emulator.nonsense")).await.failed();
    assert_eq!((error.code, error.reason.as_str()), (Code::NotFound, "BEDROCK_MODEL_NOT_FOUND"));
}

#[tokio::test]
async fn a_prompt_of_5_mib_is_too_long_for_the_model_and_not_for_the_server() {
    let harness = Harness::start().await;
    let prompt = "x".repeat(5 << 20);
    let (_, error) = harness.ask(GenerateRequest { prompt, ..GenerateRequest::default() }).await.failed();
    assert_eq!((error.code, error.reason.as_str()), (Code::InvalidArgument, "BEDROCK_VALIDATION"));
    assert!(error.message.contains("too long"), "{error}");
}

#[tokio::test]
async fn a_message_above_the_limit_says_which_limit() {
    let harness = Harness::with(|settings| settings.max_request_bytes = 1_000).await;
    let prompt = "x".repeat(2_000);
    let (_, error) = harness.ask(GenerateRequest { prompt, ..GenerateRequest::default() }).await.failed();
    assert_eq!((error.code, error.reason.as_str()), (Code::ResourceExhausted, "MESSAGE_TOO_LARGE"));
    assert!(error.message.contains("1000 bytes") && error.message.contains("--max-request-bytes"), "{error}");
    harness.ask(request("a.model")).await.whole();
}

#[tokio::test]
async fn bytes_that_are_no_request_are_malformed() {
    let harness = Harness::start().await;
    let status = raw(&harness, "/outcrop.v1.GenerationService/Generate", b"\x12\x02\xff\xfe").await;
    let error = CallError::from(&status);
    assert_eq!((error.code, error.reason.as_str()), (Code::InvalidArgument, "MALFORMED_REQUEST"), "{error}");
    harness.ask(request("a.model")).await.whole();
}

#[tokio::test]
async fn json_nested_too_deeply_is_refused_with_its_field() {
    let harness = Harness::start().await;
    let mut value = prost_types::Value::default();
    for _ in 0..200 {
        let fields = [("a".to_owned(), value)].into();
        value =
            prost_types::Value { kind: Some(prost_types::value::Kind::StructValue(prost_types::Struct { fields })) };
    }
    let fields = Some(prost_types::Struct { fields: [("a".to_owned(), value)].into() });
    let request = GenerateRequest { additional_model_request_fields: fields, ..request("a.model") };
    let (_, error) = harness.ask(request).await.failed();
    assert_eq!((error.code, error.reason.as_str()), (Code::InvalidArgument, "MALFORMED_REQUEST"), "{error}");
    assert_eq!(
        error.violations.first().map(|violation| violation.field.as_str()),
        Some("additional_model_request_fields"),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_unknown_method_is_told_which_there_are() {
    let harness = Harness::start().await;
    for path in ["/outcrop.v1.GenerationService/Create", "/other.Service/Generate"] {
        let error = CallError::from(&raw(&harness, path, b"").await);
        assert_eq!((error.code, error.reason.as_str()), (Code::Unimplemented, "UNKNOWN_METHOD"));
        assert!(error.message.contains("/outcrop.v1.GenerationService/Generate"), "{error}");
    }
}

#[tokio::test]
async fn a_status_of_grpc_itself_has_a_reason_too() {
    let harness = Harness::start().await;
    // HealthCheckRequest {service: "unknown"}
    let error = CallError::from(&raw(&harness, "/grpc.health.v1.Health/Check", b"\x0a\x07unknown").await);
    assert_eq!((error.code, error.reason.as_str()), (Code::NotFound, "TRANSPORT"));
}

#[tokio::test]
async fn plain_http_is_told_what_this_port_is() {
    let harness = Harness::start().await;
    let address = harness.endpoint.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /elsewhere HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
    for told in ["This port speaks gRPC", "grpcurl", "a web page at /"] {
        assert!(answer.contains(told), "{answer}");
    }
    harness.ask(request("a.model")).await.whole();
}

#[tokio::test]
async fn garbage_on_the_port_does_not_affect_others() {
    let harness = Harness::start().await;
    let address = harness.endpoint.strip_prefix("http://").unwrap();
    for garbage in [&[0_u8; 4096][..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\ngarbage", b"\x16\x03\x01\x02\x00\x01"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // Closed or reset, either is an answer to garbage.
        let _ = stream.read_to_end(&mut answer).await;
    }
    harness.ask(request("a.model")).await.whole();
}

/// A unary call with these bytes as its message; the status it ends with.
async fn raw(harness: &Harness, path: &'static str, message: &'static [u8]) -> Status {
    let channel = Endpoint::from_shared(harness.endpoint.clone()).unwrap().connect().await.unwrap();
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.unwrap();
    grpc.unary(Request::new(message), path.parse().unwrap(), RawBytes).await.map(|_| ()).unwrap_err()
}

/// Sends bytes as they are.
struct RawBytes;

impl Codec for RawBytes {
    type Encode = &'static [u8];
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for RawBytes {
    type Item = &'static [u8];
    type Error = Status;

    fn encode(&mut self, item: Self::Item, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        bytes::BufMut::put_slice(buffer, item);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

impl Decoder for RawBytes {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, _: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        Ok(Some(()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}
