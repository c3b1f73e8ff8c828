//! A store that hangs: timeouts, deadlines, other calls and the shutdown go on.

use std::time::Duration;

use bedrock_emulator::{Script, Step};
use outcrop::conversation::settings::{ConversationSettings, RedisSettings};
use outcrop_client::{
    ClientError,
    proto::{CreateConversationRequest, GenerateRequest, TimeLimits},
};
use tokio::task::JoinSet;

use crate::{
    conversations::turn,
    harness::{Harness, request, soon},
    redis::server::Redis,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_hung_store_stops_neither_the_sweep_nor_a_forced_shutdown() {
    let Some(redis) = Redis::start("hung") else { return };
    let mut harness = Harness::with(|settings| {
        settings.attempts = 1;
        settings.conversations = ConversationSettings::Redis(RedisSettings::at(redis.address()));
        settings.unread_timeout = Duration::from_millis(500);
        settings.shutdown.grace = Duration::from_millis(200);
    })
    .await;
    let created = soon(harness.client.create_conversation(CreateConversationRequest::default())).await.unwrap();
    redis.signal("-STOP");
    let mut waiting = JoinSet::new();
    let client = harness.client.clone();
    let asked = turn(&created.conversation_id, "", "hi");
    waiting.spawn(async move { client.generate(asked).await.map(drop) });
    // A caller that does not read is detected meanwhile.
    let flood = Step::Repeat { times: usize::MAX, steps: vec![Step::text(&"x".repeat(4_096))] };
    let flood = harness.emulator.register("flood", Script::of([flood]));
    let unread = soon(harness.client.generate(request(&flood))).await.unwrap();
    harness.counted("streams_failed_total", &["UNREAD_TIMEOUT"], 1).await;
    assert!(waiting.try_join_next().is_none(), "the store answered");
    harness.begin_shutdown();
    let ended = soon(waiting.join_next()).await.unwrap().unwrap();
    let Err(ClientError::Call(error)) = ended else { panic!("{ended:?}") };
    assert_eq!((error.reason.as_str(), error.metadata["drain"].as_str()), ("DRAINING", "force"), "{error}");
    soon(harness.ended()).await;
    drop(unread);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_total_timeout_runs_from_the_beginning_of_every_call() {
    let Some(redis) = Redis::start("hung-total") else { return };
    let total = Duration::from_millis(300);
    let harness = Harness::with(|settings| {
        settings.conversations = ConversationSettings::Redis(RedisSettings::at(redis.address()));
        settings.rules.timeouts.default.total = total;
    })
    .await;
    let client = &harness.client;
    let id = soon(client.create_conversation(CreateConversationRequest::default())).await.unwrap().conversation_id;
    redis.signal("-STOP");
    // Redis has 2 s to answer, so what comes first is the timeout of the call.
    let (own, absurd) = (total.try_into().ok(), Duration::from_hours(9_000).try_into().ok());
    for of_request in [None, own, absurd] {
        let limits = TimeLimits { total: of_request, ..TimeLimits::default() };
        let asked = GenerateRequest { time_limits: Some(limits), ..turn(&id, "", "hi") };
        assert_eq!(reason(soon(client.generate(asked)).await.map(drop)), "TOTAL_TIMEOUT", "{of_request:?}");
    }
    let created = soon(client.create_conversation(CreateConversationRequest::default())).await;
    assert_eq!(reason(created.map(drop)), "TOTAL_TIMEOUT");
    assert_eq!(reason(soon(client.conversation(&id)).await.map(drop)), "TOTAL_TIMEOUT");
    assert_eq!(reason(soon(client.conversations(0, "")).await.map(drop)), "TOTAL_TIMEOUT");
    assert_eq!(reason(soon(client.delete_conversation(&id)).await), "TOTAL_TIMEOUT");
}

fn reason(result: Result<(), ClientError>) -> String {
    match result {
        Err(ClientError::Call(error)) => error.reason,
        other => panic!("{other:?}"),
    }
}
