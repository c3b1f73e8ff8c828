//! The page and gRPC-Web on the port, as a browser asks for them; tests/web has the browser itself.

use std::time::Duration;

use bedrock_emulator::{Script, Step};
use outcrop_client::CallError;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::Status;

use crate::harness::{Harness, soon};

const GENERATE: &str = "/outcrop.v1.GenerationService/Generate";

/// A gRPC frame around `prompt: "hi"`.
const HI: &[u8] = b"\0\0\0\0\x04\x12\x02hi";

#[tokio::test]
async fn the_page_is_served_with_its_policy() {
    let harness = Harness::start().await;
    let answer = ask(&harness, "GET / HTTP/1.1", "", b"").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("content-security-policy: default-src 'none'; script-src 'self';"), "{answer}");
    assert!(answer.contains("<h1>Response Streaming</h1>"), "{answer}");
}

#[tokio::test]
async fn without_the_page_there_is_no_grpc_web() {
    let harness = Harness::with(|settings| settings.page = false).await;
    for (line, body) in [("GET / HTTP/1.1", &b""[..]), (&post(GENERATE), HI)] {
        let answer = ask(&harness, line, "content-type: application/grpc-web+proto\r\n", body).await;
        assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
        assert!(!answer.contains("page"), "{answer}");
    }
}

