//! Bad input is refused in the shape of AWS, and Bedrock gets nothing of it.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::caller::{post, send, serving};

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
