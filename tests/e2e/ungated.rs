//! Health and reflection have no gates. Their requests still have a size and a time, and what runs properly goes on.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::{sync::mpsc, time::sleep};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest,
};

use crate::{
    harness::{Harness, soon},
    http2_frames::{DATA, END_HEADERS, Frame as Http2Frame, GOAWAY, Wire},
    request_memory::{call, http, reason, status},
};

const SHORT: Duration = Duration::from_millis(200);

/// Long enough for a message to arrive on a busy machine.
const LONG: Duration = Duration::from_millis(800);

const CHECK: &str = "/grpc.health.v1.Health/Check";

const PATHS: [&str; 4] = [
    CHECK,
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// A body that sends these bytes and never ends.
pub(crate) struct Unfinished(Option<Bytes>);

impl Unfinished {
    pub(crate) fn of(bytes: &'static [u8]) -> Self {
        Self(Some(Bytes::from_static(bytes)).filter(|bytes| !bytes.is_empty()))
    }
}

impl Body for Unfinished {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.take().map_or(Poll::Pending, |bytes| Poll::Ready(Some(Ok(Frame::data(bytes)))))
    }
}

async fn with(body_timeout: Duration, idle_timeout: Duration) -> Harness {
    Harness::with(|settings| {
        settings.body_timeout = body_timeout;
        settings.connections.idle_timeout = idle_timeout;
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_request_ends_with_body_timeout() {
    let harness = with(SHORT, Duration::from_mins(10)).await;
    for path in PATHS {
        // Nothing, half a prefix, a prefix, and half a message.
        for sent in [&b""[..], b"\0\0\0", b"\0\0\0\0\x09", b"\0\0\0\0\x09\x0a\x07grpc"] {
            let mut asked = call(&harness.endpoint, Unfinished::of(sent));
            *asked.uri_mut() = format!("{}{path}", harness.endpoint).parse().unwrap();
            let status = soon(status(http(), asked)).await;
            let seen = (status.code(), reason(&status));
            assert_eq!(seen, (Code::DeadlineExceeded, "BODY_TIMEOUT".to_owned()), "{path} {sent:?}: {status:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_body_does_not_end_is_one_that_was_not_received() {
    let harness = with(SHORT, Duration::from_mins(10)).await;
    for path in &PATHS[..2] {
        let mut asked = call(&harness.endpoint, Unfinished::of(&[0; 5]));
        *asked.uri_mut() = format!("{}{path}", harness.endpoint).parse().unwrap();
        assert_eq!(reason(&soon(status(http(), asked)).await), "BODY_TIMEOUT", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connection_of_half_a_request_becomes_idle() {
    let harness = with(SHORT, 2 * SHORT).await;
    let mut wire = Wire::open(&harness.endpoint).await;
    let [headers, _] = Http2Frame::call(1, CHECK);
    assert_eq!(headers.flags, END_HEADERS);
    wire.send(&[headers, Http2Frame::new(DATA, 0, 1, &[0, 0, 0])]).await;
    soon(wire.until(GOAWAY)).await;
    soon(wire.closed()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reflection_stream_runs_between_its_messages_and_ends_when_it_is_silent() {
    let harness = with(LONG, 4 * LONG).await;
    let channel = Channel::from_shared(harness.endpoint.clone()).unwrap().connect().await.unwrap();
    let (send, messages) = mpsc::channel(1);
    let ask = || ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..ServerReflectionRequest::default()
    };
    send.send(ask()).await.unwrap();
    let mut client = ServerReflectionClient::new(channel);
    let mut answers = soon(client.server_reflection_info(ReceiverStream::new(messages))).await.unwrap().into_inner();
    soon(answers.message()).await.unwrap().unwrap();
    // Longer than the time for the first message.
    sleep(2 * LONG).await;
    send.send(ask()).await.unwrap();
    soon(answers.message()).await.unwrap().unwrap();
    let status = soon(answers.message()).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::DeadlineExceeded, "BODY_TIMEOUT"), "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_stays_open_longer_than_every_timeout_of_a_body() {
    let mut harness = with(LONG, LONG).await;
    let channel = Channel::from_shared(harness.endpoint.clone()).unwrap().connect().await.unwrap();
    let watch = HealthClient::new(channel).watch(HealthCheckRequest::default()).await;
    let mut statuses = watch.unwrap().into_inner();
    assert_eq!(soon(statuses.message()).await.unwrap().unwrap().status(), ServingStatus::Serving);
    sleep(2 * LONG).await;
    harness.begin_shutdown();
    assert_eq!(soon(statuses.message()).await.unwrap().unwrap().status(), ServingStatus::NotServing);
    soon(harness.ended()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watches_of_one_address_are_limited_and_checks_are_not() {
    let harness = Harness::start().await;
    let health = async || {
        let channel = Channel::from_shared(harness.endpoint.clone()).unwrap().connect().await.unwrap();
        HealthClient::new(channel)
    };
    let (mut one, mut other) = (health().await, health().await);
    let mut open = Vec::new();
    for number in 0..1_024 {
        let client = if number % 2 == 0 { &mut one } else { &mut other };
        open.push(soon(client.watch(HealthCheckRequest::default())).await.unwrap());
    }
    let refused = soon(one.watch(HealthCheckRequest::default())).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::ResourceExhausted, "LOCAL_LIMIT"), "{refused}");
    soon(other.check(HealthCheckRequest::default())).await.unwrap();
    open.clear();
    // A slot is free again once the server has seen that its stream is gone.
    soon(async { while one.watch(HealthCheckRequest::default()).await.is_err() {} }).await;
}
