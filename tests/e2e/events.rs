//! Each call has one event in the log, whatever became of it, as text and as JSON.

use std::{collections::BTreeMap, fmt::Write as _, fs, io::Read, process::Stdio};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::StreamBody;
use hyper_util::{client::legacy::Client as Http, rt::TokioExecutor};
use outcrop_client::proto::{CreateConversationRequest, GenerateRequest};
use prost::Message;
use serde_json::Value;
use tokio::task::JoinSet;
use tonic::Code;

use crate::{
    callers::{Caller, Protocol, Wire, bearer, open_stream},
    harness::{request, soon},
    process::{Serving, outcrop},
};

const SERVICE: &str = "/outcrop.v1.GenerationService";

/// A file with one caller of the tenant `lab`.
fn configuration(ada: &Caller) -> String {
    let key = &ada.settings.keys[0];
    let sha256 = key.sha256.iter().fold(String::new(), |mut digits, byte| {
        write!(digits, "{byte:02x}").unwrap();
        digits
    });
    let keys = format!("[{{ id = \"{}\", sha256 = \"{sha256}\" }}]", key.id);
    format!("[[caller]]\nname = \"ada\"\ntenant = \"lab\"\nkeys = {keys}\n")
}

/// A call whose message never ends, and whose caller leaves meanwhile.
async fn leave_while_sending(endpoint: &str, key: &str) {
    let http = Http::builder(TokioExecutor::new()).http2_only(true).build_http();
    let first =
        stream::iter([Ok::<_, std::convert::Infallible>(hyper::body::Frame::data(Bytes::from_static(&[0, 0])))]);
    let body = StreamBody::new(futures_util::StreamExt::chain(first, stream::pending()));
    let call = http::Request::post(format!("{endpoint}{SERVICE}/CountTokens"))
        .header("content-type", "application/grpc")
        .header("authorization", format!("Bearer {key}"))
        .body(Box::pin(body))
        .unwrap();
    let mut calls = JoinSet::new();
    calls.spawn(async move { http.request(call).await.map(drop) });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    calls.shutdown().await;
}

/// One call of each kind.
async fn call_in_every_way(endpoint: &str, key: &str) {
    let wire = Wire::to(endpoint);
    let headers = bearer(key);
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let generate = format!("{SERVICE}/Generate");
    let body = |request: GenerateRequest| request.encode_to_vec();
    let call = async |path: &str, message: &[u8]| wire.call(Protocol::Grpc, path, message, &headers).await.code();
    assert_eq!(call(&generate, &body(request("emulator.tools"))).await, Some(Code::Ok));
    assert_ne!(call(&generate, &body(request("emulator.exception"))).await, Some(Code::Ok));
    // A model that a caller chooses can have a quote.
    assert_eq!(call(&generate, &body(request("a\"b.c\n"))).await, Some(Code::InvalidArgument));
    let unknown = wire.call(Protocol::Grpc, &generate, &body(request("")), &[]).await;
    assert_eq!(unknown.code(), Some(Code::Unauthenticated));
    drop(open_stream(endpoint, key, &request("emulator.endless")).await);
    leave_while_sending(endpoint, key).await;
    let create = CreateConversationRequest::default().encode_to_vec();
    assert_eq!(call(&format!("{SERVICE}/CreateConversation"), &create).await, Some(Code::Ok));
}

/// The log of a server whose caller calls in every way.
async fn logged(format: &str) -> String {
    let ada = Caller::new("ada");
    let file = std::env::temp_dir().join(format!("outcrop-events-{}-{format}.toml", std::process::id()));
    fs::write(&file, configuration(&ada)).unwrap();
    let path = file.to_string_lossy().into_owned();
    let flags = ["serve", "--local", "--listen", "127.0.0.1:0", "--config", &path, "--log", "outcrop=debug"];
    let mut command = outcrop(&[&flags[..], &["--log-format", format]].concat());
    let mut serving = Serving::listening(command.stderr(Stdio::piped()));
    let mut log = serving.child.stderr.take().unwrap();
    let reading = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        log.read_to_string(&mut text).map(|_| text)
    });
    soon(call_in_every_way(&serving.endpoint, &ada.key)).await;
    serving.signal("-TERM");
    serving.child.wait().unwrap();
    fs::remove_file(file).unwrap();
    reading.await.unwrap().unwrap()
}

