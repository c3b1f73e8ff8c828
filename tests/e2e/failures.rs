//! However a stream breaks, the status says so: never OK, never a finish, always a reason.

use std::time::Duration;

use bedrock_emulator::{At, FaultKind, Script, Step};
use outcrop_client::proto::chunk::Event;
use tonic::Code;

use crate::harness::{Harness, Outcome, finish_of, request, text_of};

/// messageStart, three deltas, and the rest of an answer.
fn answer() -> Script {
    Script::reply("One two three four")
}

fn expect(outcome: Outcome, code: Code, reason: &str, after_content: bool) {
    let (chunks, error) = outcome.failed();
    assert_eq!((error.code, error.reason.as_str()), (code, reason), "{error}");
    assert_eq!(error.is_after_content(), after_content, "{error}");
    assert_eq!(!chunks.is_empty(), after_content, "{chunks:?}");
    assert_eq!(error.metadata["region"], "us-east-1");
    assert!(error.metadata["model_id"].starts_with("emulator."));
    assert_eq!(error.metadata["attempts"], "1");
    assert!(error.request_id.is_some());
}

#[tokio::test]
async fn an_exception_as_the_first_frame_comes_without_any_chunk() {
    let harness = Harness::start().await;
    let outcome = harness.ask(request("emulator.throttle-first")).await;
    assert_eq!(outcome.chunks, []);
    let (_, error) = outcome.failed();
    assert_eq!((error.code, error.reason.as_str()), (Code::ResourceExhausted, "BEDROCK_THROTTLED"));
    assert_eq!(error.metadata["exception"], "throttlingException");
    assert_eq!(error.metadata["phase"], "before_content");
    assert!(error.message.contains("Too many tokens"), "{error}");
    assert!(error.retry_delay.is_some());
}

#[tokio::test]
async fn an_exception_after_three_deltas_keeps_them_and_its_meaning() {
    let harness = Harness::start().await;
    let (chunks, error) = harness.ask(request("emulator.exception")).await.failed();
    assert_eq!(text_of(&chunks), "One two three");
    assert_eq!((error.code, error.reason.as_str()), (Code::Unavailable, "MODEL_ERROR"));
    assert_eq!(error.metadata["phase"], "after_content");
    assert_eq!(error.metadata["exception"], "modelStreamErrorException");
}

#[tokio::test]
async fn an_end_before_message_stop_is_a_truncation_wherever_it_is() {
    let harness = Harness::start().await;
    for kind in [FaultKind::End, FaultKind::Cut, FaultKind::Reset] {
        for (at, after_content) in [(At::Event(1), false), (At::Event(3), true), (At::Event(6), true)] {
            let outcome = harness.play("broken", answer().fault(kind, at)).await;
            expect(outcome, Code::Unavailable, "UPSTREAM_TRUNCATED", after_content);
        }
    }
}

#[tokio::test]
async fn an_end_inside_a_frame_is_a_truncation() {
    let harness = Harness::start().await;
    for kind in [FaultKind::End, FaultKind::Cut, FaultKind::Reset] {
        let outcome = harness.play("broken", answer().fault(kind, At::Byte(500))).await;
        expect(outcome, Code::Unavailable, "UPSTREAM_TRUNCATED", true);
    }
}

#[tokio::test]
async fn damage_is_data_loss() {
    let harness = Harness::start().await;
    for kind in [FaultKind::Corrupt, FaultKind::Oversized, FaultKind::Undersized] {
        let outcome = harness.play("broken", answer().fault(kind, At::Event(3))).await;
        expect(outcome, Code::DataLoss, "UPSTREAM_CORRUPT", true);
        let outcome = harness.play("broken", answer().fault(kind, At::Event(0))).await;
        expect(outcome, Code::DataLoss, "UPSTREAM_CORRUPT", false);
    }
}

#[tokio::test]
async fn invalid_utf8_in_a_frame_is_data_loss() {
    let harness = Harness::start().await;
    let mut bytes = Vec::new();
    let payload = &b"{\"contentBlockIndex\":0,\"delta\":{\"text\":\"\xff\xfe\"}}"[..];
    let header = |name: &'static str, value: &'static str| {
        aws_smithy_types::event_stream::Header::new(
            name,
            aws_smithy_types::event_stream::HeaderValue::String(value.into()),
        )
    };
    let headers = vec![header(":event-type", "contentBlockDelta"), header(":message-type", "event")];
    let message = aws_smithy_types::event_stream::Message::new_from_parts(headers, payload);
    aws_smithy_eventstream::frame::write_message_to(&message, &mut bytes).unwrap();
    let script = Script::of([Step::message_start(), Step::text("a"), Step::Bytes(bytes)]);
    expect(harness.play("latin", script).await, Code::DataLoss, "UPSTREAM_CORRUPT", true);
}

