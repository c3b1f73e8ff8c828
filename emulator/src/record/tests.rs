//! What is recorded of an emulator is what it sent, and is replayed as it was.

use std::{collections::BTreeMap, path::Path, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::{Value, json};

use super::*;
use crate::{
    Config, Emulator,
    recording::{self, Recording},
    script::{At, FaultKind, Script, Step},
    served::prompt,
};

const SECRET: &str = "a-secret-that-is-in-no-file";

/// An emulator, a recorder in front of it, and its reports.
struct Setup {
    emulator: Emulator,
    recorder: Recorder,
    folder: PathBuf,
    reports: Arc<Mutex<Vec<String>>>,
}

/// A new folder for the recordings of a test.
fn folder(test: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("bedrock-recorder-{test}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

impl Setup {
    async fn start(test: &str) -> Self {
        let emulator = Emulator::start(Config { unpaced: true, ..Config::default() }).await.unwrap();
        let (folder, reports) = (folder(test), Arc::new(Mutex::new(Vec::new())));
        let into = Arc::clone(&reports);
        let recorder = Recorder::start(RecorderConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            upstream: Upstream::new(&emulator.endpoint(), Some("eu-west-1")).unwrap(),
            credentials: Some(Credentials::of_keys("AKIAIOSFODNN7EXAMPLE", SECRET, Some(SECRET.to_owned()))),
            into: folder.clone(),
            report: Arc::new(move |recorded| into.lock().push(format!("{recorded:?}"))),
        });
        Self { recorder: recorder.await.unwrap(), emulator, folder, reports }
    }

    async fn ask(&self, operation: &str, model: &str, body: &Value) -> http::Response<Incoming> {
        send(&self.recorder.endpoint(), operation, model, body).await
    }

    /// The recordings, after the recorder has stopped.
    async fn stop(self) -> (Vec<Recording>, Vec<String>) {
        self.recorder.stop().await;
        let recordings = recording::load(&self.folder).unwrap();
        for recording in &recordings {
            let text = std::fs::read_to_string(self.folder.join(format!("{}.json", recording.name))).unwrap();
            assert!(
                !text.contains(SECRET) && !text.contains("AKIAIOSFODNN7EXAMPLE") && !text.contains("of-the-client")
            );
        }
        std::fs::remove_dir_all(&self.folder).unwrap();
        let reports = self.reports.lock().clone();
        (recordings, reports)
    }
}

async fn send(endpoint: &str, operation: &str, model: &str, body: &Value) -> http::Response<Incoming> {
    let request = Request::post(format!("{endpoint}/model/{model}/{operation}"))
        .header("authorization", "AWS4-HMAC-SHA256 Credential=of-the-client/20260101/us-east-1/bedrock/aws4_request")
        .header("x-amzn-bedrock-trace", "ENABLED")
        .body(Full::<Bytes>::from(body.to_string()))
        .unwrap();
    Client::builder(TokioExecutor::new()).build_http().request(request).await.unwrap()
}

async fn bytes(response: http::Response<Incoming>) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

async fn emulator_of(folder: &Path) -> Emulator {
    Emulator::start(Config { recordings: Some(folder.to_owned()), ..Config::default() }).await.unwrap()
}

#[tokio::test]
async fn what_was_recorded_is_replayed_byte_for_byte() {
    let recording = Setup::start("replay").await;
    let claude = "anthropic.claude-3-haiku-20240307-v1%3A0";
    let native = json!({"anthropic_version": "x", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
    let asked = [
        ("converse-stream", "emulator.everything", prompt("hi", 9)),
        ("converse", claude, prompt("hi", 9)),
        ("invoke-with-response-stream", claude, native.clone()),
        ("invoke", claude, native),
        ("converse-stream", "emulator.refuse-throttle", prompt("hi", 9)),
        ("converse-stream", "emulator.exception", prompt("hi", 9)),
    ];
    let mut answers = BTreeMap::new();
    for (operation, model, body) in &asked {
        let response = recording.ask(operation, model, body).await;
        let status = response.status();
        let name = format!("recording.{operation}/{}-001", model.replace("%3A", "-"));
        answers.insert(name, (*operation, body.clone(), status, bytes(response).await));
    }
    let upstream = recording.emulator.last_request().unwrap();
    let signed = (upstream.authorization.as_str(), upstream.region.as_str());
    assert_eq!(signed, ("AWS4-HMAC-SHA256", "eu-west-1"));
    assert_eq!(upstream.headers["x-amzn-bedrock-trace"], "ENABLED");
    let again = recording.ask("converse", claude, &prompt("again", 9)).await;
    bytes(again).await;
    // So that the files are written.
    while recording.reports.lock().len() < 7 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let replaying = emulator_of(&recording.folder).await;
    for (name, (operation, body, status, answer)) in answers {
        let response = send(&replaying.endpoint(), operation, &name.replace('/', "%2F"), &body).await;
        assert_eq!(response.status(), status, "{name}");
        assert_eq!(bytes(response).await, answer, "{name}");
    }
    let (recordings, reports) = recording.stop().await;
    assert!(reports.iter().all(|report| report.starts_with("Saved")), "{reports:?}");
    let names: Vec<_> = recordings.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(recordings.len(), 7, "{names:?}");
    assert!(names.contains(&"converse/anthropic.claude-3-haiku-20240307-v1-0-002"), "{names:?}");
    let all = recordings.iter().find(|one| one.name.ends_with("emulator.everything-001")).unwrap();
    assert_eq!((all.operation.as_str(), all.model_id.as_deref()), ("ConverseStream", Some("emulator.everything")));
    assert_eq!(all.request, prompt("hi", 9));
    let first = &all.events[0];
    assert_eq!((first.event_type.as_deref(), &first.payload["role"]), (Some("messageStart"), &json!("assistant")));
    assert_eq!(all.events.last().unwrap().event_type.as_deref(), Some("metadata"));
    let lengths = all.response.transport_chunk_lengths.as_ref().unwrap();
    assert_eq!(lengths.iter().sum::<usize>(), all.response.body.len());
    let native = recordings.iter().find(|one| one.operation == "InvokeModelWithResponseStream").unwrap();
    assert_eq!(native.events[0].inner["type"], "message_start");
}

#[tokio::test]
async fn an_account_is_in_no_recording() {
    let recording = Setup::start("account").await;
    let arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile%2Fus.a.b";
    let denied = "User: arn:aws:sts::123456789012:assumed-role/Admin/jane is not authorized";
    let guardrail = json!({"trace": {"guardrail": {"arn": "arn:aws:bedrock:us-east-1:123456789012:guardrail/g"}}});
    recording.emulator.register("denied", Script::refuse(403, "AccessDeniedException", denied));
    recording.emulator.register("traced", Script::of([Step::event("metadata", guardrail)]));
    for model in [arn, "emulator.denied", "emulator.traced"] {
        bytes(recording.ask("converse-stream", model, &prompt(arn, 9)).await).await;
    }
    let (recordings, _) = recording.stop().await;
    assert_eq!(recordings.len(), 3);
    for one in &recordings {
        let text = format!(
            "{:?} {} {:?} {:?}",
            one.model_id,
            one.request,
            one.events,
            String::from_utf8_lossy(&one.response.body)
        );
        assert!(!text.contains("123456789012") && !text.contains("jane"), "{text}");
    }
    let traced = recordings.iter().find(|one| one.name.contains("traced")).unwrap();
    let arn = &traced.events[0].payload["trace"]["guardrail"]["arn"];
    assert_eq!(*arn, "arn:aws:bedrock:us-east-1:000000000000:guardrail/g");
}

#[tokio::test]
async fn an_answer_that_is_not_whole_is_not_recorded() {
    let recording = Setup::start("parts").await;
    recording.emulator.register("cut", Script::reply("a b c").fault(FaultKind::Cut, At::Event(2)));
    let cut = recording.ask("converse-stream", "emulator.cut", &prompt("hi", 9)).await;
    assert!(cut.into_body().collect().await.is_err());
    let mut left = recording.ask("converse-stream", "emulator.endless", &prompt("hi", 9)).await;
    left.frame().await.unwrap().unwrap();
    drop(left);
    recording.emulator.wait_until(|stats| stats.abandoned == 1).await;
    let (recordings, mut reports) = recording.stop().await;
    reports.sort();
    assert!(recordings.is_empty() && reports.len() == 2, "{reports:?}");
    assert!(reports[0].contains("/emulator.cut/") && reports[0].contains("was cut"), "{reports:?}");
    assert!(reports[1].contains("/emulator.endless/") && reports[1].contains("the client left"), "{reports:?}");
}

#[tokio::test]
async fn only_programs_of_this_machine_can_ask_for_models() {
    let recording = Setup::start("origin").await;
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let status = async |request: http::request::Builder| {
        client.request(request.body(Full::default()).unwrap()).await.unwrap().status()
    };
    let url = recording.recorder.endpoint();
    let page = Request::post(format!("{url}/model/a.model/converse")).header("origin", "http://example.com");
    assert_eq!(status(page).await, 403);
    assert_eq!(status(Request::get(format!("{url}/foundation-models"))).await, 404);
    assert_eq!(status(Request::post(format!("{url}/model/a.model/other"))).await, 404);
    assert_eq!(recording.emulator.stats().requests, 0);
    recording.stop().await;
}

#[tokio::test]
async fn a_recorder_that_would_leak_credentials_does_not_start() {
    let config = |listen: [u8; 4], credentials| RecorderConfig {
        listen: SocketAddr::from((listen, 0)),
        upstream: Upstream::new("http://127.0.0.1:9", Some("us-east-1")).unwrap(),
        credentials: Some(credentials),
        into: folder("start"),
        report: Arc::new(|_| {}),
    };
    let keys = Credentials::of_keys("id", SECRET, None);
    let started = Recorder::start(config([0, 0, 0, 0], keys.clone())).await;
    assert!(matches!(started, Err(RecorderError::NotLoopback(_))));
    let started = Recorder::start(config([127, 0, 0, 1], Credentials::ApiKey(SECRET.into()))).await;
    assert!(matches!(started, Err(RecorderError::InTheClear)));
    assert!(!format!("{:?}", config([127, 0, 0, 1], keys.clone())).contains(SECRET));
    // An upstream that is not there is told.
    let recorder = Recorder::start(config([127, 0, 0, 1], keys)).await.unwrap();
    let refused = send(&recorder.endpoint(), "converse", "a.model", &json!({})).await;
    assert_eq!(refused.status(), 503);
    recorder.stop().await;
    std::fs::remove_dir_all(folder("start")).unwrap_or_default();
}
