//! Connect: methods with one answer by JSON and by protobuf without frames, as curl calls them.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use http::StatusCode;
use outcrop_client::proto::FILE_DESCRIPTOR_SET;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::Code;
use tonic_types::pb::ErrorInfo;

use crate::{
    callers::{Answer, Caller},
    harness::{Harness, soon},
};

const SERVICE: &str = "/outcrop.v1.GenerationService";
const COUNT: &str = "/outcrop.v1.GenerationService/CountTokens";

/// The JSON of the message of a method. Bytes that are no message stay what they are.
pub(crate) fn json_of(path: &str, message: &[u8]) -> Vec<u8> {
    let mut pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap();
    pool.decode_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET).unwrap();
    let (service, method) = path.trim_start_matches('/').rsplit_once('/').unwrap();
    let known = pool.get_service_by_name(service).and_then(|service| service.methods().find(|it| it.name() == method));
    let decoded = known.and_then(|method| DynamicMessage::decode(method.input(), message).ok());
    decoded.map_or_else(|| message.to_vec(), |message| serde_json::to_vec(&message).unwrap())
}

/// What an answer of Connect says.
pub(crate) fn answer_of(status: StatusCode, body: &[u8]) -> Answer {
    if status == StatusCode::OK {
        return Answer::Grpc { code: Code::Ok, reason: String::new(), message: String::new() };
    }
    let Ok(error) = serde_json::from_slice::<Value>(body) else { return Answer::Http(status) };
    let names = [
        ("unauthenticated", Code::Unauthenticated),
        ("permission_denied", Code::PermissionDenied),
        ("invalid_argument", Code::InvalidArgument),
        ("not_found", Code::NotFound),
        ("resource_exhausted", Code::ResourceExhausted),
        ("unavailable", Code::Unavailable),
        ("unimplemented", Code::Unimplemented),
        ("failed_precondition", Code::FailedPrecondition),
    ];
    let code = names.iter().find(|(name, _)| error["code"] == *name).expect("a code of Connect").1;
    let details = error["details"].as_array().expect("details");
    let info = details.iter().find(|detail| detail["type"] == "google.rpc.ErrorInfo").expect("an ErrorInfo");
    let bytes = STANDARD_NO_PAD.decode(info["value"].as_str().unwrap()).unwrap();
    let reason = <ErrorInfo as prost::Message>::decode(bytes.as_slice()).unwrap().reason;
    assert_eq!(info["debug"]["reason"], reason.as_str());
    Answer::Grpc { code, reason, message: error["message"].as_str().unwrap().to_owned() }
}

