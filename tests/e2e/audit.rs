//! The audit log of a running server, and the port of its metrics.

use outcrop::{
    audit::{AuditSettings, WhenFull},
    identity::settings::IdentitySettings,
};
use outcrop_client::proto::GenerateRequest;
use prost::Message;
use tonic::Code;

use crate::{
    callers::{Caller, Protocol, Wire, new_key, open_stream},
    harness::{Harness, request},
};

const GENERATE: &str = "/outcrop.v1.GenerationService/Generate";

fn bearer(key: &str) -> String {
    format!("Bearer {key}")
}

fn lines(path: &std::path::Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_has_its_line_with_what_it_used_and_no_line_has_a_prompt_or_a_key() {
    let path = std::env::temp_dir().join(format!("outcrop-e2e-audit-{}.log", std::process::id()));
    let mut ada = Caller::new("ada");
    ada.settings.permissions.models = Some(vec!["emulator.default".to_owned(), "emulator.endless".to_owned()]);
    let callers = vec![ada.settings.clone()];
    let mut harness = Harness::with(|settings| {
        settings.identity = IdentitySettings { callers, ..IdentitySettings::default() };
        settings.audit = Some(AuditSettings { path: path.clone(), when_full: WhenFull::Refuse });
    })
    .await;
    let wire = Wire::to(&harness.endpoint);
    let (known, unknown) = (bearer(&ada.key), bearer(&new_key().0));
    let prompt = "a very private prompt";
    let asking = |model: &str| GenerateRequest { prompt: prompt.to_owned(), ..request(model) }.encode_to_vec();
    let call = async |model: &str, credentials: &str| {
        wire.call(Protocol::Grpc, GENERATE, &asking(model), &[("authorization", credentials)]).await.code()
    };
    assert_eq!(call("emulator.default", &known).await, Some(Code::Ok));
    assert_eq!(call("emulator.other", &known).await, Some(Code::PermissionDenied));
    assert_eq!(call("emulator.default", &unknown).await, Some(Code::Unauthenticated));
    drop(open_stream(&harness.endpoint, &ada.key, &request("emulator.endless")).await);
    harness.counted("streams_abandoned_total", &[], 1).await;
    harness.begin_shutdown();
    harness.ended().await;
    let lines = lines(&path);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let events: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["start", "call", "call", "authentication", "call", "stop"], "{text}");
    assert_eq!((lines[1]["status"].as_str(), lines[1]["caller"].as_str()), (Some("OK"), Some("ada")));
    assert!(lines[1]["output_tokens"].as_u64().unwrap() > 0 && lines[1]["model_id"] == "emulator.default");
    assert_eq!(
        (lines[2]["decision"].as_str(), lines[2]["reason"].as_str()),
        (Some("refused"), Some("PERMISSION_DENIED"))
    );
    assert_eq!(lines[3]["reason"], "CREDENTIALS_INVALID");
    assert!(lines[3]["credential"].as_str().is_some_and(|id| unknown.contains(id)));
    assert_eq!((lines[4]["status"].as_str(), lines[4]["method"].as_str()), (Some("ABANDONED"), Some("Generate")));
    for secret in [prompt, &ada.key[16..], &unknown[23..]] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_serves_no_call_without_its_line_refuses_while_the_log_cannot_be_written() {
    let harness = Harness::with(|settings| {
        settings.limits.other_requests_per_minute = None;
        settings.audit = Some(AuditSettings { path: "/dev/full".into(), when_full: WhenFull::Refuse });
    })
    .await;
    let (wire, path) = (std::sync::Arc::new(Wire::to(&harness.endpoint)), "/outcrop.v1.GenerationService/ListModels");
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let wire = wire.clone();
        calls.spawn(async move {
            loop {
                match wire.call(Protocol::Grpc, path, b"", &[]).await {
                    answer if answer.reason() == "AUDIT_LOG" => return answer.code(),
                    answer => assert_eq!(answer.code(), Some(Code::Ok)),
                }
            }
        });
    }
    for code in calls.join_all().await {
        assert_eq!(code, Some(Code::Unavailable));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_that_others_can_reach_are_for_callers_with_the_permission() {
    let (ada, mut monitor) = (Caller::new("ada"), Caller::new("monitor"));
    monitor.settings.permissions.methods = Some(["metrics".to_owned()].into());
    let callers = vec![ada.settings.clone(), monitor.settings.clone()];
    let harness = Harness::with(|settings| {
        settings.identity = IdentitySettings { callers, ..IdentitySettings::default() };
        settings.metrics_listen = Some(([0, 0, 0, 0], 0).into());
    })
    .await;
    let port = harness.metrics_address.unwrap().port();
    let http = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).build_http();
    let status_of = async |page: &str, credentials: Option<String>| {
        let mut request = http::Request::get(format!("http://127.0.0.1:{port}{page}"));
        if let Some(credentials) = credentials {
            request = request.header("authorization", credentials);
        }
        let body = http_body_util::Empty::<bytes::Bytes>::new();
        http.request(request.body(body).unwrap()).await.unwrap().status().as_u16()
    };
    let status = async |credentials| status_of("/metrics", credentials).await;
    assert_eq!(status(None).await, 401);
    assert_eq!(status(Some(bearer(&new_key().0))).await, 401);
    assert_eq!(status(Some(bearer(&ada.key))).await, 403);
    assert_eq!(status(Some(bearer(&monitor.key))).await, 200);
    let of_quotas = [None, Some(bearer(&ada.key)), Some(bearer(&monitor.key))];
    for (credentials, status) in of_quotas.into_iter().zip([401, 403, 200]) {
        assert_eq!(status_of("/quotas", credentials).await, status, "quotas tell about all tenants too");
    }
    // Probes have no credentials.
    assert_eq!((status_of("/livez", None).await, status_of("/readyz", None).await), (200, 200));
    assert_eq!(status_of("/nothing", None).await, 401);
    let path = "/outcrop.v1.GenerationService/ListModels";
    let wire = Wire::to(&harness.endpoint);
    let answer = wire.call(Protocol::Grpc, path, b"", &[("authorization", &bearer(&monitor.key))]).await;
    assert_eq!(answer.code(), Some(Code::PermissionDenied), "the monitor calls nothing");
}
