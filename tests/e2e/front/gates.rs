//! Every operation passes every gate of the methods.

use http::StatusCode;
use outcrop::identity::settings::{CallerSettings, PermissionSettings};

use super::caller::{Answered, CLAUDE, post, send, serving};
use crate::{callers::Caller, harness::Harness};

const CONVERSE: &str = r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}]}"#;

/// The operations, each with a body.
const OPERATIONS: [(&str, &str); 4] = [
    ("converse-stream", CONVERSE),
    ("converse", CONVERSE),
    ("invoke-with-response-stream", CLAUDE),
    ("invoke", CLAUDE),
];

async fn ask(harness: &Harness, model: &str, (operation, body): (&str, &str), key: Option<&str>) -> Answered {
    let mut request = post(&harness.endpoint, &format!("/model/{model}/{operation}"), body.to_owned());
    if let Some(key) = key {
        request.headers_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
    }
    send(request, false).await
}

const MODEL: &str = "anthropic.claude-3-haiku-20240307-v1:0";

#[tokio::test]
async fn a_call_needs_a_key_and_its_permissions_hold() {
    let caller = Caller::new("ada");
    let permissions = PermissionSettings {
        models: Some(vec![MODEL.to_owned()]),
        native_bodies: true,
        ..PermissionSettings::default()
    };
    let settings = CallerSettings { permissions, ..caller.settings.clone() };
    let harness = serving(|server| server.identity.callers = vec![settings]).await;
    for operation in OPERATIONS {
        let missing = ask(&harness, MODEL, operation, None).await;
        assert_eq!(
            (missing.status, missing.exception()),
            (StatusCode::FORBIDDEN, "MissingAuthenticationTokenException")
        );
        let wrong = Caller::new("eve").key;
        let wrong = ask(&harness, MODEL, operation, Some(&wrong)).await;
        assert_eq!(wrong.exception(), "UnrecognizedClientException");
        let forbidden = ask(&harness, "amazon.nova-lite-v1:0", operation, Some(&caller.key)).await;
        assert_eq!((forbidden.status, forbidden.exception()), (StatusCode::FORBIDDEN, "AccessDeniedException"));
        assert_eq!(harness.emulator.stats().requests, 0);
    }
    for operation in OPERATIONS {
        let answered = ask(&harness, MODEL, operation, Some(&caller.key)).await;
        assert_eq!(answered.status, StatusCode::OK, "{operation:?} {answered:?}");
    }
    assert_eq!(harness.emulator.stats().requests, 4);
    assert_eq!(harness.count("calls_total", &["method=\"Generate\"", "outcome=\"finished\""]), 4);
}

#[tokio::test]
async fn limits_hold_and_say_when_to_come_again() {
    let harness = serving(|settings| settings.limits.requests_per_minute = std::num::NonZeroU32::new(1)).await;
    let mut refused = 0;
    for operation in OPERATIONS {
        let answered = ask(&harness, MODEL, operation, None).await;
        if answered.status == StatusCode::TOO_MANY_REQUESTS {
            assert_eq!(answered.exception(), "ThrottlingException");
            assert!(answered.headers.contains_key("retry-after"));
            refused += 1;
        }
    }
    assert_eq!((refused, harness.emulator.stats().requests), (3, 1));
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused() {
    let harness = serving(|settings| settings.max_request_bytes = 100).await;
    let large = format!("{{\"messages\":[],\"x\":\"{}\"}}", "a".repeat(200));
    for (operation, _) in OPERATIONS {
        let answered = ask(&harness, MODEL, (operation, &large), None).await;
        assert_eq!((answered.status, answered.exception()), (StatusCode::PAYLOAD_TOO_LARGE, "ValidationException"));
    }
    assert_eq!(harness.emulator.stats().requests, 0);
}

#[tokio::test]
async fn an_s3_object_is_for_callers_who_may_name_it() {
    let caller = Caller::new("ada");
    let harness = serving(|server| server.identity.callers = vec![caller.settings.clone()]).await;
    let body = r#"{"messages":[{"role":"user","content":[{"image":{"format":"png","source":{"s3Location":{"uri":"s3://secret/x.png"}}}}]}]}"#;
    for operation in ["converse", "converse-stream"] {
        let answered = ask(&harness, MODEL, (operation, body), Some(&caller.key)).await;
        assert_eq!(answered.exception(), "AccessDeniedException", "{answered:?}");
    }
    assert_eq!(harness.emulator.stats().requests, 0);
}
