//! What Bedrock gets is what the caller sent, and what the caller gets is what Bedrock sent.

use bedrock_emulator::{Script, Step};

use super::caller::{post, send, serving};

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
