//! However an answer of Bedrock ends, the SDK has the whole of it or the right exception, whole or streamed, in either format.

use bedrock_emulator::{At, FaultKind, Script, Step};

use super::caller::{Told, converse, converse_stream, invoke, invoke_stream, sdk, serving};
use crate::harness::{Harness, soon};

const CLAUDE: &str = "anthropic.claude-3-haiku-20240307-v1:0";

/// Asks each operation once, with this script as the answer.
async fn told(harness: &Harness, scripts: &[Script]) -> [Told; 4] {
    let client = sdk(&harness.endpoint);
    let again = || harness.emulator.register_for(CLAUDE, scripts.to_vec());
    again();
    let streamed = soon(converse_stream(&client, CLAUDE)).await;
    again();
    let whole = soon(converse(&client, CLAUDE)).await;
    again();
    let native = soon(invoke_stream(&client, CLAUDE)).await;
    again();
    [streamed, whole, native, soon(invoke(&client, CLAUDE)).await]
}

#[tokio::test]
async fn an_answer_that_is_whole_is_whole_for_the_sdk() {
    let harness = serving(|_| {}).await;
    for told in told(&harness, &[Script::reply("One two three")]).await {
        assert_eq!(
            (told.text.as_str(), told.stop.as_str(), told.exception.as_str()),
            ("One two three", "end_turn", "")
        );
    }
    assert_eq!(harness.count("calls_total", &["outcome=\"finished\""]), 4);
}

#[tokio::test]
async fn an_answer_that_is_cut_or_damaged_is_an_exception_and_never_an_end() {
    let harness = serving(|_| {}).await;
    for kind in [FaultKind::Cut, FaultKind::End, FaultKind::Reset, FaultKind::Corrupt] {
        let script = Script::reply("One two three four").fault(kind, At::Event(4));
        let [streamed, whole, native, whole_native] = told(&harness, &[script]).await;
        for told in [&streamed, &native] {
            assert!(told.exception.contains("ModelStreamErrorException"), "{kind:?}: {told:?}");
            assert!(told.exception.contains("UPSTREAM_"), "{kind:?}: {told:?}");
            assert!(!told.text.is_empty() && told.stop.is_empty(), "{kind:?}: {told:?}");
        }
        for told in [&whole, &whole_native] {
            assert!(!told.exception.is_empty() && told.text.is_empty(), "{kind:?}: {told:?}");
        }
    }
}

#[tokio::test]
async fn an_exception_keeps_its_name_before_and_after_content() {
    let harness = serving(|_| {}).await;
    let refused = Script::refuse(429, "ThrottlingException", "Too many tokens");
    for told in told(&harness, &[refused]).await {
        assert!(
            told.exception.contains("ThrottlingException") && told.exception.contains("Too many tokens"),
            "{told:?}"
        );
    }
    let late = Script::of([
        Step::message_start(),
        Step::text("One"),
        Step::exception("throttlingException", "Too many tokens"),
    ]);
    let [streamed, whole, native, _] = told(&harness, &[late]).await;
    for told in [&streamed, &native] {
        assert_eq!(told.text, "One", "{told:?}");
        assert!(
            told.exception.contains("ThrottlingException") && told.exception.contains("Too many tokens"),
            "{told:?}"
        );
    }
    assert!(!whole.exception.is_empty() && whole.text.is_empty(), "{whole:?}");
}

#[tokio::test]
async fn an_attempt_that_fails_before_content_is_replaced_unseen() {
    let harness = serving(|settings| settings.attempts = 2).await;
    let throttled = Script::refuse(429, "ThrottlingException", "Too many tokens");
    let cut = Script::reply("lost").fault(FaultKind::Cut, At::Event(1));
    for failure in [throttled, cut] {
        for told in told(&harness, &[failure, Script::reply("here")]).await {
            assert_eq!((told.text.as_str(), told.exception.as_str()), ("here", ""), "{told:?}");
        }
    }
}

#[tokio::test]
async fn a_tool_call_arrives_whole() {
    let harness = serving(|_| {}).await;
    let script = Script::of([
        Step::message_start(),
        Step::event(
            "contentBlockStart",
            serde_json::json!({"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "t1", "name": "add"}}}),
        ),
        Step::delta(0, serde_json::json!({"toolUse": {"input": "{\"a\": 1}"}})),
        Step::block_stop(0),
        Step::message_stop("tool_use"),
        Step::metadata(10, 5),
    ]);
    let model = harness.emulator.register("tools", script);
    let client = sdk(&harness.endpoint);
    let answer = client.converse().model_id(&model).messages(super::caller::user("hi")).send().await.unwrap();
    let message = answer.output().unwrap().as_message().unwrap().clone();
    assert_eq!(message.content()[0].as_tool_use().unwrap().name(), "add");
    assert_eq!(soon(converse_stream(&client, &model)).await.stop, "tool_use");
}

#[tokio::test]
async fn a_caller_who_leaves_makes_bedrock_see_it() {
    let harness = serving(|_| {}).await;
    let client = sdk(&harness.endpoint);
    let sent = client.converse_stream().model_id("emulator.endless").messages(super::caller::user("hi")).send();
    let mut answer = soon(sent).await.unwrap();
    soon(answer.stream.recv()).await.unwrap();
    assert_eq!(harness.emulator.stats().running(), 1);
    drop((answer, client));
    let stats = soon(harness.emulator.wait_until(|stats| stats.abandoned == 1)).await;
    assert_eq!(stats.running(), 0);
    harness.counted("calls_total", &["outcome=\"abandoned\""], 1).await;
}
