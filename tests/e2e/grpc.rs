//! What every gRPC client may rely on: compression, metadata, and the health protocol.

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::{client::legacy::Client as Http, rt::TokioExecutor};
use outcrop_client::{
    CallError,
    proto::{GenerateRequest, ListModelsRequest, generation_service_client::GenerationServiceClient},
};
use tonic::{Code, Status, codec::CompressionEncoding, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::harness::{Harness, request, soon};

const ID: &str = "outcrop-generation-id";

async fn channel(harness: &Harness) -> Channel {
    Channel::from_shared(harness.endpoint.clone()).unwrap().connect().await.unwrap()
}

async fn client(harness: &Harness) -> GenerationServiceClient<Channel> {
    GenerationServiceClient::new(channel(harness).await)
}

async fn refused(client: &mut GenerationServiceClient<Channel>, request: GenerateRequest) -> Status {
    client.generate(request).await.expect_err("the call is OK")
}

#[tokio::test]
async fn gzip_requests_are_accepted() {
    let harness = Harness::start().await;
    let mut client = client(&harness).await.send_compressed(CompressionEncoding::Gzip);
    let answer = GenerateRequest { prompt: "x".repeat(100_000), ..request("") };
    assert!(soon(client.generate(answer).await.unwrap().into_inner().message()).await.unwrap().is_some());
    client.list_models(ListModelsRequest::default()).await.unwrap();
    let mut health = HealthClient::new(channel(&harness).await).send_compressed(CompressionEncoding::Gzip);
    health.check(HealthCheckRequest::default()).await.unwrap();
}

#[tokio::test]
async fn the_limit_of_a_request_holds_for_what_it_decompresses_to() {
    let harness = Harness::with(|settings| settings.max_request_bytes = 100_000).await;
    let mut client = client(&harness).await.send_compressed(CompressionEncoding::Gzip);
    // Ten megabytes that gzip makes ten kilobytes of.
    let bomb = GenerateRequest { prompt: "x".repeat(10 << 20), ..request("") };
    let error = CallError::from(&refused(&mut client, bomb).await);
    assert_eq!((error.code, error.reason.as_str()), (Code::ResourceExhausted, "MESSAGE_TOO_LARGE"), "{error}");
    assert!(error.message.contains("--max-request-bytes"), "{error}");
}

#[tokio::test]
async fn a_refused_compression_says_which_are_accepted() {
    let harness = Harness::start().await;
    // No message follows: the header alone is refused.
    let request = http::Request::post(format!("{}/outcrop.v1.GenerationService/ListModels", harness.endpoint))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-encoding", "snappy")
        .body(tonic::body::Body::empty())
        .unwrap();
    let answer = tower::ServiceExt::oneshot(channel(&harness).await, request).await.unwrap();
    let headers = answer.headers();
    assert_eq!(headers["grpc-status"], "12", "{headers:?}");
    assert!(headers["grpc-accept-encoding"].to_str().unwrap().contains("gzip"), "{headers:?}");
    assert!(headers.contains_key("grpc-status-details-bin") && headers.contains_key(ID), "{headers:?}");
}

#[tokio::test]
async fn every_answer_has_its_generation_id_refusals_too() {
    let harness = Harness::start().await;
    let mut client = client(&harness).await;
    let answer = client.generate(request("")).await.unwrap();
    let told = answer.metadata().get(ID).unwrap().to_str().unwrap().to_owned();
    let first = soon(answer.into_inner().message()).await.unwrap().unwrap();
    let Some(outcrop_client::proto::chunk::Event::Start(start)) = first.event else { panic!("{first:?}") };
    assert_eq!(start.generation_id, told, "the metadata and the chunks name the same call");
    let unary = client.list_models(ListModelsRequest::default()).await.unwrap();
    let ids = [
        told,
        unary.metadata().get(ID).unwrap().to_str().unwrap().to_owned(),
        refused(&mut client, GenerateRequest::default()).await.metadata().get(ID).unwrap().to_str().unwrap().to_owned(),
        refused(&mut client, request("gpt-4")).await.metadata().get(ID).unwrap().to_str().unwrap().to_owned(),
    ];
    for (at, id) in ids.iter().enumerate() {
        assert_eq!(id.len(), 36, "{id}");
        assert!(!ids[..at].contains(id), "each call has its own: {ids:?}");
    }
}

/// The headers of the answer to these bytes, sent to this path with these headers.
async fn headers_of(harness: &Harness, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> http::HeaderMap {
    let mut request = http::Request::post(format!("{}{path}", harness.endpoint)).header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    // Not tonic's channel, which enforces grpc-timeout itself.
    let http = Http::builder(TokioExecutor::new()).http2_only(true).build_http();
    let answer = soon(http.request(request.body(Full::new(Bytes::from(body))).unwrap())).await.unwrap();
    answer.headers().clone()
}

#[tokio::test]
async fn answers_that_never_reach_a_handler_have_a_generation_id_and_a_reason() {
    let harness = Harness::with(|settings| settings.max_request_bytes = 1_000).await;
    let generate = "/outcrop.v1.GenerationService/Generate";
    let grpc = ("content-type", "application/grpc");
    let framed = |flag: u8, message: &[u8]| {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        [&[flag][..], &length, message].concat()
    };
    let cases = [
        ("/outcrop.v1.GenerationService/Nothing", vec![grpc], framed(0, b"")),
        ("/no.Service/Nothing", vec![grpc], framed(0, b"")),
        ("/", vec![grpc], framed(0, b"")),
        (generate, vec![grpc], framed(0, &[0; 2_000])),
        (generate, vec![grpc], framed(0, &[0xFF; 7])),
        (generate, vec![grpc], framed(1, b"not gzip")),
        (generate, vec![grpc, ("grpc-encoding", "gzip")], framed(1, b"not gzip")),
        (generate, vec![grpc, ("grpc-encoding", "zstd")], framed(0, b"")),
        (generate, vec![grpc], Vec::new()),
        (generate, vec![grpc], framed(0, b"")[..3].to_vec()),
        (generate, vec![grpc], framed(9, b"")),
        (generate, vec![grpc, ("grpc-timeout", "1n")], framed(0, b"")),
        (generate, vec![grpc, ("grpc-timeout", "1m")], framed(0, b"")),
        (generate, vec![grpc, ("origin", "http://evil.example")], framed(0, b"")),
        ("/grpc.health.v1.Health/Check", vec![grpc], framed(0, b"\x0a\x06nobody")),
        ("/grpc.health.v1.Health/Check", vec![grpc], framed(0, &[0xFF; 7])),
    ];
    for (at, (path, headers, body)) in cases.into_iter().enumerate() {
        let answer = headers_of(&harness, path, &headers, body).await;
        assert!(answer.contains_key(ID), "case {at}: {answer:?}");
        let status = Status::from_header_map(&answer).unwrap_or_else(|| panic!("case {at}: {answer:?}"));
        assert!(!CallError::from(&status).reason.is_empty(), "case {at}: {status:?}");
        assert!(answer.contains_key("grpc-retry-pushback-ms"), "case {at}: {answer:?}");
    }
}

#[tokio::test]
async fn a_status_says_in_metadata_when_to_retry() {
    let harness = Harness::start().await;
    let mut client = client(&harness).await;
    let throttled = refused(&mut client, request("emulator.throttle-first")).await;
    let delay = CallError::from(&throttled).retry_delay.unwrap();
    let pushback =
        |status: &Status| status.metadata().get("grpc-retry-pushback-ms").unwrap().to_str().unwrap().to_owned();
    assert_eq!(pushback(&throttled), delay.as_millis().to_string());
    assert_eq!(pushback(&refused(&mut client, GenerateRequest::default()).await), "-1");
}

#[tokio::test]
async fn a_watch_of_an_unknown_service_is_service_unknown_and_stays_open() {
    let harness = Harness::start().await;
    let mut health = HealthClient::new(channel(&harness).await);
    let request = HealthCheckRequest { service: "unknown".into() };
    let mut watch = health.watch(request.clone()).await.unwrap().into_inner();
    let first = soon(watch.message()).await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::ServiceUnknown);
    let open = tokio::time::timeout(std::time::Duration::from_millis(200), watch.message()).await;
    assert!(open.is_err(), "{open:?}");
    assert_eq!(health.check(request).await.unwrap_err().code(), Code::NotFound);
    let known = HealthCheckRequest { service: "outcrop.v1.GenerationService".into() };
    let mut watch = health.watch(known).await.unwrap().into_inner();
    assert_eq!(soon(watch.message()).await.unwrap().unwrap().status(), ServingStatus::Serving);
}