/// One request over HTTP/1.1, with further headers: its status and its body.
async fn post(harness: &Harness, path: &str, headers: &str, body: &str) -> (u16, String) {
    let address = harness.endpoint.strip_prefix("http://").unwrap();
    let host = if headers.contains("host: ") { String::new() } else { format!("host: {address}\r\n") };
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\n{host}connection: close\r\ncontent-length: {length}\r\n{headers}\r\n");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await.unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// The same with JSON, as JSON.
async fn json(harness: &Harness, path: &str, body: &str) -> (u16, Value) {
    let (status, body) = post(harness, path, "content-type: application/json\r\n", body).await;
    (status, serde_json::from_str(&body).unwrap_or_else(|_| panic!("no JSON: {body}")))
}

#[tokio::test]
async fn methods_with_one_answer_are_called_with_json() {
    let harness = Harness::start().await;
    let (status, models) = json(&harness, &format!("{SERVICE}/ListModels"), "{}").await;
    assert_eq!(status, 200);
    assert!(models["models"].as_array().unwrap().iter().any(|model| model["name"] == "emulator.default"), "{models}");
    assert_eq!(
        json(&harness, COUNT, r#"{"prompt": "hi you"}"#).await,
        (200, json!({"inputTokens": 2, "modelId": "emulator.default"}))
    );
    let (_, created) = json(&harness, &format!("{SERVICE}/CreateConversation"), "{}").await;
    let id = created["conversation"]["conversationId"].as_str().unwrap();
    // Names of fields are taken in both forms.
    for name in ["conversationId", "conversation_id"] {
        let (status, read) =
            json(&harness, &format!("{SERVICE}/GetConversation"), &json!({name: id}).to_string()).await;
        assert_eq!((status, &read["conversation"]["conversationId"]), (200, &json!(id)));
    }
    let health = json(&harness, "/grpc.health.v1.Health/Check", "{}").await;
    assert_eq!(health, (200, json!({"status": "SERVING"})));
}

#[tokio::test]
async fn an_error_has_the_form_of_connect_with_its_details() {
    let harness = Harness::start().await;
    let request = r#"{"messages": [{}]}"#;
    let (status, error) = json(&harness, COUNT, request).await;
    assert_eq!((status, &error["code"]), (400, &json!("invalid_argument")), "{error}");
    let details = error["details"].as_array().unwrap();
    let debug = |name: &str| &details.iter().find(|detail| detail["type"] == name).unwrap()["debug"];
    assert_eq!(debug("google.rpc.ErrorInfo")["reason"], "INVALID_REQUEST");
    let field = &debug("google.rpc.BadRequest")["fieldViolations"][0]["field"];
    assert!(field.as_str().unwrap().starts_with("messages[0]"), "{error}");
    let missing = r#"{"conversationId": "00000000-0000-4000-8000-000000000000"}"#;
    let (status, error) = json(&harness, &format!("{SERVICE}/GetConversation"), missing).await;
    assert_eq!((status, &error["code"]), (404, &json!("not_found")), "{error}");
}

#[tokio::test]
async fn what_is_not_the_json_of_the_message_is_refused() {
    let harness = Harness::start().await;
    for (headers, body, status, words) in [
        ("", "", 400, "{} for a message without any"),
        ("", "{", 400, "EOF"),
        ("", "{} {}", 400, "trailing"),
        ("", r#"{"promt": "hi"}"#, 400, "promt"),
        ("", r#"{"prompt": 1}"#, 400, "string"),
        ("content-encoding: gzip\r\n", "{}", 501, "content-encoding"),
        ("connect-protocol-version: 2\r\n", "{}", 400, "connect-protocol-version"),
        ("connect-timeout-ms: soon\r\n", "{}", 400, "connect-timeout-ms"),
    ] {
        for path in [COUNT, "/grpc.health.v1.Health/Check"] {
            if path != COUNT && body.contains("prom") {
                continue;
            }
            let headers = format!("content-type: application/json; charset=utf-8\r\n{headers}");
            let (refused, text) = post(&harness, path, &headers, body).await;
            assert_eq!(refused, status, "{path} {headers} {body}: {text}");
            assert!(text.contains(words) && text.contains("\"debug\":{"), "{path} {headers} {body}: {text}");
        }
    }
    assert_eq!(harness.emulator.stats().requests, 0);
}

#[tokio::test]
async fn credentials_are_decided_before_the_body_arrives() {
    let ada = Caller::new("ada");
    let harness = Harness::with(|settings| settings.identity.callers = vec![ada.settings.clone()]).await;
    let address = harness.endpoint.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST {COUNT} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 64];
    let read = soon(stream.read(&mut answer)).await.unwrap();
    assert!(String::from_utf8_lossy(&answer[..read]).starts_with("HTTP/1.1 401 "));
    let headers = format!("content-type: application/json\r\nauthorization: Bearer {}\r\n", ada.key);
    assert_eq!(post(&harness, COUNT, &headers, r#"{"prompt": "hi"}"#).await.0, 200);
}

#[tokio::test]
async fn json_of_many_values_takes_no_more_than_the_memory_for_requests() {
    let harness = Harness::with(|settings| settings.max_request_memory = 8 << 20).await;
    let many = format!(r#"{{"messages": [{}]}}"#, vec!["{}"; 100_000].join(","));
    let (status, error) = json(&harness, COUNT, &many).await;
    assert_eq!((status, &error["code"]), (429, &json!("resource_exhausted")), "{error}");
    assert_eq!(json(&harness, COUNT, r#"{"prompt": "hi"}"#).await.0, 200, "the memory is given back");
}

#[tokio::test]
async fn pages_of_other_origins_and_rebound_names_are_refused() {
    let harness = Harness::with(|settings| settings.allowed_hosts = vec!["chat.example".to_owned()]).await;
    for (headers, status) in [
        ("origin: http://evil.example\r\n", 403),
        ("sec-fetch-site: cross-site\r\n", 403),
        ("host: evil.example\r\n", 403),
        ("host: chat.example\r\n", 200),
        ("host: chat.example\r\norigin: http://chat.example\r\nsec-fetch-site: same-origin\r\n", 200),
    ] {
        let headers = format!("content-type: application/json\r\n{headers}");
        let (answered, text) = post(&harness, COUNT, &headers, r#"{"prompt": "hi"}"#).await;
        assert_eq!(answered, status, "{headers}: {text}");
        assert!(status == 200 || text.contains("ORIGIN_NOT_ALLOWED"), "{headers}: {text}");
    }
}

#[tokio::test]
async fn a_stream_and_a_server_without_a_page_have_no_json() {
    let harness = Harness::start().await;
    let json = "content-type: application/json\r\n";
    for (path, headers) in [(&*format!("{SERVICE}/Generate"), json), (COUNT, "content-type: text/json\r\n")] {
        let (status, text) = post(&harness, path, headers, "{}").await;
        assert_eq!(status, 415, "{text}");
        assert!(text.contains("content-type: application/json"), "{text}");
    }
    let bare = Harness::with(|settings| settings.page = false).await;
    let (status, text) = post(&bare, COUNT, json, "{}").await;
    assert_eq!(status, 415, "{text}");
    assert!(!text.contains("json"), "{text}");
}