#[tokio::test]
async fn an_error_frame_is_an_error() {
    let harness = Harness::start().await;
    let error = Step::Error { code: "InternalError".into(), message: "An internal server error occurred".into() };
    let script = Script::of([Step::message_start(), Step::text("a"), error]);
    expect(harness.play("error", script).await, Code::Unknown, "BEDROCK_UNKNOWN", true);
}

#[tokio::test]
async fn an_http_error_without_name_or_json_is_told_by_its_status() {
    let harness = Harness::start().await;
    let mut script = Script::refuse(503, "", "");
    let refusal = script.refuse.as_mut().unwrap();
    refusal.exception = None;
    refusal.body = Some("<html>upstream connect error</html>".into());
    let (_, error) = harness.play("proxy", script).await.failed();
    assert_eq!((error.code, error.reason.as_str()), (Code::Unavailable, "BEDROCK_UNAVAILABLE"));
    assert!(error.message.contains("upstream connect error"), "{error}");
}

#[tokio::test]
async fn the_delay_that_bedrock_asks_for_is_passed_on() {
    let harness = Harness::start().await;
    let script = Script::refuse(429, "ThrottlingException", "slow down").header("retry-after", "7");
    let (_, error) = harness.play("throttled", script).await.failed();
    assert_eq!(error.retry_delay, Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn an_endpoint_without_a_listener_is_unreachable() {
    // Bound by this test, which does not listen on it, so that no other process gets it.
    let taken = tokio::net::TcpSocket::new_v4().unwrap();
    taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let silent = taken.local_addr().unwrap();
    let mut settings = outcrop::config::Settings::local();
    settings.attempts = 1;
    let bedrock = outcrop::bedrock::Bedrock::emulated(&format!("http://{silent}"), settings.max_connect()).unwrap();
    let app = outcrop::app::App::build(&settings, bedrock).await.unwrap();
    let endpoint = format!("http://{}", app.address());
    let mut server = tokio::task::JoinSet::new();
    server.spawn(app.run(std::future::pending(), std::future::pending()));
    let client = outcrop_client::Client::connect(&endpoint).await.unwrap();
    let error = client.generate(request("a.model")).await.unwrap_err();
    let outcrop_client::ClientError::Call(error) = error else { panic!("{error}") };
    assert_eq!((error.code, error.reason.as_str()), (Code::Unavailable, "UPSTREAM_UNREACHABLE"));
    assert!(error.message.contains("refused"), "{error}");
}

#[tokio::test]
async fn after_message_stop_a_lost_connection_costs_the_usage_and_not_the_answer() {
    let harness = Harness::start().await;
    for kind in [FaultKind::End, FaultKind::Cut, FaultKind::Reset] {
        // Frames: start, four words, stop, messageStop; metadata is frame 7.
        let chunks = harness.play("late", answer().fault(kind, At::Event(7))).await.whole();
        assert_eq!(text_of(&chunks), "One two three four");
        assert!(finish_of(&chunks).usage.is_none(), "usage is never invented");
    }
}

#[tokio::test]
async fn after_message_stop_an_exception_is_still_an_error() {
    let harness = Harness::start().await;
    let steps = [Step::text("a"), Step::message_stop("end_turn"), Step::exception("internalServerException", "oops")];
    expect(harness.play("late", Script::of(steps)).await, Code::Unavailable, "BEDROCK_INTERNAL", true);
}

#[tokio::test]
async fn a_connection_that_does_not_close_after_the_end_does_not_hold_the_answer() {
    let harness = Harness::start().await;
    let hanging = Step::Repeat { times: usize::MAX, steps: vec![Step::WaitMs(60_000)] };
    let steps = [Step::text("a"), Step::message_stop("end_turn"), Step::metadata(1, 1), hanging];
    let chunks = harness.play("hanging", Script::of(steps)).await.whole();
    assert!(matches!(chunks.last().unwrap().event, Some(Event::Finish(_))));
}
