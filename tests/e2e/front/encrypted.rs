//! The API over TLS, with the protocol that was negotiated.

use bytes::Bytes;
use http::{Request, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use outcrop::config::Settings;
use tokio::task::JoinSet;

use super::caller::{Answered, post};
use crate::{
    harness::{Harness, soon},
    tls::{authority::Files, wire::Dial},
};

const BODY: &str = r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}]}"#;

/// Sends a request over TLS, with this protocol.
async fn send(files: &Files, endpoint: &str, path: &str, alpn: &str) -> (Answered, Version) {
    let stream = Dial::trusting(&files.authority.pem()).offering(&[alpn]).connect(endpoint).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(alpn.as_bytes()));
    let mut connection = JoinSet::new();
    // HTTP/2 has the host in its address.
    let request: Request<Full<Bytes>> = match alpn {
        "h2" => post("https://localhost", path, BODY),
        _ => {
            let mut request = post("", path, BODY);
            request.headers_mut().insert("host", "localhost".parse().unwrap());
            request
        }
    };
    let answer = if alpn == "h2" {
        let (mut sender, driver) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        connection.spawn(async { driver.await.unwrap() });
        sender.send_request(request).await.unwrap()
    } else {
        let (mut sender, driver) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        connection.spawn(async { driver.await.unwrap() });
        sender.send_request(request).await.unwrap()
    };
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (Answered { status: parts.status, headers: parts.headers, body }, parts.version)
}

#[tokio::test]
async fn answers_and_errors_are_the_same_over_tls() {
    let files = Files::new("bedrock-api");
    let ca = files.authority.pem();
    let change = |settings: &mut Settings| {
        settings.bedrock_api = true;
        settings.attempts = 1;
        settings.tls = Some(files.settings());
    };
    let harness = Harness::connecting(change, |client| client.trusting(ca.as_bytes())).await;
    for (alpn, version) in [("h2", Version::HTTP_2), ("http/1.1", Version::HTTP_11)] {
        let send = |path: &'static str| soon(send(&files, &harness.endpoint, path, alpn));
        let (streamed, spoken) = send("/model/emulator.tools/converse-stream").await;
        assert_eq!((streamed.status, spoken), (StatusCode::OK, version));
        let text = String::from_utf8_lossy(&streamed.body).into_owned();
        assert!(text.contains("messageStart") && text.contains("messageStop") && text.contains("metadata"), "{text}");
        let (whole, _) = send("/model/emulator.tools/converse").await;
        assert!(String::from_utf8_lossy(&whole.body).contains(r#""stopReason":"tool_use""#), "{whole:?}");
        let (cut, _) = send("/model/emulator.end/converse-stream").await;
        assert!(String::from_utf8_lossy(&cut.body).contains("modelStreamErrorException"), "{cut:?}");
        for (path, status, exception) in [
            ("/model/emulator.cut/converse", 503, "ServiceUnavailableException"),
            ("/model/emulator.refuse-throttle/converse-stream", 429, "ThrottlingException"),
            ("/model/../converse", 400, "ValidationException"),
        ] {
            let (refused, _) = send(path).await;
            assert_eq!((refused.status.as_u16(), refused.exception()), (status, exception), "{alpn} {path}");
        }
    }
}
