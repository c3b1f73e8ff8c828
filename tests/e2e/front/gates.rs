//! Every operation passes every gate of the methods.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use outcrop::{
    failover::routes::Routes,
    identity::settings::{CallerSettings, GuardrailSettings, PermissionSettings},
    request::alias::Alias,
};

use super::caller::{Answered, CLAUDE, post, send, serving};
use crate::{callers::Caller, harness::Harness};

const CONVERSE: &str = r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}]}"#;

/// The operations that answer, each with a body.
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
async fn a_count_and_the_listings_need_a_key_and_have_what_the_caller_may_name() {
    let caller = Caller::new("ada");
    let permissions = PermissionSettings { models: Some(vec![MODEL.to_owned()]), ..PermissionSettings::default() };
    let settings = CallerSettings { permissions, ..caller.settings.clone() };
    let harness = serving(|server| {
        server.identity.callers = vec![settings];
        server.rules.default_model = Some(MODEL.to_owned());
    })
    .await;
    let count = ("count-tokens", r#"{"input":{"converse":{"messages":[{"role":"user","content":[{"text":"hi"}]}]}}}"#);
    let native = ("count-tokens", r#"{"input":{"invokeModel":{"body":"e30="}}}"#);
    assert_eq!(ask(&harness, MODEL, count, None).await.exception(), "MissingAuthenticationTokenException");
    assert_eq!(ask(&harness, "a.b", count, Some(&caller.key)).await.exception(), "AccessDeniedException");
    assert_eq!(ask(&harness, MODEL, native, Some(&caller.key)).await.exception(), "AccessDeniedException");
    assert_eq!(harness.emulator.stats().requests, 0);
    let counted = ask(&harness, MODEL, count, Some(&caller.key)).await;
    assert!(counted.status.is_success() && counted.body.starts_with(b"{\"inputTokens\":"), "{counted:?}");
    for (path, member) in [("foundation-models", "modelSummaries"), ("inference-profiles", "inferenceProfileSummaries")]
    {
        let get = |key: &str| {
            let request = Request::get(format!("{}/{path}", harness.endpoint));
            request.header("authorization", format!("Bearer {key}")).body(Full::new(Bytes::new())).unwrap()
        };
        assert_eq!(send(get("oc_x"), false).await.exception(), "UnrecognizedClientException");
        let listed: serde_json::Value = serde_json::from_slice(&send(get(&caller.key), false).await.body).unwrap();
        let ids = listed[member].as_array().unwrap().iter().map(|one| one["modelId"].as_str().unwrap_or_default());
        assert_eq!(ids.collect::<Vec<_>>(), if path == "foundation-models" { vec![MODEL] } else { vec![] });
    }
    harness.counted("calls_total", &["method=\"ListModels\"", "outcome=\"answered\""], 2).await;
}

#[tokio::test]
async fn what_an_operator_sets_is_written_into_the_body_or_the_request_is_refused() {
    let caller = Caller::new("ada");
    let mut settings = caller.settings.clone();
    let (identifier, version) = ("gr-1".to_owned(), "1".to_owned());
    settings.imposed.guardrail = Some(GuardrailSettings { identifier, version });
    let alias = Alias { system: "Be brief".to_owned(), max_tokens_limit: Some(50), ..Alias::default() };
    let harness = serving(|server| {
        server.identity.callers = vec![settings];
        server.rules.aliases.insert("brief".to_owned(), alias);
        server.rules.routes = Routes::parse(&[format!("brief={MODEL}")], 1).unwrap();
    })
    .await;
    let key = Some(caller.key.as_str());
    assert!(ask(&harness, "brief", ("converse", CONVERSE), key).await.status.is_success());
    let sent = harness.emulator.last_request().unwrap().body;
    assert_eq!(sent["guardrailConfig"], serde_json::json!({"guardrailIdentifier": "gr-1", "guardrailVersion": "1"}));
    assert_eq!((&sent["system"][0]["text"], &sent["inferenceConfig"]["maxTokens"]), (&"Be brief".into(), &50.into()));
    let own = |member: &str| format!("{{{member},{}", &CONVERSE[1..]);
    for (member, exception) in [
        (r#""inferenceConfig":{"maxTokens":51}"#, "ValidationException"),
        (r#""inferenceConfig":{}"#, "ValidationException"),
        (r#""additionalModelRequestFields":{"max_tokens":9}"#, "ValidationException"),
        (r#""guardrailConfig":{"guardrailIdentifier":"other","guardrailVersion":"1"}"#, "AccessDeniedException"),
    ] {
        let answered = ask(&harness, "brief", ("converse-stream", &own(member)), key).await;
        assert_eq!(answered.exception(), exception, "{member}: {answered:?}");
    }
    assert_eq!(harness.emulator.stats().requests, 1);
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
