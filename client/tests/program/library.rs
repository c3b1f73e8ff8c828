//! The library: whole answers in one call, and its retries.

use std::time::Duration;

use bedrock_emulator::{Config, Script, Step};
use outcrop_client::{
    Client, ClientError,
    proto::{CountTokensRequest, GenerateRequest, chunk::Event},
};
use tokio::time::timeout;

use crate::harness::{Server, TIMEOUT};

async fn connected(server: &Server, retries: u32) -> Client {
    Client::builder(&format!("http://127.0.0.1:{}", server.port)).retries(retries).connect().await.unwrap()
}

/// A request with heartbeats, which arrive before a failure that comes late.
fn request(model: &str) -> GenerateRequest {
    GenerateRequest {
        model: model.to_owned(),
        prompt: "hi".to_owned(),
        heartbeat_interval: Duration::from_millis(100).try_into().ok(),
        ..GenerateRequest::default()
    }
}

/// A refusal with RetryInfo, at once or in the place of the first content.
fn throttled() -> [Script; 2] {
    let late = [Step::message_start(), Step::WaitMs(400), Step::exception("throttlingException", "slow down")];
    [Script::refuse(429, "ThrottlingException", "slow down"), Script::of(late)]
}

#[tokio::test]
async fn a_whole_answer_is_one_call_with_retries_before_content() {
    let server = Server::start(Config { unpaced: true, ..Config::default() }).await;
    for (at, first) in throttled().into_iter().enumerate() {
        let model =
            server.emulator.register_sequence(&format!("some{at}"), vec![first.clone(), Script::reply("one two")]);
        let error = connected(&server, 0).await.answer(request(&model)).await.unwrap_err();
        assert!(error.retry_delay() > Some(Duration::ZERO), "{error}");
        let model = server.emulator.register_sequence(&format!("other{at}"), vec![first, Script::reply("one two")]);
        let client = connected(&server, 1).await;
        let answer = timeout(TIMEOUT, client.answer(request(&model))).await.unwrap().unwrap();
        assert_eq!((answer.text().as_str(), answer.finish.stop_reason_name.as_str()), ("one two", "end_turn"));
    }
}

#[tokio::test]
async fn nothing_is_repeated_after_content_and_no_chunk_is_lost_before_it() {
    let server = Server::start(Config { unpaced: true, ..Config::default() }).await;
    let client = connected(&server, 3).await;
    let error = client.answer(request("emulator.exception")).await.unwrap_err();
    assert!(matches!(&error, ClientError::Call(call) if call.is_after_content()), "{error}");
    assert_eq!((error.retry_delay(), server.emulator.stats().opened), (None, 1));
    let mut chunks = client.generate(request("emulator.default")).await.unwrap();
    let mut sequence = 0;
    while let Some(chunk) = chunks.next().await.unwrap() {
        if let Some(Event::Heartbeat(_)) = chunk.event {
            continue;
        }
        assert_eq!(chunk.sequence(), sequence);
        assert_eq!(matches!(chunk.event, Some(Event::Start(_))), sequence == 0);
        sequence += 1;
    }
    assert!(sequence > 2);
    let count = CountTokensRequest { prompt: "hi".to_owned(), ..CountTokensRequest::default() };
    assert!(client.count_tokens(count).await.unwrap() > 0);
}
