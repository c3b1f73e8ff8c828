//! Shutting down cuts nobody off, refuses newcomers, and ends.

use std::time::Duration;

use bedrock_emulator::Script;
use outcrop::shutdown::Ended;
use outcrop_client::{CallError, Client, ClientError};
use tonic::Code;

use crate::harness::{Harness, collect, request, soon, text_of};

async fn refusal(client: &Client) -> CallError {
    match soon(client.generate(request("a.model"))).await {
        Err(ClientError::Call(error)) => *error,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn fifty_running_streams_end_well_while_new_calls_are_refused() {
    let mut harness = Harness::start().await;
    let model = harness.emulator.register("paced", Script::reply("a ".repeat(40)).pace(0, 75));
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let chunks = soon(harness.client.generate(request(&model))).await.unwrap();
        running.spawn(collect(chunks));
    }
    harness.begin_shutdown();
    let mut client = harness.client.clone();
    let mut error = refusal_when_draining(&client).await;
    assert_eq!((error.code, error.reason.as_str()), (Code::Unavailable, "DRAINING"));
    assert!(error.retry_delay.is_some());
    // A newcomer on a new connection is told the same.
    client = Client::connect(&harness.endpoint).await.unwrap();
    error = refusal(&client).await;
    assert_eq!(error.reason, "DRAINING");
    while let Some(outcome) = running.join_next().await {
        assert_eq!(text_of(&outcome.unwrap().whole()).len(), 80);
    }
    assert_eq!(harness.ended().await, Ended::Drained);
    assert_eq!(harness.emulator.stats().completed, 50);
}

/// The shutdown is noticed by the server a moment after it was asked for.
async fn refusal_when_draining(client: &Client) -> CallError {
    loop {
        match soon(client.generate(request("a.model"))).await {
            Err(ClientError::Call(error)) => return *error,
            Err(other) => panic!("{other}"),
            Ok(chunks) => drop(chunks),
        }
    }
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