/// The number of events by outcome and reason.
fn counted(events: impl Iterator<Item = (String, String)>) -> BTreeMap<(String, String), usize> {
    let mut counts = BTreeMap::new();
    events.for_each(|event| *counts.entry(event).or_default() += 1);
    counts
}

fn expected() -> BTreeMap<(String, String), usize> {
    let events = [
        ("finished", ""),
        ("failed", "MODEL_ERROR"),
        ("refused", "INVALID_REQUEST"),
        ("refused", "CREDENTIALS_MISSING"),
        ("abandoned", ""),
        ("refused", "CALLER_CANCELLED"),
        ("answered", ""),
    ];
    counted(events.into_iter().map(|(outcome, reason)| (outcome.to_owned(), reason.to_owned())))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_call_has_one_event_in_json_with_what_is_known_of_it() {
    let log = logged("json").await;
    let events: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let calls: Vec<_> = events.iter().filter(|event| event["outcome"].is_string()).collect();
    let text = |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
    assert_eq!(counted(calls.iter().map(|event| (text(event, "outcome"), text(event, "reason")))), expected(), "{log}");
    for event in &calls {
        assert_eq!(text(event, "generation_id").len(), 36, "{event}");
        assert!(event["duration_ms"].is_u64() && event["attempts"].is_u64() && event["method"].is_string(), "{event}");
        assert!(event["timestamp"].is_string() && event["level"].is_string() && event["target"].is_string(), "{event}");
    }
    let of = |outcome: &str| *calls.iter().find(|event| event["outcome"] == outcome).unwrap();
    for outcome in ["finished", "failed", "abandoned", "answered"] {
        assert_eq!((&of(outcome)["caller"], &of(outcome)["tenant"]), (&"ada".into(), &"lab".into()), "{outcome}");
    }
    let finished = of("finished");
    let numbers =
        ["chunks", "first_content_ms", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"];
    assert!(numbers.iter().all(|field| finished[field].is_u64()), "{finished}");
    let texts = ["model", "model_id", "region", "request_id", "stop_reason"].map(|field| text(finished, field));
    assert_eq!(
        (texts[0].as_str(), texts[1].as_str(), texts[2].as_str()),
        ("emulator.tools", "emulator.tools", "us-east-1")
    );
    assert!(!texts[3].is_empty() && texts[4] == "tool_use", "{finished}");
    assert_eq!((text(of("failed"), "phase"), text(of("failed"), "level")), ("after_content".into(), "WARN".into()));
    assert_eq!((&of("abandoned")["mode"], &of("abandoned")["attempts"]), (&"cancel".into(), &1.into()));
    let unknown = calls.iter().find(|event| event["reason"] == "CREDENTIALS_MISSING").unwrap();
    assert!(
        unknown.get("caller").is_none() && unknown.get("model").is_none() && unknown["level"] == "DEBUG",
        "{unknown}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_call_has_one_event_in_text() {
    let log = logged("text").await;
    let field = |line: &str, name: &str| {
        let value = line.split_once(&format!(" {name}=\"")).map(|(_, rest)| rest.split('"').next().unwrap().to_owned());
        value.unwrap_or_default()
    };
    let calls: Vec<_> = log.lines().filter(|line| line.contains(" outcome=\"")).collect();
    assert_eq!(counted(calls.iter().map(|line| (field(line, "outcome"), field(line, "reason")))), expected(), "{log}");
    assert!(calls.iter().all(|line| field(line, "generation_id").len() == 36), "{log}");
    let known = calls.iter().filter(|line| !line.contains("CREDENTIALS_MISSING"));
    assert!(known.clone().all(|line| field(line, "caller") == "ada"), "{log}");
    let dated = |line: &str| line.starts_with("20") && line.contains('T');
    assert!(log.lines().filter(|line| line.contains("outcome=")).all(dated), "{log}");
}
