//! A caller who asks for heartbeats gets them in every silence, and loses nothing by it.

use std::time::Duration;

use bedrock_emulator::{Script, Step};
use outcrop_client::proto::{Chunk, GenerateRequest, chunk::Event};
use tonic::Code;

use crate::{
    front::{converse_stream, sdk},
    harness::{Harness, Outcome, finish_of, request, text_of},
};

fn with_heartbeats(model: &str) -> GenerateRequest {
    let heartbeat_interval = Duration::from_millis(100).try_into().ok();
    GenerateRequest { heartbeat_interval, ..request(model) }
}

fn heartbeats(chunks: &[Chunk]) -> usize {
    chunks.iter().filter(|chunk| matches!(chunk.event, Some(Event::Heartbeat(_)))).count()
}

#[tokio::test]
async fn they_come_before_the_first_content_and_in_every_gap() {
    let harness = Harness::start().await;
    let steps = [Step::text("a"), Step::WaitMs(550), Step::text("b"), Step::message_stop("end_turn")];
    let model = harness.emulator.register("thinks", Script::of(steps).pace(550, 0));
    let chunks = harness.ask(with_heartbeats(&model)).await.whole();
    let start = chunks.iter().position(|chunk| matches!(chunk.event, Some(Event::Start(_)))).unwrap();
    assert!(start >= 2, "{start} heartbeats before the start");
    assert!(heartbeats(&chunks) >= start + 2, "{chunks:?}");
    assert!(chunks.iter().filter(|chunk| chunk.sequence.is_none()).count() == heartbeats(&chunks));
    assert_eq!(text_of(&chunks), "ab");
    finish_of(&chunks);
}

#[tokio::test]
async fn without_a_silence_there_are_none_and_without_a_wish_neither() {
    let harness = Harness::start().await;
    let lively = harness.emulator.register("lively", Script::reply("one two three").pace(0, 20));
    let lively = GenerateRequest { heartbeat_interval: Duration::from_secs(5).try_into().ok(), ..request(&lively) };
    assert_eq!(heartbeats(&harness.ask(lively).await.whole()), 0);
    let slow = harness.emulator.register("slow", Script::reply("one").pace(400, 0));
    assert_eq!(heartbeats(&harness.ask(request(&slow)).await.whole()), 0);
}

#[tokio::test]
async fn a_server_can_send_them_to_callers_who_say_nothing_about_them_but_not_to_those_who_want_none() {
    let harness = Harness::with(|settings| {
        settings.attempts = 1;
        settings.bedrock_api = true;
        settings.rules.timeouts.heartbeat = Some(Duration::from_millis(100));
    })
    .await;
    let slow = harness.emulator.register("slow", Script::reply("one two").pace(550, 0));
    let silent = harness.ask(request(&slow)).await.whole();
    assert!(heartbeats(&silent) >= 2, "{silent:?}");
    let unwilling = GenerateRequest { heartbeat_interval: Some(prost_types::Duration::default()), ..request(&slow) };
    assert_eq!(heartbeats(&harness.ask(unwilling).await.whole()), 0);
    let seldom = Duration::from_secs(5).try_into().ok();
    let seldom = GenerateRequest { heartbeat_interval: seldom, ..request(&slow) };
    assert_eq!(heartbeats(&harness.ask(seldom).await.whole()), 0);
    // The frames of Bedrock are relayed alone.
    let told = converse_stream(&sdk(&harness.endpoint), &slow).await;
    assert_eq!((told.text.as_str(), told.exception.as_str()), ("one two", ""));
}

#[tokio::test]
async fn they_do_not_count_as_content_so_an_attempt_is_still_replaced() {
    let harness = Harness::with(|settings| settings.attempts = 2).await;
    let late = Script::of([Step::exception("throttlingException", "slow down")]).pace(350, 0);
    let model = harness.emulator.register_sequence("second-try", [late, Script::reply("here")]);
    let chunks = harness.ask(with_heartbeats(&model)).await.whole();
    assert!(heartbeats(&chunks) >= 2);
    assert_eq!(text_of(&chunks), "here");
}

#[tokio::test]
async fn a_failure_before_content_is_one_although_they_were_sent() {
    let harness = Harness::start().await;
    let late = Script::of([Step::exception("throttlingException", "slow down")]).pace(350, 0);
    let model = harness.emulator.register("late", late);
    let Outcome { chunks, result } = harness.ask(with_heartbeats(&model)).await;
    let (_, error) = Outcome { chunks: chunks.clone(), result }.failed();
    assert_eq!((error.code, error.reason.as_str()), (Code::ResourceExhausted, "BEDROCK_THROTTLED"));
    assert_eq!(error.metadata["phase"], "before_content");
    assert_eq!(heartbeats(&chunks), chunks.len());
}
