//! Every method of the generation service passes the same gates. The methods are read from the descriptors, so a method that is
//! added later is tested too.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client as Http, connect::HttpConnector},
    rt::TokioExecutor,
};
use outcrop_client::{
    Client, ClientError,
    proto::{CreateConversationRequest, FILE_DESCRIPTOR_SET},
};
use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::{
    harness::{Harness, collect, request, soon},
    http2_frames::{Filter, GOAWAY, PING},
};

/// The paths of all methods of the generation service.
fn methods() -> Vec<String> {
    let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
    let services = set.file.iter().flat_map(|file| &file.service);
    let service = services.filter(|service| service.name() == "GenerationService");
    let methods: Vec<_> = service
        .flat_map(|service| &service.method)
        .map(|method| format!("/outcrop.v1.GenerationService/{}", method.name()))
        .collect();
    assert!(methods.len() >= 7, "{methods:?}");
    methods
}

type Connection = Http<HttpConnector, Full<Bytes>>;

fn connection() -> Connection {
    Http::builder(TokioExecutor::new()).http2_only(true).build_http()
}

/// The status of a call with these bytes as its message, on a connection of its own.
async fn status_of(harness: &Harness, path: &str, message: &[u8]) -> (Code, String) {
    status_over(&connection(), &harness.endpoint, path, message).await
}

async fn status_over(http: &Connection, endpoint: &str, path: &str, message: &[u8]) -> (Code, String) {
    let mut body = vec![0];
    body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    body.extend(message);
    let asked = http::Request::post(format!("{endpoint}{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(Bytes::from(body)))
        .unwrap();
    let answer = soon(http.request(asked)).await.unwrap();
    let headers = answer.headers().clone();
    let trailers = soon(answer.into_body().collect()).await.unwrap().trailers().cloned().unwrap_or_default();
    let status = Status::from_header_map(&headers).or_else(|| Status::from_header_map(&trailers)).unwrap();
    let reason = status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default();
    (status.code(), reason)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_server_refuses_every_method() {
    let mut harness = Harness::with(|settings| {
        settings.shutdown.grace = Duration::from_secs(20);
        settings.shutdown.crossing = Duration::ZERO;
    })
    .await;
    // A client that does not see the GOAWAY, and whose answer to the ping that follows does not arrive.
    let deaf = Filter::start(&harness.endpoint, |frame| frame.kind != GOAWAY && frame.kind != PING).await;
    let client = Client::connect(&deaf.endpoint).await.unwrap();
    let http = connection();
    status_over(&http, &deaf.endpoint, "/outcrop.v1.GenerationService/ListModels", b"").await;
    let running = soon(client.generate(request("emulator.endless"))).await.unwrap();
    harness.begin_shutdown();
    soon(async {
        while !matches!(client.generate(request("a.model")).await, Err(ClientError::Call(error)) if error.reason == "DRAINING") {}
    })
    .await;
    let before = harness.emulator.stats().requests;
    for path in methods() {
        let status = status_over(&http, &deaf.endpoint, &path, b"").await;
        assert_eq!(status, (Code::Unavailable, "DRAINING".to_owned()), "{path}");
    }
    assert_eq!(harness.emulator.stats().requests, before, "Bedrock is not called");
    drop(running);
    harness.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_over_its_rate_is_refused_by_every_method() {
    let harness = Harness::with(|settings| {
        settings.limits.requests_per_minute = std::num::NonZeroU32::new(1);
        settings.limits.other_requests_per_minute = std::num::NonZeroU32::new(1);
    })
    .await;
    for first in ["CountTokens", "ListModels"] {
        status_of(&harness, &format!("/outcrop.v1.GenerationService/{first}"), b"").await;
    }
    for path in methods() {
        let refused = (Code::ResourceExhausted, "LOCAL_LIMIT".to_owned());
        assert_eq!(status_of(&harness, &path, b"").await, refused, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_gives_bytes_that_are_no_message_a_reason() {
    let harness = Harness::start().await;
    for path in methods() {
        let (code, reason) = status_of(&harness, &path, &[0xFF; 7]).await;
        // A message without fields skips all bytes that it can skip, and these it cannot.
        assert_eq!((code, reason.as_str()), (Code::InvalidArgument, "MALFORMED_REQUEST"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_creates_is_refused_by_default() {
    let harness = Harness::with(|_| {}).await;
    let (mut created, mut refused) = (0, 0);
    for _ in 0..2_000 {
        match harness.client.create_conversation(CreateConversationRequest::default()).await {
            Ok(_) => created += 1,
            Err(ClientError::Call(error)) => {
                assert_eq!(error.reason, "LOCAL_LIMIT");
                refused += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(created >= 1_200 && refused > 0, "{created} created, {refused} refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_in_the_queue_does_not_open_bedrock_after_a_forced_shutdown() {
    let mut harness = Harness::with(|settings| {
        settings.limits.streams = 1;
        settings.limits.queue_time = Duration::from_mins(1);
        settings.shutdown.grace = Duration::from_millis(200);
    })
    .await;
    let running = soon(harness.client.generate(request("emulator.endless"))).await.unwrap();
    let client = harness.client.clone();
    let mut queued = tokio::task::JoinSet::new();
    queued.spawn(async move { client.generate(request("emulator.tools")).await.map(drop) });
    // The call waits, and its server begins to shut down.
    harness.counted("streams_running", &[], 1).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    harness.begin_shutdown();
    let Some(Ok(Err(ClientError::Call(error)))) = soon(queued.join_next()).await else { panic!("the call is refused") };
    assert_eq!((error.reason.as_str(), error.metadata["drain"].as_str()), ("DRAINING", "force"));
    soon(collect(running)).await.failed();
    harness.ended().await;
    assert_eq!(harness.emulator.stats().requests, 1, "Bedrock is not called after the shutdown");
}
