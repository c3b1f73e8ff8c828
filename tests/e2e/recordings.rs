//! Real answers of Bedrock, where a folder of them is named by `OUTCROP_TEST_RECORDINGS`.
//!
//! Each recorded ConverseStream is replayed and compared, event by event, with what another decoder had read in it. The
//! expectation is made from the recording's own `events` by this file, not by the server's code.

mod compare;
mod native;

use std::path::PathBuf;

use bedrock_emulator::{
    Delivery,
    recording::{self, Recording},
};
use serde_json::Value;

use self::compare::compare;
use crate::harness::Harness;

const FOLDER: &str = "OUTCROP_TEST_RECORDINGS";

pub(crate) fn recordings() -> Option<Vec<Recording>> {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else {
        println!("skipped: {FOLDER} names no folder of recordings");
        return None;
    };
    let all = recording::load(&folder).unwrap_or_else(|error| panic!("{error}"));
    assert!(!all.is_empty(), "{} holds no recordings", folder.display());
    Some(all)
}

fn is_stream(recording: &Recording) -> bool {
    recording.operation == "ConverseStream" && recording.response.status == 200
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that a filter wants")]
fn is_native_stream(recording: &&Recording) -> bool {
    recording.operation == "InvokeModelWithResponseStream" && recording.response.status == 200
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_stream_arrives_complete_however_its_bytes_are_cut() {
    let Some(all) = recordings() else { return };
    let harness = Harness::start().await;
    let mut replayed = 0;
    for recording in all.iter().filter(|recording| is_stream(recording)) {
        for delivery in [None, Some(Delivery::Joined), Some(Delivery::EveryByte)] {
            let mut script = recording.script();
            script.delivery = delivery.unwrap_or(script.delivery);
            let outcome = harness.play("recorded", script).await;
            let complete = recording.events.iter().any(|event| event.event_type.as_deref() == Some("messageStop"));
            let exception = recording.events.iter().find_map(|event| event.exception_type.as_deref());
            let chunks = match (complete, exception) {
                (true, None) => outcome.whole(),
                (_, Some(exception)) => {
                    let (chunks, error) = outcome.failed();
                    assert_eq!(error.metadata["exception"], exception, "{}", recording.name);
                    chunks
                }
                (false, None) => {
                    let (chunks, error) = outcome.failed();
                    assert_eq!(error.reason, "UPSTREAM_TRUNCATED", "{}", recording.name);
                    chunks
                }
            };
            compare(recording, &chunks);
        }
        replayed += 1;
    }
    println!("{replayed} recorded streams replayed, each in three deliveries");
    assert!(replayed > 0);
}

#[tokio::test]
async fn every_recorded_refusal_keeps_its_meaning() {
    let Some(all) = recordings() else { return };
    let harness = Harness::start().await;
    for recording in all.iter().filter(|recording| recording.response.status >= 300) {
        let (_, error) = harness.play("recorded", recording.script()).await.failed();
        let named = recording.response.headers.get("x-amzn-errortype").map(|name| name.split(':').next().unwrap());
        assert_eq!(error.metadata.get("exception").map(String::as_str), named, "{}", recording.name);
        let code = match named.unwrap() {
            "ValidationException" => tonic::Code::InvalidArgument,
            "AccessDeniedException" => tonic::Code::PermissionDenied,
            "ResourceNotFoundException" => tonic::Code::NotFound,
            "ServiceUnavailableException" => tonic::Code::Unavailable,
            "UnrecognizedClientException" | "InvalidSignatureException" | "ExpiredTokenException" => {
                tonic::Code::FailedPrecondition
            }
            other => panic!("{}: {other} has not been recorded before", recording.name),
        };
        assert_eq!(error.code, code, "{}", recording.name);
        let body: Value = serde_json::from_slice(&recording.response.body).unwrap_or_default();
        if let Some(message) = body["message"].as_str() {
            assert!(error.message.contains(message.chars().take(500).collect::<String>().as_str()), "{error}");
        }
    }
}
