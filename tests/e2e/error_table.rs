//! Row by row: what each exception of Bedrock means, in each of the ways in which Bedrock can say it.

use bedrock_emulator::{Script, Step};
use outcrop::{
    bedrock::{EXCEPTIONS, STATUSES},
    error::Reason,
};
use outcrop_client::CallError;

use crate::harness::Harness;

/// Plays a failure and checks everything that the contract says of it.
async fn expect(harness: &Harness, script: Script, reason: Reason, exception: &str, after_content: bool) -> CallError {
    let (chunks, error) = harness.play("row", script).await.failed();
    assert_eq!(error.reason, reason.name(), "{exception}: {error}");
    assert_eq!(error.code, reason.code(), "{exception}: {error}");
    assert_eq!(error.retry_delay, reason.retry_delay(), "{exception}: {error}");
    assert_eq!(error.is_after_content(), after_content, "{exception}: {error}");
    assert_eq!(error.metadata.get("exception").map(String::as_str).unwrap_or_default(), exception);
    assert!(error.request_id.as_ref().is_some_and(|id| !id.is_empty()), "{exception}: {error}");
    assert_eq!(chunks.is_empty(), !after_content);
    error
}

/// An HTTP error with this body and without `x-amzn-errortype`.
fn unnamed(status: u16, body: &str) -> Script {
    let mut script = Script::refuse(status, "", "");
    if let Some(refusal) = &mut script.refuse {
        refusal.exception = None;
        refusal.body = Some(body.to_owned());
    }
    script
}

fn lower_camel(name: &str) -> String {
    name[..1].to_lowercase() + &name[1..]
}

#[tokio::test]
async fn an_exception_means_the_same_in_the_header_and_in_the_body() {
    let harness = Harness::start().await;
    for (name, reason) in EXCEPTIONS {
        // 418 means nothing by itself, so it is the name that decides.
        let error = expect(&harness, Script::refuse(418, name, "because"), reason, name, false).await;
        assert!(error.message.contains("because"), "{error}");
        let body = format!(r#"{{"__type": "com.amazon.bedrock#{name}", "message": "because"}}"#);
        let error = expect(&harness, unnamed(418, &body), reason, name, false).await;
        assert!(error.message.contains("because"), "{error}");
    }
}

#[tokio::test]
async fn an_exception_means_the_same_as_a_frame_before_and_after_content() {
    let harness = Harness::start().await;
    for (name, reason) in EXCEPTIONS {
        let frame = lower_camel(name);
        let exception = Step::exception(&frame, "because");
        expect(&harness, Script::of([exception.clone()]), reason, &frame, false).await;
        let after = Script::of([Step::message_start(), Step::text("a"), exception]);
        expect(&harness, after, reason, &frame, true).await;
        let error = Step::Error { code: name.to_owned(), message: "because".into() };
        let error = expect(&harness, Script::of([error]), reason, name, false).await;
        assert!(error.message.contains("because"), "{error}");
    }
}

#[tokio::test]
async fn without_a_name_the_status_decides_whatever_the_body() {
    let harness = Harness::start().await;
    for (status, reason) in STATUSES {
        for body in ["", "{}", "[1]", "<html>upstream connect error</html>", r#"{"message": "why"}"#] {
            expect(&harness, unnamed(status, body), reason, "", false).await;
        }
    }
    let error = expect(&harness, unnamed(418, "I am a teapot"), Reason::BedrockUnknown, "", false).await;
    assert!(error.message.contains("418") && error.message.contains("teapot"), "{error}");
}

#[tokio::test]
async fn what_the_host_of_the_model_said_is_passed_on() {
    let harness = Harness::start().await;
    let body = r#"{"message": "m", "originalStatusCode": 418, "originalMessage": "teapot", "resourceName": "kettle"}"#;
    let error = expect(&harness, unnamed(424, body), Reason::ModelError, "", false).await;
    assert_eq!(error.metadata["original_status_code"], "418");
    assert_eq!(error.metadata["original_message"], "teapot");
    assert_eq!(error.metadata["resource_name"], "kettle");
}

#[tokio::test]
async fn the_operators_account_does_not_reach_callers() {
    let harness = Harness::start().await;
    let said =
        "User: arn:aws:sts::123456789012:assumed-role/Server/i-1 (AKIAIOSFODNN7EXAMPLE) may not call 123456789012";
    let frame = Step::exception("accessDeniedException", said);
    let scripts = [
        Script::refuse(403, "AccessDeniedException", said),
        unnamed(403, said),
        Script::of([frame.clone()]),
        Script::of([Step::message_start(), Step::text("a"), frame]),
    ];
    for script in scripts {
        let (_, error) = harness.play("denied", script).await.failed();
        assert_eq!(error.reason, "BEDROCK_ACCESS_DENIED");
        let all = format!("{error:?}");
        for secret in ["123456789012", "Server", "i-1", "AKIA"] {
            assert!(!all.contains(secret), "{secret} is in {all}");
        }
        assert!(all.contains("may not call [account]"), "{all}");
    }
}
