//! What Bedrock gets is what the caller sent, and what the caller gets is what Bedrock sent.

use bedrock_emulator::{At, Delivery, FaultKind, Script, Step, recording::Recording};

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

/// An answer of many frames.
fn long() -> Script {
    let texts = Step::Repeat { times: 300, steps: vec![Step::text("some words of a text "), Step::text("ä")] };
    let end = [Step::block_stop(0), Step::message_stop("end_turn"), Step::metadata(1, 2)];
    Script::of([Step::message_start(), texts].into_iter().chain(end))
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_are_whole_and_counted_however_they_arrive_together() {
    let harness = serving(|_| {}).await;
    let body = r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}]}"#;
    let deliveries = [Delivery::Frames, Delivery::Joined, Delivery::EveryByte, Delivery::Lengths(vec![700; 90])];
    for (before, delivery) in deliveries.into_iter().enumerate() {
        let model = harness.emulator.register("long", long().delivery(delivery.clone()));
        let path = format!("/model/{model}/converse-stream");
        let direct = send(post(&harness.emulator.endpoint(), &path, body), false).await;
        for over_h2 in [false, true] {
            let through = send(post(&harness.endpoint, &path, body), over_h2).await;
            assert!(through.body == direct.body, "{delivery:?}");
        }
        // A gap for each of the 604 frames but the first, and for the end.
        harness.counted("chunk_gap_seconds_count", &[], 2 * 604 * (before as u64 + 1)).await;
    }
}

#[tokio::test]
async fn the_frames_before_a_damaged_one_arrive_and_an_exception_follows_them() {
    let harness = serving(|_| {}).await;
    let body = r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}]}"#;
    let whole = harness.emulator.register("whole", long());
    let damaged = long().fault(FaultKind::Corrupt, At::Event(200)).delivery(Delivery::Joined);
    let damaged = harness.emulator.register("damaged", damaged);
    let ask = |endpoint: &str, model: &str| post(endpoint, &format!("/model/{model}/converse-stream"), body);
    let direct = send(ask(&harness.emulator.endpoint(), &whole), false).await.body;
    let (mut end, mut lengths) = (0, Vec::new());
    while end < direct.len() {
        lengths.push(end);
        end += u32::from_be_bytes(direct[end..end + 4].try_into().unwrap()) as usize;
    }
    let through = send(ask(&harness.endpoint, &damaged), false).await.body;
    let before = lengths[200];
    assert_eq!(through[..before], direct[..before]);
    let rest = String::from_utf8_lossy(&through[before..]).into_owned();
    assert!(rest.contains("modelStreamErrorException") && rest.contains("UPSTREAM_CORRUPT"), "{rest}");
}

/// Values that a writer of JSON would write otherwise.
const ODD: &str = r#"[ 1.50 , -0,-0.0, 1E+2, 1e-7 ,0.1000000000000000055, 12345678901234567890123, "\u00e4\/\ud83d\ude00\u0000", "ä😀", {},[ ],{ "z" :1 , "a":2}, null ,true]"#;

#[tokio::test]
async fn the_body_that_bedrock_gets_is_the_one_that_the_caller_has_sent() {
    let harness = serving(|_| {}).await;
    let messages = r#""messages" : [ {"role":"user",  "content":[{"text":"h\u0069"}]} ]"#;
    let claude =
        r#""anthropic_version":"bedrock-2023-05-31" ,"max_tokens":1e2,"messages":[{"role":"user","content":"hi"}]"#;
    let converse = format!("\r\n{{\t\"new\":{ODD},{messages}\n}} \n");
    let native = format!(" {{{claude},  \"odd\" : {ODD} }}");
    let count = format!("{{ \"input\":{{\"converse\": {{{messages}, \"odd\":{ODD}}} }}\n}}");
    for (operation, body) in [
        ("converse-stream", &converse),
        ("converse", &converse),
        ("invoke-with-response-stream", &native),
        ("invoke", &native),
        ("count-tokens", &count),
    ] {
        for over_h2 in [false, true] {
            let path = format!("/model/anthropic.claude-3-haiku-20240307-v1:0/{operation}");
            let answered = send(post(&harness.endpoint, &path, body.clone()), over_h2).await;
            assert!(answered.status.is_success(), "{operation}: {answered:?}");
            let got = harness.emulator.last_request().unwrap();
            assert_eq!(String::from_utf8_lossy(&got.raw_body), *body, "{operation}");
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
