//! HTTP/2 and HTTP/1.1 on one port, by ALPN or by the first bytes, over both versions of TLS.

use rustls::version::{TLS12, TLS13};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    authority::Files,
    is_served, server,
    wire::{Dial, address, exchange},
};
use crate::{
    harness::{Harness, soon},
    http2_frames::{Frame, GOAWAY, PREFACE, SETTINGS},
    process::{outcrop, run},
};

const PAGE: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

/// A call by gRPC-Web with `prompt: "hi"`.
const WEB: &[u8] = b"POST /outcrop.v1.GenerationService/Generate HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
    content-type: application/grpc-web+proto\r\ncontent-length: 9\r\n\r\n\0\0\0\0\x04\x12\x02hi";

#[tokio::test]
async fn grpc_the_page_and_grpc_web_are_served_on_one_port() {
    let files = Files::new("one-port");
    let harness = server(&files).await;
    is_served(&harness).await;
    for alpn in [&["http/1.1"][..], &["http/1.0", "http/1.1"], &[]] {
        let dial = Dial::trusting(&files.authority.pem()).offering(alpn);
        for (sent, said) in [(PAGE, "<h1>Response Streaming</h1>"), (WEB, "grpc-status:0")] {
            let mut stream = dial.connect(&harness.endpoint).await.unwrap();
            let (answer, ended) = exchange(&mut stream, sent).await;
            let answer = String::from_utf8_lossy(&answer);
            assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains(said), "{alpn:?}: {answer}");
            ended.expect("the connection ends with close_notify");
        }
    }
    let elsewhere = b"GET /elsewhere HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let mut stream = Dial::trusting(&files.authority.pem()).connect(&harness.endpoint).await.unwrap();
    let hint = String::from_utf8(exchange(&mut stream, elsewhere).await.0).unwrap();
    assert!(hint.contains("Try: grpcurl -d "), "{hint}");
}

#[tokio::test]
async fn both_versions_of_tls_are_spoken_and_http2_is_preferred() {
    let files = Files::new("versions");
    let harness = server(&files).await;
    for version in [&TLS12, &TLS13] {
        let dial = Dial::with_versions(&files.authority.pem(), None, &[version]).offering(&["http/1.1", "h2"]);
        let mut stream = dial.connect(&harness.endpoint).await.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        stream.write_all(&[PREFACE, &Frame::new(SETTINGS, 0, 0, &[]).bytes()].concat()).await.unwrap();
        assert_eq!(soon(Frame::read(&mut stream)).await.unwrap().kind, SETTINGS, "the preface of the server");
    }
    assert_eq!(harness.count("tls_handshakes_total", &["outcome=\"completed\""]), 3, "one is the client's");
}

#[tokio::test]
async fn only_the_negotiated_protocol_is_spoken() {
    let files = Files::new("negotiated");
    let harness = server(&files).await;
    let preface = [PREFACE, &Frame::new(SETTINGS, 0, 0, &[]).bytes()].concat();
    for (negotiated, spoken) in [("h2", PAGE), ("http/1.1", &preface)] {
        let dial = Dial::trusting(&files.authority.pem()).offering(&[negotiated]);
        let mut stream = dial.connect(&harness.endpoint).await.unwrap();
        let (answer, _) = exchange(&mut stream, spoken).await;
        assert_eq!(answer, b"", "{negotiated}: nothing is served");
    }
    let unknown = Dial::trusting(&files.authority.pem()).offering(&["spdy/3"]);
    let error = unknown.connect(&harness.endpoint).await.unwrap_err().to_string();
    assert!(error.contains("NoApplicationProtocol"), "{error}");
    assert_eq!(harness.count("tls_handshakes_total", &["outcome=\"failed\""]), 1);
    is_served(&harness).await;
}

#[tokio::test]
async fn a_client_without_tls_is_told_what_the_port_speaks() {
    let files = Files::new("plaintext");
    let harness = server(&files).await;
    let told = "This port speaks TLS";
    let mut stream = TcpStream::connect(address(&harness.endpoint)).await.unwrap();
    // More than is read: the answer is not lost by a reset.
    stream.write_all(&[PAGE, &[b'x'; 4_096]].concat()).await.unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains(told) && answer.contains("https://"), "{answer}");
    let mut stream = TcpStream::connect(address(&harness.endpoint)).await.unwrap();
    stream.write_all(&[PREFACE, &Frame::new(SETTINGS, 0, 0, &[]).bytes()].concat()).await.unwrap();
    assert_eq!(soon(Frame::read(&mut stream)).await.unwrap().kind, SETTINGS);
    let goaway = soon(Frame::read(&mut stream)).await.unwrap();
    let inadequate_security = 12u32.to_be_bytes();
    assert_eq!((goaway.kind, &goaway.payload[4..8]), (GOAWAY, &inadequate_security[..]));
    assert!(String::from_utf8_lossy(&goaway.payload[8..]).contains(told));
    assert!(soon(Frame::read(&mut stream)).await.is_none(), "closed");
    assert_eq!(harness.count("tls_handshakes_total", &["outcome=\"plaintext\""]), 2);
    // The client of the project says what to write.
    let plain = outcrop_client::Client::connect(&harness.endpoint.replace("https", "http")).await;
    let error = soon(plain.unwrap().generate(crate::harness::request(""))).await.unwrap_err().to_string();
    assert!(error.contains("Write https://"), "{error}");
    is_served(&harness).await;
}

#[tokio::test]
async fn the_metrics_port_has_the_same_certificate() {
    let files = Files::new("metrics");
    let ca = files.authority.pem();
    let change = |settings: &mut outcrop::config::Settings| {
        settings.tls = Some(files.settings());
        settings.metrics_listen = Some("127.0.0.1:0".parse().unwrap());
    };
    let harness = Harness::connecting(change, |client| client.trusting(ca.as_bytes())).await;
    let metrics = harness.metrics_address.unwrap().to_string();
    let get = b"GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let mut stream = Dial::trusting(&ca).connect(&metrics).await.unwrap();
    let answer = String::from_utf8(exchange(&mut stream, get).await.0).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("# EOF\n"), "{answer}");
    let expiry = harness.count("tls_certificate_expiry_seconds", &[]);
    assert!(answer.contains(&format!("outcrop_tls_certificate_expiry_seconds {expiry}\n")) && expiry > 0, "{answer}");
    let mut plain = TcpStream::connect(&metrics).await.unwrap();
    plain.write_all(get).await.unwrap();
    let mut answer = String::new();
    soon(plain.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[test]
fn the_help_names_the_flags() {
    let (out, _, code) = run(&mut outcrop(&["serve", "--help"]));
    for flag in ["--tls-cert", "--tls-key", "--tls-client-ca", "--tls-client-certs", "--insecure-plaintext"] {
        assert!(out.contains(flag), "{flag}");
    }
    assert_eq!(code, Some(0));
}
