//! However HTTP/1.1 ends an answer, half a message is not a whole one.

use base64::{Engine, prelude::BASE64_STANDARD};
use outcrop::{app::App, bedrock::Bedrock, config::Settings};
use outcrop_client::{
    Client, ClientError,
    proto::{GenerateRequest, OperationChoice},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::harness::{collect, request, soon};

/// The frames of half an answer, and of what is missing.
struct Halves {
    first: Vec<u8>,
    second: Vec<u8>,
}

fn frames(steps: impl IntoIterator<Item = (&'static str, Value)>) -> Vec<u8> {
    steps.into_iter().flat_map(|(event_type, payload)| frame(event_type, &payload.to_string())).collect()
}

/// One event-stream frame: lengths, headers, payload, and the checksums of both.
fn frame(event_type: &str, payload: &str) -> Vec<u8> {
    let mut headers = Vec::new();
    for (name, value) in [(":message-type", "event"), (":event-type", event_type)] {
        headers.push(u8::try_from(name.len()).unwrap());
        headers.extend(name.as_bytes());
        headers.push(7);
        headers.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        headers.extend(value.as_bytes());
    }
    let total = u32::try_from(16 + headers.len() + payload.len()).unwrap();
    let mut bytes = [total.to_be_bytes(), u32::try_from(headers.len()).unwrap().to_be_bytes()].concat();
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    bytes.extend(headers);
    bytes.extend(payload.as_bytes());
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    bytes
}

fn converse() -> Halves {
    let text = |text: &str| ("contentBlockDelta", json!({"contentBlockIndex": 0, "delta": {"text": text}}));
    let end = [
        ("messageStop", json!({"stopReason": "end_turn"})),
        ("metadata", json!({"usage": {"inputTokens": 1, "outputTokens": 2}})),
    ];
    Halves { first: frames([text("a"), text("b")]), second: frames(end) }
}

fn cohere() -> Halves {
    let chunk = |inner: Value| ("chunk", json!({"bytes": BASE64_STANDARD.encode(inner.to_string())}));
    let text = |text: &str| chunk(json!({"is_finished": false, "text": text}));
    let metrics = json!({"inputTokenCount": 1, "outputTokenCount": 2});
    let last = json!({"is_finished": true, "finish_reason": "COMPLETE", "amazon-bedrock-invocationMetrics": metrics});
    Halves { first: frames([text("a"), text("b")]), second: frames([chunk(last)]) }
}

/// An answer as it is written on the connection, which is closed after it.
fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let kind = "content-type: application/vnd.amazon.eventstream";
    let mut bytes = format!("HTTP/1.1 {status}\r\n{kind}\r\n{headers}connection: close\r\n\r\n").into_bytes();
    bytes.extend(body);
    bytes
}

fn chunked(parts: &[&[u8]], end: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend(format!("{:x}\r\n", part.len()).as_bytes());
        bytes.extend(*part);
        bytes.extend(b"\r\n");
    }
    bytes.extend(end.as_bytes());
    answer("200 OK", "transfer-encoding: chunked\r\n", &bytes)
}

impl Halves {
    fn unfinished(&self) -> Vec<(&'static str, Vec<u8>)> {
        let Self { first, second } = self;
        let length = |length: usize| format!("content-length: {length}\r\n");
        let whole = [&first[..], second].concat();
        vec![
            ("204", answer("204 No Content", "", b"")),
            ("205", answer("205 Reset Content", &length(0), b"")),
            ("an empty 200", answer("200 OK", &length(0), b"")),
            ("an empty 200 in chunks", chunked(&[], "0\r\n\r\n")),
            ("the clean end of chunks", chunked(&[first], "0\r\n\r\n")),
            ("the clean end of chunks with trailers", chunked(&[first], "0\r\nx-end: yes\r\n\r\n")),
            ("chunks without their end", chunked(&[first], "")),
            ("the middle of a chunk", chunked(&[first], "ff\r\nabc")),
            ("a content-length that is too short", answer("200 OK", &length(first.len()), &whole)),
            ("a content-length that is too long", answer("200 OK", &length(whole.len()), first)),
            ("no content-length", answer("200 OK", "", first)),
            ("the middle of a frame", answer("200 OK", "", &whole[..first.len() + 20])),
        ]
    }

    fn whole(&self) -> Vec<(&'static str, Vec<u8>)> {
        let Self { first, second } = self;
        let whole = [&first[..], second].concat();
        vec![
            ("chunks", chunked(&[first, second], "0\r\n\r\n")),
            ("the end of the connection", answer("200 OK", "", &whole)),
        ]
    }
}

/// Answers each request of a connection of its own with these bytes.
async fn serve(listener: TcpListener, mut answers: Vec<Vec<u8>>) {
    answers.reverse();
    while let Some(answer) = answers.pop() {
        let (mut connection, _) = listener.accept().await.unwrap();
        read_request(&mut connection).await;
        connection.write_all(&answer).await.unwrap();
        connection.shutdown().await.unwrap();
    }
}

/// Reads a request with its body, so that closing the connection resets nothing.
async fn read_request(connection: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(connection.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    connection.read_exact(&mut body).await.unwrap();
}

#[tokio::test]
async fn no_way_to_end_http_makes_half_an_answer_whole() {
    let native = || GenerateRequest {
        operation: OperationChoice::Native.into(),
        model_family: "cohere-command".to_owned(),
        ..request("a.model")
    };
    let raw = || GenerateRequest { native_body: "{}".to_owned(), prompt: String::new(), ..request("a.model") };
    let cases =
        [("converse", converse(), request("a.model")), ("native", cohere(), native()), ("raw", cohere(), raw())];
    for (operation, halves, request) in cases {
        let (unfinished, whole) = (halves.unfinished(), halves.whole());
        let all: Vec<_> = unfinished.iter().chain(&whole).map(|(_, bytes)| bytes.clone()).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let mut running = JoinSet::new();
        running.spawn(serve(listener, all));
        let mut settings = Settings::local();
        settings.attempts = 1;
        let app = App::build(&settings, Bedrock::emulated(&endpoint, settings.max_connect()).unwrap()).await.unwrap();
        let client = format!("http://{}", app.address());
        running.spawn(async move {
            app.run(std::future::pending(), std::future::pending()).await;
        });
        let client = Client::connect(&client).await.unwrap();
        for (how, _) in unfinished {
            let result = match soon(client.generate(request.clone())).await {
                Ok(chunks) => soon(collect(chunks)).await.result,
                Err(error) => Err(error),
            };
            let Err(ClientError::Call(error)) = result else { panic!("{operation}, {how}: {result:?}") };
            assert_eq!(error.reason, "UPSTREAM_TRUNCATED", "{operation}, {how}: {error}");
        }
        for (how, _) in whole {
            let chunks = soon(client.generate(request.clone())).await;
            let chunks = chunks.unwrap_or_else(|error| panic!("{operation}, {how}: {error}"));
            soon(collect(chunks)).await.whole();
        }
    }
}
