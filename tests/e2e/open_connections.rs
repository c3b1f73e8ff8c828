//! Connections are bounded in number and in time: who sends nothing is closed, and others are served meanwhile.

use std::time::Duration;

use bedrock_emulator::Script;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
};

use crate::{
    harness::{Harness, collect, open_streams, request, soon},
    http2_frames::{ACK, END_HEADERS, Frame, GOAWAY, HEADERS, PING, PREFACE, SETTINGS, Wire, address},
};

/// Short, so that tests need not wait; long enough for a busy machine to answer a ping.
const SHORT: Duration = Duration::from_millis(700);

async fn is_served(harness: &Harness) {
    soon(collect(soon(harness.client.generate(request("emulator.tools"))).await.unwrap())).await.whole();
}

/// A connection of a client with another address.
async fn from_another_address(harness: &Harness) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    socket.connect(address(&harness.endpoint)).await.unwrap()
}

/// Whether the server speaks on a connection that says hello.
async fn is_open(mut stream: TcpStream) -> bool {
    let hello = [PREFACE, &Frame::new(SETTINGS, 0, 0, &[]).bytes()].concat();
    stream.write_all(&hello).await.is_ok() && soon(Frame::read(&mut stream)).await.is_some()
}

#[tokio::test]
async fn connections_that_say_nothing_or_half_of_something_are_closed_while_others_are_served() {
    let harness = Harness::with(|settings| {
        settings.connections.handshake_timeout = SHORT;
        settings.connections.keepalive = SHORT;
    })
    .await;
    let settings = Frame::new(SETTINGS, 0, 0, &[]).bytes();
    let half_of_headers = &Frame::headers(1, END_HEADERS, &[(":method", "POST")]).bytes()[..12];
    let mut silent = JoinSet::new();
    for (what, sent) in [
        ("nothing", Vec::new()),
        ("half a preface", PREFACE[..10].to_vec()),
        ("a preface and nothing", PREFACE.to_vec()),
        ("settings and nothing", [PREFACE, &settings].concat()),
        ("half of the headers over HTTP/2", [PREFACE, &settings, half_of_headers].concat()),
        ("half of the headers over HTTP/1", b"POST / HTTP/1.1\r\nhost: loc".to_vec()),
    ] {
        let mut wire = Wire::connect(&harness.endpoint).await;
        silent.spawn(async move {
            wire.0.write_all(&sent).await.unwrap();
            assert!(
                tokio::time::timeout(Duration::from_secs(30), wire.closed()).await.is_ok(),
                "{what}: open without a limit"
            );
        });
    }
    is_served(&harness).await;
    while let Some(closed) = silent.join_next().await {
        closed.unwrap();
    }
    is_served(&harness).await;
}

#[tokio::test]
async fn an_idle_connection_is_told_to_go_and_the_next_call_opens_another() {
    let harness = Harness::with(|settings| settings.connections.idle_timeout = SHORT).await;
    let mut idle = Wire::open(&harness.endpoint).await;
    let goaway = soon(idle.until(GOAWAY)).await;
    assert_eq!(goaway.payload[4..8], [0; 4], "no error");
    // What ends the connection at once: the answer to the ping that follows the GOAWAY.
    let ping = soon(idle.until(PING)).await;
    idle.send(&[Frame { flags: ACK, ..ping }]).await;
    soon(idle.closed()).await;
    // A client that withholds the answer is closed too.
    let mut withholds = Wire::open(&harness.endpoint).await;
    soon(withholds.closed()).await;
    is_served(&harness).await;
    soon(harness.counted("connections_open", &[], 0)).await;
    is_served(&harness).await;
}

#[tokio::test]
async fn a_connection_with_a_stream_is_not_idle() {
    let harness = Harness::with(|settings| settings.connections.idle_timeout = SHORT).await;
    let model = harness.emulator.register("late", Script::reply("late").pace(2_500, 0));
    let chunks = soon(harness.client.generate(request(&model))).await.unwrap();
    soon(collect(chunks)).await.whole();
}

