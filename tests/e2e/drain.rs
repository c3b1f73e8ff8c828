//! A graceful shutdown ends no stream, sends new calls to other servers, and ends.

use std::time::Duration;

use bedrock_emulator::Script;
use outcrop::shutdown::Ended;
use outcrop_client::{Client, ClientError};
use tokio::{net::TcpStream, task::JoinSet, time::sleep};
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::{
    harness::{Harness, collect, request, soon, text_of},
    http2_frames::{ACK, DATA, Filter, Frame, GOAWAY, HEADERS, PING, SETTINGS, Wire, address},
};

/// The server accepts no more connections.
pub(crate) async fn not_listening(endpoint: &str) {
    soon(async {
        while TcpStream::connect(address(endpoint)).await.is_ok() {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn fifty_running_streams_end_well_while_new_calls_go_to_another_server() {
    let mut harness = Harness::start().await;
    let model = harness.emulator.register("paced", Script::reply("a ".repeat(40)).pace(0, 75));
    let mut running = JoinSet::new();
    for _ in 0..50 {
        let chunks = soon(harness.client.generate(request(&model))).await.unwrap();
        running.spawn(collect(chunks));
    }
    harness.begin_shutdown();
    not_listening(&harness.endpoint).await;
    while let Some(outcome) = running.join_next().await {
        assert_eq!(text_of(&outcome.unwrap().whole()).len(), 80);
    }
    assert_eq!(harness.ended().await, Ended::Drained);
    assert_eq!(harness.emulator.stats().completed, 50);
}

#[tokio::test]
async fn every_connection_is_told_to_go_and_its_streams_run_on() {
    let mut harness = Harness::start().await;
    let mut idle = Wire::open(&harness.endpoint).await;
    let mut busy = Wire::open(&harness.endpoint).await;
    let model = harness.emulator.register("paced", Script::reply("a ".repeat(10)).pace(0, 75));
    let chunks = soon(harness.client.generate(request(&model))).await.unwrap();
    let running = collect(chunks);
    busy.send(&Frame::call(1, "/grpc.health.v1.Health/Watch")).await;
    soon(busy.until(HEADERS)).await;
    harness.begin_shutdown();
    for wire in [&mut idle, &mut busy] {
        let goaway = soon(wire.until(GOAWAY)).await;
        assert_eq!(goaway.payload, [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0], "calls that are on their way are served");
        let ping = soon(wire.until(PING)).await;
        wire.send(&[Frame { flags: ACK, ..ping }]).await;
        let last = soon(wire.until(GOAWAY)).await;
        assert_eq!(last.payload[4..], [0; 4]);
        soon(wire.closed()).await;
    }
    soon(running).await.whole();
    assert_eq!(harness.ended().await, Ended::Drained);
}

#[tokio::test]
async fn a_call_that_crosses_with_the_goaway_is_served() {
    let mut harness = Harness::start().await;
    let mut wire = Wire::open(&harness.endpoint).await;
    soon(wire.until(SETTINGS)).await;
    harness.begin_shutdown();
    let goaway = soon(wire.until(GOAWAY)).await;
    assert_eq!(goaway.payload[..4], [0x7f, 0xff, 0xff, 0xff]);
    let ping = soon(wire.until(PING)).await;
    // Sent before the client has seen the GOAWAY, so before it answers the ping.
    wire.send(&Frame::call(1, "/outcrop.v1.GenerationService/ListModels")).await;
    wire.send(&[Frame { flags: ACK, ..ping }]).await;
    // An answer, and not a refusal, which has no message.
    assert_eq!(soon(wire.until(DATA)).await.stream, 1);
    soon(wire.closed()).await;
    assert_eq!(harness.ended().await, Ended::Drained);
}

#[tokio::test]
async fn a_client_that_ignores_the_goaway_is_refused_after_the_crossing_time() {
    let mut harness = Harness::with(|settings| {
        settings.attempts = 1;
        settings.shutdown.crossing = Duration::from_millis(200);
    })
    .await;
    // The client sees no GOAWAY, and its answer to the ping does not arrive.
    let keep = |frame: &Frame| frame.kind != GOAWAY && frame.kind != PING;
    let deaf = Filter::start(&harness.endpoint, keep).await;
    let client = Client::connect(&deaf.endpoint).await.unwrap();
    let running = soon(client.generate(request("emulator.endless"))).await.unwrap();
    harness.begin_shutdown();
    let error = soon(async {
        loop {
            match client.generate(request("emulator.tools")).await {
                // Served: it could have crossed with the GOAWAY.
                Ok(chunks) => drop(collect(chunks).await.whole()),
                Err(ClientError::Call(error)) => return error,
                Err(other) => panic!("{other}"),
            }
        }
    })
    .await;
    assert_eq!((error.code, error.reason.as_str()), (Code::Unavailable, "DRAINING"));
    assert_eq!(error.metadata["drain"], "refusing");
    assert!(error.retry_delay.is_some());
    drop(running);
    assert_eq!(harness.ended().await, Ended::Drained);
}

#[tokio::test]
async fn who_watches_health_is_told_and_does_not_hold_the_process() {
    let mut harness = Harness::start().await;
    let channel = tonic::transport::Endpoint::from_shared(harness.endpoint.clone()).unwrap().connect().await.unwrap();
    let mut known = HealthClient::new(channel.clone()).watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    let service = "unknown.Service".to_owned();
    let mut unknown = HealthClient::new(channel).watch(HealthCheckRequest { service }).await.unwrap().into_inner();
    assert_eq!(soon(known.message()).await.unwrap().unwrap().status(), ServingStatus::Serving);
    assert_eq!(soon(unknown.message()).await.unwrap().unwrap().status(), ServingStatus::ServiceUnknown);
    harness.begin_shutdown();
    assert_eq!(soon(known.message()).await.unwrap().unwrap().status(), ServingStatus::NotServing);
    for watch in [&mut known, &mut unknown] {
        let status = soon(watch.message()).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert!(status.message().contains("shutting down"), "{status}");
    }
    assert_eq!(harness.ended().await, Ended::Drained);
}

#[tokio::test]
async fn when_the_grace_period_is_over_streams_end_with_draining() {
    let mut harness = Harness::with(|settings| settings.shutdown.grace = Duration::from_millis(100)).await;
    let mut chunks = soon(harness.client.generate(request("emulator.endless"))).await.unwrap();
    soon(chunks.next()).await.unwrap();
    harness.begin_shutdown();
    let (_, error) = {
        let mut outcome = soon(collect(chunks)).await;
        // The first chunk was taken before.
        for (at, chunk) in outcome.chunks.iter_mut().enumerate() {
            chunk.sequence = Some(u32::try_from(at).unwrap());
        }
        outcome.failed()
    };
    assert_eq!((error.code, error.reason.as_str()), (Code::Unavailable, "DRAINING"));
    assert_eq!(error.metadata["phase"], "after_content");
    assert_eq!(harness.ended().await, Ended::Forced(1));
    soon(harness.emulator.wait_until(|stats| stats.abandoned == 1)).await;
}

/// The windows of their streams are full when the end comes: what they are told lies behind what they have not read.
#[tokio::test(flavor = "multi_thread")]
async fn callers_who_read_late_are_told_of_a_forced_end() {
    let mut harness = Harness::with(|settings| settings.shutdown.grace = Duration::from_millis(100)).await;
    let flood = bedrock_emulator::Step::text(&"x".repeat(4_096));
    let flood = bedrock_emulator::Step::Repeat { times: usize::MAX, steps: vec![flood] };
    let model = harness.emulator.register("flood", Script::of([flood]));
    let mut unread = Vec::new();
    for _ in 0..20 {
        let client = Client::connect(&harness.endpoint).await.unwrap();
        unread.push(soon(client.generate(request(&model))).await.unwrap());
    }
    harness.begin_shutdown();
    // Until the streams were ended.
    soon(harness.counted("streams_running", &[], 0)).await;
    let mut reading: JoinSet<_> = unread.into_iter().map(collect).collect();
    while let Some(outcome) = soon(reading.join_next()).await {
        let (_, error) = outcome.unwrap().failed();
        assert_eq!(error.reason, "DRAINING");
        assert_eq!(error.metadata["drain"], "force");
    }
    assert_eq!(harness.ended().await, Ended::Forced(20));
}

#[tokio::test]
async fn a_server_without_calls_ends_at_once() {
    let mut harness = Harness::start().await;
    harness.begin_shutdown();
    assert_eq!(harness.ended().await, Ended::Drained);
}

#[tokio::test]
async fn a_call_that_has_no_stream_yet_is_told_too() {
    let mut harness = Harness::with(|settings| settings.shutdown.grace = Duration::from_millis(100)).await;
    let model = harness.emulator.register("silent", Script::reply("late").pace(60_000, 0));
    let client = harness.client.clone();
    let mut call = tokio::task::JoinSet::new();
    call.spawn(async move { client.generate(request(&model)).await.map(drop) });
    soon(harness.emulator.wait_until(|stats| stats.opened == 1)).await;
    harness.begin_shutdown();
    let result = soon(call.join_next()).await.unwrap().unwrap();
    assert!(result.unwrap_err().to_string().starts_with("DRAINING"));
    assert_eq!(harness.ended().await, Ended::Forced(1));
}
