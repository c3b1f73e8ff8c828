//! The graceful shutdown completes what runs, streamed or whole, and refuses new calls in the shape of AWS.

use std::time::Duration;

use bedrock_emulator::Script;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client as Http, connect::HttpConnector},
    rt::TokioExecutor,
};
use outcrop::shutdown::Ended;

use super::caller::{Answered, converse, converse_stream, invoke, invoke_stream, post, sdk, serving, user};
use crate::{
    drain::not_listening,
    harness::soon,
    http2_frames::{Filter, Frame, GOAWAY, PING},
};

const CLAUDE: &str = "anthropic.claude-3-haiku-20240307-v1:0";
const BODY: &str = r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}]}"#;

#[tokio::test]
async fn answers_that_run_are_completed() {
    let mut harness = serving(|_| {}).await;
    harness.emulator.register_for(CLAUDE, [Script::reply("a ".repeat(40)).pace(0, 75)]);
    let client = sdk(&harness.endpoint);
    let answers = async {
        tokio::join!(
            converse_stream(&client, CLAUDE),
            converse(&client, CLAUDE),
            invoke_stream(&client, CLAUDE),
            invoke(&client, CLAUDE)
        )
    };
    let shutdown = async {
        harness.emulator.wait_until(|stats| stats.opened == 4).await;
        harness.begin_shutdown();
        not_listening(&harness.endpoint).await;
        assert!(harness.emulator.stats().completed < 4, "some of them still run");
    };
    let ((streamed, whole, native, native_whole), ()) = soon(Box::pin(async { tokio::join!(answers, shutdown) })).await;
    for told in [streamed, whole, native, native_whole] {
        assert_eq!((told.text.len(), told.stop.as_str(), told.exception.as_str()), (80, "end_turn", ""), "{told:?}");
    }
    assert_eq!(harness.ended().await, Ended::Drained);
}

#[tokio::test]
async fn a_new_call_is_refused_in_the_shape_of_aws() {
    let mut harness = serving(|settings| settings.shutdown.crossing = Duration::from_millis(200)).await;
    // The client does not learn of the shutdown.
    let keep = |frame: &Frame| frame.kind != GOAWAY && frame.kind != PING;
    let filter = Filter::start(&harness.endpoint, keep).await;
    let http: Http<_, Full<Bytes>> = Http::builder(TokioExecutor::new()).http2_only(true).build(HttpConnector::new());
    let ask = |operation: &str| {
        let request: Request<_> = post(&filter.endpoint, &format!("/model/emulator.endless/{operation}"), BODY);
        http.request(request)
    };
    let running = soon(ask("converse-stream")).await.unwrap();
    assert_eq!(running.status(), StatusCode::OK);
    harness.begin_shutdown();
    for operation in ["converse-stream", "converse", "invoke", "count-tokens"] {
        let refused = soon(async {
            loop {
                let answer = ask(operation).await.unwrap();
                if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
                    return answer;
                }
                // Served or running: it could have crossed with the GOAWAY.
                assert!(answer.status() == StatusCode::OK || answer.status() == StatusCode::BAD_REQUEST, "{answer:?}");
            }
        });
        let (parts, body) = refused.await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let answered = Answered { status: parts.status, headers: parts.headers, body };
        assert_eq!(answered.exception(), "ServiceUnavailableException", "{operation}: {answered:?}");
        assert_eq!(answered.headers["outcrop-reason"], "DRAINING");
        assert!(answered.headers.contains_key("retry-after") && !answered.message().is_empty());
    }
    drop(running);
    assert_eq!(harness.ended().await, Ended::Drained);
}

#[tokio::test]
async fn when_the_grace_period_is_over_a_stream_ends_with_an_exception_and_a_whole_answer_is_an_error() {
    let mut harness = serving(|settings| settings.shutdown.grace = Duration::from_millis(100)).await;
    harness.emulator.register_for(CLAUDE, [Script::reply("late").pace(60_000, 0)]);
    let client = sdk(&harness.endpoint);
    let mut stream =
        soon(client.converse_stream().model_id("emulator.endless").messages(user("hi")).send()).await.unwrap().stream;
    soon(stream.recv()).await.unwrap();
    let shutdown = async {
        harness.emulator.wait_until(|stats| stats.opened == 3).await;
        harness.begin_shutdown();
    };
    let (whole, native, ()) =
        soon(Box::pin(async { tokio::join!(converse(&client, CLAUDE), invoke(&client, CLAUDE), shutdown) })).await;
    for told in [whole, native] {
        assert!(told.exception.contains("ServiceUnavailableException") && told.text.is_empty(), "{told:?}");
    }
    let error = soon(async {
        loop {
            match stream.recv().await {
                Ok(event) => assert!(event.is_some(), "the stream ended without an exception"),
                Err(error) => return format!("{error:?}"),
            }
        }
    });
    let error = error.await;
    assert!(error.contains("ServiceUnavailableException"), "{error}");
    assert_eq!(harness.ended().await, Ended::Forced(3));
}