#[tokio::test]
async fn one_address_may_have_its_share_and_no_more() {
    let harness = Harness::with(|settings| {
        settings.connections.max = 4;
        settings.connections.max_per_address = 3;
    })
    .await;
    // One is the client's.
    is_served(&harness).await;
    let second = Wire::open(&harness.endpoint).await;
    let third = Wire::open(&harness.endpoint).await;
    soon(harness.counted("connections_open", &[], 3)).await;
    let mut fourth = Wire::connect(&harness.endpoint).await;
    soon(fourth.closed()).await;
    assert_eq!(harness.count("connections_refused_total", &["limit=\"address\""]), 1);
    let other = from_another_address(&harness).await;
    soon(harness.counted("connections_open", &[], 4)).await;
    let mut above_all = from_another_address(&harness).await;
    assert_eq!(soon(above_all.read(&mut [0])).await.unwrap_or(0), 0, "closed at once");
    assert_eq!(harness.count("connections_refused_total", &["limit=\"total\""]), 1);
    is_served(&harness).await;
    drop((second, third, other));
    soon(harness.counted("connections_open", &[], 1)).await;
    assert!(is_open(TcpStream::connect(address(&harness.endpoint)).await.unwrap()).await);
}

#[tokio::test]
async fn the_metrics_port_is_bounded_and_serves_again() {
    let harness = Harness::with(|settings| {
        settings.metrics_listen = Some("127.0.0.1:0".parse().unwrap());
        settings.connections.handshake_timeout = SHORT;
    })
    .await;
    let metrics = harness.metrics_address.unwrap();
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(metrics).await.unwrap());
    }
    is_served(&harness).await;
    for mut silent in silent {
        assert_eq!(soon(silent.read(&mut [0])).await.unwrap_or(0), 0);
    }
    let mut connection = TcpStream::connect(metrics).await.unwrap();
    connection.write_all(b"GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    soon(connection.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("# EOF\n"), "{answer}");
}

#[tokio::test]
async fn the_client_is_told_how_many_streams_a_connection_may_have() {
    let harness = Harness::with(|settings| settings.connections.max_streams = 7).await;
    let mut wire = Wire::open(&harness.endpoint).await;
    let settings = soon(wire.until(SETTINGS)).await;
    let max = settings.payload.chunks(6).find(|setting| setting[..2] == [0, 3]).unwrap();
    assert_eq!(max[2..], 7u32.to_be_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_streams_run_on_one_connection() {
    // The emulator is in this process too, with a connection for each stream.
    outcrop::app::raise_file_limit();
    let harness = Harness::with(|settings| {
        settings.attempts = 1;
        // A thousand connections at once may take their time on a busy machine.
        settings.rules.timeouts.default.connect = Duration::from_secs(25);
    })
    .await;
    let streams = open_streams(&harness.emulator, &harness.client, 1_000).await;
    assert_eq!(harness.count("streams_running", &[]), 1_000);
    assert_eq!(harness.count("connections_open", &[]), 1);
    drop(streams);
    soon(harness.counted("streams_running", &[], 0)).await;
}

#[tokio::test]
async fn a_client_whose_streams_are_reset_for_its_errors_again_and_again_loses_its_connection() {
    let harness = Harness::start().await;
    let mut wire = Wire::open(&harness.endpoint).await;
    let malformed: Vec<_> = (0..3_000)
        .map(|at| Frame::headers(2 * at + 1, END_HEADERS, &[(":method", "POST"), ("connection", "close")]))
        .collect();
    // The server may close before it has read them all.
    let bytes: Vec<_> = malformed.iter().flat_map(Frame::bytes).collect();
    let (mut read, mut write) = wire.0.split();
    let goaway = async {
        loop {
            match Frame::read(&mut read).await {
                Some(frame) if frame.kind == GOAWAY => return Some(frame),
                Some(frame) => assert_ne!(frame.kind, HEADERS),
                None => return None,
            }
        }
    };
    let (goaway, _) = soon(async { tokio::join!(goaway, write.write_all(&bytes)) }).await;
    let enhance_your_calm = 11u32.to_be_bytes();
    assert_eq!(goaway.unwrap().payload[4..8], enhance_your_calm);
    is_served(&harness).await;
}