#[tokio::test]
async fn a_call_by_grpc_web_ends_with_its_status_in_the_body() {
    let harness = Harness::start().await;
    let answer = call(&harness, GENERATE, "", HI).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("grpc-status:0"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_does_not_read_ends_with_unread_timeout() {
    let harness = Harness::with(|settings| settings.unread_timeout = Duration::from_millis(500)).await;
    let flood = Step::Repeat { times: usize::MAX, steps: vec![Step::text(&"x".repeat(4_096))] };
    harness.emulator.register("flood", Script::of([flood]));
    let body = [&b"\0\0\0\0\x14\x0a\x0eemulator.flood\x12\x02hi"[..]].concat();
    let mut stream = TcpStream::connect(harness.endpoint.strip_prefix("http://").unwrap()).await.unwrap();
    let kind = "content-type: application/grpc-web+proto";
    let length = body.len();
    let head = format!("POST {GENERATE} HTTP/1.1\r\nhost: 127.0.0.1\r\n{kind}\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body).await.unwrap();
    harness.counted("streams_failed_total", &["UNREAD_TIMEOUT"], 1).await;
    soon(harness.emulator.wait_until(|stats| stats.abandoned == 1)).await;
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused() {
    let harness = Harness::start().await;
    let answer = call(&harness, GENERATE, "origin: http://evil.example\r\n", HI).await;
    assert_eq!(refusal(&answer), (7, "ORIGIN_NOT_ALLOWED".to_owned()), "{answer}");
    assert!(answer.contains("evil.example"), "{answer}");
}

#[tokio::test]
async fn a_rebound_name_gets_neither_page_nor_call() {
    let harness = Harness::with(|settings| settings.allowed_hosts = vec!["chat.example".to_owned()]).await;
    let port = harness.endpoint.rsplit(':').next().unwrap();
    // What a browser sends for a page of that name once the name resolves to this server.
    let rebound = |name: &str| format!("origin: http://{name}:{port}\r\nsec-fetch-site: same-origin\r\n");
    for (name, taken) in [("evil.example", false), ("chat.example", true), ("localhost", true)] {
        let host = format!("{name}:{port}");
        let web = format!("content-type: application/grpc-web+proto\r\n{}", rebound(name));
        let answer = ask_as(&harness, &host, &post(GENERATE), &web, HI).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "gRPC-Web has its status in the body: {answer}");
        if taken {
            assert!(answer.contains("grpc-status:0"), "{answer}");
        } else {
            assert_eq!(refusal(&answer), (7, "ORIGIN_NOT_ALLOWED".to_owned()), "{answer}");
        }
        let page = ask_as(&harness, &host, "GET / HTTP/1.1", "sec-fetch-site: none\r\n", b"").await;
        assert_eq!(page.starts_with("HTTP/1.1 200 "), taken, "{page}");
        assert_eq!(page.contains("--allowed-host"), !taken, "{page}");
    }
    assert_eq!(harness.emulator.stats().requests, 2, "Bedrock was asked for the two allowed names only");
}

#[tokio::test]
async fn a_refusal_by_grpc_web_has_its_reason() {
    let harness = Harness::start().await;
    let empty: &[u8] = b"\0\0\0\0\0";
    for (path, body, reason) in [
        ("/outcrop.v1.GenerationService/Create", HI, "UNKNOWN_METHOD"),
        (GENERATE, empty, "INVALID_REQUEST"),
        (GENERATE, b"\0\0\0\0\x01\xff", "MALFORMED_REQUEST"),
    ] {
        let answer = call(&harness, path, "", body).await;
        assert_eq!(refusal(&answer).1, reason, "{path}: {answer}");
        assert!(answer.contains("outcrop-generation-id:"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_request_says_that_the_connection_ends() {
    let harness = Harness::start().await;
    let web = "content-type: application/grpc-web+proto\r\n";
    let too_large = format!("{}\u{7f}\0\0\0", "\0");
    let cases: [(String, &str, usize, &str, bool); 5] = [
        (post("/elsewhere"), "content-type: image/jpeg\r\n", 10, "", true),
        (post("/outcrop.v1.GenerationService/Create"), web, 10, "", true),
        (post(GENERATE), web, 10_000, &too_large, true),
        (post(GENERATE), web, HI.len(), std::str::from_utf8(HI).unwrap(), false),
        ("GET /icon.svg HTTP/1.1".to_owned(), "", 0, "", false),
    ];
    for (line, headers, length, sent, ends) in cases {
        let mut stream = TcpStream::connect(harness.endpoint.strip_prefix("http://").unwrap()).await.unwrap();
        let head = format!("{line}\r\nhost: 127.0.0.1\r\ncontent-length: {length}\r\n{headers}\r\n{sent}");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
            let read = soon(stream.read_buf(&mut answer)).await.unwrap();
            assert!(read > 0, "{line}: {}", String::from_utf8_lossy(&answer));
        }
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert_eq!(answer.contains("connection: close\r\n"), ends, "{line}: {answer}");
    }
}

/// The code and the reason of a status, in the headers or in the body.
pub(crate) fn refusal(answer: &str) -> (u32, String) {
    let value = |name: &str| answer.split(name).nth(1).expect(name).lines().next().unwrap().trim().to_owned();
    let code = value("grpc-status:");
    let details = value("grpc-status-details-bin:").trim_end_matches('=').to_owned();
    let names = ["grpc-status", "grpc-status-details-bin"].map(http::HeaderName::from_static);
    let headers = names.into_iter().zip([code.parse().unwrap(), details.parse().unwrap()]).collect();
    let status = Status::from_header_map(&headers).unwrap();
    (code.parse().unwrap(), CallError::from(&status).reason)
}

fn post(path: &str) -> String {
    format!("POST {path} HTTP/1.1")
}

async fn call(harness: &Harness, path: &str, headers: &str, body: &[u8]) -> String {
    let headers = format!("content-type: application/grpc-web+proto\r\n{headers}");
    ask(harness, &post(path), &headers, body).await
}

/// One request over HTTP/1.1 and everything that comes back.
async fn ask(harness: &Harness, line: &str, headers: &str, body: &[u8]) -> String {
    ask_as(harness, harness.endpoint.strip_prefix("http://").unwrap(), line, headers, body).await
}

/// The same with this host.
async fn ask_as(harness: &Harness, host: &str, line: &str, headers: &str, body: &[u8]) -> String {
    let address = harness.endpoint.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head =
        format!("{line}\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}
