//! A store that hangs: deadlines, other calls and the shutdown go on.

use std::time::{Duration, Instant};

use bedrock_emulator::{Script, Step};
use outcrop::conversation::settings::{ConversationSettings, RedisSettings};
use outcrop_client::{ClientError, proto::CreateConversationRequest};
use tokio::task::JoinSet;

use crate::{
    conversations::turn,
    harness::{Harness, request, soon},
    redis::server::Redis,
};

#[tokio::test(flavor = "multi_thread")]
async fn promise_21_a_hung_store_stops_neither_the_sweep_nor_a_forced_shutdown() {
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
    let (client, began) = (harness.client.clone(), Instant::now());
    let asked = turn(&created.conversation_id, "", "hi");
    waiting.spawn(async move { client.generate(asked).await.map(drop) });
    // A caller that does not read is detected meanwhile.
    let flood = Step::Repeat { times: usize::MAX, steps: vec![Step::text(&"x".repeat(4_096))] };
    let flood = harness.emulator.register("flood", Script::of([flood]));
    let unread = soon(harness.client.generate(request(&flood))).await.unwrap();
    harness.counted("streams_failed_total", &["UNREAD_TIMEOUT"], 1).await;
    assert!(waiting.try_join_next().is_none(), "the store answered after {:?}", began.elapsed());
    harness.begin_shutdown();
    let ended = soon(waiting.join_next()).await.unwrap().unwrap();
    let Err(ClientError::Call(error)) = ended else { panic!("{ended:?}") };
    assert_eq!((error.reason.as_str(), error.metadata["drain"].as_str()), ("DRAINING", "force"), "{error}");
    soon(harness.ended()).await;
    drop(unread);
}
