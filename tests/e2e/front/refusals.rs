//! Bad input is refused in the shape of AWS, and Bedrock gets nothing of it.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::caller::{post, send, serving};
use crate::harness::soon;

const BODY: &str = r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}]}"#;

#[tokio::test]
async fn bad_input_is_refused_in_the_shape_of_aws() {
    let harness = serving(|_| {}).await;
    let converse = "/model/emulator.default/converse";
    for (path, body, status, exception) in [
        (converse, "", 400, "ValidationException"),
        (converse, "no json", 400, "ValidationException"),
        (converse, "[]", 400, "ValidationException"),
        (converse, "{\"a\":1,\"a\":2}", 400, "ValidationException"),
        (converse, "{\"a\":", 400, "ValidationException"),
        ("/model/../converse", BODY, 400, "ValidationException"),
        ("/model/%2e/converse", BODY, 400, "ValidationException"),
        ("/model/a%20b/converse", BODY, 400, "ValidationException"),
        ("/model/emulator.default/surprise", BODY, 404, "UnknownOperationException"),
        ("/guardrail/g/version/1/apply", BODY, 404, "UnknownOperationException"),
    ] {
        for over_h2 in [false, true] {
            let answered = send(post(&harness.endpoint, path, body), over_h2).await;
            assert_eq!(
                (answered.status.as_u16(), answered.exception()),
                (status, exception),
                "{path} {body}: {answered:?}"
            );
            assert!(!answered.message().is_empty() && answered.headers.contains_key("x-amzn-requestid"));
        }
    }
    let mut encoded = post(&harness.endpoint, converse, BODY);
    encoded.headers_mut().insert("content-encoding", "aws-chunked".parse().unwrap());
    assert_eq!(send(encoded, false).await.exception(), "ValidationException");
    let get = Request::get(format!("{}{converse}", harness.endpoint)).body(Full::new(Bytes::new())).unwrap();
    assert_eq!(send(get, false).await.status, StatusCode::NOT_FOUND);
    assert_eq!(harness.emulator.stats().requests, 0);
}

/// What the SDKs and other clients accept is one of these. It does not select the answer.
#[tokio::test]
async fn whatever_a_caller_accepts_it_gets_what_the_operation_has() {
    let harness = serving(|_| {}).await;
    let accepts = [
        "",
        "*/*",
        "application/json",
        "application/vnd.amazon.eventstream",
        "application/json, application/vnd.amazon.eventstream;q=0.9",
        "text/html,application/xhtml+xml,*/*;q=0.8",
        "application/cbor",
    ];
    for (path, status, kind) in [
        ("/model/emulator.default/converse", 200, "application/json"),
        ("/model/emulator.default/converse-stream", 200, "application/vnd.amazon.eventstream"),
        ("/model/emulator.default/surprise", 404, "application/json"),
        ("/model/emulator.refuse-access/converse-stream", 403, "application/json"),
    ] {
        for accept in accepts {
            for over_h2 in [false, true] {
                let mut request = post(&harness.endpoint, path, BODY);
                request.headers_mut().insert("accept", accept.parse().unwrap());
                let answered = send(request, over_h2).await;
                let content_type = answered.headers["content-type"].to_str().unwrap();
                assert_eq!((answered.status.as_u16(), content_type), (status, kind), "{path} {accept}: {answered:?}");
                assert_eq!(answered.exception().is_empty(), status == 200, "{path} {accept}");
            }
        }
    }
}

/// Sends a request over HTTP/1.1 as it is, ends the connection if it is not complete, and returns the answer.
async fn raw(endpoint: &str, request: &str, is_complete: bool) -> String {
    let mut stream = TcpStream::connect(endpoint.strip_prefix("http://").unwrap()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    if !is_complete {
        stream.shutdown().await.unwrap();
    }
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

#[tokio::test]
async fn a_body_of_unknown_length_is_taken_if_it_is_complete() {
    let harness = serving(|_| {}).await;
    let head = "POST /model/emulator.default/converse HTTP/1.1\r\nhost: outcrop.example\r\nconnection: close\r\n\
        content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let (first, last) = BODY.split_at(20);
    let part = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let whole = raw(&harness.endpoint, &format!("{head}{}{}0\r\n\r\n", part(first), part(last)), true).await;
    assert!(whole.starts_with("HTTP/1.1 200 OK") && whole.contains("stopReason"), "{whole}");
    for rest in [part(first), part(BODY), format!("{}zz\r\n", part(first))] {
        let cut = raw(&harness.endpoint, &format!("{head}{rest}"), false).await;
        assert!(!cut.contains(" 200 OK") && !cut.contains("stopReason"), "{rest}: {cut}");
    }
    assert_eq!(harness.emulator.stats().requests, 1);
}

#[tokio::test]
async fn http_1_0_is_refused() {
    let harness = serving(|_| {}).await;
    let address = harness.endpoint.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request =
        format!("POST /model/emulator.default/converse HTTP/1.0\r\ncontent-length: {}\r\n\r\n{BODY}", BODY.len());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("400 Bad Request") && answer.contains("x-amzn-errortype: ValidationException"), "{answer}");
    assert_eq!(harness.emulator.stats().requests, 0);
}

#[tokio::test]
async fn a_server_without_the_setting_has_no_api() {
    let harness = serving(|settings| settings.bedrock_api = false).await;
    let answered = send(post(&harness.endpoint, "/model/emulator.default/converse", BODY), true).await;
    assert_eq!(answered.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(harness.emulator.stats().requests, 0);
}
