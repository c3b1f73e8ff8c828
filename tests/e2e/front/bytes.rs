//! What Bedrock gets is what the caller sent, and what the caller gets is what Bedrock sent.

use bedrock_emulator::{Script, Step, recording::Recording};

use super::caller::{post, send, serving};
use crate::recordings::recordings;

#[tokio::test]
async fn frames_and_bodies_are_relayed_byte_for_byte() {
    let harness = serving(|_| {}).await;
    let model = harness.emulator.register(
        "odd",
        Script::of([
            Step::message_start(),
            Step::event("somethingNew", serde_json::json!({"a": [1, 2]})),
            Step::text("ä"),
            Step::message_stop("end_turn"),
            Step::metadata(1, 2),
        ]),
    );
    // White space, an unknown member and escapes stay.
    let body = "{ \"messages\" : [ {\"role\":\"user\",\"content\":[{\"text\":\"\\u00e4\"}]} ],\n \"new\": 1.50 }";
    for operation in ["converse-stream", "converse"] {
        for over_h2 in [false, true] {
            let path = format!("/model/{model}/{operation}");
            let through = send(post(&harness.endpoint, &path, body), over_h2).await;
            let request = harness.emulator.last_request().unwrap();
            assert_eq!(request.body, serde_json::from_str::<serde_json::Value>(body).unwrap());
            let direct = send(post(&harness.emulator.endpoint(), &path, body), over_h2).await;
            assert_eq!(through.status, direct.status, "{through:?}");
            assert_eq!(through.body, direct.body, "{operation}");
            assert_eq!(through.headers["content-type"], direct.headers["content-type"]);
            assert!(through.headers.contains_key("x-amzn-requestid"));
        }
    }
}

#[tokio::test]
async fn arns_reach_bedrock_however_they_are_encoded() {
    let harness = serving(|_| {}).await;
    let arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0";
    harness.emulator.register_for(arn, std::iter::repeat_n(Script::reply("here"), 3));
    let body = r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}]}"#;
    for encoded in [arn.to_owned(), arn.replace(':', "%3A"), arn.replace(':', "%3A").replace('/', "%2F")] {
        let path = format!("/model/{encoded}/converse");
        let answered = send(post(&harness.endpoint, &path, body), false).await;
        assert!(String::from_utf8_lossy(&answered.body).contains("here"), "{encoded}: {answered:?}");
    }
}

/// The operation of a recording, and a body for it.
fn asked(recording: &Recording) -> Option<(&'static str, &'static str)> {
    let body = r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}]}"#;
    match recording.operation.as_str() {
        "ConverseStream" => Some(("converse-stream", body)),
        "InvokeModelWithResponseStream" => Some(("invoke-with-response-stream", "{}")),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_stream_is_relayed_byte_for_byte() {
    let Some(all) = recordings() else { return };
    let harness = serving(|_| {}).await;
    let mut relayed = 0;
    for recording in all.iter().filter(|recording| recording.response.status == 200) {
        let Some((operation, body)) = asked(recording) else { continue };
        let model = harness.emulator.register("recorded", recording.script());
        let path = format!("/model/{model}/{operation}");
        let direct = send(post(&harness.emulator.endpoint(), &path, body), false).await.body;
        let through = send(post(&harness.endpoint, &path, body), false).await;
        let is_complete = recording.events.iter().all(|event| event.exception_type.is_none());
        if is_complete && through.body == direct {
            relayed += 1;
            continue;
        }
        // What is not complete ends with an exception frame, after the frames of Bedrock.
        let text = String::from_utf8_lossy(&through.body);
        assert!(text.contains("exception") || through.status != 200, "{}: {}", recording.name, through.status);
        let own = through.body.iter().zip(&direct).take_while(|(through, direct)| through == direct).count();
        println!(
            "{}: {own} of {} bytes, then {:?}",
            recording.name,
            direct.len(),
            &text[text.len().saturating_sub(200)..]
        );
    }
    println!("{relayed} recorded streams were relayed byte for byte");
    assert!(relayed > 0);
}
