//! Connections that do what no client does: silence, floods of resets, and the page of a rebound name.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{Scene, source};
use crate::{
    http2_frames::{Frame, PREFACE, SETTINGS, address},
    page::refusal,
};

const RST_STREAM: u8 = 3;

const GENERATE: &str = "/outcrop.v1.GenerationService/Generate";

/// A gRPC frame around `prompt: "hi"`.
const HI: &[u8] = b"\0\0\0\0\x04\x12\x02hi";

/// Longer than an answer takes.
const HANGS: Duration = Duration::from_mins(5);

/// Starts all of it.
pub(super) fn start(scene: &Scene, load: &mut JoinSet<()>) {
    for _ in 0..scene.scale.silent {
        load.spawn(silent(scene.clone()));
    }
    load.spawn(resets(scene.clone()));
    load.spawn(rebinding_page(scene.clone()));
}

async fn connect(scene: &Scene, last: u8) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((source(last), 0).into()).unwrap();
    socket.connect(address(&scene.endpoint)).await.ok()
}

/// Everything that the server sends until it closes the connection. A reset closes it too.
async fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut read = Vec::new();
    let _ = stream.read_to_end(&mut read).await;
    read
}

async fn answer_on(stream: &mut TcpStream) -> Vec<u8> {
    timeout(HANGS, until_closed(stream)).await.expect("the connection stays open")
}

/// Ready when the time is over.
async fn over(scene: &Scene) {
    while !scene.over() {
        sleep(Duration::from_millis(200)).await;
    }
}

/// Connects, says nothing until the server closes the connection, and connects again. A client whose connection does not fit into the
/// backlog of the kernel is not told, because it sends nothing.
async fn silent(scene: Scene) {
    while !scene.over() {
        sleep(Duration::from_millis(fastrand::u64(..2_000))).await;
        let Some(mut stream) = connect(&scene, 27).await else { continue };
        tokio::select! {
            _ = until_closed(&mut stream) => scene.tally.add("silent", "closed"),
            () = over(&scene) => scene.tally.add("silent", "open at the end"),
        }
    }
}

/// Opens streams and resets them at once, until the server closes the connection.
async fn resets(scene: Scene) {
    while !scene.over() {
        sleep(Duration::from_millis(20)).await;
        let Some(stream) = connect(&scene, 28).await else { continue };
        let (mut read, mut write) = stream.into_split();
        let hello = [PREFACE, &Frame::new(SETTINGS, 0, 0, &[]).bytes()].concat();
        let flood = async {
            if write.write_all(&hello).await.is_err() {
                return;
            }
            for stream in (1..u32::MAX / 4).step_by(2) {
                let [headers, _] = Frame::call(stream, GENERATE);
                let reset = Frame::new(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
                if write.write_all(&[headers.bytes(), reset.bytes()].concat()).await.is_err() {
                    return;
                }
            }
        };
        let mut sent = Vec::new();
        tokio::select! {
            () = flood => scene.tally.add("reset", "closed"),
            _ = read.read_to_end(&mut sent) => scene.tally.add("reset", "closed"),
            () = over(&scene) => scene.tally.add("reset", "open at the end"),
        }
    }
}

/// What a browser sends for the page of a name that resolves to this server.
async fn rebinding_page(scene: Scene) {
    let port = address(&scene.endpoint).port();
    let host = format!("evil.example:{port}");
    let headers =
        format!("host: {host}\r\norigin: http://{host}\r\nsec-fetch-site: same-origin\r\nconnection: close\r\n");
    let kind = format!("content-type: application/grpc-web+proto\r\ncontent-length: {}", HI.len());
    let call = format!("POST {GENERATE} HTTP/1.1\r\n{headers}{kind}\r\n\r\n");
    let file = format!("GET / HTTP/1.1\r\n{headers}\r\n");
    while !scene.over() {
        sleep(Duration::from_millis(20)).await;
        let Some(mut stream) = connect(&scene, 29).await else { continue };
        stream.write_all(&[call.as_bytes(), HI].concat()).await.unwrap();
        let answer = String::from_utf8_lossy(&answer_on(&mut stream).await).into_owned();
        scene.tally.add("rebinding page", &refusal(&answer).1);
        let Some(mut stream) = connect(&scene, 29).await else { continue };
        stream.write_all(file.as_bytes()).await.unwrap();
        let answer = String::from_utf8_lossy(&answer_on(&mut stream).await).into_owned();
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    }
}
